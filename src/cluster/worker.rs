//! A whole worker: runs tasks, coordinates jobs, serves partitions, answers health checks.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::metrics;
use crate::broker::{self, Broker};
use crate::coordinator::{CoordinatorService, Driven};
use crate::exchange::{self, PartitionStore, StoreConfig};
use crate::exchange::{FetchConfig, FlightConfig, FlightExchange, FlightServer};
use crate::ids::{Incarnation, WorkerId, WorkerRef};
use crate::io::source::{self, HttpPolicy, Sources};
use crate::job::failure::chain;
use crate::ops::Registry;
use crate::tables::Tables;
use crate::worker::{ConfigError, TaskService, WorkerConfig, WorkerPorts};

/// Says why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings contradict each other.
    #[error("the worker's settings do not fit together")]
    Config(#[from] ConfigError),
    /// The partition store cannot be made.
    #[error("the partition store cannot be opened; give another folder with --store-dir")]
    Store(#[from] exchange::Error),
    /// The HTTP client cannot be made.
    #[error("files cannot be read")]
    Sources(#[from] source::Error),
    /// A port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker does not let it serve its queues.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// The CPU pool cannot be started.
    #[error("the CPU pool cannot be started")]
    CpuPool(#[from] rayon::ThreadPoolBuildError),
}

/// The sockets of a worker, bound by the caller.
#[derive(Debug, Default)]
pub struct WorkerListeners {
    /// Where partitions are served; without it they are read by this process only.
    pub flight: Option<TcpListener>,
    /// `host:port` under which peers reach the Flight server; default the listener's address, with this host's
    /// name where it listens on all interfaces.
    pub flight_advertise: Option<String>,
    /// Where metrics and health checks are served.
    pub metrics: Option<TcpListener>,
}

/// A worker that is ready to run.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    me: WorkerRef,
    ports: WorkerPorts,
    listeners: WorkerListeners,
}

impl Worker {
    /// Makes a worker on a broker, with the operations of `registry` beside the built-in ones that it holds.
    ///
    /// # Errors
    /// When the settings contradict each other, or the partition store cannot be opened.
    pub fn new(
        config: WorkerConfig,
        broker: Arc<dyn Broker>,
        registry: Registry,
        listeners: WorkerListeners,
    ) -> Result<Self, Error> {
        config.validate()?;
        let shares = config.shares()?;
        let id = match &config.id {
            Some(name) => WorkerId::new(name).map_err(ConfigError::from)?,
            None => default_id(),
        };
        let flight = advertised(&listeners)?;
        let me = WorkerRef {
            id,
            incarnation: Incarnation(rand::random()),
            flight,
        };
        let store = PartitionStore::new(StoreConfig {
            memory_bytes: shares.store_bytes,
            dir: config.store_dir.clone(),
            disk_bytes: config.store_disk_bytes,
            max_age: config.partition_age,
            // A name made up at random does not come back.
            owner: config.id.is_some().then(|| me.id.clone()),
        })?;
        let exchange = FlightExchange::new(
            Arc::clone(&store),
            me.clone(),
            FetchConfig::within(shares.network_bytes),
        );
        let ports = WorkerPorts {
            broker,
            store,
            exchange,
            sources: Sources::with_policy(caching(config.memory_bytes))?,
            tables: Tables::new(),
            registry,
        };
        Ok(Self {
            config,
            me,
            ports,
            listeners,
        })
    }

    /// Returns the worker's name.
    #[must_use]
    pub fn id(&self) -> &WorkerId {
        &self.me.id
    }

    /// Runs until it is told to leave, and has left cleanly.
    ///
    /// - `drain`: takes no new task and no new job, gives its jobs to other coordinators, finishes what runs.
    ///   When that takes longer than the drain timeout, what still runs is given back.
    /// - `stop`: gives everything back at once.
    ///
    /// # Errors
    /// When the broker does not let it serve its queues, or the CPU pool cannot be started.
    pub async fn run(self, drain: CancellationToken, stop: CancellationToken) -> Result<(), Error> {
        let Self {
            config,
            me,
            ports,
            listeners,
        } = self;
        let (broker, store) = (Arc::clone(&ports.broker), Arc::clone(&ports.store));
        broker.serve(&config.queues).await?;
        let driven = Driven::default();
        let coordinates = driven.clone();
        let service = CoordinatorService {
            worker: me.id.clone(),
            queues: config.queues.clone(),
            broker: Arc::clone(&broker),
            sources: ports.sources.clone(),
            tables: ports.tables.clone(),
            registry: Registry::clone(&ports.registry),
            driven,
        };
        let (drain_timeout, coordinate, slots) =
            (config.drain_timeout, config.coordinate, config.slots);
        let tasks = TaskService::new(config, me.clone(), ports.clone(), move || {
            coordinates.list()
        });
        let services = TaskTracker::new();
        let ended = CancellationToken::new();
        if let Some(listener) = listeners.flight {
            let (store, ended) = (Arc::clone(&store), ended.clone());
            #[cfg(not(feature = "tables"))]
            let results = None;
            #[cfg(feature = "tables")]
            let results: Option<Arc<dyn exchange::ResultDirectory>> =
                Some(Arc::new(super::results::CommittedTables {
                    broker: Arc::clone(&broker),
                    store: Arc::clone(&store),
                    tables: ports.tables.clone(),
                    me: me.clone(),
                }));
            let config = FlightConfig::default();
            services.spawn(async move {
                let served = FlightServer::serve(listener, store, results, ended, config);
                if let Err(error) = served.await {
                    error!(error = chain(&error), "the Flight server failed");
                }
            });
        }
        if let Some(listener) = listeners.metrics {
            let served = metrics::serve(
                listener,
                metrics::Sampled {
                    activity: tasks.activity(),
                    store: Arc::clone(&store),
                    slots,
                },
                ended.clone(),
            );
            services.spawn(served);
        }
        if coordinate {
            let leave = drain.clone();
            let stop = stop.clone();
            services.spawn(async move {
                let token = CancellationToken::new();
                let run = service.run(token.clone());
                let told = async {
                    tokio::select! {
                        () = leave.cancelled() => {}
                        () = stop.cancelled() => {}
                    }
                    token.cancel();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = run => {}
                    () = told => {}
                }
            });
        }
        info!(worker = %me.id, flight = me.flight, slots, "worker is up");
        let stop = stop.child_token();
        let ran = until_drained(
            tasks.run(drain.clone(), stop.clone()),
            &drain,
            &stop,
            drain_timeout,
        );
        let result = ran.await;
        ended.cancel();
        drain.cancel();
        services.close();
        services.wait().await;
        info!(worker = %me.id, "worker has left");
        Ok(result?)
    }
}

/// Waits for the tasks to end; stops them when a drain takes too long.
async fn until_drained<T>(
    run: impl Future<Output = T>,
    drain: &CancellationToken,
    stop: &CancellationToken,
    timeout: std::time::Duration,
) -> T {
    tokio::pin!(run);
    let too_long = async {
        drain.cancelled().await;
        tokio::time::sleep(timeout).await;
    };
    tokio::select! {
        result = &mut run => return result,
        () = too_long => warn!(?timeout, "the drain took too long; running tasks are given back"),
    }
    stop.cancel();
    run.await
}

/// Keeps of what was read from servers no more than a small part of the worker's memory.
fn caching(memory_bytes: u64) -> HttpPolicy {
    let policy = HttpPolicy::default();
    HttpPolicy {
        cache_bytes: policy.cache_bytes.min(memory_bytes / 32),
        ..policy
    }
}

fn default_id() -> WorkerId {
    let host = sysinfo::System::host_name().unwrap_or_default();
    let clean: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let random: u32 = rand::random();
    let name = format!("{clean}-{random:08x}");
    WorkerId::new(name.trim_start_matches('-'))
        .unwrap_or_else(|_| unreachable!("the name is made of allowed characters"))
}

/// Returns the address under which peers reach the Flight server.
fn advertised(listeners: &WorkerListeners) -> Result<String, Error> {
    if let Some(address) = &listeners.flight_advertise {
        return Ok(address.clone());
    }
    let Some(listener) = &listeners.flight else {
        return Ok(String::new());
    };
    let address: SocketAddr = listener.local_addr().map_err(|source| Error::Listen {
        address: "the Flight port".to_owned(),
        source,
    })?;
    if !address.ip().is_unspecified() {
        return Ok(address.to_string());
    }
    let host = sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_owned());
    Ok(format!("{host}:{}", address.port()))
}
