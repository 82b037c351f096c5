//! Rasters and queues on workers that die, drain, and join in mid-job.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use swath::broker::LogRecord;
use swath::ids::{JobId, OperationName};
use swath::io::sample::{SampleOptions, write_sample};
use swath::job::{Event, Outcome};
use swath::spec::{JobOptions, NamedInput, RasterOutput, SPEC_VERSION, TaskList};
use swath::testing::nats_server::NatsServer;
use swath::wire::{self, LogEntry};
use swath::{Client, JobSpec, TaskOperation};

use crate::cluster::{
    WorkerProcess, connect, end, submit, wait_for, wait_for_done, wait_for_workers,
};

pub(crate) fn queue(count: usize, ms: u64) -> JobSpec {
    let params = vec![json!({ "ms": ms }); count];
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Custom {
            operation: OperationName::new("sleep").unwrap(),
            tasks: TaskList::new(&params),
        },
        output: None,
        options: JobOptions::default(),
    }
}

fn slow_ndvi(dir: &Path, output: &Path) -> JobSpec {
    let band = |name: &str, file: &str| NamedInput {
        name: name.to_owned(),
        path: dir.join(file).display().to_string(),
        band: 1,
    };
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Calc {
            inputs: vec![band("N", "nir.tif"), band("R", "red.tif")],
            expressions: vec![SLOW_NDVI.to_owned()],
        },
        output: Some(RasterOutput::new(output.display().to_string()).into()),
        options: JobOptions::default(),
    }
}

/// Turns second runs of slow tasks off, so that whatever is made twice was lost.
pub(crate) fn without_second_runs(mut spec: JobSpec) -> JobSpec {
    spec.options.speculation.enabled = false;
    spec
}

/// NDVI, and work that changes nothing: the job must last until it has been disturbed.
const SLOW_NDVI: &str = "(N - R) / (N + R) + 0 * (sin(N) + cos(R) + exp(N / 10000) + sin(R) + cos(N) \
    + exp(R / 10000) + log(R + 1) + log(N + 1) + sin(N * R) + cos(N * R) + atan2(N, R) + atan2(R, N))";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_kills_its_workers_is_given_up_after_five_and_the_others_end() {
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let mut workers: Vec<_> = (0..7)
        .map(|n| WorkerProcess::start(&format!("w{n}"), &server))
        .collect();
    wait_for_workers(&client, 7).await;
    let mut params = vec![json!({ "times": 0 }); 30];
    params[10] = json!({ "kind": "abort" });
    let mut spec = queue(0, 0);
    spec.operation = TaskOperation::Custom {
        operation: OperationName::new("fail").unwrap(),
        tasks: TaskList::new(&params),
    };
    let job = submit(&client, &spec).await;
    let ended = client.wait(&job).await.unwrap();
    let Some(Outcome::Failed { task, failure }) = &ended.outcome else {
        panic!("{ended:?}");
    };
    assert_eq!(failure.code, "poison", "{failure}");
    assert_eq!(task.map(|task| task.index), Some(10));
    assert_eq!((ended.progress.done(), ended.progress.dead()), (29, 1));
    let letters = client.dead_letters().await.unwrap();
    let ids: Vec<_> = letters.iter().map(|letter| letter.id.to_string()).collect();
    assert_eq!(ids, [format!("{job}.0.10")]);
    assert!(
        letters[0].cause.contains("5 workers took it up"),
        "{}",
        letters[0].cause
    );
    let died = workers.iter_mut().filter_map(WorkerProcess::has_died);
    assert_eq!(died.count(), 5);
}

/// A job whose planning never ends: its source takes requests and says nothing. So whoever takes it up can be killed while it plans.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_who_coordinates_it_is_given_up_after_five_and_a_retry_revives_it() {
    let dir = tempfile::tempdir().unwrap();
    let source = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let mut spec = slow_ndvi(dir.path(), &dir.path().join("never.tif"));
    spec.operation = TaskOperation::Convert {
        input: format!("http://{}/a.tif", source.local_addr().unwrap()),
    };
    let job = submit(&client, &spec).await;
    let takes_it_up = async |name: &str| {
        let worker = WorkerProcess::start(name, &server);
        wait_for("it takes the job up", async || {
            let log = events(&client, &job).await;
            let taken = log.iter().any(
                |event| matches!(event, Event::TakenUp { worker, .. } if worker.as_str() == name),
            );
            taken.then_some(())
        })
        .await;
        worker
    };
    // Who gives the job back in good order is not counted: a rolling restart is no reason to give a job up.
    for number in 0..3 {
        let mut worker = takes_it_up(&format!("leaves-{number}")).await;
        assert!(worker.terminate().success());
    }
    for number in 0..5 {
        assert!(!client.status(&job).await.unwrap().is_complete());
        takes_it_up(&format!("dies-{number}")).await.kill();
    }
    let worker = takes_it_up("last").await;
    let ended = client.wait(&job).await.unwrap();
    let Some(Outcome::Failed { failure, .. }) = &ended.outcome else {
        panic!("{ended:?}");
    };
    assert_eq!(failure.code, "poison-job", "{failure}");
    let history = "dies-0, dies-1, dies-2, dies-3, dies-4";
    assert!(failure.message.contains(history), "{failure}");
    // It is not taken up again, until somebody retries it.
    client.retry(&job).await.unwrap();
    wait_for("the job is taken up again", async || {
        let log = events(&client, &job).await;
        let retried = log
            .iter()
            .position(|event| matches!(event, Event::Retried { .. }))?;
        let again = |event: &Event| matches!(event, Event::TakenUp { .. });
        log.get(retried..)?.iter().any(again).then_some(())
    })
    .await;
    assert!(!client.status(&job).await.unwrap().is_complete());
    drop(worker);
}

fn scene(dir: &Path, size: u32) {
    let sample = SampleOptions {
        size,
        seed: 3,
        overwrite: false,
    };
    write_sample(dir, &sample, &mut |_, _| ControlFlow::Continue(())).unwrap();
}

/// Reads the log of a job.
async fn events(client: &Client, job: &JobId) -> Vec<Event> {
    let records = client.broker().read_log(job).await.unwrap();
    let entry = |record: &LogRecord| wire::decode::<LogEntry>(&record.payload).unwrap();
    records
        .iter()
        .flat_map(|record| entry(record).events)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_holds_is_handed_over_when_it_leaves_and_nothing_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 3000);
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    // The one that stays coordinates.
    let stays = WorkerProcess::start("stays", &server);
    let mut leaves = WorkerProcess::start_with("leaves", &server, &["--no-coordinate"]);
    wait_for_workers(&client, 2).await;
    let mut files = Vec::new();
    for name in ["calm.tif", "left.tif"] {
        let output = dir.path().join(name);
        let job = submit(
            &client,
            &without_second_runs(slow_ndvi(dir.path(), &output)),
        )
        .await;
        if name == "left.tif" {
            wait_for("the one that leaves holds something", async || {
                let by_leaves = |event: &Event| {
                    matches!(event, Event::TaskSucceeded(success)
                        if success.worker.id.as_str() == "leaves")
                };
                let events = events(&client, &job).await;
                events.iter().any(by_leaves).then_some(())
            })
            .await;
            assert!(leaves.terminate().success());
        }
        end(&client, &job).await;
        let events = events(&client, &job).await;
        let mut made = BTreeSet::new();
        for event in &events {
            if let Event::TaskSucceeded(success) = event {
                assert!(made.insert(success.task), "{} was made again", success.task);
            }
        }
        let moved = events.iter().any(|event| {
            matches!(event, Event::Moved { from, to, runs }
                if from.id.as_str() == "leaves" && to.id.as_str() == "stays" && !runs.is_empty())
        });
        assert_eq!(moved, name == "left.tif");
        files.push(std::fs::read(output).unwrap());
    }
    assert!(files[0] == files[1], "other bytes");
    drop(stays);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_all_workers_in_mid_job_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 4500);
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let names = ["a", "b", "c"];
    let mut workers = names.map(|id| WorkerProcess::start(id, &server));
    wait_for_workers(&client, 3).await;
    let calm = dir.path().join("calm.tif");
    let job = submit(&client, &slow_ndvi(dir.path(), &calm)).await;
    end(&client, &job).await;

    let rolled = dir.path().join("rolled.tif");
    let raster = without_second_runs(slow_ndvi(dir.path(), &rolled));
    let raster = submit(&client, &raster).await;
    let tasks = submit(&client, &without_second_runs(queue(300, 200))).await;
    wait_for_done(&client, &tasks, 2).await;
    wait_for_done(&client, &raster, 1).await;
    for (worker, name) in workers.iter_mut().zip(names) {
        assert!(worker.terminate().success(), "{name} left");
        *worker = WorkerProcess::start(name, &server);
        wait_for_workers(&client, 3).await;
    }
    let unfinished = !client.status(&tasks).await.unwrap().is_complete();
    assert!(unfinished, "the queue ended before all were restarted");
    for job in [&raster, &tasks] {
        end(&client, job).await;
        // A reader that was sent to a worker just before it left begins again elsewhere; nothing is made twice.
        let mut made = BTreeSet::new();
        for event in events(&client, job).await {
            if let Event::TaskSucceeded(success) = event {
                assert!(made.insert(success.task), "{} was made again", success.task);
            }
        }
    }
    let (calm, rolled) = (std::fs::read(calm).unwrap(), std::fs::read(rolled).unwrap());
    assert!(calm == rolled, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raster_survives_the_death_of_a_worker_with_its_partitions_and_of_the_coordinator() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 3000);
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let mut workers: Vec<_> = ["a", "b", "c"]
        .map(|id| WorkerProcess::start(id, &server))
        .into();
    wait_for_workers(&client, 3).await;

    let calm = dir.path().join("calm.tif");
    let job = submit(&client, &slow_ndvi(dir.path(), &calm)).await;
    end(&client, &job).await;

    let stormy = dir.path().join("stormy.tif");
    let job = submit(&client, &slow_ndvi(dir.path(), &stormy)).await;
    wait_for_done(&client, &job, 1).await;
    let coordinator = wait_for("somebody coordinates", async || {
        let workers = client.workers().await.ok()?;
        workers
            .iter()
            .find(|worker| worker.coordinates.contains(&job))
            .map(|w| w.id.clone())
    })
    .await;
    let other = workers
        .iter_mut()
        .find(|worker| worker.id != coordinator.as_str())
        .unwrap();
    other.kill();
    let first = workers
        .iter_mut()
        .find(|worker| worker.id == coordinator.as_str())
        .unwrap();
    first.kill();
    let disturbed = client.status(&job).await.unwrap();
    assert!(
        !disturbed.is_complete(),
        "the job ended before the faults: make it longer"
    );
    end(&client, &job).await;
    let (calm, stormy) = (
        std::fs::read(&calm).unwrap(),
        std::fs::read(&stormy).unwrap(),
    );
    assert!(calm == stormy, "the disturbed job gave other bytes");
    let hidden = std::fs::read_dir(dir.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.')
    });
    assert_eq!(hidden.count(), 0, "something was left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_joins_in_mid_job_takes_part_and_one_that_drains_finishes_its_task() {
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let mut first = WorkerProcess::start("first", &server);
    wait_for_workers(&client, 1).await;
    let job = submit(&client, &queue(60, 200)).await;
    wait_for_done(&client, &job, 3).await;
    let _second = WorkerProcess::start("second", &server);
    wait_for("the second worker takes part", async || {
        let workers = client.workers().await.ok()?;
        let second = workers
            .iter()
            .find(|worker| worker.id.as_str() == "second")?;
        (second.succeeded > 0).then_some(())
    })
    .await;
    assert!(
        first.terminate().success(),
        "a drained worker ends with success"
    );
    assert!(
        !client.status(&job).await.unwrap().is_complete(),
        "the drain came too late"
    );
    let ended = end(&client, &job).await;
    assert_eq!(
        ended.progress.retried(),
        0,
        "a drain makes no task run again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_did_not_hear_of_the_end_of_a_job_drops_its_partitions() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 2500);
    let mut server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let _other = WorkerProcess::start("other", &server);
    let mut deaf = WorkerProcess::start_with("deaf", &server, &["--no-coordinate"]);
    wait_for_workers(&client, 2).await;
    let stored = async || {
        let workers = client.workers().await.ok()?;
        let deaf = workers.iter().find(|worker| worker.id.as_str() == "deaf")?;
        Some(deaf.stored_bytes)
    };

    let output = dir.path().join("out.tif");
    let job = submit(&client, &slow_ndvi(dir.path(), &output)).await;
    wait_for("it has partitions", async || {
        (stored().await? > 0).then_some(())
    })
    .await;
    assert!(!client.status(&job).await.unwrap().is_complete());
    deaf.signal("-STOP");
    // Its connection ends, so that the signal does not wait for it there.
    server.restart().unwrap();
    end(&client, &job).await;
    deaf.signal("-CONT");
    wait_for("its record is there again", async || stored().await).await;
    wait_for("its partitions are gone", async || {
        (stored().await? == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_the_death_of_the_nats_server() {
    let mut server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let _workers = ["a", "b"].map(|id| WorkerProcess::start(id, &server));
    wait_for_workers(&client, 2).await;
    let job = submit(&client, &queue(60, 100)).await;
    wait_for_done(&client, &job, 10).await;
    server.kill().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.restart().unwrap();
    end(&client, &job).await;
}
