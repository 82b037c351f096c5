//! A task that takes far longer than its peers gets a second run; the first success counts, and the other run is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use swath::WorkerConfig;
use swath::broker::{Broker, EmbeddedBroker, EmbeddedConfig, NatsBroker, NatsConfig};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ops::{Operation, OperationError, Registry, TaskContext};
use swath::testing::nats_server::NatsServer;

use crate::common::tasks;

/// An operation of which the first run of a task that is slow lasts until it is stopped, or for five seconds. A task that
/// is held lasts until it is let go.
#[derive(Clone, Default)]
struct SlowFirst {
    must_be_alone: bool,
    /// Runs of the slow task, and those that were stopped.
    begun: Arc<AtomicU32>,
    stopped: Arc<AtomicU32>,
    let_go: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Params {
    slow: bool,
    held: bool,
}

impl Operation for SlowFirst {
    type Params = Params;
    type Output = u32;

    fn name(&self) -> &'static str {
        "slow-first"
    }

    fn summary(&self) -> &'static str {
        "is slow the first time"
    }

    fn may_run_twice(&self) -> bool {
        !self.must_be_alone
    }

    fn run(&self, params: Params, context: &TaskContext) -> Result<u32, OperationError> {
        if params.slow && self.begun.fetch_add(1, Ordering::SeqCst) == 0 {
            for _ in 0..500 {
                if context.is_cancelled() {
                    self.stopped.fetch_add(1, Ordering::SeqCst);
                    return Err(OperationError::Cancelled);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        while params.held && !self.let_go.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(context.task.index)
    }
}

/// Runs nine tasks, one of them slow, and one that is held until the slow one has ended well and had time to be stopped;
/// returns how often the slow one was begun, and stopped.
async fn run(broker: Arc<dyn Broker>, must_be_alone: bool, enabled: bool) -> (u32, u32) {
    let slow = SlowFirst {
        must_be_alone,
        ..SlowFirst::default()
    };
    let options = LocalOptions {
        workers: 2,
        worker: WorkerConfig::default().with_max_concurrent_tasks(3),
        registry: Registry::built_in().with(slow.clone()),
    };
    let cluster = LocalCluster::start_on(broker, options).await.unwrap();
    let client = cluster.client();
    let params: Vec<_> = (0..9)
        .map(|task| json!({ "slow": task == 2, "held": task == 4 }))
        .collect();
    let mut spec = tasks("slow-first", &params);
    spec.options.speculation.least_ms = 600;
    spec.options.speculation.enabled = enabled;
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let others = async {
        let mut progress = client.watch(&job).await.unwrap();
        while progress.next().await.unwrap().unwrap().progress.done() < 8 {}
    };
    let others = tokio::time::timeout(Duration::from_secs(60), others).await;
    others.expect("the others end within a minute");
    for _ in 0..300 {
        let left = slow.begun.load(Ordering::SeqCst) - slow.stopped.load(Ordering::SeqCst);
        if left == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = (
        slow.begun.load(Ordering::SeqCst),
        slow.stopped.load(Ordering::SeqCst),
    );
    slow.let_go.store(true, Ordering::SeqCst);
    let ended = tokio::time::timeout(Duration::from_secs(60), client.wait(&job)).await;
    let ended = ended.expect("the job ends within a minute").unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
    assert_eq!(client.results(&job).await.unwrap().len(), 9);
    assert_eq!((ended.progress.failed(), ended.progress.retried()), (0, 0));
    cluster.stop().await;
    seen
}

async fn check(brokers: [Arc<dyn Broker>; 3]) {
    let [two, alone, off] = brokers;
    assert_eq!(run(two, false, true).await, (2, 1));
    assert_eq!(run(alone, true, true).await, (1, 0));
    assert_eq!(run(off, false, false).await, (1, 0));
}

fn embedded() -> Arc<dyn Broker> {
    EmbeddedBroker::new(EmbeddedConfig::default())
}

async fn on_nats(server: &NatsServer) -> Arc<dyn Broker> {
    NatsBroker::connect(NatsConfig::for_url(server.url()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_gets_a_second_run_unless_it_must_not() {
    check([embedded(), embedded(), embedded()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_gets_a_second_run_unless_it_must_not_on_nats() {
    let server = NatsServer::start().unwrap();
    let connect = || on_nats(&server);
    check([connect().await, connect().await, connect().await]).await;
}
