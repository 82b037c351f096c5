//! The result of a job, read by somebody else's Flight client: pyarrow.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, StringViewArray,
};
use arrow::datatypes::Int32Type;
use async_trait::async_trait;
use swath::exchange::{
    Error, FlightConfig, FlightServer, PartitionAddress, PartitionKey, PartitionStore,
    ResultDirectory, StoreConfig, TableResult,
};
use swath::ids::{ExecutionId, Incarnation, JobId, TaskId, WorkerId, WorkerRef};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Knows the result of one job.
#[derive(Debug)]
struct OneResult {
    job: JobId,
    result: TableResult,
}

#[async_trait]
impl ResultDirectory for OneResult {
    async fn result(&self, job: &JobId) -> Result<Option<TableResult>, Error> {
        Ok((*job == self.job).then(|| self.result.clone()))
    }
}

/// Reads the job by path and by command, as pyarrow's own documentation does, and prints what it saw.
const READER: &str = r#"
import sys
try:
    import pyarrow.flight as flight, pyarrow as pa
except ImportError as error:
    sys.exit(f"no pyarrow: {error}")
client = flight.connect(f"grpc://{sys.argv[1]}")
by_path = client.get_flight_info(flight.FlightDescriptor.for_path("job-1"))
by_command = client.get_flight_info(flight.FlightDescriptor.for_command(b"job-1"))
assert by_path.schema == by_command.schema == client.get_schema(by_path.descriptor).schema
print("total", by_path.total_records, by_path.total_bytes > 0, len(by_path.endpoints), len(by_command.endpoints))
tables = []
for endpoint in by_path.endpoints:
    assert endpoint.locations == [flight.Location(f"grpc://{sys.argv[1]}")], endpoint.locations
    with flight.connect(endpoint.locations[0]) as worker:
        tables.append(worker.do_get(endpoint.ticket).read_all())
    tables[-1].validate(full=True)
    assert tables[-1].schema == by_path.schema
print("rows", [table.num_rows for table in tables])
table = pa.concat_tables(tables)
print("sum", sum(table["number"].to_pylist()))
print("names", table["name"][0], table["name"][2], table["name"].null_count)
print("classes", table["class"].cast(pa.string()).to_pylist()[:4])
print("views", table["view"].to_pylist()[-1])
for wrong in (b"job-2", b"not a job!"):
    try:
        client.get_flight_info(flight.FlightDescriptor.for_command(wrong))
    except (flight.FlightError, pa.ArrowException) as error:
        print("refused", type(error).__name__)
"#;

/// Rows of which each tells its number, `from` and on; every third has no name.
fn rows(from: i64, count: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(from..from + count);
    let names = (from..from + count).map(|n| (n % 3 > 0).then(|| format!("name {n}")));
    let classes: DictionaryArray<Int32Type> = (from..from + count)
        .map(|n| if n % 2 == 0 { "even" } else { "odd" })
        .collect();
    let views = (from..from + count).map(|n| Some(format!("a view of more than twelve bytes {n}")));
    RecordBatch::try_from_iter_with_nullable([
        ("number", Arc::new(numbers) as ArrayRef, false),
        ("name", Arc::new(names.collect::<StringArray>()), true),
        ("class", Arc::new(classes), true),
        ("view", Arc::new(views.collect::<StringViewArray>()), true),
    ])
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyarrow_reads_the_result_of_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let store = PartitionStore::new(StoreConfig {
        memory_bytes: 1 << 20,
        dir: dir.path().to_owned(),
        ..StoreConfig::default()
    })
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flight = listener.local_addr().unwrap().to_string();
    let worker = WorkerRef {
        id: WorkerId::new("w").unwrap(),
        incarnation: Incarnation(1),
        flight: flight.clone(),
    };

    // 100,000 rows in three parts, one of them empty; they take more than the store's memory.
    let job = JobId::new("job-1").unwrap();
    let (task, execution) = (TaskId::default(), ExecutionId(1));
    let schema = rows(0, 1).schema();
    let first = PartitionKey {
        job: job.clone(),
        task,
        execution,
        partition: 0,
    };
    let mut writer = store.shuffle_writer(first, Arc::clone(&schema), 3).unwrap();
    for from in (0..60_000).step_by(1000) {
        writer.write(0, &rows(from, 1000)).unwrap();
    }
    writer.write(2, &rows(60_000, 40_000)).unwrap();
    let written = writer.finish().unwrap();
    let part = |partition| PartitionAddress {
        key: PartitionKey {
            job: job.clone(),
            task,
            execution,
            partition,
        },
        worker: worker.clone(),
    };
    let result = TableResult {
        schema,
        parts: (0..3).map(part).collect(),
        rows: written.iter().map(|part| part.rows).sum(),
        bytes: written.iter().map(|part| part.bytes).sum(),
    };
    assert!(store.usage().disk_bytes > 0, "all of it fitted into memory");

    let directory = Arc::new(OneResult { job, result });
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(FlightServer::serve(
        listener,
        store,
        Some(directory),
        shutdown.clone(),
        FlightConfig::default(),
    ));
    let printed = tokio::task::spawn_blocking(move || python(READER, &flight)).await;
    // 0 + 1 + … + 99,999; 33,334 of these numbers are multiples of three.
    let expected = [
        "total 100000 True 3 3",
        "rows [60000, 0, 40000]",
        "sum 4999950000",
        "names None name 2 33334",
        "classes ['even', 'odd', 'even', 'odd']",
        "views a view of more than twelve bytes 99999",
        "refused ArrowKeyError",
        "refused ArrowInvalid",
    ];
    assert_eq!(printed.unwrap().lines().collect::<Vec<_>>(), expected);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

/// Runs a script with the Python that `SWATH_PYTHON` names, or `python3`; returns what it printed.
pub(crate) fn python(script: &str, argument: &str) -> String {
    let program = std::env::var("SWATH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = std::process::Command::new(&program)
        .args(["-c", script, argument])
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start: {error}; {HOW}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("no pyarrow"), "{errors}: {HOW}");
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

const HOW: &str = "this test needs a Python with pyarrow: run `pip install pyarrow==26.0.1`, or set SWATH_PYTHON to one that has it";
