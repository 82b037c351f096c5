//! The CPU pool: kernels run here and nowhere else, so that they starve nothing that waits.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

/// A fixed number of threads for computing.
#[derive(Debug)]
pub(crate) struct CpuPool {
    pool: rayon::ThreadPool,
}

/// Says that a computation panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the task panicked: {message}")]
pub(crate) struct Panicked {
    /// What the panic said.
    pub message: String,
}

impl CpuPool {
    /// Starts the threads.
    pub(crate) fn new(threads: u32) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads as usize)
            .thread_name(|number| format!("swath-cpu-{number}"))
            .build()?;
        Ok(Self { pool })
    }

    /// Runs a computation and waits for it. A panic comes back as an error.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (sender, receiver) = oneshot::channel();
        self.pool.spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked {
                message: panic_message(&*panic),
            });
            // The caller may have gone, by a timeout or a cancel; then nobody wants the result.
            drop(sender.send(done));
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Panicked {
                message: "the CPU pool went away".to_owned(),
            })
        })
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
