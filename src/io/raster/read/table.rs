//! Where the chunks of an image are in its file.

use crate::io::raster::tiff;
use crate::io::raster::tiff::image::Image;
use crate::io::raster::tiff::{Array, HeaderReader, Located};
use crate::io::source::{self, Source};

/// Values of one array that are kept in memory; of longer arrays only what a window needs is read.
const KEPT_MAX: u64 = 1 << 18;

/// Offsets and lengths of the chunks of an image.
#[derive(Debug)]
pub(super) struct ChunkTable {
    offsets: Column,
    lengths: Option<Column>,
}

/// Where one chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// `None` where the file does not say.
    pub(super) len: Option<u64>,
}

impl ChunkTable {
    /// Reads the arrays that are short enough to be kept.
    pub(super) async fn load(
        reader: &mut HeaderReader<'_>,
        image: &Image,
    ) -> Result<Self, tiff::Error> {
        let count = image.chunk_count();
        let offsets = Column::load(reader, image.offsets, count).await?;
        let lengths = match image.lengths {
            Some(lengths) => Some(Column::load(reader, lengths, count).await?),
            None => None,
        };
        Ok(Self { offsets, lengths })
    }

    /// Returns the places of chunks, in the order of `indices`.
    pub(super) async fn places(
        &self,
        source: &Source,
        indices: &[u64],
    ) -> Result<Vec<Place>, source::Error> {
        let offsets = self.offsets.values(source, indices).await?;
        let lengths = match &self.lengths {
            Some(lengths) => lengths.values(source, indices).await?,
            None => vec![None; indices.len()],
        };
        let place = |(offset, len): (Option<u64>, Option<u64>)| Place {
            offset: offset.unwrap_or(0),
            len,
        };
        Ok(offsets.into_iter().zip(lengths).map(place).collect())
    }

    /// Returns the bytes of all chunks together, as far as the kept lengths tell.
    pub(super) fn stored_bytes(&self) -> Option<u64> {
        let kept = self.lengths.as_ref()?.kept.as_ref()?;
        Some(kept.iter().fold(0, |sum, len| sum.saturating_add(*len)))
    }

    /// Returns the memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let kept = |column: &Column| column.kept.as_ref().map_or(0, Vec::len) * 8;
        kept(&self.offsets) + self.lengths.as_ref().map_or(0, kept)
    }
}

/// One array with a value for each chunk.
#[derive(Debug)]
struct Column {
    array: Array,
    kept: Option<Vec<u64>>,
}

impl Column {
    async fn load(
        reader: &mut HeaderReader<'_>,
        array: Array,
        wanted: u64,
    ) -> Result<Self, tiff::Error> {
        let count = array.count().min(wanted);
        let kept = match array.locate(0, count) {
            Located::Here(values) => Some(values),
            Located::At(_) if count > KEPT_MAX => None,
            Located::At(range) => {
                let len = range.end.saturating_sub(range.start);
                let bytes = reader.read("list of chunks", range.start, len).await?;
                Some(array.parse(&bytes))
            }
        };
        Ok(Self { array, kept })
    }

    /// Returns the values of chunks; `None` behind the end of the array.
    async fn values(
        &self,
        source: &Source,
        indices: &[u64],
    ) -> Result<Vec<Option<u64>>, source::Error> {
        if let Some(kept) = &self.kept {
            let value = |i: &u64| kept.get(usize::try_from(*i).ok()?).copied();
            return Ok(indices.iter().map(value).collect());
        }
        let count = self.array.count();
        let runs = runs(indices.iter().copied().filter(|i| *i < count));
        let mut ranges = Vec::with_capacity(runs.len());
        for (first, n) in runs {
            // Values in the directory are always kept, so that only those in the file are left.
            if let Located::At(range) = self.array.locate(first, n) {
                ranges.push(range);
            }
        }
        let read = source.read_many(&ranges).await?;
        let mut values = read.iter().flat_map(|bytes| self.array.parse(bytes));
        let value = |i: &u64| if *i < count { values.next() } else { None };
        Ok(indices.iter().map(value).collect())
    }
}

/// Joins numbers that follow each other into `(first, how many)`.
fn runs(indices: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((first, n)) if *first + *n == index => *n += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_that_follow_each_other_are_one_run() {
        let runs = |indices: &[u64]| super::runs(indices.iter().copied());
        assert_eq!(runs(&[3, 4, 5, 9, 10, 9]), [(3, 3), (9, 2), (9, 1)]);
        assert_eq!(runs(&[]), []);
    }
}
