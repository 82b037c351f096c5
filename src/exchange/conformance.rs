//! What every exchange promises: the same cases for a partition of this process and for one behind Flight.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, DictionaryArray,
    FixedSizeBinaryArray, Float32Array, ListArray, NullArray, RecordBatch, StringArray,
    StringViewArray, StructArray, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ids::{ExecutionId, Incarnation, JobId, StageId, TaskId, WorkerId, WorkerRef};

/// A folder for one test; removed with all that is in it.
pub(super) struct TestDir(PathBuf);

impl TestDir {
    pub(super) fn new() -> Self {
        let name = format!("swath-exchange-test-{}", uuid::Uuid::now_v7().simple());
        Self(std::env::temp_dir().join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn store(&self, memory_bytes: u64, disk_bytes: u64) -> Arc<PartitionStore> {
        PartitionStore::new(StoreConfig {
            memory_bytes,
            dir: self.0.clone(),
            disk_bytes,
            max_age: Duration::from_secs(60),
            owner: None,
        })
        .unwrap()
    }

    /// Lists the partition files of all stores under this folder.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![];
        for folder in std::fs::read_dir(&self.0).unwrap().flatten() {
            for file in std::fs::read_dir(folder.path())
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = file.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "partition")
                {
                    files.push(path);
                }
            }
        }
        files
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(super) fn worker(name: &str, incarnation: u64, flight: &str) -> WorkerRef {
    WorkerRef {
        id: WorkerId::new(name).unwrap(),
        incarnation: Incarnation(incarnation),
        flight: flight.to_owned(),
    }
}

pub(super) fn key(job: &str, execution: u64, partition: u32) -> PartitionKey {
    PartitionKey {
        job: JobId::new(job).unwrap(),
        task: TaskId {
            stage: StageId(1),
            index: 2,
        },
        execution: ExecutionId(execution),
        partition,
    }
}

/// A Flight server of a store, on a port of its own.
pub(super) struct Served {
    pub(super) flight: String,
    pub(super) shutdown: CancellationToken,
    pub(super) ended: JoinHandle<Result<(), Error>>,
}

pub(super) async fn serve(store: &Arc<PartitionStore>, grace: Duration) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flight = listener.local_addr().unwrap().to_string();
    let shutdown = CancellationToken::new();
    let config = FlightConfig {
        grace,
        ..FlightConfig::default()
    };
    let serving = FlightServer::serve(listener, Arc::clone(store), None, shutdown.clone(), config);
    Served {
        flight,
        shutdown,
        ended: tokio::spawn(serving),
    }
}

/// A writer's store, and an exchange that reads from it.
pub(super) struct Rig {
    pub(super) store: Arc<PartitionStore>,
    pub(super) exchange: Arc<FlightExchange>,
    pub(super) worker: WorkerRef,
    pub(super) served: Option<Served>,
    pub(super) dir: TestDir,
}

pub(super) async fn local(memory_bytes: u64, disk_bytes: u64) -> Rig {
    let dir = TestDir::new();
    let store = dir.store(memory_bytes, disk_bytes);
    let worker = worker("writer", 1, "");
    let exchange = FlightExchange::new(Arc::clone(&store), worker.clone(), FetchConfig::default());
    Rig {
        store,
        exchange,
        worker,
        served: None,
        dir,
    }
}

pub(super) async fn flight(memory_bytes: u64, disk_bytes: u64) -> Rig {
    flight_with(memory_bytes, disk_bytes, Compress::Never).await
}

async fn flight_with(memory_bytes: u64, disk_bytes: u64, compress: Compress) -> Rig {
    let dir = TestDir::new();
    let store = dir.store(memory_bytes, disk_bytes);
    let served = serve(&store, Duration::ZERO).await;
    let worker = worker("writer", 1, &served.flight);
    let config = FetchConfig {
        idle_timeout: Duration::from_secs(20),
        compress,
        ..FetchConfig::default()
    };
    // The reader has the writer's name: only the incarnation says that it is another.
    let me = WorkerRef {
        incarnation: Incarnation(2),
        ..worker.clone()
    };
    let exchange = FlightExchange::new(dir.store(0, 0), me, config);
    Rig {
        store,
        exchange,
        worker,
        served: Some(served),
        dir,
    }
}

impl Rig {
    pub(super) fn address(&self, key: &PartitionKey) -> PartitionAddress {
        PartitionAddress {
            key: key.clone(),
            worker: self.worker.clone(),
        }
    }

    pub(super) fn write(&self, key: &PartitionKey, batches: &[RecordBatch]) -> PartitionSummary {
        let schema = batches[0].schema();
        let mut writer = self.store.writer(key.clone(), schema).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Begins the run that `key` names.
    fn shuffle(&self, key: &PartitionKey, schema: SchemaRef, partitions: u32) -> ShuffleWriter {
        self.store
            .shuffle_writer(key.clone(), schema, partitions)
            .unwrap()
    }

    pub(super) async fn read(&self, key: &PartitionKey) -> Result<Vec<RecordBatch>, Error> {
        let stream = self.exchange.fetch(&self.address(key)).await?;
        stream.try_collect().await
    }

    pub(super) async fn expect_lost(&self, key: &PartitionKey) -> String {
        match self.read(key).await {
            Err(Error::Lost { address, reason }) => {
                assert_eq!(*address, self.address(key));
                reason
            }
            Err(other) => panic!("not lost but {other:?}"),
            Ok(batches) => panic!("not lost: {} batches", batches.len()),
        }
    }

    /// Ends the server, and says whether it ended well and in time.
    async fn close(mut self) {
        if let Some(served) = self.served.take() {
            served.shutdown.cancel();
            let ended = tokio::time::timeout(Duration::from_secs(10), served.ended).await;
            ended.unwrap().unwrap().unwrap();
        }
    }
}

/// Rows of which each one tells its number: `first`, `first + 1`, ...
pub(super) fn numbers(first: u64, rows: u64) -> RecordBatch {
    let column: ArrayRef = Arc::new(UInt64Array::from_iter_values(first..first + rows));
    RecordBatch::try_from_iter([("number", column)]).unwrap()
}

/// Checks that the batches are 0, 1, 2, ... and returns how many.
pub(super) fn counted(batches: &[RecordBatch]) -> u64 {
    let mut next = 0;
    for batch in batches {
        let column = batch.column(0).as_any().downcast_ref::<UInt64Array>();
        for number in column.unwrap().values() {
            assert_eq!(*number, next);
            next += 1;
        }
    }
    next
}

fn many_types() -> RecordBatch {
    let strings = StringArray::from(vec![Some("a"), None, Some("ä 2"), Some("")]);
    let views = StringViewArray::from(vec![
        Some("longer than twelve bytes"),
        Some("short"),
        None,
        Some("another that is longer"),
    ]);
    let tiles = BinaryArray::from_opt_vec(vec![Some(&[1, 2, 3]), None, Some(&[]), Some(&[9])]);
    let tile_views =
        BinaryViewArray::from(vec![Some(&[7_u8; 40][..]), None, Some(&[]), Some(&[1])]);
    let classes: DictionaryArray<Int32Type> =
        vec![Some("forest"), Some("water"), None, Some("forest")]
            .into_iter()
            .collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(4), Some(5), Some(6)]),
    ]);
    let point = StructArray::from(vec![
        (
            Arc::new(Field::new("x", DataType::Float32, true)),
            Arc::new(Float32Array::from(vec![
                Some(1.5),
                None,
                Some(f32::INFINITY),
                Some(-0.0),
            ])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("inside", DataType::Boolean, true)),
            Arc::new(BooleanArray::from(vec![
                Some(true),
                None,
                Some(false),
                None,
            ])) as ArrayRef,
        ),
    ]);
    let fixed = FixedSizeBinaryArray::try_from_iter([[1_u8; 3], [2; 3], [3; 3], [4; 3]].iter());
    let metadata = HashMap::from([("swath".to_owned(), "tiles".to_owned())]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("strings", Arc::new(strings)),
        ("views", Arc::new(views)),
        ("tiles", Arc::new(tiles)),
        ("tile_views", Arc::new(tile_views)),
        ("classes", Arc::new(classes)),
        ("lists", Arc::new(lists)),
        ("point", Arc::new(point)),
        ("fixed", Arc::new(fixed.unwrap())),
        ("nothing", Arc::new(NullArray::new(4))),
    ];
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

const MEMORY: u64 = 64 << 20;
const DISK: u64 = 1 << 30;

async fn rows_types_schema_and_order_come_back(rig: Rig) {
    let batch = many_types();
    let batches = [batch.clone(), batch.slice(1, 2), batch.slice(3, 1)];
    let summary = rig.write(&key("j", 1, 0), &batches);
    let read = rig.read(&key("j", 1, 0)).await.unwrap();
    assert_eq!(read[0].schema(), batch.schema());
    let expected = concat_batches(&batch.schema(), &batches).unwrap();
    assert_eq!(concat_batches(&batch.schema(), &read).unwrap(), expected);
    assert_eq!((summary.rows, summary.batches), (7, 3));
    rig.close().await;
}

async fn dictionaries_may_change_between_batches(rig: Rig) {
    let batch = |words: [&str; 3]| {
        let column: DictionaryArray<Int32Type> = words.into_iter().collect();
        RecordBatch::try_from_iter([("class", Arc::new(column) as ArrayRef)]).unwrap()
    };
    let words = [["a", "b", "a"], ["c", "c", "d"], ["a", "b", "e"]];
    rig.write(&key("j", 1, 0), &words.map(batch));
    let read = rig.read(&key("j", 1, 0)).await.unwrap();
    assert_eq!(words_of(&read), words.concat());
    rig.close().await;
}

async fn an_empty_partition_keeps_its_schema(rig: Rig) {
    let empty = many_types().slice(0, 0);
    let summary = rig.write(&key("j", 1, 0), &[empty.clone(), empty.clone()]);
    assert_eq!((summary.rows, summary.batches), (0, 0));
    let read = rig.read(&key("j", 1, 0)).await.unwrap();
    assert_eq!(read, [empty]);
    rig.close().await;
}

/// 80 MiB where 16 MiB of memory are: most is read from disk.
async fn a_partition_larger_than_memory_goes_on_in_a_file(rig: Rig) {
    let batches: Vec<_> = (0..10).map(|part| numbers(part << 20, 1 << 20)).collect();
    let summary = rig.write(&key("j", 1, 0), &batches);
    assert_eq!(summary.rows, 10 << 20);
    let usage = rig.store.usage();
    assert!(
        usage.memory_bytes > 14 << 20 && usage.memory_bytes <= 16 << 20,
        "{usage:?}"
    );
    assert!(usage.disk_bytes > 60 << 20, "{usage:?}");
    let read = rig.read(&key("j", 1, 0)).await.unwrap();
    assert_eq!(counted(&read), 10 << 20);
    let largest = read
        .iter()
        .map(RecordBatch::get_array_memory_size)
        .max()
        .unwrap();
    assert!(largest < 2 << 20, "{largest}");
    rig.close().await;
}

async fn everything_may_be_on_disk(rig: Rig) {
    rig.write(&key("j", 1, 0), &[many_types()]);
    assert_eq!(rig.store.usage().memory_bytes, 0);
    assert_eq!(rig.dir.files().len(), 1);
    assert_eq!(rig.read(&key("j", 1, 0)).await.unwrap(), [many_types()]);
    rig.close().await;
}

async fn many_small_partitions_are_read_at_once(rig: Rig) {
    for partition in 0..200 {
        rig.write(
            &key("j", 1, partition),
            &[numbers(0, u64::from(partition) + 1)],
        );
    }
    let rig = &rig;
    let sums = futures::stream::iter(0..200)
        .map(|partition| async move {
            let read = rig.read(&key("j", 1, partition)).await.unwrap();
            assert_eq!(counted(&read), u64::from(partition) + 1);
        })
        .buffer_unordered(32)
        .count()
        .await;
    assert_eq!(sums, 200);
}

async fn two_readers_read_the_same(rig: Rig) {
    let batches: Vec<_> = (0..4).map(|part| numbers(part << 20, 1 << 20)).collect();
    rig.write(&key("j", 1, 0), &batches);
    let partition = key("j", 1, 0);
    let (first, second) = tokio::join!(rig.read(&partition), rig.read(&partition));
    assert_eq!(counted(&first.unwrap()), 4 << 20);
    assert_eq!(counted(&second.unwrap()), 4 << 20);
    rig.close().await;
}

/// A merge opens all its inputs, more than there are places for, before it reads the first.
async fn a_reader_that_opens_all_before_it_reads_is_not_stuck(rig: Rig) {
    for partition in 0..40 {
        rig.write(&key("j", 1, partition), &[numbers(0, 300_000)]);
    }
    let mut streams = vec![];
    for partition in 0..40 {
        let address = rig.address(&key("j", 1, partition));
        streams.push(rig.exchange.fetch(&address).await.unwrap());
    }
    // One batch of each, then another of each, until all have ended.
    let mut rows = 0;
    while !streams.is_empty() {
        let mut left = vec![];
        for mut stream in streams {
            if let Some(batch) = stream.next().await {
                rows += batch.unwrap().num_rows();
                left.push(stream);
            }
        }
        streams = left;
    }
    assert_eq!(rows, 40 * 300_000);
    rig.close().await;
}

async fn an_unknown_partition_is_lost(rig: Rig) {
    rig.write(&key("j", 1, 0), &[numbers(0, 3)]);
    for unknown in [key("j", 1, 1), key("j", 2, 0), key("k", 1, 0)] {
        rig.expect_lost(&unknown).await;
    }
    assert_eq!(counted(&rig.read(&key("j", 1, 0)).await.unwrap()), 3);
    rig.close().await;
}

async fn an_unfinished_partition_is_not_seen_and_leaves_nothing(rig: Rig) {
    let mut writer = rig
        .store
        .writer(key("j", 1, 0), numbers(0, 1).schema())
        .unwrap();
    writer.write(&numbers(0, 4 << 20)).unwrap();
    assert!(rig.store.usage().disk_bytes > 0);
    assert_eq!(rig.dir.files().len(), 1);
    rig.expect_lost(&key("j", 1, 0)).await;
    drop(writer);
    assert_eq!(rig.store.usage(), StoreUsage::default());
    assert_eq!(rig.dir.files().len(), 0);
    rig.close().await;
}

async fn what_is_released_is_lost_and_its_bytes_are_free(rig: Rig) {
    for (job, execution) in [("a", 1), ("a", 2), ("a-b", 1), ("b", 1)] {
        rig.write(&key(job, execution, 0), &[numbers(0, 3 << 20)]);
    }
    let one = &key("a", 1, 0);
    assert_eq!(
        rig.store
            .release_execution(&one.job, one.task, one.execution),
        1
    );
    rig.expect_lost(one).await;
    rig.read(&key("a", 2, 0)).await.unwrap();
    assert_eq!(rig.store.release(&one.job), 1);
    rig.expect_lost(&key("a", 2, 0)).await;
    rig.read(&key("a-b", 1, 0)).await.unwrap();
    for job in ["a-b", "b"] {
        assert_eq!(rig.store.release(&JobId::new(job).unwrap()), 1);
    }
    // A server lets go a little after its reader has seen the end.
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.store.usage() != StoreUsage::default() {
        assert!(Instant::now() < deadline, "{:?}", rig.store.usage());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.dir.files().len(), 0);
    rig.close().await;
}

async fn a_reader_finishes_what_is_released_meanwhile(rig: Rig) {
    let batches: Vec<_> = (0..6).map(|part| numbers(part << 20, 1 << 20)).collect();
    rig.write(&key("j", 1, 0), &batches);
    let address = rig.address(&key("j", 1, 0));
    let mut stream = rig.exchange.fetch(&address).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(rig.store.release(&address.key.job), 1);
    let mut read = vec![first];
    read.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    assert_eq!(counted(&read), 6 << 20);
    rig.close().await;
}

async fn a_full_store_says_so_and_keeps_what_it_has(rig: Rig) {
    rig.write(&key("j", 1, 0), &[numbers(0, 1000)]);
    let mut writer = rig
        .store
        .writer(key("j", 1, 1), numbers(0, 1).schema())
        .unwrap();
    let error = (0..100)
        .find_map(|_| writer.write(&numbers(0, 1 << 20)).err())
        .unwrap();
    let Error::Full { limit_bytes, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*limit_bytes, 8 << 20);
    let folder = rig.store.spill_dir();
    assert!(
        error.to_string().contains(folder.to_str().unwrap()),
        "{error}"
    );
    assert!(matches!(
        writer.write(&numbers(0, 1)),
        Err(Error::Unfinished { .. })
    ));
    assert!(matches!(writer.finish(), Err(Error::Unfinished { .. })));
    assert_eq!(rig.dir.files().len(), 0);
    assert_eq!(counted(&rig.read(&key("j", 1, 0)).await.unwrap()), 1000);
    rig.close().await;
}

/// 16 MiB in all, partitions of 4 MB: three of a failed job, and then two of another.
async fn what_is_kept_for_a_retry_makes_way_for_others(rig: Rig) {
    let rows = 500_000;
    for partition in 0..3 {
        rig.write(&key("failed", 1, partition), &[numbers(0, rows)]);
    }
    let failed = JobId::new("failed").unwrap();
    rig.store.keep(failed.clone());
    rig.write(&key("other", 1, 0), &[numbers(0, rows)]);
    // There was room: nothing made way yet.
    assert_eq!(
        counted(&rig.read(&key("failed", 1, 2)).await.unwrap()),
        rows
    );
    // Run again, the job's partitions stand as those of any other.
    rig.store.resume(&failed);
    let schema = numbers(0, 1).schema();
    let mut writer = rig.store.writer(key("other", 1, 1), schema).unwrap();
    let full = writer.write(&numbers(0, rows)).unwrap_err();
    assert!(matches!(full, Error::Full { .. }), "{full}");
    drop(writer);
    rig.store.keep(failed);
    // A reader lets go of what it read a little after its end.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let schema = numbers(0, 1).schema();
        let mut writer = rig.store.writer(key("other", 1, 1), schema).unwrap();
        match writer.write(&numbers(0, rows)) {
            Ok(()) => break writer.finish().map(drop).unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.expect_lost(&key("failed", 1, 0)).await;
    for partition in 0..2 {
        let read = rig.read(&key("other", 1, partition)).await.unwrap();
        assert_eq!(counted(&read), rows);
    }
    rig.close().await;
}

async fn a_partition_is_written_once(rig: Rig) {
    let schema = numbers(0, 1).schema();
    let mut first = rig.store.writer(key("j", 1, 0), schema.clone()).unwrap();
    let mut second = rig.store.writer(key("j", 1, 0), schema.clone()).unwrap();
    first.write(&numbers(0, 5)).unwrap();
    second.write(&numbers(7, 1)).unwrap();
    first.finish().unwrap();
    assert!(matches!(second.finish(), Err(Error::Written { .. })));
    assert!(matches!(
        rig.store.writer(key("j", 1, 0), schema),
        Err(Error::Written { .. })
    ));
    assert_eq!(counted(&rig.read(&key("j", 1, 0)).await.unwrap()), 5);
    rig.close().await;
}

async fn a_byte_that_changed_on_disk_is_found(rig: Rig) {
    rig.write(&key("j", 1, 0), &[numbers(0, 4 << 20)]);
    let [file] = &rig.dir.files()[..] else {
        panic!("{:?}", rig.dir.files());
    };
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let reason = rig.expect_lost(&key("j", 1, 0)).await;
    assert!(reason.contains("checksum"), "{reason}");
    rig.close().await;
}

async fn a_file_that_is_cut_or_gone_is_lost(rig: Rig) {
    rig.write(&key("j", 1, 0), &[numbers(0, 4 << 20)]);
    let files = rig.dir.files();
    let bytes = std::fs::read(&files[0]).unwrap();
    // Behind the rows lies the index: its loss is none while the store lives.
    std::fs::write(&files[0], &bytes[..bytes.len() / 2]).unwrap();
    rig.expect_lost(&key("j", 1, 0)).await;
    std::fs::remove_file(&files[0]).unwrap();
    rig.expect_lost(&key("j", 1, 0)).await;
    rig.close().await;
}

/// A run of 40 partitions, of which 10 get nothing and one gets most, in pieces cut from larger batches.
async fn what_a_shuffle_wrote_comes_back_by_partition_in_order(rig: Rig) {
    let run = key("j", 1, 0);
    let mut writer = rig.shuffle(&run, numbers(0, 1).schema(), 40);
    let mut expected = [0_u64; 40];
    for round in 0..2000_u32 {
        let partition = if round % 2 == 0 { 3 } else { 10 + round % 30 };
        let next = &mut expected[usize::try_from(partition).unwrap()];
        let rows = u64::from(round % 97);
        let parent = numbers(*next, rows + 5000);
        let piece = parent.slice(0, usize::try_from(rows).unwrap());
        writer.write(partition, &piece).unwrap();
        *next += rows;
    }
    rig.expect_lost(&key("j", 1, 3)).await;
    let summaries = writer.finish().unwrap();
    assert_eq!(summaries.len(), 40);
    for (partition, (rows, summary)) in (0..).zip(expected.into_iter().zip(summaries)) {
        let read = rig.read(&key("j", 1, partition)).await.unwrap();
        assert_eq!(read[0].schema(), numbers(0, 1).schema());
        assert_eq!((counted(&read), summary.rows), (rows, rows));
        assert!(summary.batches <= rows / 8192 + 1, "{summary:?}");
    }
    rig.close().await;
}

async fn a_shuffle_keeps_every_type(rig: Rig) {
    let batch = many_types();
    let mut writer = rig.shuffle(&key("j", 1, 0), batch.schema(), 2);
    for row in [0, 1, 2, 3, 2, 0] {
        writer.write(1, &batch.slice(row, 1)).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(
        rig.read(&key("j", 1, 0)).await.unwrap(),
        [batch.slice(0, 0)]
    );
    let rows = [0, 1, 2, 3, 2, 0].map(|row| batch.slice(row, 1));
    let expected = concat_batches(&batch.schema(), &rows).unwrap();
    let read = rig.read(&key("j", 1, 1)).await.unwrap();
    assert_eq!(concat_batches(&batch.schema(), &read).unwrap(), expected);
    rig.close().await;
}

/// 64 partitions of 2 MiB where 8 MiB of memory are: one file, which goes with the last who reads it.
async fn a_shuffle_larger_than_memory_goes_on_in_one_file(rig: Rig) {
    let mut writer = rig.shuffle(&key("j", 1, 0), numbers(0, 1).schema(), 64);
    for round in 0..64 {
        for partition in 0..64 {
            writer
                .write(partition, &numbers(round << 12, 1 << 12))
                .unwrap();
        }
    }
    assert_eq!(rig.dir.files().len(), 1);
    let usage = rig.store.usage();
    assert!(usage.memory_bytes <= (8 + 16) << 20, "{usage:?}");
    writer.finish().unwrap();
    let usage = rig.store.usage();
    assert!(usage.memory_bytes <= 8 << 20, "{usage:?}");
    assert!(usage.disk_bytes > 110 << 20, "{usage:?}");
    assert_eq!(rig.dir.files().len(), 1);
    for partition in 0..64 {
        let read = rig.read(&key("j", 1, partition)).await.unwrap();
        assert_eq!(counted(&read), 1 << 18);
    }
    let last = rig.store.get(&key("j", 1, 63)).unwrap();
    assert_eq!(rig.store.release(&key("j", 1, 0).job), 64);
    assert_eq!(rig.dir.files().len(), 1);
    drop(last);
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.store.usage() != StoreUsage::default() {
        assert!(Instant::now() < deadline, "{:?}", rig.store.usage());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.dir.files().len(), 0);
    rig.close().await;
}

async fn a_shuffle_that_fails_or_is_dropped_leaves_nothing(rig: Rig) {
    let schema = numbers(0, 1).schema();
    let mut dropped = rig.shuffle(&key("j", 1, 0), schema.clone(), 3);
    dropped.write(1, &numbers(0, 1 << 20)).unwrap();
    dropped.write(2, &numbers(0, 10)).unwrap();
    drop(dropped);
    let mut wrong = rig.shuffle(&key("j", 1, 0), schema.clone(), 3);
    assert!(matches!(
        wrong.write(3, &numbers(0, 1)),
        Err(Error::NoSuchPartition {
            partition: 3,
            partitions: 3
        })
    ));
    assert!(matches!(wrong.finish(), Err(Error::Unfinished { .. })));
    assert_eq!(rig.store.usage(), StoreUsage::default());
    assert_eq!(rig.dir.files().len(), 0);
    // One partition of the run is there already, so none of a second run's is taken.
    let mut late = rig.shuffle(&key("j", 1, 0), schema.clone(), 3);
    late.write(0, &numbers(0, 1)).unwrap();
    rig.write(&key("j", 1, 2), &[numbers(0, 7)]);
    assert!(matches!(late.finish(), Err(Error::Written { .. })));
    rig.expect_lost(&key("j", 1, 0)).await;
    assert_eq!(counted(&rig.read(&key("j", 1, 2)).await.unwrap()), 7);
    rig.close().await;
}

/// Makes a test of each case for each exchange, with the store's bytes in memory and on disk.
macro_rules! conformance {
    ($($case:ident($memory:expr, $disk:expr);)*) => {
        mod in_process {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::local($memory, $disk).await).await;
            })*
        }
        mod over_flight {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::flight($memory, $disk).await).await;
            })*
        }
    };
}

conformance! {
    rows_types_schema_and_order_come_back(super::MEMORY, super::DISK);
    dictionaries_may_change_between_batches(super::MEMORY, super::DISK);
    an_empty_partition_keeps_its_schema(super::MEMORY, super::DISK);
    a_partition_larger_than_memory_goes_on_in_a_file(16 << 20, super::DISK);
    everything_may_be_on_disk(0, super::DISK);
    many_small_partitions_are_read_at_once(super::MEMORY, super::DISK);
    two_readers_read_the_same(super::MEMORY, super::DISK);
    a_reader_that_opens_all_before_it_reads_is_not_stuck(128 << 20, super::DISK);
    an_unknown_partition_is_lost(super::MEMORY, super::DISK);
    an_unfinished_partition_is_not_seen_and_leaves_nothing(16 << 20, super::DISK);
    what_is_released_is_lost_and_its_bytes_are_free(32 << 20, super::DISK);
    a_reader_finishes_what_is_released_meanwhile(16 << 20, super::DISK);
    a_full_store_says_so_and_keeps_what_it_has(8 << 20, 8 << 20);
    what_is_kept_for_a_retry_makes_way_for_others(8 << 20, 8 << 20);
    a_partition_is_written_once(super::MEMORY, super::DISK);
    a_byte_that_changed_on_disk_is_found(0, super::DISK);
    a_file_that_is_cut_or_gone_is_lost(0, super::DISK);
    what_a_shuffle_wrote_comes_back_by_partition_in_order(super::MEMORY, super::DISK);
    a_shuffle_keeps_every_type(0, super::DISK);
    a_shuffle_larger_than_memory_goes_on_in_one_file(8 << 20, super::DISK);
    a_shuffle_that_fails_or_is_dropped_leaves_nothing(1 << 20, super::DISK);
}

/// Words of their own in each piece: together more than 8-bit keys can count, and a large dictionary of which
/// each partition uses a little.
#[tokio::test]
async fn a_shuffle_of_dictionaries_sends_the_words_that_are_used() {
    let rig = local(MEMORY, DISK).await;
    let words = |from: usize, keys: Vec<i8>| {
        let words = StringArray::from_iter_values((from..from + 100).map(|n| format!("w{n}")));
        let column = DictionaryArray::<Int8Type>::new(keys.into(), Arc::new(words));
        RecordBatch::try_from_iter([("word", Arc::new(column) as ArrayRef)]).unwrap()
    };
    let mut writer = rig.shuffle(&key("j", 1, 0), words(0, vec![0]).schema(), 1);
    let mut expected = vec![];
    for from in (0..1000).step_by(100) {
        writer.write(0, &words(from, (0..100).collect())).unwrap();
        expected.extend((from..from + 100).map(|n| format!("w{n}")));
    }
    writer.finish().unwrap();
    assert_eq!(
        words_of(&rig.read(&key("j", 1, 0)).await.unwrap()),
        expected
    );

    let large = StringArray::from_iter_values((0..100_000).map(|n| format!("{n:>100}")));
    let keys = (0..100_i32).map(|n| n * 1000).collect::<Vec<_>>();
    let column = DictionaryArray::<Int32Type>::new(keys.into(), Arc::new(large));
    let batch = RecordBatch::try_from_iter([("word", Arc::new(column) as ArrayRef)]).unwrap();
    let mut writer = rig.shuffle(&key("k", 1, 0), batch.schema(), 10);
    for row in 0..100 {
        let partition = u32::try_from(row % 10).unwrap();
        writer.write(partition, &batch.slice(row, 1)).unwrap();
    }
    let summaries = writer.finish().unwrap();
    let bytes: u64 = summaries.iter().map(|summary| summary.bytes).sum();
    assert!(bytes < 100_000, "{bytes}");
    let read = rig.read(&key("k", 1, 7)).await.unwrap();
    let expected: Vec<_> = (0..10)
        .map(|n| format!("{:>100}", (n * 10 + 7) * 1000))
        .collect();
    assert_eq!(words_of(&read), expected);
}

fn words_of(batches: &[RecordBatch]) -> Vec<String> {
    let mut found = vec![];
    for batch in batches {
        let column = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
        let column = column.as_any().downcast_ref::<StringArray>().unwrap();
        found.extend(column.iter().map(|word| word.unwrap().to_owned()));
    }
    found
}

/// Thousands of partitions, each with a row of every batch: slices that would keep all batches alive.
#[test]
fn the_buffers_of_a_shuffle_are_bounded_and_counted() {
    let dir = TestDir::new();
    let store = dir.store(1 << 30, DISK);
    let run = key("j", 1, 0);
    let mut writer = store
        .shuffle_writer(run, numbers(0, 1).schema(), 4000)
        .unwrap();
    let empty = store.usage().memory_bytes;
    let mut most = 0;
    for round in 0..200 {
        let batch = numbers(round * 4000, 4000);
        for partition in 0..4000 {
            let at = usize::try_from(partition).unwrap();
            writer.write(partition, &batch.slice(at, 1)).unwrap();
        }
        most = most.max(store.usage().memory_bytes - empty);
    }
    assert!(most > 10 << 20, "{most}");
    assert!(most <= 64 << 20, "{most}");
    let summaries = writer.finish().unwrap();
    assert!(summaries.iter().all(|summary| summary.rows == 200));
    assert!(summaries.iter().all(|summary| summary.batches == 1));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Any pieces in any order: what a partition gives back is what it was given, in memory or not.
    #[test]
    fn any_shuffle_gives_back_what_it_was_given(
        writes in proptest::collection::vec((0_u32..5, 0_u64..3000), 0..120),
        memory_bytes in proptest::sample::select(vec![0, 100_000, 1 << 30]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = local(memory_bytes, DISK).await;
            let mut writer = rig.shuffle(&key("j", 1, 0), numbers(0, 1).schema(), 5);
            let mut expected = [0_u64; 5];
            for (partition, rows) in writes {
                let next = &mut expected[usize::try_from(partition).unwrap()];
                writer.write(partition, &numbers(*next, rows)).unwrap();
                *next += rows;
            }
            let summaries = writer.finish().unwrap();
            for (partition, rows) in (0..).zip(expected) {
                let read = rig.read(&key("j", 1, partition)).await.unwrap();
                assert_eq!(counted(&read), rows);
                assert_eq!(summaries[usize::try_from(partition).unwrap()].rows, rows);
            }
        });
    }
}

/// What could differ when bodies are compressed on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_are_the_same_partitions() {
    let compressed = || flight_with(16 << 20, DISK, Compress::Always);
    rows_types_schema_and_order_come_back(compressed().await).await;
    an_empty_partition_keeps_its_schema(compressed().await).await;
    a_partition_larger_than_memory_goes_on_in_a_file(compressed().await).await;
    a_reader_finishes_what_is_released_meanwhile(compressed().await).await;
    a_byte_that_changed_on_disk_is_found(flight_with(0, DISK, Compress::Always).await).await;
}

#[test]
fn a_partition_that_nobody_reads_ends_with_its_age() {
    let dir = TestDir::new();
    let store = dir.store(MEMORY, DISK);
    let schema: SchemaRef = numbers(0, 1).schema();
    store
        .writer(key("j", 1, 0), schema)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(store.expire(Instant::now() + Duration::from_secs(50)), 0);
    assert!(store.get(&key("j", 1, 0)).is_some());
    assert_eq!(store.expire(Instant::now() + Duration::from_secs(70)), 1);
    assert!(store.get(&key("j", 1, 0)).is_none());
}

#[test]
fn a_store_removes_the_folders_of_dead_stores_and_no_others() {
    let dir = TestDir::new();
    let alive = dir.store(0, DISK);
    let mut writer = alive
        .writer(key("j", 1, 0), numbers(0, 1).schema())
        .unwrap();
    writer.write(&numbers(0, 9)).unwrap();
    writer.finish().unwrap();
    // What a process that was killed leaves: files, and a lock that nobody holds.
    let dead = dir.path().join("partitions-dead");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("00000000.partition"), "x").unwrap();
    let foreign = dir.path().join("somebody-elses");
    std::fs::create_dir(&foreign).unwrap();
    let second = dir.store(0, DISK);
    assert!(!dead.exists());
    assert!(foreign.exists());
    assert_eq!(dir.files().len(), 1);
    drop(alive);
    drop(second);
    assert_eq!(dir.files().len(), 0);
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let dir = TestDir::new();
    let store = dir.store(MEMORY, DISK);
    let mut writer = store.writer(key("j", 1, 0), many_types().schema()).unwrap();
    assert!(matches!(writer.write(&numbers(0, 1)), Err(Error::Arrow(_))));
    assert!(matches!(writer.finish(), Err(Error::Unfinished { .. })));
}
