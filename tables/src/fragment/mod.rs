//! The bytes of a fragment: a physical plan, and how what it gives is written.
//!
//! DataFusion's own encoding (`datafusion-proto`) carries the plan, `codec` the operators that are ours. A fragment is
//! read only by the version that wrote it: a cluster plans and runs with one.

mod codec;
mod converter;

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_extension_codec,
};
use prost::Message;

use codec::Codec;
use converter::Converter;

/// How a task writes what its plan gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Output {
    /// One partition: rows of the result.
    Result = 0,
    /// By the hash of keys: a `RepartitionExec` is the plan's root.
    Hash = 1,
    /// Sorted runs: a `SortPreservingMergeExec` is the plan's root.
    Sorted = 2,
    /// One partition for one reader: a `CoalescePartitionsExec` is the plan's root.
    Whole = 3,
    /// One partition for every reader: a `CoalescePartitionsExec` is the plan's root.
    Broadcast = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(enumeration = "Output", tag = "1")]
    output: i32,
    #[prost(uint32, tag = "2")]
    tasks: u32,
    #[prost(bytes = "bytes", tag = "3")]
    plan: Bytes,
}

/// A fragment, as a task runs it.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// How it writes.
    pub(crate) output: Output,
    /// Number of tasks that run it.
    pub(crate) tasks: u32,
    /// What it runs, with the exchange that it writes as root.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
}

/// Writes a fragment down.
pub(crate) fn encode(output: Output, plan: &Arc<dyn ExecutionPlan>, tasks: u32) -> Result<Bytes> {
    let plan = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &Codec)?;
    let encoded = Encoded {
        output: output.into(),
        tasks,
        plan,
    };
    Ok(encoded.encode_to_vec().into())
}

/// Reads a fragment; functions are found by name in the context.
pub(crate) fn decode(bytes: &[u8], context: &TaskContext) -> Result<Fragment> {
    let encoded = Encoded::decode(bytes)
        .map_err(|error| internal_datafusion_err!("a fragment that cannot be read: {error}"))?;
    Ok(Fragment {
        output: encoded.output(),
        tasks: encoded.tasks,
        plan: physical_plan_from_bytes_with_proto_converter(
            &encoded.plan,
            context,
            &Codec,
            &Converter,
        )?,
    })
}
