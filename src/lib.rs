//! Swath turns a NATS server and any number of machines into one geospatial processing cluster.
//!
//! A producer enqueues a *job*; the job is planned into *stages* of *tasks*; workers pull tasks,
//! hand each other Arrow *partitions* over Flight, and commit the result once. The same code runs
//! in one process with no server at all.
//!
//! The map of the rooms, from the pure core outwards:
//!
//! | room | what it is for |
//! |---|---|
//! | [`ids`], [`time`], [`units`] | validated identities; time as a value; sizes as people write them |
//! | [`grid`] | cells and where they are: CRS, affine, window, data types, blocks |
//! | [`crs`] | coordinate reference systems: where a cell of one grid lies in another |
//! | [`spec`] | what a person asks for: the versioned format of a job |
//! | [`partition`] | cutting an extent, a grid, keys or a file into parts |
//! | [`shuffle`] | dealing the rows of Arrow batches out into partitions |
//! | [`ops`] | what is computed: kernels, expressions, the list of operations |
//! | [`plan`] | spec + facts about inputs → stages of tasks |
//! | [`job`] | the life of a job: the pure state machine over its log |
//! | [`wire`] | versioned bytes of messages |
//! | [`broker`] | queues, leases, logs: one trait, in process and on NATS |
//! | [`exchange`] | partitions of other workers: store, Flight server and client |
//! | [`io`] | GeoTIFF and COG, local and by range requests; commits |
//! | [`coordinator`], [`worker`], [`client`] | the services |
//! | [`cluster`] | services put together: a whole worker, a whole cluster in one process |
//! | [`testing`] | what tests need: a real `nats-server` of their own |
//!
//! Read [`job`] first: everything else serves it.

pub mod broker;
pub mod client;
pub mod cluster;
pub mod coordinator;
pub mod crs;
pub mod exchange;
pub mod grid;
pub mod ids;
pub mod io;
pub mod job;
pub mod ops;
pub mod partition;
pub mod plan;
pub mod shuffle;
pub mod spec;
pub mod tables;
pub mod telemetry;
pub mod testing;
pub mod time;
pub mod units;
pub mod wire;
pub mod worker;

pub use client::{Client, Coordinator, CoordinatorConfig};
pub use cluster::{LocalCluster, Worker};
pub use ops::{Operation, OperationError, Registry, TaskContext};
pub use partition::{
    HashPartitioner, LoadBalancedPartitioner, RangePartitioner, SpatialExtent, StripPartitioner,
    TilePartitioner,
};
pub use shuffle::{BroadcastShuffle, HashShuffle, RangeShuffle};
pub use spec::{JobSpec, TaskOperation};
pub use worker::WorkerConfig;
