//! Arrow IPC: files (with a footer), streams, and what Feather 2 calls itself.
//!
//! Messages are framed here rather than by `arrow-ipc`'s readers, which allocate what a message declares: here every
//! declared length is held against the bytes that are there, first.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow_ipc::{Block, Message, MessageHeader, MetadataVersion};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::Error;
use super::facts::FileFacts;
use super::guard::guarded;
use super::locate::Found;
use super::split::Cuts;
use crate::ports::BoxError;

const MAGIC: &[u8] = b"ARROW1";
const CONTINUATION: [u8; 4] = [0xff; 4];
/// What is read of a file at once, at least.
const READ_BYTES: u64 = 1 << 20;
/// One compressed byte never stands for more than this many.
const EXPANSION_MAX: u64 = 1 << 14;
/// Rows of columns that take no bytes.
const ROWS_MIN: u64 = 1 << 20;

/// Reads the schema, and, of a file, where its batches are.
pub(super) async fn facts(found: &Found, store: &Arc<dyn ObjectStore>) -> Result<FileFacts, Error> {
    guarded(&found.shown, async {
        let size = found.meta.size;
        let location = found.meta.location.clone();
        let reader = IpcReader::open(Arc::clone(store), location, size, None).await?;
        let blocks = reader.blocks.iter().flatten();
        let offsets: Vec<u64> = blocks.rev().map(|block| block.start).collect();
        let cuts = match offsets.is_sorted() {
            true => Cuts::Before(offsets.into_iter().skip(1).collect()),
            false => Cuts::Whole,
        };
        Ok(FileFacts {
            schema: reader.schema,
            rows: None,
            cuts,
            footer: None,
        })
    })
    .await
}

/// Reads batches one after the other.
#[derive(Debug)]
pub(super) struct IpcReader {
    window: Window,
    schema: SchemaRef,
    version: MetadataVersion,
    dictionaries: HashMap<i64, ArrayRef>,
    /// The batches of a file that are still to be read, the next one last; nothing for a stream.
    blocks: Option<Vec<Range<u64>>>,
}

impl IpcReader {
    /// Opens a file or stream.
    ///
    /// - `range`: of a file, only batches that begin there.
    pub(super) async fn open(
        store: Arc<dyn ObjectStore>,
        location: Path,
        size: u64,
        range: Option<Range<u64>>,
    ) -> Result<Self, BoxError> {
        let mut window = Window {
            store,
            location,
            size,
            at: 0,
            start: 0,
            bytes: Bytes::new(),
        };
        let magic = window.read(size.min(8)).await?;
        if magic.starts_with(b"FEA1") {
            return Err("it is Feather 1; write it again as Arrow IPC".into());
        }
        match magic.starts_with(MAGIC) {
            true => Self::open_file(window, range).await,
            false => Self::open_stream(window).await,
        }
    }

    async fn open_stream(mut window: Window) -> Result<Self, BoxError> {
        window.at = 0;
        let message = window.message().await?.ok_or("it has no schema")?;
        let parsed = message.parse()?;
        let schema = parsed.header_as_schema().ok_or("it has no schema")?;
        Ok(Self {
            schema: read_schema(schema)?,
            version: parsed.version(),
            dictionaries: HashMap::new(),
            blocks: None,
            window,
        })
    }

    async fn open_file(mut window: Window, range: Option<Range<u64>>) -> Result<Self, BoxError> {
        let end = window.size;
        window.at = end
            .checked_sub(10)
            .ok_or("it ends within its first bytes")?;
        let tail = window.read(10).await?;
        let (length, magic) = tail.split_first_chunk::<4>().ok_or("it has no footer")?;
        let length = u64::try_from(i32::from_le_bytes(*length))?;
        if magic != MAGIC {
            return Err("it has no footer".into());
        }
        window.at = (end - 10)
            .checked_sub(length)
            .ok_or("its footer is longer than itself")?;
        let bytes = window.read(length).await?;
        let footer = arrow_ipc::root_as_footer(&bytes).map_err(|e| e.to_string())?;
        let schema = footer.schema().ok_or("it has no schema")?;
        let mut reader = Self {
            schema: read_schema(schema)?,
            version: footer.version(),
            dictionaries: HashMap::new(),
            blocks: None,
            window,
        };
        for block in footer.dictionaries().iter().flatten() {
            reader.window.at = place(block, end)?.start;
            let message = reader
                .window
                .message()
                .await?
                .ok_or("a dictionary is missing")?;
            reader.read(&message)?;
        }
        let mut blocks = Vec::new();
        for block in footer.recordBatches().iter().flatten() {
            let place = place(block, end)?;
            if range
                .as_ref()
                .is_none_or(|range| range.contains(&place.start))
            {
                blocks.push(place);
            }
        }
        blocks.reverse();
        reader.blocks = Some(blocks);
        Ok(reader)
    }

    /// Reads the next batch.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, BoxError> {
        loop {
            if let Some(blocks) = &mut self.blocks {
                match blocks.pop() {
                    Some(block) => self.window.at = block.start,
                    None => return Ok(None),
                }
            }
            let Some(message) = self.window.message().await? else {
                return Ok(None);
            };
            if let Some(batch) = self.read(&message)? {
                return Ok(Some(batch));
            }
        }
    }

    /// Decodes a message; a dictionary is kept.
    fn read(&mut self, message: &Framed) -> Result<Option<RecordBatch>, BoxError> {
        let parsed = message.parse()?;
        match parsed.header_type() {
            MessageHeader::RecordBatch => {
                let batch = parsed
                    .header_as_record_batch()
                    .ok_or("a batch has no header")?;
                check_buffers(&batch, &message.body)?;
                Ok(Some(arrow_ipc::reader::read_record_batch(
                    &message.body,
                    batch,
                    Arc::clone(&self.schema),
                    &self.dictionaries,
                    None,
                    &self.version,
                )?))
            }
            MessageHeader::DictionaryBatch => {
                let header = "a dictionary has no header";
                let batch = parsed.header_as_dictionary_batch().ok_or(header)?;
                check_buffers(&batch.data().ok_or(header)?, &message.body)?;
                arrow_ipc::reader::read_dictionary(
                    &message.body,
                    batch,
                    &self.schema,
                    &mut self.dictionaries,
                    &self.version,
                )?;
                Ok(None)
            }
            MessageHeader::NONE => Ok(None),
            other => Err(format!("a message {other:?} where a batch should be").into()),
        }
    }
}

/// Reads a schema; bytes in the other order would be read as other numbers.
fn read_schema(schema: arrow_ipc::Schema<'_>) -> Result<SchemaRef, BoxError> {
    match schema.endianness() {
        arrow_ipc::Endianness::Little => Ok(Arc::new(arrow_ipc::convert::fb_to_schema(schema))),
        _ => Err("it is big-endian; write it again on a usual machine".into()),
    }
}

fn place(block: &Block, size: u64) -> Result<Range<u64>, BoxError> {
    let start = u64::try_from(block.offset())?;
    let length = u64::try_from(block.metaDataLength())?
        .checked_add(u64::try_from(block.bodyLength())?)
        .ok_or("a batch is too long")?;
    let end = start.checked_add(length).filter(|end| *end <= size);
    Ok(start..end.ok_or("a batch ends behind the file")?)
}

/// Refuses buffers that are not within the body, or that claim to hold more than they can.
fn check_buffers(batch: &arrow_ipc::RecordBatch<'_>, body: &Buffer) -> Result<(), BoxError> {
    let length = body.len() as u64;
    let expansion = batch.compression().map_or(1, |_| EXPANSION_MAX);
    let rows_max = length
        .saturating_mul(8)
        .saturating_mul(expansion)
        .max(ROWS_MIN);
    if !u64::try_from(batch.length()).is_ok_and(|rows| rows <= rows_max) {
        return Err(format!("{length} bytes cannot hold {} rows", batch.length()).into());
    }
    for buffer in batch.buffers().iter().flatten() {
        let (start, held) = (
            usize::try_from(buffer.offset())?,
            usize::try_from(buffer.length())?,
        );
        let end = start.checked_add(held).filter(|end| *end <= body.len());
        let bytes = end.and_then(|end| body.as_slice().get(start..end));
        let bytes = bytes.ok_or("a buffer ends behind its message")?;
        let Some((claimed, _)) = bytes.split_first_chunk::<8>() else {
            continue;
        };
        if batch.compression().is_none() {
            continue;
        }
        let claimed = i64::from_le_bytes(*claimed).max(0).unsigned_abs();
        if claimed > (held as u64).saturating_mul(EXPANSION_MAX) {
            return Err(format!("{held} bytes cannot hold {claimed}").into());
        }
    }
    Ok(())
}

/// A message that is wholly there.
struct Framed {
    header: Bytes,
    body: Buffer,
}

impl Framed {
    fn parse(&self) -> Result<Message<'_>, BoxError> {
        Ok(arrow_ipc::root_as_message(&self.header).map_err(|error| error.to_string())?)
    }
}

/// A place in a file, with some bytes read ahead.
#[derive(Debug)]
struct Window {
    store: Arc<dyn ObjectStore>,
    location: Path,
    size: u64,
    at: u64,
    /// Where `bytes` begin.
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Reads the next bytes, which must be there.
    async fn read(&mut self, length: u64) -> Result<Bytes, BoxError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.size);
        let end = end.ok_or("it ends too early")?;
        if self.at < self.start || end > self.start + self.bytes.len() as u64 {
            let until = end.max(self.at.saturating_add(READ_BYTES)).min(self.size);
            self.bytes = self.store.get_range(&self.location, self.at..until).await?;
            self.start = self.at;
        }
        let from = usize::try_from(self.at - self.start)?;
        let to = usize::try_from(end - self.start)?;
        if to > self.bytes.len() {
            return Err("it became shorter".into());
        }
        self.at = end;
        Ok(self.bytes.slice(from..to))
    }

    /// Reads the next message; nothing at the end.
    async fn message(&mut self) -> Result<Option<Framed>, BoxError> {
        if self.at == self.size {
            return Ok(None);
        }
        let mut word = self.word().await?;
        // Before Arrow 0.15 there was no marker.
        if word == CONTINUATION {
            word = self.word().await?;
        }
        let length = u64::from(u32::from_le_bytes(word));
        if length == 0 {
            return Ok(None);
        }
        let header = self.read(length).await?;
        let parsed = arrow_ipc::root_as_message(&header).map_err(|error| error.to_string())?;
        let length = u64::try_from(parsed.bodyLength())?;
        let body = self.read(length).await?;
        let body = Buffer::from(body);
        Ok(Some(Framed { header, body }))
    }

    async fn word(&mut self) -> Result<[u8; 4], BoxError> {
        let bytes = self.read(4).await?;
        let (word, _) = bytes.split_first_chunk().ok_or("it ends too early")?;
        Ok(*word)
    }
}
