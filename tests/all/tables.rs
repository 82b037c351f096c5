//! Jobs on tables, from files to files: in one process, and on three workers that exchange rows over Flight.
//!
//! The expected rows of the shared data were made by pandas, PyArrow and GEOS; see its README.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::{JobId, WorkerRef};
use swath::job::Outcome;
use swath::spec::{
    JobOptions, JoinKind, NamedTable, SPEC_VERSION, TableInput, TableOutput, TableSettings,
};
use swath::tables::fetch::{FetchError, fetch};
use swath::wire::message::WorkerState;
use swath::{JobSpec, TaskOperation, WorkerConfig};

use crate::zoo::shared_data as test_data;

/// Small partitions, so that files of some megabytes have many.
const SETTINGS: TableSettings = TableSettings {
    partitions: Some(5),
    partition_bytes: Some(200_000),
    broadcast_bytes: Some(1),
};

async fn cluster(workers: u32) -> LocalCluster {
    let worker = WorkerConfig::default().with_max_concurrent_tasks(1);
    let options = LocalOptions {
        workers,
        worker,
        ..LocalOptions::default()
    };
    LocalCluster::start(options).await.unwrap()
}

fn input(data: &Path, name: &str) -> TableInput {
    let path = data.join("tables").join(name);
    TableInput {
        paths: vec![path.display().to_string()],
        format: None,
    }
}

fn sql(data: &Path, statement: &str, tables: &[(&str, &str)]) -> TaskOperation {
    let table = |(name, file): &(&str, &str)| NamedTable {
        name: (*name).to_owned(),
        input: input(data, file),
    };
    TaskOperation::Sql {
        statement: statement.to_owned(),
        tables: tables.iter().map(table).collect(),
        settings: SETTINGS,
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
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

/// Reads a CSV file: its header, and its rows.
fn read_csv(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(split);
    let header = lines.next().unwrap();
    (header, lines.collect())
}

/// Splits a line at its commas, quoted fields respected; none of the files has a line break in a field.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

/// Asserts that two CSV files hold the same rows in any order, numbers within 1e-9 of each other.
fn assert_same_rows(found: &Path, expected: &Path, keys: usize) {
    let (header, rows) = read_csv(found);
    let (expected_header, expected_rows) = read_csv(expected);
    assert_eq!(header, expected_header);
    let by_key = |rows: Vec<Vec<String>>| -> BTreeMap<Vec<String>, Vec<String>> {
        let count = rows.len();
        let map: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row[..keys].to_vec(), row[keys..].to_vec()))
            .collect();
        assert_eq!(map.len(), count, "a key twice");
        map
    };
    let (rows, expected_rows) = (by_key(rows), by_key(expected_rows));
    assert!(
        rows.keys().eq(expected_rows.keys()),
        "{}: other keys",
        found.display()
    );
    for (key, row) in &rows {
        for (a, b) in row.iter().zip(&expected_rows[key]) {
            let same = match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                _ => a == b,
            };
            assert!(same, "{}: {key:?}: {a} instead of {b}", found.display());
        }
    }
}

const NAVAIDS: &str = "ourairports/navaids.csv";
const COUNTRIES: &str = "ourairports/countries.csv";
const WORLD: &str = "naturalearth/natural-earth_countries_geo.parquet";

#[tokio::test(flavor = "multi_thread")]
async fn groups_joins_and_statements_give_the_expected_rows() {
    let Some(data) = test_data() else { return };
    let expected = |name: &str| data.join("expected").join(name);
    let cases: Vec<(&str, usize, TaskOperation)> = vec![
        (
            "groupby_navaids_country_usage.csv",
            2,
            TaskOperation::GroupBy {
                input: input(&data, NAVAIDS),
                by: words(&["iso_country", "usageType"]),
                aggregates: words(&[
                    "count(*) as rows",
                    "min(elevation_ft) as elevation_min",
                    "max(elevation_ft) as elevation_max",
                ]),
                settings: SETTINGS,
            },
        ),
        (
            "groupby_navaids_type.csv",
            1,
            TaskOperation::GroupBy {
                input: input(&data, NAVAIDS),
                by: words(&["type"]),
                aggregates: words(&[
                    "count(*) as rows",
                    "count(frequency_khz) as frequency_nonnull",
                    "min(frequency_khz) as frequency_min",
                    "max(frequency_khz) as frequency_max",
                    "avg(elevation_ft) as elevation_mean",
                    "sum(elevation_ft) as elevation_sum",
                    "count(distinct iso_country) as countries",
                ]),
                settings: SETTINGS,
            },
        ),
        (
            "groupby_regions_continent.csv",
            1,
            sql(
                &data,
                "SELECT continent, count(*) AS regions, count(DISTINCT iso_country) AS countries \
                 FROM r GROUP BY continent",
                &[("r", "ourairports/regions.csv")],
            ),
        ),
        (
            "join_navaids_countries.csv",
            2,
            sql(
                &data,
                "SELECT c.continent, c.name AS country_name, count(*) AS navaids, \
                 avg(n.latitude_deg) AS mean_latitude FROM n JOIN c ON n.iso_country = c.code \
                 GROUP BY c.continent, c.name",
                &[("n", NAVAIDS), ("c", COUNTRIES)],
            ),
        ),
        (
            "antijoin_countries_without_navaids.csv",
            2,
            sql(
                &data,
                "SELECT code, name FROM c LEFT ANTI JOIN n ON c.code = n.iso_country",
                &[("n", NAVAIDS), ("c", COUNTRIES)],
            ),
        ),
        (
            "filter_navaids_bbox.csv",
            4,
            sql(
                &data,
                "SELECT -10 AS west, 35 AS south, 30 AS east, 60 AS north, count(*) AS rows, \
                 sum(id) AS sum_of_ids FROM n WHERE longitude_deg BETWEEN -10 AND 30 \
                 AND latitude_deg BETWEEN 35 AND 60",
                &[("n", NAVAIDS)],
            ),
        ),
        (
            "spatialjoin_navaids_naturalearth.csv",
            1,
            sql(
                &data,
                "SELECT w.name AS country, count(*) AS points, avg(n.elevation_ft) AS mean_elevation \
                 FROM n JOIN w ON ST_Intersects(ST_Point(n.longitude_deg, n.latitude_deg), w.geometry) \
                 GROUP BY w.name",
                &[("n", NAVAIDS), ("w", WORLD)],
            ),
        ),
    ];
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(workers).await;
        for (name, keys, operation) in &cases {
            let output = dir.path().join(name);
            run(&cluster, operation.clone(), &output).await;
            assert_same_rows(&output, &expected(name), *keys);
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_gives_one_order_over_all_parts() {
    let Some(data) = test_data() else { return };
    let (_, wanted) = read_csv(&data.join("expected/sort_navaids_order.csv"));
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(workers).await;
        let sort = TaskOperation::Sort {
            input: input(&data, NAVAIDS),
            by: words(&["elevation_ft desc nulls last", "iso_country", "id"]),
            settings: SETTINGS,
        };
        let file = dir.path().join("sorted.csv");
        run(&cluster, sort.clone(), &file).await;
        let (header, rows) = read_csv(&file);
        let id = header.iter().position(|name| name == "id").unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row[id].as_str()).collect();
        assert_eq!(ids.len().to_string(), wanted[0][0]);
        let hash = Sha256::digest(ids.join("\n").as_bytes());
        assert_eq!(format!("{hash:x}"), wanted[0][1]);
        // The same as a folder: its parts one after the other are the file.
        let folder = dir.path().join("sorted");
        let mut spec_output = TableOutput::new(folder.display().to_string());
        spec_output.format = Some(swath::spec::TableFormat::Csv);
        run_to(&cluster, sort, spec_output).await;
        let joined: Vec<Vec<String>> = parts(&folder)
            .iter()
            .flat_map(|part| read_csv(part).1)
            .collect();
        assert_eq!(joined, rows);
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

/// Lists the parts of a folder, in order.
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
