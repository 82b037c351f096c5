//! How one image of a TIFF stores its samples, and which images cannot be read.

use super::tags::{
    Array, BITS_PER_SAMPLE, COMPRESSION, FILL_ORDER, IMAGE_LENGTH, IMAGE_WIDTH, NEW_SUBFILE_TYPE,
    PHOTOMETRIC, PLANAR_CONFIGURATION, PREDICTOR, ROWS_PER_STRIP, SAMPLE_FORMAT, SAMPLES_PER_PIXEL,
    STRIP_BYTE_COUNTS, STRIP_OFFSETS, TILE_BYTE_COUNTS, TILE_LENGTH, TILE_OFFSETS, TILE_WIDTH,
    name_of, wrong,
};
use super::{ByteOrder, Error, Tags};
use crate::grid::DataType;
use crate::io::raster::codec::Compression;

/// The largest chunk that is decompressed whole, in bytes: the memory of one task must hold it.
pub const CHUNK_BYTES_MAX: u64 = 256 << 20;

/// How an image stores its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples of a cell: the bands.
    pub samples: u16,
    /// What a sample is.
    pub sample: Sample,
    /// How chunks are compressed.
    pub compression: Compression,
    /// What was done to samples before compression.
    pub predictor: Predictor,
    /// Whether each band has its own chunks.
    pub planar: bool,
    /// Whether the samples are indices into a palette: classes, not measurements.
    pub palette: bool,
    /// How numbers are written.
    pub order: ByteOrder,
    /// Whether the bits of each stored byte are the other way round.
    pub bits_reversed: bool,
    /// How the image is cut into chunks.
    pub chunks: ChunkGrid,
    /// Where each chunk begins.
    pub offsets: Array,
    /// How long each chunk is, where the file says so.
    pub lengths: Option<Array>,
}

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A number.
    Number(DataType),
    /// One bit, in masks only.
    Bit,
}

/// What was done to samples before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictor {
    /// Nothing.
    None,
    /// Each sample is the difference to its left neighbour of the same band.
    Difference,
    /// The bytes of a row's floats are sorted by significance, then differences are taken.
    Float,
}

/// How an image is cut into chunks: tiles, or strips as wide as the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkGrid {
    /// Whether the chunks are tiles, all of one size, reaching over the edge.
    pub tiled: bool,
    /// Columns of a chunk.
    pub cols: u32,
    /// Rows of a chunk; of strips, the last may have fewer.
    pub rows: u32,
    /// Chunks side by side.
    pub across: u32,
    /// Chunks one below the other.
    pub down: u32,
}

impl ChunkGrid {
    /// Returns the number of chunks of one band, or of all bands when they lie together.
    #[must_use]
    pub const fn per_plane(&self) -> u64 {
        self.across as u64 * self.down as u64
    }
}

/// What an image of the chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A raster of its own.
    Page,
    /// A smaller version of the raster, or of its mask.
    Overview,
    /// Which cells of the raster are valid.
    Mask,
}

/// Says what an image of the chain is for, by its `NewSubfileType`.
///
/// # Errors
/// When that tag holds no number.
pub fn role(tags: &Tags) -> Result<Role, Error> {
    let kind = tags.uint(NEW_SUBFILE_TYPE)?.unwrap_or(0);
    Ok(match (kind & 1 != 0, kind & 4 != 0) {
        (true, _) => Role::Overview,
        (false, true) => Role::Mask,
        (false, false) => Role::Page,
    })
}

impl Image {
    /// Reads the layout of a raster out of a directory's tags, in a file of `file_len` bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it uses what Swath does not read, others when it contradicts itself or the file.
    pub fn from_tags(tags: &Tags, file_len: u64) -> Result<Self, Error> {
        Self::parse(tags, file_len, false)
    }

    /// As [`Image::from_tags`], for a mask: one band, of 1 or 8 bit.
    ///
    /// # Errors
    /// As [`Image::from_tags`].
    pub fn mask_from_tags(tags: &Tags, file_len: u64) -> Result<Self, Error> {
        let image = Self::parse(tags, file_len, true)?;
        if image.samples != 1 {
            return Err(Error::unsupported(
                format!("an internal mask of {} bands", image.samples),
                "make one mask for all bands with 'gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES -mask 1 IN.tif OUT.tif'",
            ));
        }
        if !matches!(image.sample, Sample::Bit | Sample::Number(DataType::UInt8)) {
            return Err(Error::unsupported(
                "an internal mask of other than 1 or 8 bit",
                "make it again with 'gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES IN.tif OUT.tif'",
            ));
        }
        Ok(image)
    }

    fn parse(tags: &Tags, file_len: u64, is_mask: bool) -> Result<Self, Error> {
        let width = size(tags, IMAGE_WIDTH)?;
        let height = size(tags, IMAGE_LENGTH)?;
        let samples = tags.uint(SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let samples = u16::try_from(samples)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| wrong(SAMPLES_PER_PIXEL, format!("it is {samples}")))?;
        let compression = compression(tags)?;
        let sample = sample(tags, is_mask)?;
        refuse_colours(tags, sample)?;
        let planar = match tags.uint(PLANAR_CONFIGURATION)?.unwrap_or(1) {
            1 => false,
            2 => samples > 1,
            other => return Err(wrong(PLANAR_CONFIGURATION, format!("it is {other}"))),
        };
        let chunks = chunk_grid(tags, width, height)?;
        let (offsets, lengths) = chunk_arrays(tags, &chunks, file_len)?;
        let image = Self {
            width,
            height,
            samples,
            sample,
            compression,
            predictor: predictor(tags, compression, sample)?,
            planar,
            palette: tags.uint(PHOTOMETRIC)? == Some(3),
            order: tags.order(),
            bits_reversed: tags.uint(FILL_ORDER)?.unwrap_or(1) == 2,
            chunks,
            offsets,
            lengths,
        };
        image.check_chunks()?;
        Ok(image)
    }

    /// Returns the samples of a cell within one chunk.
    #[must_use]
    pub const fn chunk_samples(&self) -> u16 {
        if self.planar { 1 } else { self.samples }
    }

    /// Returns the bytes of one row of a decoded chunk.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        let samples = u64::from(self.chunks.cols) * u64::from(self.chunk_samples());
        match self.sample {
            Sample::Bit => samples.div_ceil(8),
            Sample::Number(dtype) => samples.saturating_mul(dtype.bytes() as u64),
        }
    }

    /// Returns the number of chunks of all bands.
    #[must_use]
    pub const fn chunk_count(&self) -> u64 {
        let planes = if self.planar { self.samples as u64 } else { 1 };
        self.chunks.per_plane().saturating_mul(planes)
    }

    fn check_chunks(&self) -> Result<(), Error> {
        let wanted = self.chunk_count();
        let listed = self.offsets.count();
        if listed < wanted {
            let tag = if self.chunks.tiled {
                TILE_OFFSETS
            } else {
                STRIP_OFFSETS
            };
            let problem = format!("it lists {listed} of {wanted} chunks: the file is incomplete");
            return Err(Error::Wrong {
                tag,
                name: array_name(tag),
                problem,
            });
        }
        let bytes = self.row_bytes().saturating_mul(u64::from(self.chunks.rows));
        if self.compression != Compression::None && bytes > CHUNK_BYTES_MAX {
            return Err(Error::unsupported(
                format!(
                    "a compressed strip or tile of {bytes} bytes (at most {CHUNK_BYTES_MAX} are decompressed at once)"
                ),
                "cut it into tiles with 'gdal_translate -co TILED=YES IN.tif OUT.tif'",
            ));
        }
        Ok(())
    }
}

/// Reads a width or height.
fn size(tags: &Tags, tag: u16) -> Result<u32, Error> {
    let value = tags.uint(tag)?.ok_or(Error::Missing {
        tag,
        name: name_of(tag),
    })?;
    u32::try_from(value)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| wrong(tag, format!("it is {value}")))
}

fn compression(tags: &Tags) -> Result<Compression, Error> {
    let value = tags.uint(COMPRESSION)?.unwrap_or(1);
    Compression::from_tag(value).ok_or_else(|| {
        Error::unsupported(
            format!("compression {value} ({})", Compression::name_of_tag(value)),
            "convert it with 'gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif'",
        )
    })
}

/// Returns the one value that all samples share, since bands of different kinds cannot be read.
fn shared(tags: &Tags, tag: u16, default: u64) -> Result<u64, Error> {
    let Some(values) = tags.uints(tag)? else {
        return Ok(default);
    };
    let first = *values
        .first()
        .ok_or_else(|| wrong(tag, "it has no value"))?;
    if values.iter().any(|value| *value != first) {
        return Err(Error::unsupported(
            format!("bands of different kinds ({} {values:?})", name_of(tag)),
            "give all bands one type with 'gdal_translate -ot Float32 IN.tif OUT.tif'",
        ));
    }
    Ok(first)
}

fn sample(tags: &Tags, is_mask: bool) -> Result<Sample, Error> {
    let bits = shared(tags, BITS_PER_SAMPLE, 1)?;
    let format = shared(tags, SAMPLE_FORMAT, 1)?;
    let dtype = match (format, bits) {
        // 4 says that the meaning is not known: libtiff reads it as unsigned.
        (1 | 4, 8) => DataType::UInt8,
        (1 | 4, 16) => DataType::UInt16,
        (1 | 4, 32) => DataType::UInt32,
        (1 | 4, 64) => DataType::UInt64,
        (2, 8) => DataType::Int8,
        (2, 16) => DataType::Int16,
        (2, 32) => DataType::Int32,
        (2, 64) => DataType::Int64,
        (3, 32) => DataType::Float32,
        (3, 64) => DataType::Float64,
        (1 | 4, 1) if is_mask => return Ok(Sample::Bit),
        (5 | 6, _) => {
            return Err(Error::unsupported(
                "complex numbers",
                "take the real part out with 'gdal_translate -ot Float32 IN.tif OUT.tif'",
            ));
        }
        (1..=4, 1..=64) => {
            let kind = match format {
                2 => "signed integers",
                3 => "floats",
                _ => "unsigned integers",
            };
            return Err(Error::unsupported(
                format!("{kind} of {bits} bit"),
                "widen them with 'gdal_translate -ot UInt16 IN.tif OUT.tif' (or Byte, UInt32, Float32)",
            ));
        }
        (format, bits) => {
            return Err(wrong(
                BITS_PER_SAMPLE,
                format!("{bits} bit of sample format {format} are not a number"),
            ));
        }
    };
    Ok(Sample::Number(dtype))
}

/// Refuses colour spaces whose stored numbers are not what other software shows as bands.
///
/// Palettes are read as their indices, inverted greys as stored, CMYK of more than 8 bit as stored.
fn refuse_colours(tags: &Tags, sample: Sample) -> Result<(), Error> {
    let name = match tags.uint(PHOTOMETRIC)?.unwrap_or(1) {
        5 if sample == Sample::Number(DataType::UInt8) => "CMYK colour",
        6 => "YCbCr colour",
        8 => "CIE L*a*b* colour",
        9 => "ICC L*a*b* colour",
        10 => "ITU L*a*b* colour",
        32844 | 32845 => "logarithmic luminance",
        _ => return Ok(()),
    };
    Err(Error::unsupported(
        name,
        "convert it with 'gdal_translate -co PHOTOMETRIC=RGB IN.tif OUT.tif'",
    ))
}

fn predictor(tags: &Tags, compression: Compression, sample: Sample) -> Result<Predictor, Error> {
    if !compression.has_predictor() {
        return Ok(Predictor::None);
    }
    match (tags.uint(PREDICTOR)?.unwrap_or(1), sample) {
        (1, _) => Ok(Predictor::None),
        (2, Sample::Number(_)) => Ok(Predictor::Difference),
        (3, Sample::Number(dtype)) if dtype.is_float() => Ok(Predictor::Float),
        (other, _) => Err(wrong(
            PREDICTOR,
            format!("{other} does not go with this type of samples"),
        )),
    }
}

fn chunk_grid(tags: &Tags, width: u32, height: u32) -> Result<ChunkGrid, Error> {
    let tiled = tags.has(TILE_WIDTH);
    let (cols, rows) = if tiled {
        (size(tags, TILE_WIDTH)?, size(tags, TILE_LENGTH)?)
    } else {
        let rows = tags.uint(ROWS_PER_STRIP)?.unwrap_or(u64::MAX);
        if rows == 0 {
            return Err(wrong(ROWS_PER_STRIP, "it is 0"));
        }
        (width, u32::try_from(rows).unwrap_or(u32::MAX).min(height))
    };
    Ok(ChunkGrid {
        tiled,
        cols,
        rows,
        across: width.div_ceil(cols),
        down: height.div_ceil(rows),
    })
}

fn chunk_arrays(
    tags: &Tags,
    chunks: &ChunkGrid,
    file_len: u64,
) -> Result<(Array, Option<Array>), Error> {
    // Some tiled files use the names of strips, which libtiff allows.
    let (offsets_tag, lengths_tag) = if chunks.tiled && tags.has(TILE_OFFSETS) {
        (TILE_OFFSETS, TILE_BYTE_COUNTS)
    } else {
        (STRIP_OFFSETS, STRIP_BYTE_COUNTS)
    };
    let offsets = tags.array(offsets_tag).ok_or(Error::Missing {
        tag: offsets_tag,
        name: array_name(offsets_tag),
    })?;
    offsets.check(array_name(offsets_tag), offsets_tag, file_len)?;
    let lengths = tags.array(lengths_tag);
    if let Some(lengths) = &lengths {
        lengths.check(array_name(lengths_tag), lengths_tag, file_len)?;
    }
    Ok((offsets, lengths))
}

const fn array_name(tag: u16) -> &'static str {
    match tag {
        TILE_OFFSETS => "TileOffsets",
        TILE_BYTE_COUNTS => "TileByteCounts",
        STRIP_OFFSETS => "StripOffsets",
        _ => "StripByteCounts",
    }
}
