//! Fetching the bytes that a window needs, and no others.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::file::{Layer, RasterFile};
use super::table::Place;
use crate::grid::{DataType, Window};
use crate::io::raster::codec::{self, Compression};
use crate::io::raster::tiff::image::{Form, Image};

/// The largest window that is read at once, in bytes of samples, and again in bytes of the file.
const WINDOW_BYTES_MAX: u64 = 1 << 30;

/// The bytes of a window as the file stores them: everything that decoding needs, and nothing left to wait for.
#[derive(Debug)]
pub struct EncodedWindow {
    pub(super) path: Arc<str>,
    pub(super) window: Window,
    pub(super) dtype: DataType,
    pub(super) bands: usize,
    pub(super) nodata: Option<f64>,
    pub(super) data: EncodedLayer,
    pub(super) mask: Option<EncodedLayer>,
}

/// The chunks of one image that a window needs.
#[derive(Debug)]
pub(super) struct EncodedLayer {
    pub(super) image: Arc<Image>,
    pub(super) chunks: Vec<EncodedChunk>,
}

/// One chunk as the file stores it.
#[derive(Debug)]
pub(super) struct EncodedChunk {
    pub(super) index: u64,
    /// The cells of the raster that the chunk covers, over the edge included.
    pub(super) covers: Window,
    /// The rows of the chunk that the window needs.
    pub(super) rows: Range<u32>,
    /// Which samples go where.
    pub(super) lanes: Arc<[Lane]>,
    /// `None` for a chunk that a sparse file leaves out. Of an uncompressed chunk, only the rows that the window needs.
    pub(super) bytes: Option<Bytes>,
}

/// Says that sample `sample` of each cell of a chunk goes into band `slot` of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) slot: usize,
    pub(super) sample: usize,
}

impl EncodedWindow {
    /// Returns the bytes that the decoded block will take, without the buffer for one chunk.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        decoded_bytes(&self.window, self.bands, self.dtype, self.mask.is_some())
    }
}

fn decoded_bytes(window: &Window, bands: usize, dtype: DataType, masked: bool) -> u64 {
    let per_cell = (bands as u64).saturating_mul(dtype.bytes() as u64) + u64::from(masked);
    window.cells().saturating_mul(per_cell)
}

impl RasterFile {
    /// Fetches the tiles or strips of `bands` (from 1, in any order) that `window` touches, and those of the internal mask.
    ///
    /// Waits and does not compute: decode the result where computing is allowed.
    ///
    /// # Errors
    /// When a band or the window is outside of the raster, the window is too large, or its bytes cannot be read.
    pub async fn fetch(&self, bands: &[u16], window: Window) -> Result<EncodedWindow, Error> {
        let profile = &self.facts.profile;
        self.check(bands, &window)?;
        let data = self
            .fetch_layer(&self.data, &window, &planes(&self.data.image, bands))
            .await?;
        let mask = match &self.mask {
            Some(mask) => Some(
                self.fetch_layer(mask, &window, &planes(&mask.image, &[1]))
                    .await?,
            ),
            None => None,
        };
        Ok(EncodedWindow {
            path: Arc::from(self.path()),
            window,
            dtype: profile.dtype,
            bands: bands.len(),
            nodata: profile.nodata,
            data,
            mask,
        })
    }

    fn check(&self, bands: &[u16], window: &Window) -> Result<(), Error> {
        let profile = &self.facts.profile;
        let path = || self.path().to_owned();
        if let Some(band) = bands.iter().find(|b| **b == 0 || **b > profile.bands) {
            return Err(Error::NoSuchBand {
                path: path(),
                band: *band,
                bands: profile.bands,
            });
        }
        let whole = Window::whole(profile.width, profile.height);
        if window.intersection(&whole) != Some(*window) {
            return Err(Error::WindowOutside {
                path: path(),
                window: *window,
                width: profile.width,
                height: profile.height,
            });
        }
        let bytes = decoded_bytes(window, bands.len(), profile.dtype, self.mask.is_some());
        self.limit(window, bytes)
    }

    fn limit(&self, window: &Window, bytes: u64) -> Result<(), Error> {
        if bytes > WINDOW_BYTES_MAX {
            return Err(Error::WindowTooLarge {
                path: self.path().to_owned(),
                window: *window,
                bytes,
                limit: WINDOW_BYTES_MAX,
            });
        }
        Ok(())
    }

    async fn fetch_layer(
        &self,
        layer: &Layer,
        window: &Window,
        planes: &[Plane],
    ) -> Result<EncodedLayer, Error> {
        let image = &layer.image;
        let mut chunks: Vec<EncodedChunk> = planes
            .iter()
            .flat_map(|plane| touched(image, window, plane))
            .collect();
        let indices: Vec<u64> = chunks.iter().map(|chunk| chunk.index).collect();
        let places = layer.table.places(&self.source, &indices).await?;

        let mut ranges = Vec::new();
        let mut present = Vec::new();
        for (at, (chunk, place)) in chunks.iter().zip(places).enumerate() {
            if let Some(range) = self.range(image, chunk, place)? {
                ranges.push(range);
                present.push(at);
            }
        }
        let stored = ranges
            .iter()
            .fold(0u64, |sum, r| sum.saturating_add(r.end - r.start));
        self.limit(window, stored)?;
        let read = self.source.read_many(&ranges).await?;
        for (at, bytes) in present.into_iter().zip(read) {
            if let Some(chunk) = chunks.get_mut(at) {
                chunk.bytes = Some(bytes);
            }
        }
        Ok(EncodedLayer {
            image: Arc::clone(image),
            chunks,
        })
    }

    /// Returns the bytes of the file to read for a chunk, or `None` when the file leaves it out.
    fn range(
        &self,
        image: &Image,
        chunk: &EncodedChunk,
        place: Place,
    ) -> Result<Option<Range<u64>>, Error> {
        let Place { offset, len } = place;
        let file_len = self.source.len();
        // An uncompressed image in one strip says all by itself; writers got its length wrong often enough.
        let alone = image.compression == Compression::None
            && !image.chunks.tiled
            && image.chunk_count() == 1;
        let len = if alone { None } else { len };
        if offset == 0 || len == Some(0) {
            return Ok(None);
        }
        let left = file_len
            .checked_sub(offset)
            .filter(|left| *left > 0)
            .ok_or_else(|| Error::ChunkOutside {
                path: self.path().to_owned(),
                index: chunk.index,
                offset,
                len: file_len,
            })?;
        let len = len.map_or(left, |len| len.min(left));
        let decoded = image.stored_bytes(chunk.rows.end);
        if image.compression != Compression::None {
            // No compression of ours makes more of a whole chunk than this (fax of noise grows most): the rest belongs to
            // something else.
            let whole = image.stored_bytes(image.chunks.rows);
            let growth = if image.form == Form::Packed(1) { 8 } else { 2 };
            let longest = whole.saturating_mul(growth).saturating_add(4096);
            return Ok(Some(offset..offset + len.min(longest)));
        }
        if decoded > len {
            return Err(Error::Chunk {
                path: self.path().to_owned(),
                index: chunk.index,
                source: codec::Error::Short {
                    codec: "uncompressed",
                    got: usize::try_from(len).unwrap_or(usize::MAX),
                    wanted: usize::try_from(decoded).unwrap_or(usize::MAX),
                },
            });
        }
        let skipped = if image.rows_stand_alone() {
            image.stored_bytes(chunk.rows.start)
        } else {
            0
        };
        Ok(Some(offset + skipped..offset + decoded))
    }
}

/// Chunks of one band, or of all bands when they lie together.
struct Plane {
    first_chunk: u64,
    lanes: Arc<[Lane]>,
}

/// Sorts requested bands by the chunks they are in, so that no chunk is fetched twice.
fn planes(image: &Image, bands: &[u16]) -> Vec<Plane> {
    let wanted = bands.iter().map(|band| usize::from(band.saturating_sub(1)));
    if !image.planar {
        let lane = |(slot, sample)| Lane { slot, sample };
        return vec![Plane {
            first_chunk: 0,
            lanes: wanted.enumerate().map(lane).collect(),
        }];
    }
    let mut by_band: std::collections::BTreeMap<usize, Vec<Lane>> = Default::default();
    for (slot, band) in wanted.enumerate() {
        by_band
            .entry(band)
            .or_default()
            .push(Lane { slot, sample: 0 });
    }
    let plane = |(band, lanes): (usize, Vec<Lane>)| Plane {
        first_chunk: image.chunks.per_plane().saturating_mul(band as u64),
        lanes: lanes.into(),
    };
    by_band.into_iter().map(plane).collect()
}

/// Lists the chunks of a plane that share a cell with the window, by rising index.
fn touched<'a>(
    image: &'a Image,
    window: &'a Window,
    plane: &'a Plane,
) -> impl Iterator<Item = EncodedChunk> + 'a {
    let grid = &image.chunks;
    let down = window.row / grid.rows..window.row_end().div_ceil(grid.rows);
    let across = window.col / grid.cols..window.col_end().div_ceil(grid.cols);
    down.flat_map(move |y| across.clone().map(move |x| (x, y)))
        .map(move |(x, y)| {
            let covers = Window {
                col: x * grid.cols,
                row: y * grid.rows,
                cols: grid.cols,
                rows: grid.rows,
            };
            EncodedChunk {
                index: plane.first_chunk + u64::from(y) * u64::from(grid.across) + u64::from(x),
                rows: window.row.saturating_sub(covers.row)
                    ..window.row_end().min(covers.row_end()) - covers.row,
                covers,
                lanes: Arc::clone(&plane.lanes),
                bytes: None,
            }
        })
}
