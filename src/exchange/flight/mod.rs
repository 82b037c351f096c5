//! Partitions over Arrow Flight: a server before the store, and the exchange that fetches from it.
//!
//! - [`server`] answers `DoGet` with the stored frames and a trailer; `service` answers the rest of Flight;
//!   `socket` ends connections.
//! - [`client`] is the [`super::Exchange`]; `governor` says when it may open a stream, `pool` on which
//!   connection.
//! - `ask` asks a worker for the table of a job.
//! - `body` writes the messages and `messages` reads them, both without the copies that a general gRPC
//!   library makes. They are plain Flight all the same: any client may read, and any server be read.
//! - `lz4` makes bodies smaller between hosts, for readers that ask for it.
//!
//! # Memory of a reader
//! A stream holds at most what its HTTP/2 window lets the peer send ahead, the message being put together, and one buffer of an
//! earlier message, of up to 4 MiB, which it keeps for the next.
//! So an open stream is charged its window ([`FetchConfig::stream_window_bytes`]), and streams are opened
//! while the charges fit into [`FetchConfig::bytes_in_flight`]. A connection never carries more streams than its own
//! window has room for: one whose reader sleeps cannot starve the others.

mod ask;
mod body;
pub mod client;
mod governor;
mod lz4;
mod messages;
mod pool;
pub mod server;
pub(super) mod service;
mod socket;

pub use ask::{find_result, health};
pub use client::{Compress, FetchConfig, FlightExchange};
pub use server::{FlightConfig, FlightServer};

/// HTTP/2 frames, in bytes: the fewer the better, with messages of 1 MiB.
const HTTP2_FRAME_BYTES: u32 = 1 << 20;
