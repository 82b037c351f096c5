//! Decoding the bytes of a window into a block of samples.

use std::sync::Arc;

use super::Error;
use super::cells::{Cell, add_up_bytes};
use super::fetch::{EncodedChunk, EncodedLayer, EncodedWindow, Lane};
use super::widen::widen;
use crate::for_samples;
use crate::grid::{Block, Samples, Window};
use crate::io::raster::codec::picture::Shape;
use crate::io::raster::codec::{self, Compression, Decoder};
use crate::io::raster::tiff::ByteOrder;
use crate::io::raster::tiff::image::{Form, Image, Predictor};

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
            widened: Vec::new(),
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
    widened: Vec<u8>,
}

/// The rows of one decoded chunk that a window needs, and where they go.
struct Rows<'a> {
    samples: usize,
    order: ByteOrder,
    predictor: Predictor,
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
            let bytes =
                unpack(&image, &chunk, &mut self.decoder, &mut self.buffer).map_err(|source| {
                    Error::Chunk {
                        path: self.path.to_string(),
                        index: chunk.index,
                        source,
                    }
                })?;
            let plain = image.form == Form::Plain;
            let bytes = match bytes {
                Some(stored) if !plain => {
                    widen(&image, stored, &chunk.rows, &mut self.widened);
                    Some(&self.widened[..])
                }
                bytes => bytes,
            };
            // Pictures and widened samples are in the order of the processor's choice: little-endian, without predictor.
            let native = !plain || image.compression.is_picture();
            let rows = Rows {
                samples: usize::from(image.chunk_samples()),
                order: if native {
                    ByteOrder::Little
                } else {
                    image.order
                },
                predictor: if plain {
                    image.predictor
                } else {
                    Predictor::None
                },
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
        self.layer(layer, |rows, lane| {
            paste(rows, lane.sample, None, &mut valid)
        })?;
        if valid.iter().all(|v| *v != 0) {
            return Ok(None);
        }
        Ok(Some(valid.into_iter().map(|v| v != 0).collect()))
    }
}

/// Returns the wanted rows of a chunk, decompressed, with the float predictor's sums done. Where rows do not stand alone,
/// they begin with the first row of the chunk.
fn unpack<'a>(
    image: &Image,
    chunk: &'a EncodedChunk,
    decoder: &mut Decoder,
    buffer: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, codec::Error> {
    let Some(stored) = &chunk.bytes else {
        return Ok(None);
    };
    let plain = image.compression == Compression::None;
    // JPEG has its own order of bits.
    let reversed = image.bits_reversed && image.compression != Compression::Jpeg;
    if plain && !reversed {
        return Ok(Some(stored));
    }
    let turned: Vec<u8>;
    let stored: &[u8] = if reversed {
        turned = stored.iter().map(|byte| byte.reverse_bits()).collect();
        &turned
    } else {
        stored
    };
    // Fetching leaves out the upper rows of an uncompressed chunk; a compressed one must be read from its start.
    let above = if plain || !image.rows_stand_alone() {
        0
    } else {
        bytes_of(image, chunk.rows.start)
    };
    let first = if plain && image.rows_stand_alone() {
        bytes_of(image, chunk.rows.start)
    } else {
        0
    };
    buffer.resize(bytes_of(image, chunk.rows.end).saturating_sub(first), 0);
    if image.compression.is_picture() {
        let shape = Shape {
            cols: image.chunks.cols,
            rows: chunk.rows.end,
            rows_max: image.chunks.rows,
            samples: image.chunk_samples(),
            dtype: image.dtype,
            tables: &image.jpeg_tables,
            to_rgb: image.jpeg_ycbcr,
            wrapped: image.lerc_wrap,
        };
        decoder.decode_picture(image.compression, stored, &shape, buffer)?;
    } else {
        decoder.decode(image.compression, stored, buffer)?;
    }
    let wanted = buffer.get_mut(above..).unwrap_or_default();
    if image.predictor == Predictor::Float {
        let rows = (chunk.rows.end - chunk.rows.start).max(1) as usize;
        let row_bytes = (wanted.len() / rows).max(1);
        for row in wanted.chunks_exact_mut(row_bytes) {
            add_up_bytes(row, usize::from(image.chunk_samples()));
        }
    }
    Ok(Some(wanted))
}

fn bytes_of(image: &Image, rows: u32) -> usize {
    usize::try_from(image.stored_bytes(rows)).unwrap_or(usize::MAX)
}

/// Copies one sample of each wanted cell into a band of the block.
fn paste<T: Cell>(rows: &Rows<'_>, sample: usize, nodata: Option<f64>, band: &mut [T]) {
    let samples = rows.samples;
    let targets = targets(rows, band);
    let Some(bytes) = rows.bytes else {
        let fill = T::nearest(nodata.unwrap_or(0.0));
        targets.for_each(|out| out.fill(fill));
        return;
    };
    let step = samples * size_of::<T>();
    let first = sample * size_of::<T>();
    for (row, out) in bytes.chunks_exact(rows.row_bytes).zip(targets) {
        match rows.predictor {
            Predictor::None => {
                let lane = row.get(rows.skip * step + first..).unwrap_or_default();
                T::plain(lane, step, rows.order, out);
            }
            Predictor::Difference => {
                let lane = row.get(first..).unwrap_or_default();
                T::differences(lane, step, rows.order, rows.skip, out);
            }
            Predictor::Float => T::planes(row, rows.skip * samples + sample, samples, out),
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
