//! One binary for all integration tests: each module is a topic.

mod architecture;
mod cluster;
mod common;
mod examples;
mod hostile;
mod nats;
mod ranges;
mod zoo;
