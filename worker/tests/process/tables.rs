//! Jobs on tables, undisturbed, and with a worker killed between map and reduce: the rows are the same, and only what it held runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use swath::broker::{Broker, NatsBroker, NatsConfig};
use swath::client::JobProgress;
use swath::ids::JobId;
use swath::job::Event;
use swath::spec::{JobOptions, SPEC_VERSION, TableInput, TableOutput, TableSettings};
use swath::testing::nats_server::NatsServer;
use swath::wire::{self, LogEntry};
use swath::{Client, JobSpec, TaskOperation};

use crate::cluster::{WorkerProcess, end, submit, wait_for, wait_for_workers};
use crate::shared::shared_data;
use crate::shared::tables::{cases, read_csv};

/// Stage and number of a task.
pub(crate) type Task = (u32, u32);

/// A run of a task: its worker, and its number.
pub(crate) type Run = (String, u64);

/// How often a job is tried until its victim held something that was missed.
const TRIES: u32 = 6;

/// A server and workers.
pub(crate) struct Cluster {
    pub(crate) server: NatsServer,
    pub(crate) broker: Arc<NatsBroker>,
    pub(crate) client: Client,
    workers: Vec<WorkerProcess>,
}

impl Cluster {
    /// Starts a server and workers; all must be up before a job comes, so that all take part.
    pub(crate) async fn start(workers: &[&str]) -> Self {
        let server = NatsServer::start().unwrap();
        let config = NatsConfig::for_url(server.url());
        let broker = NatsBroker::connect(config).await.unwrap();
        let client = Client::new(broker.clone());
        let started = workers.iter().map(|id| WorkerProcess::start(id, &server));
        let workers: Vec<_> = started.collect();
        wait_for_workers(&client, workers.len()).await;
        Self {
            server,
            broker,
            client,
            workers,
        }
    }

    /// Starts a worker that coordinates nothing: its death costs its partitions, and no lease of a job has to run out.
    async fn start_victim(&self, id: &str) -> WorkerProcess {
        let victim = WorkerProcess::start_with(id, &self.server, &["--no-coordinate"]);
        wait_for("the victim is up", async || {
            let workers = self.client.workers().await.ok()?;
            let up = workers.iter().any(|worker| worker.id.as_str() == id);
            up.then_some(())
        })
        .await;
        victim
    }

    /// Runs a job, and kills a worker of it as soon as the last task that reads files has ended well: the others are about to read what
    /// those wrote. Tries again until something that the worker held was missed.
    async fn run_with_a_death(&self, operation: &TaskOperation, output: &Path, name: &str) {
        for attempt in 0..TRIES {
            let _ = std::fs::remove_file(output);
            let mut victim = self.start_victim(&format!("{name}-{attempt}")).await;
            let job = submit(&self.client, &spec(operation, output)).await;
            let map = self.map_is_done(&job).await;
            victim.kill();
            let ended = end(&self.client, &job).await;
            let runs = self.runs(&job).await;
            if self.only_the_lost_ran_again(&victim.id, &map, &runs, &ended) {
                return;
            }
        }
        panic!("{name}: the fault did not fire in {TRIES} tries");
    }

    /// Follows the log of a job until each task of a stage that reads files has ended well; returns these tasks.
    pub(crate) async fn map_is_done(&self, job: &JobId) -> BTreeSet<Task> {
        let mut log = self.broker.tail(job).await.unwrap();
        let (mut map, mut done) = (None, BTreeSet::new());
        let follow = async {
            loop {
                let record = log.next().await.unwrap().unwrap();
                for event in wire::decode::<LogEntry>(&record.payload).unwrap().events {
                    match event {
                        Event::Planned { stages, .. } if map.is_none() => {
                            let reading = (0..).zip(stages).filter(|(_, s)| s.inputs.is_empty());
                            let tasks =
                                reading.flat_map(|(n, s)| (0..s.tasks).map(move |task| (n, task)));
                            map = Some(tasks.collect::<BTreeSet<Task>>());
                        }
                        Event::TaskSucceeded(success) => {
                            done.insert((success.task.stage.0, success.task.index));
                        }
                        Event::Finished { outcome, .. } => {
                            panic!("no map before the end: {outcome:?}")
                        }
                        _ => {}
                    }
                }
                if let Some(map) = map.take_if(|map| map.is_subset(&done)) {
                    return map;
                }
            }
        };
        let followed = tokio::time::timeout(Duration::from_secs(60), follow).await;
        followed.expect("the map is done within a minute")
    }

    /// Returns the good runs of each task, in their order: where, and which run.
    pub(crate) async fn runs(&self, job: &JobId) -> BTreeMap<Task, Vec<Run>> {
        let mut runs: BTreeMap<Task, Vec<Run>> = BTreeMap::new();
        for record in self.broker.read_log(job).await.unwrap() {
            for event in wire::decode::<LogEntry>(&record.payload).unwrap().events {
                if let Event::TaskSucceeded(success) = event {
                    let task = (success.task.stage.0, success.task.index);
                    let run = (success.worker.id.to_string(), success.execution.0);
                    let runs = runs.entry(task).or_default();
                    // An append that was not answered is sent again.
                    if !runs.contains(&run) {
                        runs.push(run);
                    }
                }
            }
        }
        runs
    }

    /// Asserts that a task ran twice only when its first run was on the dead worker; tells whether a map task did.
    fn only_the_lost_ran_again(
        &self,
        victim: &str,
        map: &BTreeSet<Task>,
        runs: &BTreeMap<Task, Vec<Run>>,
        ended: &JobProgress,
    ) -> bool {
        let again = runs.iter().filter(|(_, runs)| runs.len() > 1);
        let again: BTreeMap<_, _> = again.collect();
        for (task, own) in &again {
            assert_eq!(
                own[0].0,
                victim,
                "task {task:?} ran again, {}: {runs:?}",
                ended.sentence()
            );
            assert!(
                !own[1..].iter().any(|run| run.0 == victim),
                "the dead worked: {runs:?}"
            );
        }
        assert!(map.iter().all(|task| runs.contains_key(task)));
        again.keys().any(|task| map.contains(task))
    }
}

pub(crate) fn spec(operation: &TaskOperation, output: &Path) -> JobSpec {
    JobSpec {
        version: SPEC_VERSION,
        operation: operation.clone(),
        output: Some(TableOutput::new(output.display().to_string()).into()),
        options: JobOptions::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expected_rows_come_from_three_workers() {
    let Some(data) = shared_data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&["a", "b", "c"]).await;
    let mut helped = BTreeSet::new();
    for case in cases(&data) {
        let output = dir.path().join(case.name);
        let job = submit(&cluster.client, &spec(&case.operation, &output)).await;
        end(&cluster.client, &job).await;
        case.check(&data, &output);
        let runs = cluster.runs(&job).await.into_values().flatten();
        helped.extend(runs.map(|(worker, _)| worker));
    }
    assert_eq!(helped.len(), cluster.workers.len(), "{helped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expected_rows_come_though_a_worker_dies_between_map_and_reduce() {
    let Some(data) = shared_data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&["a", "b"]).await;
    for (number, case) in cases(&data).into_iter().enumerate() {
        let output = dir.path().join(case.name);
        let name = format!("victim-{number}");
        cluster
            .run_with_a_death(&case.operation, &output, &name)
            .await;
        case.check(&data, &output);
    }
}

/// Rows `n, n % 5000, ...` in files of their own.
fn write_rows(dir: &Path, files: u32) -> Vec<String> {
    let path = |file: u32| dir.join(format!("rows-{file}.csv"));
    for file in 0..files {
        let mut text = String::from("n,k\n");
        for n in file * 20_000..(file + 1) * 20_000 {
            text.push_str(&format!("{n},{}\n", n % 5000));
        }
        std::fs::write(path(file), text).unwrap();
    }
    (0..files)
        .map(|file| path(file).display().to_string())
        .collect()
}

/// Groups of [`write_rows`], 24 partitions of them.
pub(crate) fn group_by(dir: &Path) -> TaskOperation {
    TaskOperation::GroupBy {
        input: TableInput {
            paths: write_rows(dir, 12),
            format: None,
        },
        by: vec!["k".to_owned()],
        aggregates: vec!["count(*) as rows".to_owned(), "sum(n) as total".to_owned()],
        settings: TableSettings {
            partitions: Some(24),
            ..TableSettings::default()
        },
    }
}

/// By hand: 240,000 rows in 5000 groups of 48; group k holds k, k + 5000, ..., k + 47 * 5000.
pub(crate) fn check_groups(output: &Path) {
    let mut found = read_csv(output).1;
    found.sort_by_key(|row| row[0].parse::<u64>().unwrap());
    let expected = (0..5000_u64).map(|k| {
        let total = 48 * k + 5000 * (47 * 48 / 2);
        [k, 48, total].map(|n| n.to_string()).to_vec()
    });
    assert!(found.into_iter().eq(expected));
}

/// The same without the shared data, and with more rows and tasks.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_loses_a_worker_between_map_and_reduce_reruns_only_what_it_held() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("groups.csv");
    let cluster = Cluster::start(&["a", "b"]).await;
    let groups = group_by(dir.path());
    cluster.run_with_a_death(&groups, &output, "victim").await;
    check_groups(&output);
}
