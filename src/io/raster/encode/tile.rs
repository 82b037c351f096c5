//! One tile of a block: gathered, padded, predicted, compressed.

use super::compress::Compressor;
use super::predictor::Predict;
use super::{Error, TileFormat};
use crate::grid::{Block, DataType, Samples};

/// Encodes one tile after another, with scratch memory and compressor kept between them.
#[derive(Debug)]
pub struct TileEncoder {
    format: TileFormat,
    compressor: Compressor,
    /// The tile before compression.
    raw: Vec<u8>,
    /// A row of bytes for the predictor.
    scratch: Vec<u8>,
}

impl TileEncoder {
    /// Makes an encoder of tiles of a format.
    #[must_use]
    pub fn new(format: TileFormat) -> Self {
        Self {
            format,
            compressor: Compressor::new(format.compression),
            raw: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Encodes the tile whose upper left cell is `(col, row)` of the block.
    ///
    /// Cells beyond the block repeat its last column and its last row: the predictor makes zeros of them. Equal
    /// cells give equal bytes, whatever was encoded before.
    ///
    /// # Errors
    /// When the block does not fit the format, the tile begins outside it, or the compressor fails.
    pub fn encode(&mut self, block: &Block, col: u32, row: u32) -> Result<Vec<u8>, Error> {
        self.check(block, col, row)?;
        self.raw.resize(self.format.tile_bytes()?, 0);
        macro_rules! fill {
            ($variant:ident) => {{
                let bands = block.bands.iter().filter_map(|band| match band {
                    Samples::$variant(samples) => Some(samples.as_slice()),
                    _ => None,
                });
                self.fill(&bands.collect::<Vec<_>>(), block, col, row);
            }};
        }
        match self.format.dtype {
            DataType::UInt8 => fill!(UInt8),
            DataType::Int8 => fill!(Int8),
            DataType::UInt16 => fill!(UInt16),
            DataType::Int16 => fill!(Int16),
            DataType::UInt32 => fill!(UInt32),
            DataType::Int32 => fill!(Int32),
            DataType::UInt64 => fill!(UInt64),
            DataType::Int64 => fill!(Int64),
            DataType::Float32 => fill!(Float32),
            DataType::Float64 => fill!(Float64),
        }
        self.compressor.compress(&self.raw)
    }

    fn check(&self, block: &Block, col: u32, row: u32) -> Result<(), Error> {
        let TileFormat { dtype, bands, .. } = self.format;
        let odd = block.bands.iter().find(|band| band.dtype() != dtype);
        if block.bands.len() != usize::from(bands) || odd.is_some() {
            return Err(Error::BlockType {
                bands,
                expected: dtype,
                found_bands: block.bands.len(),
                found: odd.map_or(dtype, Samples::dtype),
            });
        }
        let (cols, rows) = (block.cols, block.rows);
        let cells = u64::from(cols) * u64::from(rows);
        let short = |band: &&Samples| u64::try_from(band.len()) != Ok(cells);
        if let Some(band) = block.bands.iter().find(short) {
            let found = band.len();
            return Err(Error::BlockShape { cols, rows, found });
        }
        if col >= cols || row >= rows {
            return Err(Error::Outside {
                col,
                row,
                cols,
                rows,
            });
        }
        Ok(())
    }

    /// Fills `raw` with the tile; the block was checked.
    fn fill<T: Predict>(&mut self, bands: &[&[T]], block: &Block, col: u32, row: u32) {
        let tile = self.format.tile as usize;
        let row_bytes = (tile * bands.len() * size_of::<T>()).max(1);
        let block_cols = block.cols as usize;
        let cols = tile.min(block_cols.saturating_sub(col as usize));
        let rows = tile.min((block.rows as usize).saturating_sub(row as usize));
        let with_predictor = self.format.predictor() != 1;
        let mut cells = vec![T::default(); tile * bands.len()];
        let whole = (rows * row_bytes).min(self.raw.len());
        let (raw, padding) = self.raw.split_at_mut(whole);
        for (at, out) in raw.chunks_exact_mut(row_bytes).enumerate() {
            let start = (row as usize + at) * block_cols + col as usize;
            let samples = match bands {
                // A full row of a single band is used where it lies.
                [band] if cols == tile => band.get(start..start + cols).unwrap_or_default(),
                _ => {
                    interleave(bands, start, cols, &mut cells);
                    &cells
                }
            };
            if with_predictor {
                T::predicted(samples, bands.len(), &mut self.scratch, out);
            } else {
                T::plain(samples, out);
            }
        }
        // Predictors look along a row only, so the last one can be repeated as bytes.
        if let Some(last) = raw.rchunks_exact(row_bytes).next() {
            for out in padding.chunks_exact_mut(row_bytes) {
                out.copy_from_slice(last);
            }
        }
    }
}

/// Puts `cols` samples of each band, from `start` on, side by side; what is left of `cells` repeats the last.
fn interleave<T: Copy>(bands: &[&[T]], start: usize, cols: usize, cells: &mut [T]) {
    for (at, band) in bands.iter().enumerate() {
        let samples = band.get(start..start + cols).unwrap_or_default();
        let mut places = cells.iter_mut().skip(at).step_by(bands.len());
        // The samples come first: `zip` takes one place too many when it is the places that go on.
        for (sample, place) in samples.iter().zip(places.by_ref()) {
            *place = *sample;
        }
        if let Some(last) = samples.last() {
            places.for_each(|place| *place = *last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Compression;

    fn format(tile: u32, dtype: DataType, bands: u16, compression: Compression) -> TileFormat {
        TileFormat {
            tile,
            dtype,
            bands,
            compression,
            nodata: None,
        }
    }

    fn block(cols: u32, rows: u32, bands: Vec<Samples>) -> Block {
        Block {
            cols,
            rows,
            bands,
            nodata: None,
            mask: None,
        }
    }

    #[test]
    fn cells_beyond_the_block_repeat_its_edges() {
        let block = block(3, 3, vec![Samples::UInt8((1..=9).collect())]);
        let mut encoder = TileEncoder::new(format(2, DataType::UInt8, 1, Compression::None));
        let mut check = |col, row, expected: [u8; 4]| {
            assert_eq!(encoder.encode(&block, col, row).unwrap(), expected);
        };
        check(0, 0, [1, 2, 4, 5]);
        check(2, 0, [3, 3, 6, 6]);
        check(0, 2, [7, 8, 7, 8]);
        check(2, 2, [9, 9, 9, 9]);
        check(1, 1, [5, 6, 8, 9]);
    }

    #[test]
    fn bands_of_a_cell_lie_together_in_little_endian_order() {
        let bands = vec![
            Samples::UInt16(vec![1, 2, 3]),
            Samples::UInt16(vec![256, 512, 768]),
        ];
        let block = block(3, 1, bands);
        let mut encoder = TileEncoder::new(format(2, DataType::UInt16, 2, Compression::None));
        let row = [1, 0, 0, 1, 2, 0, 0, 2];
        assert_eq!(encoder.encode(&block, 0, 0).unwrap(), [row, row].concat());
        let row = [3, 0, 0, 3, 3, 0, 0, 3];
        assert_eq!(encoder.encode(&block, 2, 0).unwrap(), [row, row].concat());
    }

    #[test]
    fn a_block_that_does_not_fit_is_refused() {
        let good = block(2, 2, vec![Samples::UInt8(vec![0; 4])]);
        let bytes = format(16, DataType::UInt8, 1, Compression::Deflate);
        let check = |format: TileFormat, block: &Block, col, row, code| {
            let error = TileEncoder::new(format)
                .encode(block, col, row)
                .unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        };
        check(bytes, &good, 2, 0, "tile-outside-block");
        check(bytes, &good, 0, 2, "tile-outside-block");
        check(TileFormat { bands: 2, ..bytes }, &good, 0, 0, "block-type");
        check(
            TileFormat {
                dtype: DataType::Int8,
                ..bytes
            },
            &good,
            0,
            0,
            "block-type",
        );
        check(TileFormat { tile: 0, ..bytes }, &good, 0, 0, "tile-size");
        check(
            TileFormat {
                tile: u32::MAX,
                ..bytes
            },
            &good,
            0,
            0,
            "tile-size",
        );
        let short = block(2, 2, vec![Samples::UInt8(vec![0; 3])]);
        check(bytes, &short, 0, 0, "block-shape");
    }
}
