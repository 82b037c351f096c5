//! Whoever runs the command wants it to end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C, or for the SIGTERM of a service manager; for ever, where neither can be heard.
pub(crate) async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminated => {}
        else => std::future::pending().await,
    }
}
