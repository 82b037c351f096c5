//! Keeps the leases of all deliveries that the worker holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::broker::{Broker, Lease, Queue};
use crate::job::failure::chain;

/// Leases extended at once.
const EXTENDS_AT_ONCE: usize = 64;

/// The leases that are extended until they are dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    held: Arc<Mutex<BTreeMap<u64, Lease>>>,
    next: Arc<AtomicU64>,
}

/// A lease that is extended while this lives.
#[derive(Debug)]
pub(crate) struct Held {
    leases: Leases,
    number: u64,
    /// The lease itself, for settling.
    pub(crate) lease: Lease,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leases
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}

impl Leases {
    /// Extends a lease from now on.
    pub(crate) fn hold(&self, lease: Lease) -> Held {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(number, lease.clone());
        Held {
            leases: self.clone(),
            number,
            lease,
        }
    }

    /// Extends all leases held, three times a lease's duration, until `shutdown`.
    pub(crate) async fn keep(self, broker: Arc<dyn Broker>, shutdown: CancellationToken) {
        let period = broker.lease_duration(Queue::Tasks) / 3;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
            let leases: Vec<Lease> = {
                let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.values().cloned().collect()
            };
            let extend = |lease: Lease| {
                let broker = &broker;
                async move { broker.extend(&lease).await }
            };
            let mut extended = stream::iter(leases)
                .map(extend)
                .buffer_unordered(EXTENDS_AT_ONCE);
            while let Some(result) = extended.next().await {
                if let Err(error) = result {
                    warn!(error = chain(&error), "a lease could not be extended");
                    break;
                }
            }
        }
    }
}
