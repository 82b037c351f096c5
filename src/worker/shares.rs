//! How the memory of a worker is shared out.

use super::config::{ConfigError, WorkerConfig};

/// What the process takes beside its tasks' data: two runtimes' threads, connections, the jobs that it coordinates, and its
/// code, of which queries touch 60 to 95 MiB (pages of the program's file, which processes share and the system may drop,
/// and which count as resident all the same).
const PROCESS_BYTES: u64 = 96 << 20;
/// The store's memory is at most this share of the whole, and at most so much, unless it is set.
const STORE_SHARE: u64 = 4;
const STORE_BYTES_MAX: u64 = 256 << 20;
/// Bytes in flight from and to peers: this share of the whole, between these.
const NETWORK_SHARE: u64 = 16;
const NETWORK_BYTES_MIN: u64 = 8 << 20;
const NETWORK_BYTES_MAX: u64 = 256 << 20;
/// The least that the tasks of a worker need together: one of them commits outputs.
const TASKS_BYTES_MIN: u64 = 64 << 20;
/// The least that a slot needs: a fragment of a query cannot do with less.
const SLOT_BYTES_MIN: u64 = 32 << 20;
/// What a slot has when nobody said how many there should be.
const SLOT_BYTES_WANTED: u64 = 128 << 20;

/// What each part of a worker may use, in bytes; together they are its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// The process itself.
    pub process_bytes: u64,
    /// Partitions in memory; further ones go to disk.
    pub store_bytes: u64,
    /// Bytes in flight between this worker and its peers.
    pub network_bytes: u64,
    /// What all running tasks together may plan for.
    pub tasks_bytes: u64,
}

impl MemoryShares {
    /// Shares out the memory of a worker.
    ///
    /// # Errors
    /// When too little is left for tasks; the error has all values.
    pub fn of(config: &WorkerConfig) -> Result<Self, ConfigError> {
        let shares = Self::out_of(config.memory_bytes, config.store_memory_bytes);
        let needed_bytes = TASKS_BYTES_MIN.max(SLOT_BYTES_MIN * u64::from(config.slots));
        if shares.tasks_bytes >= needed_bytes {
            return Ok(shares);
        }
        Err(ConfigError::Memory {
            memory_mib: mib(config.memory_bytes),
            store_mib: mib(shares.store_bytes),
            other_mib: mib(shares.process_bytes + shares.network_bytes),
            left_mib: mib(shares.tasks_bytes),
            slots: config.slots,
            needed_mib: mib(needed_bytes),
        })
    }

    /// Returns how many of `slots` have enough memory to be worth having.
    pub(super) fn slots_that_fit(memory_bytes: u64, slots: u32) -> u32 {
        let fit = Self::out_of(memory_bytes, None).tasks_bytes / SLOT_BYTES_WANTED;
        slots.min(u32::try_from(fit).unwrap_or(u32::MAX)).max(1)
    }

    fn out_of(memory_bytes: u64, store_bytes: Option<u64>) -> Self {
        let store_bytes =
            store_bytes.unwrap_or_else(|| (memory_bytes / STORE_SHARE).min(STORE_BYTES_MAX));
        let network_bytes =
            (memory_bytes / NETWORK_SHARE).clamp(NETWORK_BYTES_MIN, NETWORK_BYTES_MAX);
        let others = [PROCESS_BYTES, store_bytes, network_bytes];
        Self {
            process_bytes: PROCESS_BYTES,
            store_bytes,
            network_bytes,
            tasks_bytes: others
                .iter()
                .fold(memory_bytes, |left, bytes| left.saturating_sub(*bytes)),
        }
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn config(memory_mib: u64, slots: u32, store_mib: Option<u64>) -> WorkerConfig {
        WorkerConfig {
            memory_bytes: memory_mib * MIB,
            slots,
            store_memory_bytes: store_mib.map(|mib| mib * MIB),
            ..WorkerConfig::default()
        }
    }

    #[test]
    fn the_parts_are_the_whole() {
        // By hand: a quarter, at most 256 MiB, is the store's; a sixteenth the network's; 96 MiB the process's.
        for (memory, store, expected) in [
            (256, None, (64, 16, 80)),
            (8192, None, (256, 256, 7584)),
            (2048, Some(1024), (1024, 128, 800)),
            (256, Some(0), (0, 16, 144)),
        ] {
            let shares = MemoryShares::of(&config(memory, 1, store)).unwrap();
            let found = (
                mib(shares.store_bytes),
                mib(shares.network_bytes),
                mib(shares.tasks_bytes),
            );
            assert_eq!(found, expected, "{memory} {store:?}");
            let sum = shares.process_bytes
                + shares.store_bytes
                + shares.network_bytes
                + shares.tasks_bytes;
            assert_eq!(sum, memory * MIB);
        }
    }

    #[test]
    fn too_little_memory_is_an_error_with_both_values_and_the_way_out() {
        for (memory, slots, store, named) in [
            (128, 1, None, ["--memory 128 MiB", "--store-memory 32 MiB"]),
            (256, 4, None, ["256 MiB", "4 slots"]),
            (
                1024,
                1,
                Some(1024),
                ["--memory 1024 MiB", "--store-memory 1024 MiB"],
            ),
        ] {
            let error = config(memory, slots, store).validate().unwrap_err();
            let text = error.to_string();
            assert!(named.iter().all(|part| text.contains(part)), "{text}");
            assert!(
                text.contains("--memory") && text.contains("--store-memory"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_small_machine_has_fewer_slots() {
        assert_eq!(MemoryShares::slots_that_fit(8192 * MIB, 8), 8);
        assert_eq!(MemoryShares::slots_that_fit(512 * MIB, 8), 2);
        assert_eq!(MemoryShares::slots_that_fit(100 * MIB, 8), 1);
    }
}
