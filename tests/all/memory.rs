//! What happens at the ends of memory and disk: workers that cannot start, stores that are full.

use std::path::Path;
use std::time::Duration;

use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::job::{Failure, Outcome};
use swath::spec::{JobOptions, RetryPolicy, SPEC_VERSION, TableInput, TableOutput, TableSettings};
use swath::{JobSpec, TaskOperation, WorkerConfig};

/// Rows of about 100 bytes.
fn table(path: &Path, rows: u32) {
    let mut text = String::from("id,text\n");
    for row in 0..rows {
        text.push_str(&format!("{},{row:x>90}\n", row.wrapping_mul(2_654_435_761)));
    }
    std::fs::write(path, text).unwrap();
}

fn sort(input: &Path, output: &Path) -> JobSpec {
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Sort {
            input: TableInput {
                paths: vec![input.display().to_string()],
                format: None,
            },
            by: vec!["id".to_owned()],
            settings: TableSettings::default(),
        },
        output: Some(TableOutput::new(output.display().to_string()).into()),
        options: JobOptions {
            retry: Some(RetryPolicy {
                max_attempts: 2,
                base_ms: 1,
                max_ms: 10,
            }),
            ..JobOptions::default()
        },
    }
}

async fn run(cluster: &LocalCluster, spec: &JobSpec) -> Outcome {
    let client = cluster.client();
    let job = client.submit(spec, SubmitOptions::default()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(&job)).await;
    ended.expect("within two minutes").unwrap().outcome.unwrap()
}

/// Returns the files below a folder that hold rows.
fn files_of_rows(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_of_rows(&path));
        } else if !path.ends_with("lock") {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_too_little_memory_does_not_start_and_says_what_takes_it() {
    let mut worker = WorkerConfig::default()
        .with_max_concurrent_tasks(4)
        .with_memory_limit(256 << 20);
    worker.store_memory_bytes = Some(100 << 20);
    let options = LocalOptions {
        worker,
        ..LocalOptions::default()
    };
    let error = LocalCluster::start(options).await.unwrap_err();
    let text = swath::job::failure::chain(&error);
    // 256 less 100, less 96 of the process, less a sixteenth for the network, leaves 44; four slots need 4 × 32.
    for part in [
        "--memory 256 MiB",
        "--store-memory 100 MiB",
        "44 MiB",
        "4 slots",
        "128 MiB",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_fails_the_job_leaves_nothing_and_the_worker_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (large, small) = (dir.path().join("large.csv"), dir.path().join("small.csv"));
    table(&large, 40_000);
    table(&small, 1_000);
    let store = dir.path().join("store");
    let mut worker = WorkerConfig::default()
        .with_max_concurrent_tasks(1)
        .with_memory_limit(512 << 20);
    worker.store_memory_bytes = Some(0);
    worker.store_dir.clone_from(&store);
    worker.store_disk_bytes = 1 << 20;
    let options = LocalOptions {
        worker,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start(options).await.unwrap();
    let output = dir.path().join("out.csv");
    let Outcome::Failed {
        failure: Failure { code, message, .. },
        ..
    } = run(&cluster, &sort(&large, &output)).await
    else {
        panic!("4 MB fit into 1 MiB");
    };
    assert_eq!(code, "store-full");
    for part in ["--store-disk", "1048576 bytes", store.to_str().unwrap()] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!output.exists());
    // The worker hears of the end of the job a moment after the client.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !files_of_rows(&store).is_empty() {
        let left = files_of_rows(&store);
        assert!(
            std::time::Instant::now() < deadline,
            "left behind: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        run(&cluster, &sort(&small, &output)).await,
        Outcome::Succeeded
    );
    let lines = std::fs::read_to_string(&output).unwrap().lines().count();
    assert_eq!(lines, 1_001);
    cluster.stop().await;
    // All that is left is the lock of the folder.
    assert_eq!(files_of_rows(&store), Vec::<String>::new());
}
