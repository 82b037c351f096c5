//! Reading the small pieces of a header with few requests.

use std::ops::Range;

use bytes::Bytes;

use super::Error;
use crate::io::source::Source;

/// What is read at least, since the next piece is mostly near.
const BLOCK_BYTES: u64 = 16 << 10;

/// Reads pieces of a file and keeps the blocks they came in.
#[derive(Debug)]
pub struct HeaderReader<'a> {
    source: &'a Source,
    blocks: Vec<(u64, Bytes)>,
}

impl<'a> HeaderReader<'a> {
    /// Starts with nothing read.
    #[must_use]
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            blocks: Vec::new(),
        }
    }

    /// Returns the length of the file.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.source.len()
    }

    /// Reads `len` bytes at `at`; `what` names them in the error.
    ///
    /// # Errors
    /// [`Error::CutOff`] when the file ends before them, [`Error::Source`] when reading fails.
    pub async fn read(&mut self, what: &'static str, at: u64, len: u64) -> Result<Bytes, Error> {
        let file_len = self.file_len();
        let end = at
            .checked_add(len)
            .filter(|end| *end <= file_len)
            .ok_or(Error::CutOff {
                what,
                at,
                len: file_len,
            })?;
        if let Some(known) = self.known(at..end) {
            return Ok(known);
        }
        let block_end = end.max(at.saturating_add(BLOCK_BYTES)).min(file_len);
        let block = self.source.read(at..block_end).await?;
        self.blocks.push((at, block));
        Ok(self.known(at..end).unwrap_or_default())
    }

    fn known(&self, range: Range<u64>) -> Option<Bytes> {
        self.blocks.iter().rev().find_map(|(at, block)| {
            let start = usize::try_from(range.start.checked_sub(*at)?).ok()?;
            let end = usize::try_from(range.end.checked_sub(*at)?).ok()?;
            (end <= block.len()).then(|| block.slice(start..end))
        })
    }
}
