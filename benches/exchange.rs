//! One GiB in batches of 8 MiB over loopback, on one stream: from a partition store to the batches of a reader,
//! against a plain TCP copy with Arrow's IPC stream decoded at its end.
//!
//! `cargo bench --bench exchange -- [rounds]`. Rounds of the two take turns, so that other work on the machine hits
//! both; what counts is the ratio of the medians.

use std::io::{BufReader, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BinaryArray, Float64Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use futures::TryStreamExt;
use swath::exchange::{
    Exchange, FetchConfig, FlightConfig, FlightExchange, FlightServer, PartitionAddress,
    PartitionKey, PartitionStore, StoreConfig,
};
use swath::ids::{ExecutionId, Incarnation, JobId, TaskId, WorkerId, WorkerRef};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const BATCHES: usize = 128;
const BATCH_BYTES: usize = 8 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // `cargo test --benches` runs this too, and must not move 8 GiB.
    if !std::env::args().any(|word| word == "--bench") {
        println!("left out: run it with `cargo bench --bench exchange`");
        return Ok(());
    }
    let rounds = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(7);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    for (name, batch) in [("f64", floats()?), ("tiles", tiles()?)] {
        let plain = Arc::new(ipc_stream(&batch)?);
        for (place, memory_bytes) in [("memory", 4 << 30), ("disk", 0)] {
            let rig = runtime.block_on(Rig::new(&batch, memory_bytes))?;
            let (mut flight, mut tcp, mut local) = (vec![], vec![], vec![]);
            let (mut flight_cpu, mut tcp_cpu) = (vec![], vec![]);
            for _ in 0..rounds {
                let start = cpu_time();
                flight.push(runtime.block_on(rig.read(&rig.remote))?);
                let middle = cpu_time();
                tcp.push(tcp_copy(&plain)?);
                flight_cpu.push(middle.saturating_sub(start));
                tcp_cpu.push(cpu_time().saturating_sub(middle));
                local.push(runtime.block_on(rig.read(&rig.local))?);
            }
            let (flight, tcp, local) = (median(flight), median(tcp), median(local));
            let (flight_cpu, tcp_cpu) = (median(flight_cpu), median(tcp_cpu));
            println!(
                "{name:5} {place:6}: flight {flight:.2} GiB/s, tcp + ipc {tcp:.2} GiB/s, ratio {:.2}; \
                 CPU s/GiB {:.2} and {:.2}, ratio {:.2}; in process {local:.2} GiB/s",
                flight / tcp,
                1.0 / flight_cpu,
                1.0 / tcp_cpu,
                tcp_cpu / flight_cpu
            );
            rig.shutdown.cancel();
        }
    }
    Ok(())
}

fn floats() -> Result<RecordBatch, Failure> {
    let column = Float64Array::from_iter_values((0_u32..1 << 20).map(f64::from));
    Ok(RecordBatch::try_from_iter([(
        "v",
        Arc::new(column) as ArrayRef,
    )])?)
}

/// Encoded tiles of 64 KiB, as a raster task stores them.
fn tiles() -> Result<RecordBatch, Failure> {
    let tile: Vec<u8> = (0_u32..1 << 16)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let column = BinaryArray::from_iter_values(std::iter::repeat_n(tile, BATCH_BYTES >> 16));
    Ok(RecordBatch::try_from_iter([(
        "tile",
        Arc::new(column) as ArrayRef,
    )])?)
}

fn median(mut seconds: Vec<Duration>) -> f64 {
    seconds.sort();
    let middle = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    ((BATCHES * BATCH_BYTES) >> 20) as f64 / 1024.0 / middle.as_secs_f64()
}

/// Returns the CPU time of this process so far; zero where the system does not say (it says so on Linux).
///
/// On a machine that others use too it tells more than the clock.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, counted behind the name in parentheses, in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn ipc_stream(batch: &RecordBatch) -> Result<Vec<u8>, Failure> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    for _ in 0..BATCHES {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(writer.into_inner()?)
}

fn tcp_copy(stream: &Arc<Vec<u8>>) -> Result<Duration, Failure> {
    let listener = StdListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let start = Instant::now();
    let bytes = Arc::clone(stream);
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        bytes
            .chunks(1 << 20)
            .try_for_each(|chunk| socket.write_all(chunk))
    });
    let socket = BufReader::with_capacity(64 << 10, StdStream::connect(address)?);
    let mut rows = 0;
    for batch in StreamReader::try_new(socket, None)? {
        rows += std::hint::black_box(batch?).num_rows();
    }
    let took = start.elapsed();
    sender.join().map_err(|_| "the sender panicked")??;
    assert!(rows > 0);
    Ok(took)
}

struct Rig {
    exchange: Arc<FlightExchange>,
    remote: PartitionAddress,
    local: PartitionAddress,
    rows: usize,
    shutdown: CancellationToken,
}

impl Rig {
    async fn new(batch: &RecordBatch, memory_bytes: u64) -> Result<Self, Failure> {
        let config = StoreConfig {
            memory_bytes,
            ..StoreConfig::default()
        };
        let store = PartitionStore::new(config)?;
        let key = PartitionKey {
            job: JobId::new("bench")?,
            task: TaskId::default(),
            execution: ExecutionId(1),
            partition: 0,
        };
        let start = Instant::now();
        let mut writer = store.writer(key.clone(), batch.schema())?;
        for _ in 0..BATCHES {
            writer.write(batch)?;
        }
        writer.finish()?;
        println!("written in {:.2} s", start.elapsed().as_secs_f64());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let me = WorkerRef {
            id: WorkerId::new("me")?,
            incarnation: Incarnation(1),
            flight: listener.local_addr()?.to_string(),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(FlightServer::serve(
            listener,
            Arc::clone(&store),
            None,
            shutdown.clone(),
            FlightConfig::default(),
        ));
        // The same worker in another life: read over the network.
        let other = WorkerRef {
            incarnation: Incarnation(2),
            ..me.clone()
        };
        Ok(Self {
            exchange: FlightExchange::new(store, me.clone(), fetch_config()),
            remote: PartitionAddress {
                key: key.clone(),
                worker: other,
            },
            local: PartitionAddress { key, worker: me },
            rows: batch.num_rows() * BATCHES,
            shutdown,
        })
    }

    async fn read(&self, address: &PartitionAddress) -> Result<Duration, Failure> {
        let exchange = Arc::clone(&self.exchange);
        let address = address.clone();
        let start = Instant::now();
        let rows = tokio::spawn(async move {
            let mut stream = exchange.fetch(&address).await?;
            let mut rows = 0;
            while let Some(batch) = stream.try_next().await? {
                rows += std::hint::black_box(batch).num_rows();
            }
            Ok::<_, swath::exchange::Error>(rows)
        })
        .await??;
        let took = start.elapsed();
        assert_eq!(rows, self.rows);
        Ok(took)
    }
}

/// The default, or other windows in MiB: `SWATH_BENCH_WINDOWS=stream,connection`.
fn fetch_config() -> FetchConfig {
    let mut config = FetchConfig::default();
    let windows = std::env::var("SWATH_BENCH_WINDOWS").unwrap_or_default();
    if let Some((stream, connection)) = windows.split_once(',')
        && let (Ok(stream), Ok(connection)) = (stream.parse::<u32>(), connection.parse::<u32>())
    {
        config.stream_window_bytes = stream << 20;
        config.connection_window_bytes = connection << 20;
    }
    config
}
