//! Dead letters: a task that breaks whatever runs it is given up with its history, the others end, and it can be run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use swath::broker::{
    Broker, DeadLetter, EmbeddedBroker, EmbeddedConfig, Lane, Message, NatsBroker, NatsConfig,
    Queue, Settle,
};
use swath::client::{JobProgress, SubmitOptions};
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::{Attempt, JobId, LetterId, QueueName, StageId, TaskId};
use swath::job::{Event, FailureClass, Outcome};
use swath::ops::{Operation, OperationError, Registry, TaskContext};
use swath::spec::{JobOptions, Priority, RetryPolicy};
use swath::testing::nats_server::NatsServer;
use swath::wire::{self, LogEntry, TaskMessage, TaskMessageId};
use swath::{Client, JobSpec};

use crate::common::tasks;

/// How a task of [`Fragile`] breaks.
#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum How {
    Not,
    Panics,
    Hangs,
}

#[derive(Deserialize)]
struct Params {
    how: How,
}

/// Breaks as it is told to, until it is mended.
#[derive(Clone, Default)]
struct Fragile(Arc<AtomicBool>);

impl Operation for Fragile {
    type Params = Params;
    type Output = u32;

    fn name(&self) -> &'static str {
        "fragile"
    }

    fn summary(&self) -> &'static str {
        "breaks as it is told to, until it is mended"
    }

    fn run(&self, params: Params, context: &TaskContext) -> Result<u32, OperationError> {
        let mended = self.0.load(Ordering::SeqCst);
        match params.how {
            How::Panics if !mended => panic!("the pixel is on fire"),
            How::Hangs if !mended => loop {
                if context.is_cancelled() {
                    return Err(OperationError::Cancelled);
                }
                std::thread::sleep(Duration::from_millis(2));
            },
            _ => Ok(context.task.index),
        }
    }
}

/// Fails at every try, and says itself how often that may be; its task that waits may do so for a moment only.
struct Moody;

impl Operation for Moody {
    type Params = Params;
    type Output = ();

    fn name(&self) -> &'static str {
        "moody"
    }

    fn summary(&self) -> &'static str {
        "fails, or waits"
    }

    fn retry(&self) -> Option<RetryPolicy> {
        Some(RetryPolicy {
            max_attempts: 2,
            base_ms: 1,
            max_ms: 5,
        })
    }

    fn task_timeout(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn run(&self, params: Params, context: &TaskContext) -> Result<(), OperationError> {
        while matches!(params.how, How::Hangs) && !context.is_cancelled() {
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(OperationError::Retry {
            message: "not in the mood".to_owned(),
            after: None,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_says_how_its_tasks_are_tried_again_and_the_job_may_say_otherwise() {
    let cluster = LocalCluster::start(LocalOptions {
        registry: Registry::built_in().with(Moody),
        ..LocalOptions::default()
    })
    .await
    .unwrap();
    let client = cluster.client();
    let fails = async |how: &str, options: JobOptions| {
        let mut spec = tasks("moody", &[json!({ "how": how })]);
        spec.options = options;
        let job = client
            .submit(&spec, SubmitOptions::default())
            .await
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), client.wait(&job)).await;
        let ended = ended.expect("within a minute").unwrap();
        let Some(Outcome::Failed { failure, .. }) = ended.outcome else {
            panic!("{:?}", ended.outcome)
        };
        (ended.progress.failed(), failure.class)
    };
    let retry = FailureClass::Retry { after_ms: None };
    assert_eq!(
        fails("not", JobOptions::default()).await,
        (2, retry.clone())
    );
    let thrice = JobOptions {
        retry: Some(RetryPolicy {
            max_attempts: 3,
            base_ms: 1,
            max_ms: 5,
        }),
        ..JobOptions::default()
    };
    assert_eq!(fails("not", thrice).await, (3, retry.clone()));
    assert_eq!(
        fails("hangs", JobOptions::default()).await,
        (2, FailureClass::Timeout)
    );
    // Without a limit it would go on for ever: the deadline ends it, and no try.
    let patient = JobOptions {
        task_timeout_ms: Some(0),
        deadline_ms: Some(1_000),
        ..JobOptions::default()
    };
    assert_eq!(fails("hangs", patient).await, (0, FailureClass::Timeout));
    cluster.stop().await;
}

/// Twenty tasks, of which one breaks.
fn queue(how: &str) -> JobSpec {
    let how = |task| if task == BROKEN { how } else { "not" };
    let params: Vec<_> = (0..20).map(|task| json!({ "how": how(task) })).collect();
    let mut spec = tasks("fragile", &params);
    spec.options.task_timeout_ms = Some(500);
    spec.options.retry = Some(RetryPolicy {
        max_attempts: 3,
        base_ms: 1,
        max_ms: 5,
    });
    spec
}

/// The task that breaks.
const BROKEN: u32 = 7;

async fn start(broker: &Arc<dyn Broker>, fragile: &Fragile) -> LocalCluster {
    let options = LocalOptions {
        workers: 2,
        registry: Registry::built_in().with(fragile.clone()),
        ..LocalOptions::default()
    };
    LocalCluster::start_on(Arc::clone(broker), options)
        .await
        .unwrap()
}

async fn ended(client: &Client, job: &JobId) -> JobProgress {
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(job)).await;
    ended.expect("the job ends within two minutes").unwrap()
}

fn letter_of(job: &JobId) -> LetterId {
    let task = TaskId {
        stage: StageId(0),
        index: BROKEN,
    };
    LetterId::Task(job.clone(), task)
}

/// The job has failed for its broken task alone; returns the letter.
async fn check_dead(client: &Client, job: &JobId, code: &str) -> DeadLetter {
    let end = ended(client, job).await;
    let Some(Outcome::Failed { task, failure }) = &end.outcome else {
        panic!("{end:?}");
    };
    assert_eq!((task.unwrap().index, failure.code.as_str()), (BROKEN, code));
    assert!(failure.message.contains("swath dead list"), "{failure}");
    assert_eq!((end.progress.done(), end.progress.dead()), (19, 1));
    let letters = client.dead_letters().await.unwrap();
    let [letter] = letters.as_slice() else {
        panic!("not one letter: {letters:?}");
    };
    assert_eq!((&letter.id, letter.code.as_str()), (&letter_of(job), code));
    letter.clone()
}

/// After the fix only the broken task runs, and its letter is gone.
async fn check_replay(client: &Client, job: &JobId, fragile: &Fragile) {
    fragile.0.store(true, Ordering::SeqCst);
    let going = client.retry(job).await.unwrap();
    assert_eq!(going.progress.done(), 19);
    let end = ended(client, job).await;
    assert!(end.succeeded(), "{}", end.sentence());
    assert_eq!(client.results(job).await.unwrap().len(), 20);
    assert_eq!(client.dead_letters().await.unwrap(), []);
}

async fn check_broken(broker: Arc<dyn Broker>) {
    for (how, code, words) in [
        ("panics", "panic", "on fire"),
        ("hangs", "timeout", "ran longer than its limit"),
    ] {
        let fragile = Fragile::default();
        let cluster = start(&broker, &fragile).await;
        let client = cluster.client();
        let options = SubmitOptions::default();
        let job = client.submit(&queue(how), options).await.unwrap();
        let letter = check_dead(&client, &job, code).await;
        let attempts: Vec<u32> = letter.tries.iter().map(|tried| tried.attempt.0).collect();
        assert_eq!(attempts, [0, 1, 2]);
        for tried in &letter.tries {
            assert!(tried.cause.contains(words), "{}", tried.cause);
        }
        let message: TaskMessage = wire::decode(&letter.payload).unwrap();
        let params: serde_json::Value = serde_json::from_slice(&message.params).unwrap();
        assert_eq!(params, json!({ "how": how }));
        check_replay(&client, &job, &fragile).await;
        cluster.stop().await;
    }
}

/// What a worker pulls under the id of a task is noise; and there is noise under no id of a task.
async fn check_undecodable(broker: Arc<dyn Broker>) {
    let client = Client::new(Arc::clone(&broker));
    let options = SubmitOptions::default();
    let job = client.submit(&queue("not"), options).await.unwrap();
    let records = broker.read_log(&job).await.unwrap();
    let entry: LogEntry = wire::decode(&records[0].payload).unwrap();
    let Event::Submitted(submission) = &entry.events[0] else {
        panic!("{entry:?}");
    };
    let LetterId::Task(_, task) = letter_of(&job) else {
        unreachable!();
    };
    let id = TaskMessageId {
        job: job.clone(),
        seed: submission.seed,
        task,
        attempt: Attempt(0),
    };
    for (id, payload) in [
        (id.to_string(), "\u{1}noise"),
        ("x".to_owned(), "\u{1}more"),
    ] {
        let message = Message {
            queue: QueueName::default(),
            lane: Lane::First,
            id,
            payload: payload.into(),
            priority: Priority::Normal,
        };
        // The broker takes the coordinator's own message for one it knows.
        broker.publish(Queue::Tasks, vec![message]).await.unwrap();
    }
    // Kept back until the task is known to be on the queue: only then it can be spoilt.
    let (queues, wait) = (QueueName::only_default(), Duration::from_secs(10));
    let spoilt = broker.pull(Queue::Tasks, &queues, 2, wait).await;
    let fragile = Fragile::default();
    let cluster = start(&broker, &fragile).await;
    let others = async {
        let mut progress = client.watch(&job).await.unwrap();
        while progress.next().await.unwrap().unwrap().progress.done() < 19 {}
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), others).await;
    waited.expect("the others are done within a minute");
    for delivery in spoilt.unwrap() {
        let delay = Duration::ZERO;
        broker
            .settle(&delivery.lease, Settle::Retry { delay })
            .await
            .unwrap();
    }
    let end = ended(&client, &job).await;
    assert!(!end.succeeded());
    assert_eq!((end.progress.done(), end.progress.dead()), (19, 1));
    // Nothing waits for the letter that is of no job.
    let two = async {
        loop {
            let letters = client.dead_letters().await.unwrap();
            if letters.len() >= 2 {
                return letters;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let letters = tokio::time::timeout(Duration::from_secs(30), two).await;
    let mut letters = letters.expect("two letters within half a minute");
    letters.sort_by(|a, b| b.id.cmp(&a.id));
    let [noise, letter] = letters.as_slice() else {
        panic!("not two letters: {letters:?}");
    };
    assert_eq!(
        (&letter.id, letter.code.as_str()),
        (&letter_of(&job), "undecodable")
    );
    assert_eq!(
        (noise.id.job(), &noise.payload[..]),
        (None, &b"\x01more"[..])
    );
    client.purge_letter(&noise.id).await.unwrap();
    check_replay(&client, &job, &fragile).await;
    cluster.stop().await;
}

async fn on_nats(server: &NatsServer) -> Arc<dyn Broker> {
    NatsBroker::connect(NatsConfig::for_url(server.url()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_or_hangs_is_given_up_and_can_be_run_again() {
    check_broken(EmbeddedBroker::new(EmbeddedConfig::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_or_hangs_is_given_up_and_can_be_run_again_on_nats() {
    let server = NatsServer::start().unwrap();
    check_broken(on_nats(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_message_cannot_be_read_is_given_up_and_can_be_run_again() {
    check_undecodable(EmbeddedBroker::new(EmbeddedConfig::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_message_cannot_be_read_is_given_up_and_can_be_run_again_on_nats() {
    let server = NatsServer::start().unwrap();
    check_undecodable(on_nats(&server).await).await;
}
