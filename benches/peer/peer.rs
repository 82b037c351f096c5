//! Shuffles, tiles and tasks side by side with the published crate `oxigdal-distributed` 0.1.7, in one run.
//!
//! `cd benches/peer && GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1048576:glibc.malloc.trim_threshold=4194304 cargo bench`: the
//! settings under which a worker runs. With glibc as it comes, memory may go back to the system in each turn and cost as much time as a
//! shuffle; whether it does hangs on what else was allocated. The batch is that crate's own bench's: (Int32, Float64, Utf8), without
//! nulls; *ascending* is its order of rows, *mixed* the same rows in another. *memcpy* copies the batch's buffers and no more.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use oxigdal_distributed as peer;
use swath::ids::{ExecutionId, Incarnation, WorkerId, WorkerRef};
use swath::job::{Command, Event, JobMachine, Payload, StageShape, Submission, TaskSuccess};
use swath::shuffle::{HashShuffle, RangeShuffle};
use swath::spec::JobOptions;
use swath::time::Timestamp;

const ROWS: u32 = 100_000;
const TASKS: u32 = 10_000;

criterion_group!(benches, hash, range, tiles, tasks);
criterion_main!(benches);

fn ascending() -> RecordBatch {
    let numbers = || 0..i32::try_from(ROWS).unwrap();
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int32Array::from_iter_values(numbers()))),
        (
            "value",
            Arc::new(Float64Array::from_iter_values(
                numbers().map(|number| f64::from(number) * 10.0),
            )),
        ),
        (
            "name",
            Arc::new(StringArray::from_iter_values(
                numbers().map(|number| format!("name_{number}")),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The same rows, none beside its neighbour: 61,803 and 100,000 share no divisor.
fn mixed() -> RecordBatch {
    let rows = UInt32Array::from_iter_values(
        (0..u64::from(ROWS)).map(|row| (row * 61_803 % u64::from(ROWS)) as u32),
    );
    take_record_batch(&ascending(), &rows).unwrap()
}

fn memcpy(group: &mut BenchmarkGroup<WallTime>, batch: &RecordBatch) {
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| column.to_data())
        .collect();
    let buffers: Vec<&[u8]> = columns
        .iter()
        .flat_map(|column| column.buffers())
        .map(|buffer| buffer.as_slice())
        .collect();
    group.bench_function("memcpy", |bench| {
        bench.iter(|| {
            buffers
                .iter()
                .map(|buffer| buffer.to_vec())
                .collect::<Vec<_>>()
        })
    });
}

fn hash(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash shuffle into 4");
    group.throughput(Throughput::Elements(ROWS.into()));
    let batch = ascending();
    memcpy(&mut group, &batch);
    let theirs = peer::HashShuffle::new("id".to_owned(), 4).unwrap();
    group.bench_function("peer", |bench| {
        bench.iter(|| theirs.shuffle(&batch).unwrap())
    });
    let ours = HashShuffle::new(["id"], 4).unwrap();
    group.bench_function("swath", |bench| {
        bench.iter(|| ours.shuffle(&batch).unwrap())
    });
    let ours = HashShuffle::new(["name"], 4).unwrap();
    group.bench_function("swath by name", |bench| {
        bench.iter(|| ours.shuffle(&batch).unwrap())
    });
    let ours = HashShuffle::new(["id", "name"], 4).unwrap();
    group.bench_function("swath by id and name", |bench| {
        bench.iter(|| ours.shuffle(&batch).unwrap())
    });
    let ours = HashShuffle::new(["id"], 200).unwrap();
    let batches = vec![batch; 16];
    group.throughput(Throughput::Elements(u64::from(ROWS) * 16));
    group.bench_function("swath, 16 batches into 200", |bench| {
        bench.iter(|| ours.shuffle_all(&batches[0].schema(), &batches).unwrap());
    });
    group.finish();
}

fn range(criterion: &mut Criterion) {
    let even = [250_000.0, 500_000.0, 750_000.0];
    let cases = [
        (
            "ascending rows, the peer's 250, 500, 750",
            ascending(),
            [250.0, 500.0, 750.0],
        ),
        ("ascending rows, even", ascending(), even),
        (
            "mixed rows, the peer's 250, 500, 750",
            mixed(),
            [250.0, 500.0, 750.0],
        ),
        ("mixed rows, even", mixed(), even),
    ];
    for (name, batch, boundaries) in cases {
        let mut group = criterion.benchmark_group(format!("range shuffle of {name}"));
        group.throughput(Throughput::Elements(ROWS.into()));
        let theirs = peer::RangeShuffle::new("value".to_owned(), boundaries.to_vec()).unwrap();
        group.bench_function("peer", |bench| {
            bench.iter(|| theirs.shuffle(&batch).unwrap())
        });
        let boundaries: ArrayRef = Arc::new(Float64Array::from(boundaries.to_vec()));
        let ours = RangeShuffle::new("value", &boundaries).unwrap();
        group.bench_function("swath", |bench| {
            bench.iter(|| ours.shuffle(&batch).unwrap())
        });
        let ours = ours.sorted();
        group.bench_function("swath, sorted", |bench| {
            bench.iter(|| ours.shuffle(&batch).unwrap())
        });
        group.finish();
    }
}

fn tiles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("16 x 16 tiles");
    let extent = peer::SpatialExtent::new(0.0, 0.0, 1000.0, 1000.0).unwrap();
    let theirs = peer::TilePartitioner::new(extent, 16, 16).unwrap();
    group.bench_function("peer", |bench| bench.iter(|| theirs.partition()));
    let extent = swath::SpatialExtent::new(0.0, 0.0, 1000.0, 1000.0).unwrap();
    let ours = swath::TilePartitioner::new(extent, 16, 16).unwrap();
    group.bench_function("swath", |bench| {
        bench.iter(|| ours.iter().collect::<Vec<_>>())
    });
    group.finish();
}

fn tasks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10,000 tasks added, popped and completed");
    group.throughput(Throughput::Elements(TASKS.into()));
    group.sample_size(10);
    group.bench_function("peer, all running at once", |bench| {
        bench.iter(|| complete_all(peer_scheduler()))
    });
    group.bench_function("peer, one running at a time", |bench| {
        bench.iter(|| complete_each(peer_scheduler()))
    });
    group.bench_function("swath", |bench| {
        bench.iter(|| complete_job(black_box(TASKS)))
    });
    group.finish();
}

fn peer_scheduler() -> peer::TaskScheduler {
    let mut scheduler = peer::TaskScheduler::new();
    for number in 0..u64::from(TASKS) {
        let expression = format!("value > {number}");
        let operation = peer::TaskOperation::Filter { expression };
        scheduler.add_task(peer::Task::new(
            peer::TaskId(number),
            peer::PartitionId(number),
            operation,
        ));
    }
    scheduler
}

fn complete_all(mut scheduler: peer::TaskScheduler) -> peer::TaskScheduler {
    let mut running = Vec::new();
    while let Some(task) = scheduler.next_task() {
        running.push(task.id);
        scheduler.mark_running(task, "worker-1".to_owned());
    }
    for task in running {
        scheduler.mark_completed(task).unwrap();
    }
    scheduler
}

fn complete_each(mut scheduler: peer::TaskScheduler) -> peer::TaskScheduler {
    while let Some(task) = scheduler.next_task() {
        let id = task.id;
        scheduler.mark_running(task, "worker-1".to_owned());
        scheduler.mark_completed(id).unwrap();
    }
    scheduler
}

/// Plans a job of one stage and answers each `Publish` with a success, until it says `Finish`.
fn complete_job(tasks: u32) -> JobMachine {
    let worker = WorkerRef {
        id: WorkerId::new("worker-1").unwrap(),
        incarnation: Incarnation(1),
        flight: "127.0.0.1:8790".to_owned(),
    };
    let mut machine = JobMachine::new();
    let submitted = Event::Submitted(Submission {
        spec: Payload::Inline(Bytes::new()),
        title: "filter".to_owned(),
        options: JobOptions::default(),
        start_at: None,
        seed: 1,
    });
    let stage = StageShape {
        name: "filter".to_owned(),
        tasks,
        inputs: Vec::new(),
    };
    let planned = Event::Planned {
        stages: vec![stage],
        plan: Payload::Inline(Bytes::new()),
    };
    let mut at = 0;
    let mut todo: VecDeque<Command> = VecDeque::new();
    for event in [submitted, Event::Capacity { slots: tasks }, planned] {
        todo.extend(machine.apply(Timestamp(at), &event));
    }
    let mut completed = 0;
    while let Some(command) = todo.pop_front() {
        if let Command::Publish { task, attempt, .. } = command {
            at += 1;
            completed += 1;
            let success = TaskSuccess {
                task,
                attempt,
                execution: ExecutionId(completed),
                worker: worker.clone(),
                run_us: 1,
                stored_bytes: 0,
                result: None,
            };
            todo.extend(machine.apply(Timestamp(at), &Event::TaskSucceeded(success)));
        }
    }
    assert_eq!(completed, u64::from(tasks));
    machine
}
