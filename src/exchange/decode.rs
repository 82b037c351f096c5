//! Frames to record batches, from bytes that nobody vouches for.
//!
//! Arrow's decoder validates what it builds, but panics on some of what it is given, and takes lengths of
//! decompressed buffers on trust. So a message is checked against its body first, features that our writer
//! does not use are refused, and a panic that is left is an error.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{Message, MessageHeader, convert::try_schema_from_flatbuffer_bytes};

use super::frame::{FRAME_BYTES_MAX, FRAME_ROWS_MAX, Frame, Tally, Trailer, u64_of};

/// The longest header that holds a schema.
const SCHEMA_BYTES_MAX: u64 = 16 << 20;

/// Says why frames are not what was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Corrupt {
    #[error("a message that is no Arrow message")]
    Message,
    #[error("a message of {bytes} bytes, more than the {limit} allowed")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("a {found} where the schema should be")]
    NoSchema { found: &'static str },
    #[error("a second schema")]
    SecondSchema,
    #[error("the stream ended inside a message")]
    CutMessage,
    #[error("a body that does not decompress to the length promised")]
    Compression,
    #[error("a message that points outside its body")]
    Bounds,
    #[error("a message that uses {0}, which Swath does not write")]
    Feature(&'static str),
    #[error("a message that does not decode")]
    Arrow(#[source] ArrowError),
    #[error("a message that made the decoder panic")]
    Panicked,
    #[error("the stream ended without its trailer")]
    NoTrailer,
    #[error("a trailer that does not decode")]
    Trailer(#[source] crate::wire::Error),
    #[error("more after the trailer")]
    AfterTrailer,
    #[error("the trailer promises {promised} {what}, and {found} came")]
    Count {
        what: &'static str,
        promised: u64,
        found: u64,
    },
    #[error("the checksum is {found:016x}, the trailer says {promised:016x}")]
    Checksum { promised: u64, found: u64 },
}

/// Decodes the frames of one partition and counts along.
pub(super) struct FrameDecoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    dictionary_bytes: HashMap<i64, u64>,
    tally: Tally,
    summed: bool,
}

impl FrameDecoder {
    /// Makes a decoder; `summed` says whether it checks the checksum (the bytes left memory) or not.
    pub(super) fn new(summed: bool) -> Self {
        Self {
            schema: None,
            dictionaries: HashMap::new(),
            dictionary_bytes: HashMap::new(),
            tally: Tally::new(),
            summed,
        }
    }

    /// Takes the next frame; returns a batch if it holds one.
    pub(super) fn accept(&mut self, frame: Frame) -> Result<Option<RecordBatch>, Corrupt> {
        within(frame.bytes(), FRAME_BYTES_MAX)?;
        if self.summed {
            self.tally.sum(&frame);
        }
        // The decoder holds no broken state after a panic that anybody would see: the stream ends.
        let batch = catch_unwind(AssertUnwindSafe(|| self.decode(frame)))
            .map_err(|_| Corrupt::Panicked)??;
        if let Some(batch) = &batch {
            self.tally.count(u64_of(batch.num_rows()));
        }
        Ok(batch)
    }

    /// Compares what came with what the trailer promises. An empty partition gives one batch without rows,
    /// so that its reader knows the schema.
    pub(super) fn end(&self, trailer: &Trailer) -> Result<Option<RecordBatch>, Corrupt> {
        let schema = self
            .schema
            .as_ref()
            .ok_or(Corrupt::NoSchema { found: "trailer" })?;
        let seen = self.tally.trailer();
        same("batches", trailer.batches, seen.batches)?;
        same("rows", trailer.rows, seen.rows)?;
        if self.summed && seen.checksum != trailer.checksum {
            return Err(Corrupt::Checksum {
                promised: trailer.checksum,
                found: seen.checksum,
            });
        }
        Ok((seen.batches == 0).then(|| RecordBatch::new_empty(Arc::clone(schema))))
    }

    fn decode(&mut self, frame: Frame) -> Result<Option<RecordBatch>, Corrupt> {
        let header = frame.header.clone();
        let message = arrow_ipc::root_as_message(&header).map_err(|_| Corrupt::Message)?;
        match (message.header_type(), self.schema.clone()) {
            (MessageHeader::Schema, None) => {
                self.schema = Some(Arc::new(schema_of(&header)?));
                Ok(None)
            }
            (MessageHeader::Schema, Some(_)) => Err(Corrupt::SecondSchema),
            (MessageHeader::DictionaryBatch, Some(schema)) => {
                self.decode_dictionary(&message, frame, &schema)?;
                Ok(None)
            }
            (MessageHeader::RecordBatch, Some(schema)) => {
                self.decode_batch(&message, frame, schema).map(Some)
            }
            (other, None) => Err(Corrupt::NoSchema {
                found: other.variant_name().unwrap_or("message"),
            }),
            (_, Some(_)) => Err(Corrupt::Feature("another kind of message")),
        }
    }

    fn decode_dictionary(
        &mut self,
        message: &Message<'_>,
        frame: Frame,
        schema: &Schema,
    ) -> Result<(), Corrupt> {
        let dictionary = message
            .header_as_dictionary_batch()
            .ok_or(Corrupt::Message)?;
        // A delta adds to what is kept, without an end.
        if dictionary.isDelta() {
            return Err(Corrupt::Feature("delta dictionaries"));
        }
        check(dictionary.data().ok_or(Corrupt::Message)?, frame.body.len())?;
        self.dictionary_bytes.insert(dictionary.id(), frame.bytes());
        within(self.dictionary_bytes.values().sum(), FRAME_BYTES_MAX)?;
        read_dictionary(
            &Buffer::from(frame.body),
            dictionary,
            schema,
            &mut self.dictionaries,
            &message.version(),
        )
        .map_err(Corrupt::Arrow)
    }

    fn decode_batch(
        &self,
        message: &Message<'_>,
        frame: Frame,
        schema: SchemaRef,
    ) -> Result<RecordBatch, Corrupt> {
        let batch = message.header_as_record_batch().ok_or(Corrupt::Message)?;
        check(batch, frame.body.len())?;
        let body = Buffer::from(frame.body);
        // Buffers that do not lie on a multiple of their type's size are copied, the others are not.
        RecordBatchDecoder::try_new(&body, batch, schema, &self.dictionaries, &message.version())
            .and_then(RecordBatchDecoder::read_record_batch)
            .map_err(Corrupt::Arrow)
    }
}

fn schema_of(header: &[u8]) -> Result<Schema, Corrupt> {
    within(u64_of(header.len()), SCHEMA_BYTES_MAX)?;
    try_schema_from_flatbuffer_bytes(header).map_err(Corrupt::Arrow)
}

pub(super) fn within(bytes: u64, limit: u64) -> Result<(), Corrupt> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Corrupt::TooLarge { bytes, limit })
}

fn same(what: &'static str, promised: u64, found: u64) -> Result<(), Corrupt> {
    if promised == found {
        return Ok(());
    }
    Err(Corrupt::Count {
        what,
        promised,
        found,
    })
}

/// Checks that a batch speaks only of bytes that are there, and of no more rows than a frame may have.
fn check(batch: arrow_ipc::RecordBatch<'_>, body_bytes: usize) -> Result<(), Corrupt> {
    if batch.compression().is_some() {
        return Err(Corrupt::Feature("compressed buffers"));
    }
    let body_bytes = i64::try_from(body_bytes).map_err(|_| Corrupt::Bounds)?;
    let rows_max = i64::try_from(FRAME_ROWS_MAX).unwrap_or(i64::MAX);
    // Children may have more cells than there are rows, up to one a bit.
    let cells_max = rows_max.saturating_mul(2);
    let buffers = batch.buffers().ok_or(Corrupt::Message)?;
    let nodes = batch.nodes().ok_or(Corrupt::Message)?;
    let buffers_fit = buffers.iter().all(|buffer| {
        let end = buffer.offset().checked_add(buffer.length());
        buffer.offset() >= 0 && buffer.length() >= 0 && end.is_some_and(|end| end <= body_bytes)
    });
    let nodes_fit = nodes.iter().all(|node| {
        (0..=cells_max).contains(&node.length()) && (0..=node.length()).contains(&node.null_count())
    });
    let views_max = i64::try_from(buffers.len()).unwrap_or(i64::MAX);
    let views_fit = batch
        .variadicBufferCounts()
        .is_none_or(|counts| counts.iter().all(|count| (0..=views_max).contains(&count)));
    let rows_fit = (0..=rows_max).contains(&batch.length());
    if buffers_fit && nodes_fit && views_fit && rows_fit {
        return Ok(());
    }
    Err(Corrupt::Bounds)
}
