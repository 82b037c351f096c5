//! One binary for all integration tests: each module is a topic.

// `cfg(test)` says to the lints what the folder says to people.
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod common;
#[cfg(test)]
mod dead;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod flight;
#[cfg(test)]
mod focal;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[cfg(feature = "tables")]
mod liars;
#[cfg(test)]
#[cfg(feature = "tables")]
mod memory;
#[cfg(test)]
mod nats;
#[cfg(test)]
mod planning;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod retry;
#[cfg(test)]
#[path = "../shared/mod.rs"]
mod shared;
#[cfg(test)]
mod stragglers;
#[cfg(test)]
#[cfg(feature = "tables")]
mod tables;
#[cfg(test)]
mod warp;
#[cfg(test)]
#[cfg(feature = "tables")]
mod zonal;
#[cfg(test)]
mod zoo;
