//! Jobs on tables, from files to files: in one process, and on three workers that exchange rows over Flight.

use std::path::{Path, PathBuf};
use std::time::Duration;

use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::{JobId, WorkerRef};
use swath::job::Outcome;
use swath::spec::{JobOptions, JoinKind, SPEC_VERSION, TableInput, TableOutput};
use swath::tables::fetch::{FetchError, fetch};
use swath::wire::message::WorkerState;
use swath::{JobSpec, TaskOperation, WorkerConfig};

use crate::shared::shared_data;
use crate::shared::tables::{SETTINGS, cases, read_csv, sort_navaids, words};

async fn cluster(workers: u32) -> LocalCluster {
    let worker = WorkerConfig::default().with_max_concurrent_tasks(1);
    let options = LocalOptions {
        workers,
        worker,
        ..LocalOptions::default()
    };
    LocalCluster::start(options).await.unwrap()
}

async fn run(cluster: &LocalCluster, operation: TaskOperation, output: &Path) {
    let spec = JobSpec {
        version: SPEC_VERSION,
        operation,
        output: Some(TableOutput::new(output.display().to_string()).into()),
        options: JobOptions::default(),
    };
    let client = cluster.client();
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(&job)).await;
    let outcome = ended.expect("within two minutes").unwrap().outcome.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_joins_and_sorts_give_the_expected_rows() {
    let Some(data) = shared_data() else { return };
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(workers).await;
        for case in cases(&data) {
            let output = dir.path().join(case.name);
            run(&cluster, case.operation.clone(), &output).await;
            case.check(&data, &output);
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_sorted_folder_are_the_file_in_order() {
    let Some(data) = shared_data() else { return };
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(workers).await;
        let file = dir.path().join("sorted.csv");
        run(&cluster, sort_navaids(&data), &file).await;
        let folder = dir.path().join("sorted");
        let mut spec_output = TableOutput::new(folder.display().to_string());
        spec_output.format = Some(swath::spec::TableFormat::Csv);
        run_to(&cluster, sort_navaids(&data), spec_output).await;
        let joined: Vec<Vec<String>> = parts(&folder)
            .iter()
            .flat_map(|part| read_csv(part).1)
            .collect();
        assert_eq!(joined, read_csv(&file).1);
        assert!(folder.join("_SUCCESS").is_file());
        cluster.stop().await;
    }
}

async fn run_to(cluster: &LocalCluster, operation: TaskOperation, output: TableOutput) {
    let spec = JobSpec {
        version: SPEC_VERSION,
        operation,
        output: Some(output.into()),
        options: JobOptions::default(),
    };
    let client = cluster.client();
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let ended = client.wait(&job).await.unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
}

/// Lists the parts of a folder, in order; there must be several.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("part-")
        })
        .collect();
    paths.sort();
    assert!(paths.len() > 1, "only {} part", paths.len());
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_of_every_kind_keep_the_rows_that_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        TableInput {
            paths: vec![path.display().to_string()],
            format: None,
        }
    };
    let left = write("left.csv", "k,a\n1,one\n2,two\n2,deux\n3,three\n,none\n");
    let right = write("right.csv", "k2,b\n2,x\n2,y\n3,z\n4,w\n,v\n");
    // By hand: null equals nothing; 2 has 2 × 2 pairs.
    let pairs = [
        "2,two,2,x",
        "2,two,2,y",
        "2,deux,2,x",
        "2,deux,2,y",
        "3,three,3,z",
    ];
    let cases: [(JoinKind, Vec<&str>); 6] = [
        (JoinKind::Inner, pairs.to_vec()),
        (
            JoinKind::Left,
            [&pairs[..], &["1,one,,", ",none,,"]].concat(),
        ),
        (JoinKind::Right, [&pairs[..], &[",,4,w", ",,,v"]].concat()),
        (
            JoinKind::Full,
            [&pairs[..], &["1,one,,", ",none,,", ",,4,w", ",,,v"]].concat(),
        ),
        (JoinKind::Semi, vec!["2,two", "2,deux", "3,three"]),
        (JoinKind::Anti, vec!["1,one", ",none"]),
    ];
    let cluster = cluster(2).await;
    for broadcast in [false, true] {
        for (how, expected) in &cases {
            let output = dir.path().join(format!("{how:?}-{broadcast}.csv"));
            let join = TaskOperation::Join {
                left: left.clone(),
                right: right.clone(),
                on: vec![("k".to_owned(), "k2".to_owned())],
                how: *how,
                broadcast,
                settings: SETTINGS,
            };
            run(&cluster, join, &output).await;
            let text = std::fs::read_to_string(&output).unwrap();
            let mut found: Vec<&str> = text.lines().skip(1).collect();
            let mut expected = expected.clone();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{how:?}, broadcast: {broadcast}");
        }
    }
    cluster.stop().await;
}

/// Reads the result of a job from a worker, given as `job@host:port`, and prints its parts and a sum.
const READER: &str = r#"
import sys
try:
    import pyarrow.flight as flight, pyarrow as pa
except ImportError as error:
    sys.exit(f"no pyarrow: {error}")
job, address = sys.argv[1].split("@")
client = flight.connect(f"grpc://{address}")
found = client.get_flight_info(flight.FlightDescriptor.for_path(job))
tables = []
for endpoint in found.endpoints:
    with flight.connect(endpoint.locations[0]) as worker:
        tables.append(worker.do_get(endpoint.ticket).read_all())
table = pa.concat_tables(tables)
print(found.schema.names, found.total_records, table.num_rows, sum(table["n"].to_pylist()), table["n"].to_pylist()[:2])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn any_flight_client_reads_the_table_of_a_job_from_any_worker() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("numbers.csv");
    let lines: String = (0..1000).map(|n| format!("{n}\n")).collect();
    std::fs::write(&path, format!("n\n{lines}")).unwrap();
    let cluster = cluster(3).await;
    let client = cluster.client();
    let sort = |output: PathBuf| JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Sort {
            input: TableInput {
                paths: vec![path.display().to_string()],
                format: None,
            },
            by: words(&["n desc"]),
            settings: SETTINGS,
        },
        output: Some(TableOutput::new(output.display().to_string()).into()),
        options: JobOptions::default(),
    };
    // As one file, and as a folder of parts.
    for name in ["sorted.parquet", "sorted"] {
        let spec = sort(dir.path().join(name));
        let job = client
            .submit(&spec, SubmitOptions::default())
            .await
            .unwrap();
        assert!(client.wait(&job).await.unwrap().succeeded());
        let workers = client.workers().await.unwrap();
        assert_eq!(workers.len(), 3);
        fetches_the_table(&workers[1], &job, &dir.path().join("fetched.csv")).await;
        for worker in workers {
            let argument = format!("{job}@{}", worker.flight);
            let read = move || crate::flight::python(READER, &argument);
            let printed = tokio::task::spawn_blocking(read).await.unwrap();
            // By hand: 0 + 1 + … + 999.
            assert_eq!(printed.trim(), "['n'] 1000 1000 499500 [999, 998]");
        }
    }
    cluster.stop().await;
}

/// Fetches the numbers from 999 down to 0 from a worker, twice over the same file.
async fn fetches_the_table(worker: &WorkerState, job: &JobId, file: &Path) {
    let from = WorkerRef {
        id: worker.id.clone(),
        incarnation: worker.incarnation,
        flight: worker.flight.clone(),
    };
    let mut output = TableOutput::new(file.display().to_string());
    output.overwrite = true;
    let fetched = fetch(&from, job, &output).await.unwrap();
    assert_eq!(fetched.rows, 1000);
    let text = std::fs::read_to_string(file).unwrap();
    let expected: String = (0..1000).rev().map(|n| format!("{n}\n")).collect();
    assert_eq!(text, format!("n\n{expected}"));
    output.overwrite = false;
    let error = fetch(&from, job, &output).await.unwrap_err();
    assert!(matches!(error, FetchError::Commit(_)), "{error}");
    let other = JobId::new("no-such-job").unwrap();
    let nothing = fetch(&from, &other, &TableOutput::new("/tmp/never.csv")).await;
    assert!(matches!(nothing, Err(FetchError::NoTable { .. })));
}
