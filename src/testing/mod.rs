//! A whole system in one process, and real servers, for tests.

pub mod nats_server;
