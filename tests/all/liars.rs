//! A worker whose Flight server sends what it should not: whoever reads it says so with the type of the failure, the input is made
//! again (elsewhere, while it goes on lying), and the job ends with the right rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use swath::broker::{Broker, EmbeddedBroker};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions, WorkerListeners};
use swath::ids::{JobId, StageId, TaskId};
use swath::job::{Event, FailureClass};
use swath::spec::{JobOptions, SPEC_VERSION, TableInput, TableOutput, TableSettings};
use swath::wire::{self, LogEntry};
use swath::{JobSpec, Registry, TaskOperation, Worker, WorkerConfig};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::shared::tables::read_csv;

/// How many jobs may go by before one meets the lie.
const JOBS_MAX: usize = 20;

/// What is wrong with the answer to a `DoGet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// The second message is not Arrow.
    Garbage,
    /// After the first message the stream ends as if all were well.
    Ends,
    /// After the first message nothing comes any more, in the first two answers; the others are true.
    Stalls,
    /// The trailer claims a row too many.
    WrongCount,
}

/// A Flight server before that of a worker.
struct Liar {
    honest: String,
    lie: Lie,
    told: Arc<AtomicUsize>,
}

impl Liar {
    fn twist(&self, messages: Vec<FlightData>) -> BoxStream<'static, Result<FlightData, Status>> {
        let told = self.told.fetch_add(1, Ordering::SeqCst);
        let first = stream::iter(messages.clone().into_iter().take(1)).map(Ok);
        match self.lie {
            Lie::Ends => first.boxed(),
            Lie::Stalls if told < 2 => first.chain(stream::pending()).boxed(),
            Lie::Stalls => stream::iter(messages).map(Ok).boxed(),
            Lie::Garbage => {
                let garbage = FlightData {
                    data_header: b"garbage that is no flatbuffer"[..].into(),
                    ..FlightData::default()
                };
                first.chain(stream::iter([Ok(garbage)])).boxed()
            }
            Lie::WrongCount => {
                let count = messages.len();
                let twisted = messages
                    .into_iter()
                    .enumerate()
                    .map(move |(at, mut message)| {
                        if at + 1 == count {
                            message.app_metadata = one_more(&message.app_metadata);
                        }
                        Ok(message)
                    });
                stream::iter(twisted).boxed()
            }
        }
    }
}

/// The end of a stream, as `exchange` writes it.
#[derive(Serialize, Deserialize)]
enum Note {
    Trailer {
        rows: u64,
        batches: u64,
        checksum: u64,
    },
}

fn one_more(metadata: &[u8]) -> bytes::Bytes {
    let Note::Trailer {
        rows,
        batches,
        checksum,
    } = wire::decode(metadata).expect("the last message is a trailer");
    let rows = rows + 1;
    let note = Note::Trailer {
        rows,
        batches,
        checksum,
    };
    wire::encode(&note).unwrap()
}

#[async_trait]
impl FlightService for Liar {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let channel = Endpoint::from_shared(format!("http://{}", self.honest)).unwrap();
        let channel = channel.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut honest = FlightServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let answer = honest.do_get(request.into_inner()).await?.into_inner();
        let messages: Vec<Result<FlightData, Status>> = answer.collect().await;
        let messages = messages.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Response::new(self.twist(messages)))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("handshake"))
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("list"))
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented("info"))
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("poll"))
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented("schema"))
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented("put"))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("exchange"))
    }

    async fn do_action(
        &self,
        _: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        Err(Status::unimplemented("action"))
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented("actions"))
    }
}

/// Starts a worker that peers reach through a liar; returns how often that has lied.
async fn lying_worker(
    broker: Arc<dyn Broker>,
    lie: Lie,
    stop: &CancellationToken,
) -> Arc<AtomicUsize> {
    let flight = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let before = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let liar = Liar {
        honest: flight.local_addr().unwrap().to_string(),
        lie,
        told: Arc::clone(&told),
    };
    let listeners = WorkerListeners {
        flight: Some(flight),
        flight_advertise: Some(before.local_addr().unwrap().to_string()),
        metrics: None,
    };
    let mut config = WorkerConfig::default().with_max_concurrent_tasks(1);
    config.id = Some("liar".to_owned());
    // The lies are about partitions, not about the job.
    config.coordinate = false;
    let worker = Worker::new(config, broker, Registry::built_in(), listeners).unwrap();
    tokio::spawn(worker.run(CancellationToken::new(), stop.clone()));
    let service = FlightServiceServer::new(liar).max_encoding_message_size(64 << 20);
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(before),
            stop.clone().cancelled_owned(),
        );
    tokio::spawn(serving);
    told
}

/// Writes rows `n, n % 100` into files of 1,000 rows.
fn write_rows(dir: &Path, files: u32) -> Vec<String> {
    let write = |file: u32| {
        let rows = (file * 1000..(file + 1) * 1000).map(|n| format!("{n},{}\n", n % 100));
        let path = dir.join(format!("rows-{file}.csv"));
        std::fs::write(&path, format!("n,k\n{}", rows.collect::<String>())).unwrap();
        path.display().to_string()
    };
    (0..files).map(write).collect()
}

/// Runs jobs until one of them met the lie: who makes and who reads what is not for a test to say.
async fn check(lie: Lie) {
    let dir = tempfile::tempdir().unwrap();
    let broker: Arc<dyn Broker> = EmbeddedBroker::new(Default::default());
    let stop = CancellationToken::new();
    let told = lying_worker(Arc::clone(&broker), lie, &stop).await;
    let options = LocalOptions {
        workers: 2,
        worker: WorkerConfig::default().with_max_concurrent_tasks(1),
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start_on(Arc::clone(&broker), options)
        .await
        .unwrap();
    let client = cluster.client();
    while client.workers().await.unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let paths = write_rows(dir.path(), 12);
    let mut met = false;
    for _ in 0..JOBS_MAX {
        let output = dir.path().join("groups.csv");
        let job = client
            .submit(&group_by(&paths, &output), SubmitOptions::default())
            .await
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(240), client.wait(&job)).await;
        let ended = ended.expect("the job ends").unwrap();
        assert!(ended.succeeded(), "{lie:?}: {}", ended.sentence());
        assert_eq!(ended.progress.failed(), 0, "{lie:?}: a task was charged");
        check_rows(lie, &output);
        met = check_log(lie, broker.as_ref(), &job).await;
        if met {
            break;
        }
    }
    assert!(told.load(Ordering::SeqCst) > 0, "{lie:?} was never told");
    assert!(met, "{lie:?}: nobody noticed");
    cluster.stop().await;
    stop.cancel();
}

/// A job whose tasks run once: a second run of a reader at the liar itself would hide the lie.
fn group_by(paths: &[String], output: &Path) -> JobSpec {
    let mut options = JobOptions::default();
    options.speculation.enabled = false;
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::GroupBy {
            input: TableInput {
                paths: paths.to_vec(),
                format: None,
            },
            by: vec!["k".to_owned()],
            aggregates: vec!["count(*) as rows".to_owned(), "sum(n) as total".to_owned()],
            settings: TableSettings {
                partitions: Some(4),
                partition_bytes: Some(1),
                broadcast_bytes: None,
            },
        },
        output: Some(TableOutput::new(output.display().to_string()).into()),
        options,
    }
}

/// By hand: 12,000 rows in 100 groups of 120; group k holds k, k + 100, ..., k + 119 * 100.
fn check_rows(lie: Lie, output: &Path) {
    let mut rows = read_csv(output).1;
    rows.sort_by_key(|row| row[0].parse::<u64>().unwrap());
    let expected = (0..100_u64).map(|k| {
        [k, 120, 120 * k + 100 * (119 * 120 / 2)]
            .map(|n| n.to_string())
            .to_vec()
    });
    assert!(rows.into_iter().eq(expected), "{lie:?}: other rows");
}

/// Checks that what the liar's readers missed was made again, and elsewhere if it goes on lying; tells whether anything was.
async fn check_log(lie: Lie, broker: &dyn Broker, job: &JobId) -> bool {
    let (mut lost, mut runs) = (Vec::new(), BTreeMap::new());
    for record in broker.read_log(job).await.unwrap() {
        for event in wire::decode::<LogEntry>(&record.payload).unwrap().events {
            match event {
                Event::TaskFailed(failed) => match failed.failure.class {
                    FailureClass::InputLost(address) => {
                        assert_eq!(address.worker.id.as_str(), "liar", "{lie:?}");
                        lost.push(address.key);
                    }
                    other => panic!("{lie:?}: a failure of another type: {other:?}"),
                },
                Event::TaskSucceeded(success) => {
                    let run = (success.execution, success.worker.id.to_string());
                    runs.entry(success.task).or_insert_with(Vec::new).push(run);
                }
                _ => {}
            }
        }
    }
    for key in &lost {
        let (last, _) = runs[&key.task].last().unwrap();
        assert_ne!(*last, key.execution, "{lie:?}: not made again");
    }
    let by_liar = |task: &TaskId| runs[task].last().unwrap().1 == "liar";
    for key in lost.iter().filter(|_| lie != Lie::Stalls) {
        // To itself the liar does not lie: on a busy machine it may happen to run all readers.
        let next = StageId(key.task.stage.0 + 1);
        let mut readers = runs.keys().filter(|task| task.stage == next);
        assert!(
            !by_liar(&key.task) || readers.all(by_liar),
            "{lie:?}: {key:?} was not made elsewhere: {runs:?}"
        );
    }
    !lost.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_sends_as_garbage_is_made_elsewhere() {
    check(Lie::Garbage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_cuts_off_is_made_elsewhere() {
    check(Lie::Ends).await;
}

/// Takes half a minute: so long may a peer be silent.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_stops_sending_is_made_again() {
    check(Lie::Stalls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_counts_wrong_is_made_elsewhere() {
    check(Lie::WrongCount).await;
}
