//! A whole cluster in one process: an embedded broker, workers, no server.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::worker::{Error, Worker, WorkerListeners};
use crate::broker::{Broker, EmbeddedBroker};
use crate::client::Client;
use crate::ops::Registry;
use crate::worker::WorkerConfig;

/// How large a local cluster is.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Number of workers; they exchange partitions over Flight on loopback when there are several.
    pub workers: u32,
    /// What each worker may use.
    pub worker: WorkerConfig,
    /// The operations that they know.
    pub registry: Registry,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            worker: WorkerConfig::default(),
            registry: Registry::built_in(),
        }
    }
}

/// A running cluster in this process. Everything in it ends with it.
#[derive(Debug)]
pub struct LocalCluster {
    broker: Arc<dyn Broker>,
    workers: JoinSet<Result<(), Error>>,
    stop: CancellationToken,
}

impl LocalCluster {
    /// Starts a broker and workers in this process.
    ///
    /// # Errors
    /// When a worker cannot start.
    pub async fn start(options: LocalOptions) -> Result<Self, Error> {
        let broker: Arc<dyn Broker> = EmbeddedBroker::new(Default::default());
        Self::start_on(broker, options).await
    }

    /// Starts workers in this process on a broker that may be anywhere.
    ///
    /// # Errors
    /// When a worker cannot start.
    pub async fn start_on(broker: Arc<dyn Broker>, options: LocalOptions) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for number in 0..options.workers.max(1) {
            let mut config = options.worker.clone();
            config.id = Some(match config.id {
                Some(name) if options.workers <= 1 => name,
                Some(name) => format!("{name}-{number}"),
                None => format!("local-{number}"),
            });
            let mut listeners = WorkerListeners::default();
            if options.workers > 1 {
                let listener =
                    TcpListener::bind("127.0.0.1:0")
                        .await
                        .map_err(|source| Error::Listen {
                            address: "127.0.0.1:0".to_owned(),
                            source,
                        })?;
                listeners.flight = Some(listener);
            }
            let worker = Worker::new(
                config,
                Arc::clone(&broker),
                options.registry.clone(),
                listeners,
            )?;
            // There is nothing to drain to: a local cluster stops at once.
            workers.spawn(worker.run(CancellationToken::new(), stop.clone()));
        }
        Ok(Self {
            broker,
            workers,
            stop,
        })
    }

    /// Returns a client of the cluster.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.broker))
    }

    /// Stops all workers and waits until they have left.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => error!(%error, "a local worker failed"),
                Err(error) => error!(%error, "a local worker panicked"),
            }
        }
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
