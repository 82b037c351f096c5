//! Measures the brokers beside the bare client; prints, and never fails for being slow.
//! `cargo bench --bench broker` needs a `nats-server` in the path, or `SWATH_NATS_SERVER`; or the
//! address of a running one in `SWATH_BENCH_NATS`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench ends at the first error"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer::pull, stream};
use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt};

use swath::broker::{Broker, EmbeddedBroker, Lane, Message, NatsBroker, NatsConfig, Queue, Settle};
use swath::ids::QueueName;
use swath::spec::Priority;
use swath::testing::nats_server::NatsServer;

const LONG: Duration = Duration::from_secs(20);
const COUNT: usize = 10_000;
const BYTES: usize = 200;

fn report(what: &str, took: Duration) {
    let per_second = COUNT as f64 / took.as_secs_f64();
    println!("{what:44} {took:>10.1?} {per_second:>9.0}/s");
}

async fn through_the_trait(name: &str, broker: &dyn Broker) {
    let messages = (0..COUNT).map(|n| Message {
        id: format!("{name}-{n}"),
        payload: vec![0; BYTES].into(),
        queue: QueueName::default(),
        priority: Priority::Normal,
        lane: Lane::First,
    });
    let started = Instant::now();
    broker
        .publish(Queue::Tasks, messages.collect())
        .await
        .unwrap();
    report(&format!("{name}: publish"), started.elapsed());
    let started = Instant::now();
    let (mut settled, queues) = (0, QueueName::only_default());
    while settled < COUNT {
        let found = broker.pull(Queue::Tasks, &queues, 256, LONG).await.unwrap();
        settled += found.len();
        let done = found.iter().map(|d| broker.settle(&d.lease, Settle::Done));
        try_join_all(done).await.unwrap();
    }
    report(&format!("{name}: pull 256 and settle"), started.elapsed());
}

async fn latency(name: &str, producer: Arc<dyn Broker>, worker: Arc<dyn Broker>) {
    let mut latencies = Vec::new();
    for n in 0..300 {
        let waiting = tokio::spawn({
            let worker = worker.clone();
            async move {
                let found = worker
                    .pull(Queue::Tasks, &QueueName::only_default(), 1, LONG)
                    .await
                    .unwrap();
                (Instant::now(), found)
            }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        let message = Message {
            id: format!("latency-{n}"),
            payload: vec![0; BYTES].into(),
            queue: QueueName::default(),
            priority: Priority::Normal,
            lane: Lane::First,
        };
        let started = Instant::now();
        producer.publish(Queue::Tasks, vec![message]).await.unwrap();
        let (at, found) = waiting.await.unwrap();
        latencies.push(at - started);
        let lease = &found.first().unwrap().lease;
        worker.settle(lease, Settle::Done).await.unwrap();
    }
    latencies.sort();
    println!(
        "{name}: idle latency publish -> pulled: p50 {:?}, p90 {:?}, p99 {:?}",
        latencies[150], latencies[270], latencies[297]
    );
}

async fn raw(name: &str, url: &str) {
    let client = async_nats::connect(url).await.unwrap();
    let context = jetstream::ContextBuilder::new()
        .max_ack_inflight(2 * COUNT)
        .timeout(Duration::from_secs(120))
        .build(client);
    let config = stream::Config {
        name: "RAW".into(),
        subjects: vec!["raw.*".into()],
        retention: stream::RetentionPolicy::WorkQueue,
        ..stream::Config::default()
    };
    let stream = context.create_stream(config).await.unwrap();
    let config = pull::Config {
        durable_name: Some("raw".into()),
        max_ack_pending: 100_000,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let started = Instant::now();
    let mut acks = Vec::new();
    for n in 0..COUNT {
        let message = jetstream::message::PublishMessage::build()
            .message_id(n.to_string())
            .payload(vec![0; BYTES].into());
        acks.push(
            context
                .send_publish("raw.normal", message)
                .await
                .unwrap()
                .into_future(),
        );
    }
    for acknowledged in join_all(acks).await {
        acknowledged.unwrap();
    }
    report(&format!("{name}: raw publish"), started.elapsed());
    let started = Instant::now();
    let mut settled = 0;
    while settled < COUNT {
        let batch = consumer
            .batch()
            .max_messages(256.min(COUNT - settled))
            .messages()
            .await
            .unwrap();
        let batch: Vec<_> = batch.try_collect().await.unwrap();
        settled += batch.len();
        let acks = futures::stream::iter(&batch).map(|message| message.double_ack());
        acks.buffer_unordered(256)
            .try_collect::<()>()
            .await
            .unwrap();
    }
    report(
        &format!("{name}: raw batch 256 and double ack"),
        started.elapsed(),
    );
}

async fn nats(name: &str, url: &str) {
    raw(name, url).await;
    let connect = || NatsBroker::connect(NatsConfig::for_url(url));
    let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
    through_the_trait(name, &*one).await;
    latency(name, one, two).await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let embedded = EmbeddedBroker::new(Default::default());
    through_the_trait("embedded", &*embedded).await;
    latency("embedded", embedded.clone(), embedded).await;
    // A server of one's own, freshly started, shows what another configuration costs.
    if let Ok(url) = std::env::var("SWATH_BENCH_NATS") {
        return nats("given", &url).await;
    }
    for round in 1..=3 {
        let server = NatsServer::start().unwrap();
        nats(&format!("nats {round}"), &server.url()).await;
    }
}
