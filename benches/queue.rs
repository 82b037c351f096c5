//! The task queue against raw JetStream, in the same run on the same server: prints medians and ratios.
//!
//! `cargo bench --bench queue` (needs a `nats-server`, see `swath::testing::nats_server`).
//!
//! - *enqueue*: `submit` of 10,000 `noop` tasks, against a pipelined publish of 10,000 messages as large as a
//!   task's message is.
//! - *submit to done*: the same job to its end on two workers, against that publish and pulling and
//!   acknowledging every message.
//! - *latency*: submit to done of one `noop` on the idle cluster.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer, stream};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use swath::broker::{Broker, NatsBroker, NatsConfig};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::OperationName;
use swath::spec::{JobOptions, SPEC_VERSION, TaskList};
use swath::testing::nats_server::NatsServer;
use swath::{Client, JobSpec, TaskOperation, WorkerConfig};

const TASKS: usize = 10_000;
const ROUNDS: usize = 7;
const SINGLES: usize = 300;
/// Bytes of the message of a `noop` task; a test in `wire::message` holds it to that.
const MESSAGE_BYTES: usize = 185;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    // Only `cargo bench` says so; as a test it would prove nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<()> {
    let server = NatsServer::start()?;
    let broker: Arc<dyn Broker> = NatsBroker::connect(NatsConfig::for_url(server.url())).await?;
    let worker = WorkerConfig::default().with_max_concurrent_tasks(1);
    let options = LocalOptions {
        workers: 2,
        worker,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start_on(Arc::clone(&broker), options).await?;
    let client = Client::new(broker);
    let raw = jetstream::new(async_nats::connect(server.url()).await?);

    let mut times = Times::default();
    for _ in 0..ROUNDS {
        let (publish, pull) = raw_round(&raw).await?;
        times.publish.push(publish);
        times.raw.push(publish + pull);
        let (enqueue, done) = job(&client, TASKS).await?;
        times.enqueue.push(enqueue);
        times.done.push(done);
    }
    for _ in 0..SINGLES {
        times.single.push(job(&client, 1).await?.1);
        // Idle means idle: the worker and the coordinator are back in their waiting pulls.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.stop().await;
    times.print();
    Ok(())
}

/// Publishes, then pulls and acknowledges as many messages as the job has tasks.
async fn raw_round(raw: &jetstream::Context) -> Result<(Duration, Duration)> {
    let config = stream::Config {
        name: "RAW".to_owned(),
        subjects: vec!["raw".to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        ..stream::Config::default()
    };
    let stream = raw.create_stream(config).await?;
    let payload = bytes::Bytes::from(vec![b'x'; MESSAGE_BYTES]);
    let started = Instant::now();
    let mut acks = futures::stream::iter(0..TASKS)
        .map(|_| raw.publish("raw", payload.clone()))
        .buffered(1)
        .map_ok(|ack| async move { ack.await })
        .try_buffered(4000);
    while acks.next().await.transpose()?.is_some() {}
    let publish = started.elapsed();
    let config = consumer::pull::Config {
        durable_name: Some("raw".to_owned()),
        max_ack_pending: 100_000,
        ..consumer::pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let started = Instant::now();
    let mut left = TASKS;
    while left > 0 {
        let mut batch = consumer.fetch().max_messages(500).messages().await?;
        while let Some(message) = batch.next().await {
            message?.ack().await?;
            left -= 1;
        }
    }
    let pull = started.elapsed();
    raw.delete_stream("RAW").await?;
    Ok((publish, pull))
}

/// Runs a job of `noop` tasks: how long until it was enqueued, and until it was done.
async fn job(client: &Client, tasks: usize) -> Result<(Duration, Duration)> {
    let params = vec![json!({}); tasks];
    let spec = JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Custom {
            operation: OperationName::new("noop")?,
            tasks: TaskList::new(&params),
        },
        output: None,
        options: JobOptions::default(),
    };
    let started = Instant::now();
    let job = client.submit(&spec, SubmitOptions::default()).await?;
    let enqueued = started.elapsed();
    let ended = client.wait(&job).await?;
    let done = started.elapsed();
    if !ended.succeeded() {
        return Err(format!("the job {}", ended.sentence()).into());
    }
    Ok((enqueued, done))
}

#[derive(Default)]
struct Times {
    publish: Vec<Duration>,
    raw: Vec<Duration>,
    enqueue: Vec<Duration>,
    done: Vec<Duration>,
    single: Vec<Duration>,
}

impl Times {
    fn print(mut self) {
        let ratio = |a: &[Duration], b: &[Duration]| {
            let mut ratios: Vec<f64> = a
                .iter()
                .zip(b)
                .map(|(a, b)| a.as_secs_f64() / b.as_secs_f64())
                .collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        let enqueue = ratio(&self.enqueue, &self.publish);
        let done = ratio(&self.done, &self.raw);
        println!(
            "raw publish of {TASKS}            {}",
            spread(&mut self.publish)
        );
        println!("raw publish, pull and ack     {}", spread(&mut self.raw));
        println!(
            "submit of {TASKS} noop tasks     {}   {enqueue:.2} x raw publish",
            spread(&mut self.enqueue)
        );
        println!(
            "submit to done, two workers   {}   {done:.2} x raw",
            spread(&mut self.done)
        );
        println!("one noop on an idle cluster   {}", spread(&mut self.single));
    }
}

/// Writes the median, the quartiles and the extremes.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    format!(
        "median {:8.2} ms  (min {:.2}, p25 {:.2}, p75 {:.2}, max {:.2})",
        at(0.5),
        at(0.0),
        at(0.25),
        at(0.75),
        at(1.0)
    )
}
