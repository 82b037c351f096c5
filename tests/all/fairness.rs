//! Jobs of one priority share the workers: a small one does not wait for the many tasks of a large one that came before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use swath::broker::{Broker, EmbeddedBroker, EmbeddedConfig, NatsBroker, NatsConfig};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::JobId;
use swath::job::Event;
use swath::testing::nats_server::NatsServer;
use swath::time::Timestamp;
use swath::wire::{self, LogEntry};
use swath::{Client, WorkerConfig};

use crate::common::tasks;

async fn end(client: &Client, job: &JobId) {
    let ended = tokio::time::timeout(Duration::from_secs(60), client.wait(job)).await;
    let ended = ended.expect("the job ends within a minute").unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
}

/// Lists when tasks of a job ended well.
async fn ends(broker: &dyn Broker, job: &JobId) -> Vec<Timestamp> {
    let mut ends = Vec::new();
    for record in broker.read_log(job).await.unwrap() {
        let entry: LogEntry = wire::decode(&record.payload).unwrap();
        let well = |event: &&Event| matches!(event, Event::TaskSucceeded(_));
        ends.extend(entry.events.iter().filter(well).map(|_| record.at));
    }
    ends
}

async fn check(name: &str, broker: Arc<dyn Broker>) {
    let options = LocalOptions {
        worker: WorkerConfig::default().with_max_concurrent_tasks(32),
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start_on(Arc::clone(&broker), options)
        .await
        .unwrap();
    let client = cluster.client();
    let sleepers = |count| tasks("sleep", &vec![json!({ "ms": 100 }); count]);
    let submit = async |count| {
        let spec = sleepers(count);
        client
            .submit(&spec, SubmitOptions::default())
            .await
            .unwrap()
    };
    let small = async || {
        let begin = Instant::now();
        let job = submit(10).await;
        end(&client, &job).await;
        (job, begin.elapsed())
    };
    let (_, alone) = small().await;
    let large = submit(100_000).await;
    // Four a slot lie on the queue, however fast they run; one a slot may go before another job's. They sleep for long enough
    // that a busy machine does not add to those that end meanwhile.
    let deadline = Instant::now() + Duration::from_secs(60);
    let waiting = loop {
        let published = client.status(&large).await.unwrap().progress.published();
        if published >= 120 {
            break published;
        }
        assert!(Instant::now() < deadline, "only {published} are published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (job, behind) = small().await;
    let planned = client.status(&job).await.unwrap().progress.planned_at;
    let last = ends(&*broker, &job).await.into_iter().max();
    let (planned, last) = (planned.unwrap(), last.unwrap());
    let between = ends(&*broker, &large).await;
    let between = between.iter().filter(|at| (planned..=last).contains(*at));
    let between = between.count();
    println!(
        "{name}: alone {alone:?}, behind {waiting} tasks {behind:?}; {between} of them ended meanwhile"
    );
    assert!(between < 115, "{between} of {waiting} went before ten");
    client.cancel(&large).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_does_not_wait_for_the_many_tasks_of_a_large_one() {
    check("embedded", EmbeddedBroker::new(EmbeddedConfig::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_does_not_wait_for_the_many_tasks_of_a_large_one_on_nats() {
    let server = NatsServer::start().unwrap();
    let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
    check("nats", broker.unwrap()).await;
}
