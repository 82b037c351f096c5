//! The sorted exchange, which is the external sort too.
//!
//! A task sorts what fits its memory, and writes it as a *run* of *chunks*: partitions 1, 2, … of its output. Partition 0
//! is the *index*: of each chunk its run, its number, its rows, and a few of its keys. A reader reads the indices of all
//! producers, from which every reader computes the same boundaries of ranges, opens the chunks that its range touches,
//! and merges the runs. It holds a chunk of each run.
//!
//! The sort is stable: equal keys come in the order of producer, run and row. Keys are rows in the encoding of `arrow-row`,
//! whose bytes have the order of the keys, directions and nulls included.

mod index;
mod keys;
mod read;
mod write;

pub(crate) use keys::Keys;
pub(crate) use read::{Range, read};
pub(crate) use write::SortedWriter;
