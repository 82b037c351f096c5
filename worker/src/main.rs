//! `swath-worker`: pulls jobs and tasks from NATS, runs them, serves their partitions over Arrow Flight.

mod allocator;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use swath::broker::{self, Broker, NatsBroker, NatsConfig};
use swath::cluster::{self, Worker, WorkerListeners};
use swath::ids::QueueName;
use swath::job::failure::chain;
use swath::ops::Registry;
use swath::units::{parse_bytes, parse_duration};
use swath::worker::WorkerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Exit code for "broker not reachable".
const EXIT_BROKER: u8 = 3;
/// Exit code for bad arguments.
const EXIT_ARGUMENTS: u8 = 2;

/// A worker of a Swath cluster: pulls jobs and tasks from NATS, runs them, serves their partitions.
///
/// SIGTERM (or Ctrl-C) drains: no new task, finish what runs, leave. A second one gives everything back at once.
#[derive(Debug, Parser)]
#[command(name = "swath-worker", version)]
struct Arguments {
    /// URL of the NATS server, such as nats://localhost:4222
    #[arg(long, env = "SWATH_NATS")]
    nats: Option<String>,
    /// File with NATS credentials
    #[arg(long)]
    creds: Option<PathBuf>,
    /// Certificate authority of the NATS server (PEM)
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// Certificate of this client (PEM)
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of this client (PEM)
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Names the cluster's streams, so that clusters can share a server
    #[arg(long, default_value = "swath")]
    prefix: String,
    /// Copies of each stream and bucket on a NATS cluster
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Name of this worker [default: host name and a random part]
    #[arg(long)]
    id: Option<String>,
    /// Whose jobs it plans, coordinates and runs: those that were submitted with --queue NAME; several as a,b
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "default"
    )]
    queue: Vec<QueueName>,
    /// Where partitions are served
    #[arg(long, default_value = "0.0.0.0:8790")]
    flight_listen: SocketAddr,
    /// HOST:PORT under which other workers reach it [default: the host's name and the port]
    #[arg(long)]
    flight_advertise: Option<String>,
    /// Tasks that run at once [default: one a core]
    #[arg(long)]
    slots: Option<u32>,
    /// Memory of the worker, such as 8GiB: process, stored partitions, network and tasks
    /// [default: three quarters of the cgroup's or machine's]
    #[arg(long, value_parser = parse_bytes)]
    memory: Option<u64>,
    /// The part of it for stored partitions [default: a quarter, at most 256MiB]
    #[arg(long, value_parser = parse_bytes)]
    store_memory: Option<u64>,
    /// Folder for partitions beyond that [default: swath-UID in the system's temporary folder]
    #[arg(long)]
    store_dir: Option<PathBuf>,
    /// Disk for stored partitions and what tasks spill [default: 100GiB]
    #[arg(long, value_parser = parse_bytes)]
    store_disk: Option<u64>,
    /// How long a partition that nobody reads is kept; only those of failed jobs are kept at all, for a retry,
    /// and what no job released: longer than the longest pause between two stages, such as 24h
    #[arg(long, value_parser = parse_duration, default_value = "24h")]
    keep_partitions: Duration,
    /// How long the cluster keeps jobs: their logs, plans and dead letters; longer than the longest job
    /// [default: as it is set; 7d in a new cluster]
    #[arg(long, value_parser = parse_duration)]
    keep_jobs: Option<Duration>,
    /// Where /metrics, /healthz and /readyz are served [default: nowhere]
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// How long a drain waits for running tasks, such as 60s
    #[arg(long, value_parser = parse_duration, default_value = "60s")]
    drain_timeout: Duration,
    /// Run tasks, but never coordinate jobs
    #[arg(long)]
    no_coordinate: bool,
    /// Write logs as JSON
    #[arg(long)]
    log_json: bool,
}

fn main() -> ExitCode {
    allocator::settle();
    let arguments = Arguments::parse();
    swath::telemetry::init("info", arguments.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => Err(error.into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swath-worker: {}", chain(error.as_ref()));
            match error.downcast_ref::<broker::Error>() {
                Some(_) => ExitCode::from(EXIT_BROKER),
                None => ExitCode::from(EXIT_ARGUMENTS),
            }
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let url = arguments
        .nats
        .clone()
        .or_else(|| std::env::var("NATS_URL").ok())
        .context("no broker: give --nats URL, or set SWATH_NATS")?;
    let broker: Arc<dyn Broker> = NatsBroker::connect(NatsConfig {
        prefix: arguments.prefix.clone(),
        replicas: arguments.replicas,
        creds: arguments.creds.clone(),
        tls_ca: arguments.tls_ca.clone(),
        tls_cert: arguments.tls_cert.clone(),
        tls_key: arguments.tls_key.clone(),
        log_max_age: arguments.keep_jobs,
        ..NatsConfig::for_url(url)
    })
    .await?;
    let flight = listen(arguments.flight_listen).await?;
    let metrics = match arguments.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let listeners = WorkerListeners {
        flight: Some(flight),
        flight_advertise: arguments.flight_advertise.clone(),
        metrics,
    };
    let worker = Worker::new(config(&arguments), broker, Registry::built_in(), listeners)?;
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut terminate = signal(SignalKind::terminate())?;
    let told = {
        let (drain, stop) = (drain.clone(), stop.clone());
        async move {
            for (number, token) in [drain, stop].into_iter().enumerate() {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
                if number == 0 {
                    info!("draining: finishing what runs; a second signal gives it back");
                } else {
                    warn!("giving back what runs");
                }
                token.cancel();
            }
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ran = worker.run(drain, stop) => match ran {
            Err(cluster::Error::Broker(error)) => Err(error.into()),
            ran => Ok(ran?),
        },
        () = told => Ok(()),
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another port"))
}

fn config(arguments: &Arguments) -> WorkerConfig {
    let mut config = WorkerConfig {
        id: arguments.id.clone(),
        queues: arguments.queue.clone(),
        drain_timeout: arguments.drain_timeout,
        coordinate: !arguments.no_coordinate,
        partition_age: arguments.keep_partitions,
        ..WorkerConfig::default()
    };
    if let Some(slots) = arguments.slots {
        config = config.with_max_concurrent_tasks(slots);
    }
    if let Some(bytes) = arguments.memory {
        config = config.with_memory_limit(bytes);
    }
    if let Some(bytes) = arguments.store_memory {
        config.store_memory_bytes = Some(bytes);
    }
    if let Some(dir) = &arguments.store_dir {
        config.store_dir.clone_from(dir);
    }
    if let Some(bytes) = arguments.store_disk {
        config.store_disk_bytes = bytes;
    }
    config
}
