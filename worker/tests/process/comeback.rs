//! A worker is killed between map and reduce and starts again at once under its name: what it had on disk is not made again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use swath::broker::Broker;
use swath::ids::JobId;
use swath::job::Event;
use swath::wire::{self, LogEntry};

use crate::cluster::{WorkerProcess, end, submit, wait_for_done, wait_for_workers};
use crate::tables::{Cluster, Run, Task, check_groups, group_by, spec};

/// Starts the only worker of a cluster, all of whose partitions go to disk.
async fn start(cluster: &Cluster, store: &Path) -> WorkerProcess {
    let store = store.display().to_string();
    let on_disk = ["--store-memory", "0", "--store-dir", &store];
    let worker = WorkerProcess::start_with("again", &cluster.server, &on_disk);
    wait_for_workers(&cluster.client, 1).await;
    worker
}

/// Lists the files of runs in a store's folder.
fn files(store: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(store).unwrap().flatten();
    let files = folders.flat_map(|it| std::fs::read_dir(it.path()).into_iter().flatten().flatten());
    let mut files: Vec<_> = files.map(|it| it.path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "partition"));
    files.sort();
    files
}

/// Counts the runs of tasks that were said to have moved from one life of the worker to another.
async fn moved(cluster: &Cluster, job: &JobId) -> usize {
    let mut moved = 0;
    for record in cluster.broker.read_log(job).await.unwrap() {
        for event in wire::decode::<LogEntry>(&record.payload).unwrap().events {
            if let Event::Moved { from, to, runs } = event {
                assert_eq!((from.id.as_str(), to.id.as_str()), ("again", "again"));
                assert_ne!(from.incarnation, to.incarnation);
                moved += runs.len();
            }
        }
    }
    moved
}

/// Kills the worker when all files are read, does something to its store, and starts it again; returns which tasks read files, and all runs.
async fn run(harm: impl FnOnce(&[PathBuf])) -> (BTreeSet<Task>, BTreeMap<Task, Vec<Run>>) {
    let dir = tempfile::tempdir().unwrap();
    let (output, store) = (dir.path().join("groups.csv"), dir.path().join("store"));
    let cluster = Cluster::start(&[]).await;
    let mut worker = start(&cluster, &store).await;
    let job = submit(&cluster.client, &spec(&group_by(dir.path()), &output)).await;
    let map = cluster.map_is_done(&job).await;
    // The first reader has ended as well: by then the last of these is settled, and not delivered again.
    wait_for_done(&cluster.client, &job, map.len() as u64 + 1).await;
    worker.kill();
    let left = files(&store);
    assert!(left.len() >= map.len(), "{left:?}");
    harm(&left);
    let worker = start(&cluster, &store).await;
    end(&cluster.client, &job).await;
    check_groups(&output);
    assert!(moved(&cluster, &job).await > 0, "nothing was offered again");
    let runs = cluster.runs(&job).await;
    drop(worker);
    (map, runs)
}

fn ran_again(map: &BTreeSet<Task>, runs: &BTreeMap<Task, Vec<Run>>) -> usize {
    map.iter().filter(|task| runs[task].len() > 1).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_on_disk_is_not_made_again() {
    let (map, runs) = run(|_| {}).await;
    assert_eq!(ran_again(&map, &runs), 0, "{runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_a_killed_worker_costs_its_own_task_and_no_other() {
    let flip = |files: &[PathBuf]| {
        // The header of the first message: never a byte that only fills up.
        let mut bytes = std::fs::read(&files[0]).unwrap();
        bytes[9] ^= 0x10;
        std::fs::write(&files[0], bytes).unwrap();
    };
    let (map, runs) = run(flip).await;
    assert_eq!(ran_again(&map, &runs), 1, "{runs:?}");
}
