//! What is said while a run goes on, with times, and whether somebody interrupted it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The clock and voice of a run.
#[derive(Debug)]
pub(super) struct Journal {
    began: Instant,
    interrupted: Arc<AtomicBool>,
}

impl Journal {
    /// Begins to listen for Ctrl-C and SIGTERM: what was started must be stopped, so that neither may end the process.
    pub(super) fn start() -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&interrupted);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen for signals")?;
        std::thread::spawn(move || runtime.block_on(listen(&heard)));
        Ok(Self {
            began: Instant::now(),
            interrupted,
        })
    }

    pub(super) fn say(&self, text: &str) {
        println!("{:8.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Every loop that waits asks here.
    pub(super) fn check_interrupt(&self) -> Result<()> {
        ensure!(!self.is_interrupted(), "interrupted");
        Ok(())
    }

    /// Waits until a condition holds; false when it does not within the limit.
    pub(super) fn wait(
        &self,
        limit: Duration,
        mut holds: impl FnMut() -> Result<bool>,
    ) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            self.check_interrupt()?;
            if holds()? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

async fn listen(interrupted: &AtomicBool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        interrupted.store(true, Ordering::Relaxed);
    }
}
