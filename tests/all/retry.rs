//! `swath retry`: what succeeded is not run again, on either broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use swath::Client;
use swath::broker::{Broker, EmbeddedBroker, EmbeddedConfig, NatsBroker, NatsConfig};
use swath::client::{JobProgress, SubmitOptions};
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::JobId;
use swath::job::{Event, Outcome};
use swath::ops::{Operation, OperationError, Registry, TaskContext};
use swath::testing::nats_server::NatsServer;
use swath::wire::{self, LogEntry};

use crate::common::{assert_ndvi, leftovers, ndvi, raster_output, scene, tasks};

/// An operation of which tasks that are to be stuck run until they are cancelled or told to fail, while the gate is
/// shut. When it is open, all succeed.
#[derive(Clone, Default)]
struct Gate {
    fails: Arc<AtomicBool>,
    open: Arc<AtomicBool>,
    /// Whether a task is stuck.
    stuck: Arc<AtomicBool>,
    /// Runs of each task since the gate was opened.
    runs: Arc<Mutex<BTreeMap<u32, u32>>>,
}

#[derive(Deserialize)]
struct Params {
    stuck: bool,
}

impl Operation for Gate {
    type Params = Params;
    type Output = u32;

    fn name(&self) -> &'static str {
        "gate"
    }

    fn summary(&self) -> &'static str {
        "is stuck while the gate is shut; succeeds when it is open"
    }

    fn run(&self, params: Params, context: &TaskContext) -> Result<u32, OperationError> {
        let task = context.task.index;
        if self.open.load(Ordering::SeqCst) {
            *self.runs().entry(task).or_default() += 1;
            return Ok(task);
        }
        if !params.stuck {
            return Ok(task);
        }
        self.stuck.store(true, Ordering::SeqCst);
        loop {
            if context.is_cancelled() {
                return Err(OperationError::Cancelled);
            }
            if self.fails.load(Ordering::SeqCst) {
                let message = "the gate is shut".to_owned();
                return Err(OperationError::Fatal { message });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Gate {
    fn runs(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, u32>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn cluster(broker: Arc<dyn Broker>, gate: &Gate) -> LocalCluster {
    let options = LocalOptions {
        workers: 2,
        registry: Registry::built_in().with(gate.clone()),
        ..LocalOptions::default()
    };
    LocalCluster::start_on(broker, options).await.unwrap()
}

async fn ended(client: &Client, job: &JobId) -> JobProgress {
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(job)).await;
    ended.expect("the job ends within two minutes").unwrap()
}

/// Waits until so many tasks are done.
async fn wait_for_done(client: &Client, job: &JobId, tasks: u64) {
    let watch = async {
        let mut progress = client.watch(job).await.unwrap();
        while progress.next().await.unwrap().unwrap().progress.done() < tasks {}
    };
    let watched = tokio::time::timeout(Duration::from_secs(60), watch).await;
    watched.expect("tasks are done within a minute");
}

/// Lists the tasks that succeeded after the first end of a job, as its log tells.
async fn succeeded_again(client: &Client, job: &JobId) -> BTreeSet<(u32, u32)> {
    let records = client.broker().read_log(job).await.unwrap();
    let events = records
        .iter()
        .flat_map(|record| wire::decode::<LogEntry>(&record.payload).unwrap().events);
    let task = |event: Event| match event {
        Event::TaskSucceeded(success) => Some((success.task.stage.0, success.task.index)),
        _ => None,
    };
    events
        .skip_while(|event| !matches!(event, Event::Finished { .. }))
        .filter_map(task)
        .collect()
}

/// How a queue ends of which all tasks but one are done.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Failed,
    Cancelled,
}

async fn check_queue(broker: Arc<dyn Broker>, end: End) {
    let gate = Gate::default();
    let cluster = cluster(broker, &gate).await;
    let client = cluster.client();
    let params: Vec<_> = (0..10).map(|task| json!({ "stuck": task == 9 })).collect();
    let mut spec = tasks("gate", &params);
    // On a busy machine the task that is stuck would get a second run.
    spec.options.speculation.enabled = false;
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let early = client.retry(&job).await.unwrap_err();
    assert!(early.to_string().contains("cannot be retried"), "{early}");
    wait_for_done(&client, &job, 9).await;
    while !gate.stuck.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    match end {
        End::Failed => gate.fails.store(true, Ordering::SeqCst),
        End::Cancelled => client.cancel(&job).await.unwrap(),
    }
    let first = ended(&client, &job).await;
    let failed = matches!(first.outcome, Some(Outcome::Failed { .. }));
    let cancelled = first.outcome == Some(Outcome::Cancelled);
    assert_eq!(
        (failed, cancelled),
        (end == End::Failed, end == End::Cancelled)
    );

    gate.open.store(true, Ordering::SeqCst);
    let going = client.retry(&job).await.unwrap();
    assert_eq!((going.progress.retries, going.progress.done()), (1, 9));
    // Whoever was not answered asks again: it is the same retry, or the job has succeeded by now.
    match client.retry(&job).await {
        Ok(again) => assert_eq!(again.progress.retries, 1),
        Err(error) => assert!(error.to_string().contains("succeeded"), "{error}"),
    }
    let second = ended(&client, &job).await;
    assert!(second.succeeded(), "{}", second.sentence());
    assert_eq!(second.progress.done(), 10);
    assert_eq!(*gate.runs(), BTreeMap::from([(9, 1)]));
    let results = client.results(&job).await.unwrap();
    let numbers = results
        .iter()
        .map(|(task, bytes)| (*task, serde_json::from_slice::<u32>(bytes).unwrap()));
    assert!(numbers.eq((0..10).map(|n| (n, n))), "{results:?}");
    let error = client.retry(&job).await.unwrap_err();
    assert!(error.to_string().contains("succeeded"), "{error}");
    cluster.stop().await;
}

async fn on_nats(server: &NatsServer) -> Arc<dyn Broker> {
    NatsBroker::connect(NatsConfig::for_url(server.url()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_queue_runs_only_what_did_not_succeed() {
    for end in [End::Failed, End::Cancelled] {
        check_queue(EmbeddedBroker::new(EmbeddedConfig::default()), end).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_queue_runs_only_what_did_not_succeed_on_nats() {
    for end in [End::Failed, End::Cancelled] {
        let server = NatsServer::start().unwrap();
        check_queue(on_nats(&server).await, end).await;
    }
}

/// The output's name is taken while the job runs, so that only its last task fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_raster_job_that_failed_at_its_commit_only_commits_again() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 700);
    let server = NatsServer::start().unwrap();
    let cluster = cluster(on_nats(&server).await, &Gate::default()).await;
    let client = cluster.client();
    let mut files = Vec::new();
    for name in ["undisturbed.tif", "retried.tif"] {
        let output = dir.path().join(name);
        let mut spec = ndvi(dir.path(), &output);
        raster_output(&mut spec).blocksize = 64;
        let job = client
            .submit(&spec, SubmitOptions::default())
            .await
            .unwrap();
        if name == "retried.tif" {
            wait_for_done(&client, &job, 1).await;
            std::fs::write(&output, "taken").unwrap();
            let first = ended(&client, &job).await;
            let Some(Outcome::Failed { failure, .. }) = &first.outcome else {
                panic!("the job ended before its output's name was taken: {first:?}");
            };
            assert_eq!(failure.code, "output-exists");
            std::fs::remove_file(&output).unwrap();
            client.retry(&job).await.unwrap();
        }
        let last = ended(&client, &job).await;
        assert!(last.succeeded(), "{}", last.sentence());
        if name == "retried.tif" {
            let commit = last.progress.stages.len() as u32 - 1;
            let again = succeeded_again(&client, &job).await;
            assert_eq!(again, BTreeSet::from([(commit, 0)]));
        }
        assert_ndvi(dir.path(), &output).await;
        files.push(std::fs::read(&output).unwrap());
    }
    assert!(files[0] == files[1], "the retried job gave other bytes");
    assert!(leftovers(dir.path()).is_empty());
    cluster.stop().await;
}

/// The partitions of a cancelled job are dropped, and made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_raster_job_is_made_again_and_commits_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 700);
    let broker = EmbeddedBroker::new(EmbeddedConfig::default());
    let cluster = cluster(broker, &Gate::default()).await;
    let client = cluster.client();
    let output = dir.path().join("out.tif");
    let mut spec = ndvi(dir.path(), &output);
    raster_output(&mut spec).blocksize = 64;
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    wait_for_done(&client, &job, 1).await;
    client.cancel(&job).await.unwrap();
    let first = ended(&client, &job).await;
    assert_eq!(first.outcome, Some(Outcome::Cancelled));
    assert!(!output.exists());
    client.retry(&job).await.unwrap();
    let last = ended(&client, &job).await;
    assert!(last.succeeded(), "{}", last.sentence());
    assert_ndvi(dir.path(), &output).await;
    assert!(leftovers(dir.path()).is_empty());
    cluster.stop().await;
}
