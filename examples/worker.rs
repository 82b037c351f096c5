//! Runs a worker inside a program of its own, on a NATS server; Ctrl-C drains it.
//!
//! `nats-server -js & cargo run --release --example worker -- nats://localhost:4222`

use std::error::Error;
use std::sync::Arc;

use swath::broker::{Broker, NatsBroker, NatsConfig};
use swath::cluster::{Worker, WorkerListeners};
use swath::ops::Registry;
use swath::worker::WorkerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "nats://localhost:4222".to_owned());
    let drain = CancellationToken::new();
    let pressed = drain.clone();
    tokio::select! {
        ran = run(&url, drain) => ran,
        () = async {
            if tokio::signal::ctrl_c().await.is_ok() {
                pressed.cancel();
            }
            std::future::pending::<()>().await;
        } => Ok(()),
    }
}

/// Runs a worker of two tasks at once until `drain`.
pub(crate) async fn run(url: &str, drain: CancellationToken) -> Result<(), Box<dyn Error>> {
    let broker: Arc<dyn Broker> = NatsBroker::connect(NatsConfig::for_url(url)).await?;
    let config = WorkerConfig::default()
        .with_max_concurrent_tasks(2)
        .with_memory_limit(1 << 30)
        .with_num_cores(2);
    let listeners = WorkerListeners {
        flight: Some(TcpListener::bind("127.0.0.1:0").await?),
        ..WorkerListeners::default()
    };
    let worker = Worker::new(config, broker, Registry::built_in(), listeners)?;
    worker.run(drain, CancellationToken::new()).await?;
    Ok(())
}
