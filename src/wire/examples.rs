//! A saved example of each message, as each version wrote it: what an older worker or log says is still understood.
//!
//! The files lie in `examples/`, one folder a version. `SWATH_WRITE_EXAMPLES=1 cargo test wire::examples` writes those of a new
//! version; those that are there never change.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::TaskInputs;
use super::{
    InputStage, JobMessage, LogEntry, Running, StoreDisk, StoredRun, TaskMessage, WIRE_VERSION,
    WorkerState, decode, encode,
};
use crate::broker::{DeadLetter, FailedTry, Signal};
use crate::exchange::{PartitionAddress, PartitionKey};
use crate::ids::{
    Attempt, ExecutionId, Incarnation, JobId, LetterId, OperationName, QueueName, StageId, TaskId,
    WorkerId, WorkerRef,
};
use crate::job::{
    Event, Failure, FailureClass, Outcome, Payload, StageShape, Submission, TaskFailure,
    TaskSuccess,
};
use crate::plan::StageWork;
use crate::spec::{JobOptions, Priority, RetryPolicy};
use crate::time::Timestamp;

fn job() -> JobId {
    JobId::new("0123456789abcdef").unwrap()
}

fn task() -> TaskId {
    TaskId {
        stage: StageId(1),
        index: 70_000,
    }
}

fn worker() -> WorkerRef {
    WorkerRef {
        id: WorkerId::new("w-1").unwrap(),
        incarnation: Incarnation(u64::MAX),
        flight: "10.0.0.1:8790".to_owned(),
    }
}

fn key() -> PartitionKey {
    PartitionKey {
        job: job(),
        task: task(),
        execution: ExecutionId(3),
        partition: 2,
    }
}

fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        code: "why".to_owned(),
        message: "it broke".to_owned(),
    }
}

fn failed(class: FailureClass) -> Event {
    Event::TaskFailed(TaskFailure {
        task: task(),
        attempt: Attempt(4),
        execution: ExecutionId(5),
        worker: worker(),
        failure: failure(class),
    })
}

/// Every event, and every class of failure.
fn log_entry() -> LogEntry {
    let address = PartitionAddress {
        key: key(),
        worker: worker(),
    };
    let classes = [
        FailureClass::Retry {
            after_ms: Some(250),
        },
        FailureClass::InputLost(Box::new(address)),
        FailureClass::WorkerGone,
        FailureClass::Fatal,
        FailureClass::Timeout,
        FailureClass::Panic,
        FailureClass::Poison,
        FailureClass::Cancelled,
    ];
    let mut events = vec![
        Event::Submitted(Submission {
            spec: Payload::Inline(Bytes::from_static(b"spec")),
            title: "index NDVI -> out.tif".to_owned(),
            options: JobOptions {
                priority: Priority::High,
                retry: Some(RetryPolicy::default()),
                task_timeout_ms: Some(1),
                deadline_ms: Some(2),
                ..JobOptions::default()
            },
            seed: 6,
            start_at: Some(Timestamp(7)),
        }),
        Event::Planned {
            stages: vec![StageShape {
                name: "ndvi".to_owned(),
                tasks: 8,
                inputs: vec![StageId(0)],
            }],
            plan: Payload::Blob("plan-9".to_owned()),
            retry: None,
        },
        Event::PlanFailed {
            life: 10,
            attempt: Attempt(0),
            failure: failure(FailureClass::Fatal),
        },
        Event::Capacity { slots: 11 },
        Event::TaskSucceeded(TaskSuccess {
            task: task(),
            attempt: Attempt(12),
            execution: ExecutionId(13),
            worker: worker(),
            run_us: 14,
            stored_bytes: 15,
            result: Some(Payload::Inline(Bytes::from_static(b"{}"))),
        }),
        Event::Straggling {
            task: task(),
            attempt: Attempt(16),
        },
        Event::Moved {
            from: worker(),
            to: worker(),
            runs: vec![(task(), ExecutionId(45))],
        },
        Event::WorkerLost {
            worker: worker().id,
            incarnation: Incarnation(17),
        },
        Event::CancelRequested,
        Event::DeadlineReached { life: 18 },
        Event::Finished {
            life: 19,
            outcome: Outcome::Failed {
                task: Some(task()),
                failure: failure(FailureClass::Poison),
            },
        },
        Event::Finished {
            life: 20,
            outcome: Outcome::Succeeded,
        },
        Event::Finished {
            life: 21,
            outcome: Outcome::Cancelled,
        },
        Event::Retried { life: 22 },
    ];
    events.extend(classes.map(failed));
    LogEntry { events }
}

fn task_message() -> TaskMessage {
    TaskMessage {
        job: job(),
        seed: 23,
        task: task(),
        attempt: Attempt(24),
        priority: Priority::Low,
        work: StageWork::Custom {
            operation: OperationName::new("noop").unwrap(),
        },
        params: b"{\"value\":1}".to_vec(),
        inputs: TaskInputs::Here(vec![InputStage {
            stage: StageId(0),
            workers: vec![worker()],
            winners: vec![(25, ExecutionId(26), 0)],
        }]),
        memory_bytes: 27,
        timeout_ms: Some(28),
    }
}

fn worker_state() -> WorkerState {
    WorkerState {
        id: worker().id,
        incarnation: worker().incarnation,
        flight: worker().flight,
        host: "host".to_owned(),
        queues: QueueName::only_default(),
        slots: 29,
        memory_bytes: 30,
        memory_used_bytes: 31,
        stored_bytes: 32,
        running: vec![Running {
            job: job(),
            task: task(),
            execution: ExecutionId(33),
            attempt: Attempt(34),
            elapsed_ms: 35,
        }],
        coordinates: vec![job()],
        draining: true,
        succeeded: 36,
        failed: 37,
        operations: vec!["noop".to_owned()],
        version: "0.1.0".to_owned(),
        clock: None,
        disk: None,
    }
}

fn worker_state_with_room() -> WorkerState {
    WorkerState {
        clock: Some(Timestamp(45)),
        disk: Some(StoreDisk {
            free_bytes: 46,
            used_bytes: 47,
            limit_bytes: 48,
        }),
        ..worker_state()
    }
}

fn queue() -> QueueName {
    QueueName::new("gpu").unwrap()
}

fn worker_state_with_queues() -> WorkerState {
    WorkerState {
        queues: vec![QueueName::default(), queue()],
        ..worker_state()
    }
}

fn letter() -> DeadLetter {
    DeadLetter {
        id: LetterId::Task(job(), task()),
        code: "panic".to_owned(),
        cause: "it panicked".to_owned(),
        tries: vec![FailedTry {
            at: Timestamp(38),
            worker: worker().id,
            attempt: Attempt(39),
            cause: "it panicked".to_owned(),
        }],
        payload: Bytes::from_static(b"\x01message"),
    }
}

fn check<T>(name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/examples");
    let newest = folder.join(WIRE_VERSION.to_string()).join(name);
    if std::env::var_os("SWATH_WRITE_EXAMPLES").is_some() && !newest.exists() {
        std::fs::create_dir_all(newest.parent().unwrap()).unwrap();
        std::fs::write(&newest, encode(value).unwrap()).unwrap();
    }
    for version in 1..=WIRE_VERSION {
        let path = folder.join(version.to_string()).join(name);
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(bytes.first(), Some(&version), "{name}");
        assert_eq!(
            decode::<T>(&bytes).unwrap(),
            *value,
            "{name} of version {version}"
        );
    }
    let written = std::fs::read(&newest).unwrap();
    // An older build of the same version must understand what this one writes.
    assert!(
        encode(value).unwrap() == written,
        "{name} is written otherwise than before: raise WIRE_VERSION"
    );
}

#[test]
fn messages_of_every_version_are_understood_and_those_of_this_one_written_alike() {
    check("job", &JobMessage { job: job() });
    check("log", &log_entry());
    check(
        "log-coordinators",
        &LogEntry {
            events: vec![
                Event::TakenUp {
                    worker: worker().id,
                    hold: 46,
                },
                Event::Held { hold: 46 },
                Event::PlanFailed {
                    life: 47,
                    attempt: Attempt(48),
                    failure: failure(FailureClass::Retry { after_ms: None }),
                },
            ],
        },
    );
    check("task", &task_message());
    check("worker", &worker_state());
    check("worker-with-room", &worker_state_with_room());
    check("worker-with-queues", &worker_state_with_queues());
    let options = JobOptions {
        queue: queue(),
        ..JobOptions::default()
    };
    check(
        "log-queue",
        &LogEntry {
            events: vec![Event::Submitted(Submission {
                spec: Payload::Inline(Bytes::from_static(b"spec")),
                title: "noop".to_owned(),
                options,
                seed: 49,
                start_at: None,
            })],
        },
    );
    check("letter", &letter());
    check("ticket", &key());
    check("signal-drain", &Signal::Drain(worker().id));
    let release = Signal::Release {
        job: job(),
        seed: 40,
        keep: true,
    };
    check("signal-release", &release);
    let stop = Signal::Stop {
        job: job(),
        task: task(),
        attempt: Attempt(41),
    };
    check("signal-stop", &stop);
    let adopt = Signal::Adopt {
        by: worker().id,
        from: worker(),
        runs: vec![StoredRun {
            job: job(),
            task: task(),
            execution: ExecutionId(42),
            partitions: vec![0, 43],
            bytes: 44,
        }],
    };
    check("signal-adopt", &adopt);
    let adopted = Signal::Adopted {
        by: worker().id,
        from: worker().id,
    };
    check("signal-adopted", &adopted);
}
