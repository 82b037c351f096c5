//! Metrics for Prometheus, and health checks.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::exchange::PartitionStore;
use crate::worker::Activity;

/// What the metrics are read from, at each request.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    pub(crate) activity: Activity,
    pub(crate) store: Arc<PartitionStore>,
    pub(crate) slots: u32,
}

/// Serves `/metrics`, `/healthz` and `/readyz` until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, sampled: Sampled, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(sampled);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.cancelled().await });
    if let Err(error) = served.await {
        error!(%error, "the metrics server failed");
    }
}

async fn ready(State(sampled): State<Sampled>) -> impl IntoResponse {
    if sampled.activity.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(sampled): State<Sampled>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &registry(&sampled)) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn registry(sampled: &Sampled) -> Registry {
    let mut registry = Registry::with_prefix("swath_worker");
    let (succeeded, failed) = sampled.activity.ended();
    let usage = sampled.store.usage();
    let running = sampled.activity.running().len();
    let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(
        "tasks_succeeded",
        "Tasks that ended well",
        ConstCounter::new(succeeded),
    );
    registry.register(
        "tasks_failed",
        "Runs of tasks that did not end well",
        ConstCounter::new(failed),
    );
    registry.register("tasks_running", "Tasks that run now", gauge(running as u64));
    registry.register(
        "slots",
        "Tasks that may run at once",
        gauge(u64::from(sampled.slots)),
    );
    registry.register(
        "store_memory_bytes",
        "Partitions in memory",
        gauge(usage.memory_bytes),
    );
    registry.register(
        "store_disk_bytes",
        "Partitions on disk",
        gauge(usage.disk_bytes),
    );
    registry
}
