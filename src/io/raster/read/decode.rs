//! Decoding the bytes of a window into a block of samples.

use std::sync::Arc;

use super::Error;
use super::cells::{Cell, add_up_bytes};
use super::fetch::{EncodedChunk, EncodedLayer, EncodedWindow, Lane};
use crate::for_samples;
use crate::grid::{Block, Samples, Window};
use crate::io::raster::codec::{self, Compression, Decoder};
use crate::io::raster::tiff::image::{Image, Predictor, Sample};

impl EncodedWindow {
    /// Decodes the window: one [`Samples`] a requested band, in the order of the request.
    ///
    /// Cells of chunks that a sparse file leaves out hold the NoData value, or 0 without one. `mask` is what the internal mask
    /// says, and `None` when there is none or all its cells are valid. Computes only: no waiting, no file.
    ///
    /// # Errors
    /// When a chunk is damaged or too short.
    pub fn decode(self) -> Result<Block, Error> {
        let Self {
            path,
            window,
            dtype,
            bands,
            nodata,
            data,
            mask,
        } = self;
        let mut worker = Worker {
            path,
            window,
            decoder: Decoder::default(),
            buffer: Vec::new(),
        };
        let cells = usize::try_from(window.cells()).unwrap_or(usize::MAX);
        let mut samples: Vec<Samples> = (0..bands).map(|_| Samples::zeros(dtype, cells)).collect();
        worker.layer(data, |rows, lane| {
            if let Some(band) = samples.get_mut(lane.slot) {
                for_samples!(band, out => paste(rows, lane.sample, nodata, out));
            }
        })?;
        let mask = match mask {
            Some(mask) => worker.mask(mask, cells)?,
            None => None,
        };
        Ok(Block {
            cols: window.cols,
            rows: window.rows,
            bands: samples,
            nodata,
            mask,
        })
    }
}

/// What is kept from chunk to chunk.
struct Worker {
    path: Arc<str>,
    window: Window,
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// The rows of one decoded chunk that a window needs, and where they go.
struct Rows<'a> {
    image: &'a Image,
    /// The wanted rows, each whole; `None` when the file leaves the chunk out.
    bytes: Option<&'a [u8]>,
    row_bytes: usize,
    /// Columns of the chunk before the first wanted one.
    skip: usize,
    /// The cells of the block that they fill, and the block's width.
    into: Window,
    block_cols: usize,
}

impl Worker {
    /// Decodes each chunk once and hands its rows to `paste` for each lane.
    fn layer(
        &mut self,
        layer: EncodedLayer,
        mut paste: impl FnMut(&Rows<'_>, Lane),
    ) -> Result<(), Error> {
        let EncodedLayer { image, chunks } = layer;
        for chunk in chunks {
            let Some(shared) = chunk.covers.intersection(&self.window) else {
                continue;
            };
            let row_bytes = usize::try_from(image.row_bytes()).unwrap_or(usize::MAX);
            let bytes = unpack(
                &image,
                &chunk,
                row_bytes,
                &mut self.decoder,
                &mut self.buffer,
            )
            .map_err(|source| Error::Chunk {
                path: self.path.to_string(),
                index: chunk.index,
                source,
            })?;
            let rows = Rows {
                image: &image,
                bytes,
                row_bytes,
                skip: (shared.col - chunk.covers.col) as usize,
                into: Window {
                    col: shared.col - self.window.col,
                    row: shared.row - self.window.row,
                    ..shared
                },
                block_cols: self.window.cols as usize,
            };
            for lane in chunk.lanes.iter() {
                paste(&rows, *lane);
            }
        }
        Ok(())
    }

    /// Decodes an internal mask; what a sparse mask leaves out is not valid, as in GDAL.
    fn mask(&mut self, layer: EncodedLayer, cells: usize) -> Result<Option<Vec<bool>>, Error> {
        let mut valid = vec![0u8; cells];
        self.layer(layer, |rows, lane| match rows.image.sample {
            Sample::Bit => paste_bits(rows, &mut valid),
            Sample::Number(_) => paste(rows, lane.sample, None, &mut valid),
        })?;
        if valid.iter().all(|v| *v != 0) {
            return Ok(None);
        }
        Ok(Some(valid.into_iter().map(|v| v != 0).collect()))
    }
}

/// Returns the wanted rows of a chunk, decompressed, with the float predictor's sums done.
fn unpack<'a>(
    image: &Image,
    chunk: &'a EncodedChunk,
    row_bytes: usize,
    decoder: &mut Decoder,
    buffer: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, codec::Error> {
    let Some(stored) = &chunk.bytes else {
        return Ok(None);
    };
    let plain = image.compression == Compression::None;
    if plain && !image.bits_reversed {
        return Ok(Some(stored));
    }
    let turned: Vec<u8>;
    let stored: &[u8] = if image.bits_reversed {
        turned = stored.iter().map(|byte| byte.reverse_bits()).collect();
        &turned
    } else {
        stored
    };
    // Fetching leaves out the upper rows of an uncompressed chunk; a compressed one must be read from its start.
    let first = if plain { chunk.rows.start } else { 0 };
    let above = (chunk.rows.start - first) as usize;
    let rows = (chunk.rows.end - first) as usize;
    buffer.resize(row_bytes.saturating_mul(rows), 0);
    decoder.decode(image.compression, stored, buffer)?;
    let wanted = buffer
        .get_mut(above.saturating_mul(row_bytes)..)
        .unwrap_or_default();
    if image.predictor == Predictor::Float {
        for row in wanted.chunks_exact_mut(row_bytes) {
            add_up_bytes(row, usize::from(image.chunk_samples()));
        }
    }
    Ok(Some(wanted))
}

/// Copies one sample of each wanted cell into a band of the block.
fn paste<T: Cell>(rows: &Rows<'_>, sample: usize, nodata: Option<f64>, band: &mut [T]) {
    let image = rows.image;
    let samples = usize::from(image.chunk_samples());
    let targets = targets(rows, band);
    let Some(bytes) = rows.bytes else {
        let fill = T::nearest(nodata.unwrap_or(0.0));
        targets.for_each(|out| out.fill(fill));
        return;
    };
    let step = samples * size_of::<T>();
    let first = sample * size_of::<T>();
    for (row, out) in bytes.chunks_exact(rows.row_bytes).zip(targets) {
        match image.predictor {
            Predictor::None => {
                let lane = row.get(rows.skip * step + first..).unwrap_or_default();
                T::plain(lane, step, image.order, out);
            }
            Predictor::Difference => {
                let lane = row.get(first..).unwrap_or_default();
                T::differences(lane, step, image.order, rows.skip, out);
            }
            Predictor::Float => T::planes(row, rows.skip * samples + sample, samples, out),
        }
    }
}

/// Copies the bits of a mask into bytes, 1 for valid; bits begin anew at each row.
fn paste_bits(rows: &Rows<'_>, valid: &mut [u8]) {
    let targets = targets(rows, valid);
    let Some(bytes) = rows.bytes else {
        targets.for_each(|out| out.fill(0));
        return;
    };
    for (row, out) in bytes.chunks_exact(rows.row_bytes).zip(targets) {
        for (col, cell) in (rows.skip..).zip(out) {
            let byte = row.get(col / 8).copied().unwrap_or(0);
            *cell = byte >> (7 - col % 8) & 1;
        }
    }
}

/// Returns the part of each row of the block that the rows fill.
fn targets<'a, T>(rows: &Rows<'_>, band: &'a mut [T]) -> impl Iterator<Item = &'a mut [T]> {
    let from = rows.into.col as usize;
    let to = from + rows.into.cols as usize;
    band.chunks_exact_mut(rows.block_cols)
        .skip(rows.into.row as usize)
        .take(rows.into.rows as usize)
        .map(move |row| row.get_mut(from..to).unwrap_or_default())
}
