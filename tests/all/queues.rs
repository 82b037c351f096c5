//! Queues of their own workers: a job is planned, coordinated and run by those that serve its queue, and by no others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use swath::broker::{Broker, EmbeddedBroker, EmbeddedConfig, NatsBroker, NatsConfig};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::{JobId, QueueName, WorkerId};
use swath::job::{Event, Outcome};
use swath::testing::nats_server::NatsServer;
use swath::wire::{self, LogEntry};
use swath::{Client, WorkerConfig};

use crate::common::tasks;

const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a worker that serves queues, under their name.
async fn worker(broker: &Arc<dyn Broker>, queues: &[&str]) -> LocalCluster {
    let options = LocalOptions {
        worker: WorkerConfig {
            id: Some(queues.join("-")),
            queues: queues
                .iter()
                .map(|it| QueueName::new(it).unwrap())
                .collect(),
            ..WorkerConfig::default().with_max_concurrent_tasks(2)
        },
        ..LocalOptions::default()
    };
    let started = LocalCluster::start_on(Arc::clone(broker), options).await;
    started.unwrap()
}

async fn submit(client: &Client, queue: &str, count: usize) -> JobId {
    let mut spec = tasks("sleep", &vec![json!({ "ms": 10 }); count]);
    spec.options.queue = QueueName::new(queue).unwrap();
    let submitted = client.submit(&spec, SubmitOptions::default()).await;
    submitted.unwrap()
}

async fn end(client: &Client, job: &JobId) {
    let ended = tokio::time::timeout(PATIENCE, client.wait(job)).await;
    let ended = ended.expect("the job ends within a minute").unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
}

/// Lists who coordinated a job, who ran its tasks, and how many slots it was told of.
async fn who(
    broker: &dyn Broker,
    job: &JobId,
) -> (BTreeSet<WorkerId>, BTreeSet<WorkerId>, BTreeSet<u32>) {
    let mut found = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for record in broker.read_log(job).await.unwrap() {
        let entry: LogEntry = wire::decode(&record.payload).unwrap();
        for event in entry.events {
            match event {
                Event::TakenUp { worker, .. } => {
                    found.0.insert(worker);
                }
                Event::TaskSucceeded(success) => {
                    found.1.insert(success.worker.id);
                }
                Event::Capacity { slots } => {
                    found.2.insert(slots);
                }
                _ => {}
            }
        }
    }
    found
}

async fn check(broker: Arc<dyn Broker>) {
    let plain = worker(&broker, &["default"]).await;
    let client = plain.client();
    // Long enough that the coordinator reads meanwhile who lives.
    let waiting = submit(&client, "gpu", 400).await;
    let other = submit(&client, "default", 400).await;
    end(&client, &other).await;
    let progress = client.status(&waiting).await.unwrap();
    assert_eq!(progress.queue.as_str(), "gpu");
    assert_eq!(progress.progress.planned_at, None, "nobody serves it yet");

    let own = worker(&broker, &["gpu"]).await;
    end(&client, &waiting).await;
    let name = |it: &str| BTreeSet::from([WorkerId::new(it).unwrap()]);
    let slots = BTreeSet::from([2]);
    for (job, of) in [(&other, "default"), (&waiting, "gpu")] {
        let (coordinated, ran, told) = who(&*broker, job).await;
        assert_eq!(
            (coordinated, ran, told),
            (name(of), name(of), slots.clone())
        );
    }

    // Nobody serves the queue of this one; it can be cancelled all the same.
    let mistyped = submit(&client, "gpuu", 3).await;
    client.cancel(&mistyped).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, client.wait(&mistyped)).await;
    assert_eq!(ended.unwrap().unwrap().outcome, Some(Outcome::Cancelled));

    // A worker of both queues goes on with either when the others have left.
    let both = worker(&broker, &["gpu", "default"]).await;
    own.stop().await;
    plain.stop().await;
    for queue in ["gpu", "default"] {
        let job = submit(&client, queue, 5).await;
        end(&client, &job).await;
        let (_, ran, _) = who(&*broker, &job).await;
        assert_eq!(ran, name("gpu-default"));
    }

    // Of one that is cancelled while nobody serves its queue, tasks lie there yet: they are not run later.
    let cancelled = submit(&client, "gpu", 400).await;
    let log = async || broker.read_log(&cancelled).await.unwrap();
    while !who(&*broker, &cancelled)
        .await
        .1
        .contains(&WorkerId::new("gpu-default").unwrap())
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    both.stop().await;
    let plain = worker(&broker, &["default"]).await;
    client.cancel(&cancelled).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, client.wait(&cancelled)).await;
    assert_eq!(ended.unwrap().unwrap().outcome, Some(Outcome::Cancelled));
    let at_the_end = log().await.len();
    let own = worker(&broker, &["gpu"]).await;
    end(&client, &submit(&client, "gpu", 5).await).await;
    assert_eq!(log().await.len(), at_the_end);

    // What a worker that came late writes into the log of a job that was forgotten does not make it come to be again.
    let late = log().await.pop().unwrap();
    client.forget(&cancelled).await.unwrap();
    broker.append(&cancelled, None, late.payload).await.unwrap();
    let known = client.status(&cancelled).await;
    assert!(
        matches!(known, Err(swath::client::Error::NoSuchJob { .. })),
        "{known:?}"
    );
    let mut again = tasks("sleep", &[json!({ "ms": 1 })]);
    again.options.queue = QueueName::new("gpu").unwrap();
    let named = SubmitOptions {
        id: Some(cancelled.clone()),
        ..SubmitOptions::default()
    };
    end(&client, &client.submit(&again, named).await.unwrap()).await;
    own.stop().await;
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_by_the_workers_of_its_queue() {
    check(EmbeddedBroker::new(EmbeddedConfig::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_by_the_workers_of_its_queue_on_nats() {
    let server = NatsServer::start().unwrap();
    let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
    check(broker.unwrap()).await;
}
