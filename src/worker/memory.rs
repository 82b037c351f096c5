//! Memory of running tasks: a task starts only when what it plans for fits under the limit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in pages of this size, since permits are 32 bits wide.
const PAGE_BYTES: u64 = 1 << 16;

/// The memory that running tasks share.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    pages: Arc<Semaphore>,
    total_pages: u32,
}

/// Says that a task can never fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the task needs {needed_mib} MiB of memory and this worker's limit for tasks is {limit_mib} MiB, what is left of its --memory; start workers with a higher --memory, or use a smaller --blocksize"
)]
pub(crate) struct TooLarge {
    needed_mib: u64,
    limit_mib: u64,
}

impl MemoryBudget {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let total_pages = pages(limit_bytes);
        Self {
            pages: Arc::new(Semaphore::new(total_pages as usize)),
            total_pages,
        }
    }

    /// Waits until so much is free and takes it until the permit drops.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Option<OwnedSemaphorePermit>, TooLarge> {
        let wanted = pages(bytes);
        if wanted > self.total_pages {
            return Err(TooLarge {
                needed_mib: bytes.div_ceil(1 << 20),
                limit_mib: (u64::from(self.total_pages) * PAGE_BYTES) >> 20,
            });
        }
        // The semaphore is never closed.
        Ok(Arc::clone(&self.pages)
            .acquire_many_owned(wanted)
            .await
            .ok())
    }

    /// Returns what is taken now.
    pub(crate) fn used_bytes(&self) -> u64 {
        let free = u64::try_from(self.pages.available_permits()).unwrap_or(u64::MAX);
        u64::from(self.total_pages).saturating_sub(free) * PAGE_BYTES
    }
}

fn pages(bytes: u64) -> u32 {
    // A semaphore holds fewer permits than 32 bits can name on small machines; 2^28 pages are 16 TiB.
    u32::try_from(bytes.div_ceil(PAGE_BYTES))
        .unwrap_or(u32::MAX)
        .min(1 << 28)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_waits_until_its_memory_is_free() {
        let budget = MemoryBudget::new(100 << 20);
        let first = budget.take(60 << 20).await.unwrap();
        assert_eq!(budget.used_bytes(), 60 << 20);
        let second = budget.take(60 << 20);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.unwrap().is_some());
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn a_task_that_can_never_fit_names_need_and_limit() {
        let error = MemoryBudget::new(100 << 20)
            .take(200 << 20)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("200 MiB") && error.to_string().contains("100 MiB"));
    }
}
