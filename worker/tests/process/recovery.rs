//! How long it takes until others do what a killed worker did: `cargo test --test process recovery -- --nocapture` says it, and
//! `SWATH_ROUNDS=20` in the environment makes it medians of so many.

use std::time::{Duration, SystemTime};

use swath::Client;
use swath::broker::LogRecord;
use swath::ids::{JobId, WorkerId};
use swath::job::Event;
use swath::testing::nats_server::NatsServer;
use swath::time::Timestamp;
use swath::wire::{self, LogEntry};

use crate::cluster::{WorkerProcess, connect, end, submit, wait_for, wait_for_workers};
use crate::jobs::{queue, without_second_runs};

/// Far more than it may take: what is measured is printed, what is asserted is that it happens.
const LATE: Duration = Duration::from_secs(60);
const WORKERS: usize = 4;

/// Who runs the one task of a job, and who coordinates the job, as heartbeats tell.
async fn who(client: &Client, job: &JobId) -> (WorkerId, WorkerId) {
    wait_for("the task runs", async || {
        let workers = client.workers().await.ok()?;
        let runs = workers
            .iter()
            .find(|it| it.running.iter().any(|run| run.job == *job))?;
        let coordinates = workers.iter().find(|it| it.coordinates.contains(job))?;
        Some((runs.id.clone(), coordinates.id.clone()))
    })
    .await
}

/// Finds when what an event tells began, in a job's log.
fn first(
    records: &[LogRecord],
    begin: impl Fn(Timestamp, &Event) -> Option<Timestamp>,
) -> Timestamp {
    let found = records.iter().find_map(|record| {
        let entry: LogEntry = wire::decode(&record.payload).unwrap();
        entry
            .events
            .iter()
            .find_map(|event| begin(record.at, event))
    });
    found.expect("it is in the log")
}

struct Cluster {
    server: NatsServer,
    client: Client,
    workers: Vec<WorkerProcess>,
}

impl Cluster {
    /// Submits a job of one task and kills whom `choose` names, once that is one alone; returns the job and when that was.
    async fn kill(
        &mut self,
        choose: impl Fn((WorkerId, WorkerId)) -> WorkerId,
    ) -> (JobId, WorkerId, Timestamp) {
        loop {
            wait_for_workers(&self.client, WORKERS).await;
            let job = submit(&self.client, &without_second_runs(queue(1, 8_000))).await;
            let (runs, coordinates) = who(&self.client, &job).await;
            if runs == coordinates {
                self.client.cancel(&job).await.unwrap();
                self.client.wait(&job).await.unwrap();
                continue;
            }
            let victim = choose((runs, coordinates));
            let process = self.workers.iter_mut();
            let process = process.into_iter().find(|it| it.id == victim.as_str());
            process.unwrap().kill();
            return (job, victim, Timestamp::from_system(SystemTime::now()));
        }
    }

    /// Waits for the end of a job and starts the killed worker again; returns the job's log.
    async fn recover(&mut self, job: &JobId, victim: &WorkerId) -> Vec<LogRecord> {
        end(&self.client, job).await;
        let process = self.workers.iter_mut().find(|it| it.id == victim.as_str());
        *process.unwrap() = WorkerProcess::start(victim.as_str(), &self.server);
        self.client.broker().read_log(job).await.unwrap()
    }
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_did_is_done_by_others() {
    let rounds = std::env::var("SWATH_ROUNDS").map_or(1, |text| text.parse().unwrap());
    let server = NatsServer::start().unwrap();
    let mut cluster = Cluster {
        client: connect(&server).await,
        workers: (0..WORKERS)
            .map(|n| WorkerProcess::start(&format!("w{n}"), &server))
            .collect(),
        server,
    };
    let (mut run_again, mut held_again) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (job, victim, killed) = cluster.kill(|(runs, _)| runs).await;
        let log = cluster.recover(&job, &victim).await;
        let began = first(&log, |at, event| match event {
            Event::TaskSucceeded(success) => {
                assert_ne!(success.worker.id, victim);
                let run_us = i64::try_from(success.run_us).unwrap();
                Some(Timestamp(at.0 - run_us))
            }
            _ => None,
        });
        run_again.push(began.since(killed));

        let (job, victim, killed) = cluster.kill(|(_, coordinates)| coordinates).await;
        let log = cluster.recover(&job, &victim).await;
        let held = first(&log, |at, event| match event {
            Event::TakenUp { worker, .. } if *worker != victim => Some(at),
            _ => None,
        });
        held_again.push(held.since(killed));
    }
    for (what, times) in [
        ("the task of a killed worker runs again", run_again),
        ("the job of a killed coordinator has another", held_again),
    ] {
        let (median, longest) = median(times);
        println!("{what} after {median:.1?}, at the longest {longest:.1?} ({rounds} rounds)");
        assert!(longest < LATE, "{what} only after {longest:?}");
    }
}
