//! Says that the worker lives, and what it does.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::broker::Broker;
use crate::job::failure::chain;
use crate::wire::{self, WorkerState};

/// Announces the worker until `shutdown`, then withdraws it.
pub(crate) async fn run(
    broker: Arc<dyn Broker>,
    period: std::time::Duration,
    ttl: std::time::Duration,
    state: impl Fn() -> WorkerState + Send,
    shutdown: CancellationToken,
) {
    loop {
        announce(&broker, ttl, &state()).await;
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(period) => {}
        }
    }
    if let Err(error) = broker.withdraw(&state().id).await {
        warn!(
            error = chain(&error),
            "the worker's record could not be removed; it ends by itself"
        );
    }
}

/// Announces once.
pub(crate) async fn announce(
    broker: &Arc<dyn Broker>,
    ttl: std::time::Duration,
    state: &WorkerState,
) {
    let announced = match wire::encode(state) {
        Ok(payload) => broker
            .announce(&state.id, state.incarnation, payload, ttl)
            .await
            .map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    if let Err(error) = announced {
        warn!(error, "a heartbeat failed");
    }
}
