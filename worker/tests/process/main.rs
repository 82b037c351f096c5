//! Real worker processes on a real `nats-server`, killed, drained, joined by others in mid-job.

// `cfg(test)` says to the lints what the folder says to people.
#[cfg(test)]
mod cluster;
#[cfg(test)]
#[cfg(feature = "tables")]
mod comeback;
#[cfg(test)]
mod jobs;
#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod memory;
#[cfg(test)]
#[cfg(feature = "tables")]
mod rasters;
#[cfg(test)]
mod recovery;
#[cfg(test)]
#[cfg(feature = "tables")]
#[path = "../../../tests/shared/mod.rs"]
mod shared;
#[cfg(test)]
#[cfg(feature = "tables")]
mod tables;
#[cfg(test)]
#[cfg(feature = "tables")]
mod tpch;
