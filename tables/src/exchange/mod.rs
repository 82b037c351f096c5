//! What flows between stages: how rows find their partition, and the operator that reads them.
//!
//! Sorted exchanges are in [`crate::sorted`].

mod hash;
mod read;

pub(crate) use hash::Hasher;
pub(crate) use read::{ExchangeReadExec, ReadMode};
