//! How one image of a TIFF stores its samples, and which images cannot be read.

use bytes::Bytes;

use super::tags::{
    Array, BITS_PER_SAMPLE, COMPRESSION, FILL_ORDER, IMAGE_LENGTH, IMAGE_WIDTH, JPEG_TABLES,
    LERC_PARAMETERS, NEW_SUBFILE_TYPE, PHOTOMETRIC, PLANAR_CONFIGURATION, PREDICTOR,
    REFERENCE_BLACK_WHITE, ROWS_PER_STRIP, SAMPLE_FORMAT, SAMPLES_PER_PIXEL, STRIP_BYTE_COUNTS,
    STRIP_OFFSETS, T4_OPTIONS, TILE_BYTE_COUNTS, TILE_LENGTH, TILE_OFFSETS, TILE_WIDTH,
    YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, name_of, wrong,
};
use super::{ByteOrder, Error, Tags};
use crate::grid::DataType;
use crate::io::raster::codec::Compression;
use crate::io::raster::codec::picture::LercWrap;

/// The largest chunk that is decompressed whole, in bytes: the memory of one task must hold it.
pub const CHUNK_BYTES_MAX: u64 = 256 << 20;

/// How an image stores its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples of a cell: the bands.
    pub samples: u16,
    /// The type of a sample, as it is read.
    pub dtype: DataType,
    /// How samples are stored.
    pub form: Form,
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
    /// Tables that all JPEG chunks share.
    pub jpeg_tables: Bytes,
    /// Whether JPEG chunks hold luma and chroma, to be read as red, green and blue.
    pub jpeg_ycbcr: bool,
    /// What LERC chunks are compressed with once more.
    pub lerc_wrap: LercWrap,
}

/// How the samples of a chunk are stored, once it is decompressed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// As numbers of their type.
    Plain,
    /// As unsigned integers of so many bits, 1 to 32, the most significant first; each row begins at a byte.
    Packed(u32),
    /// As floats of 16 bit.
    Half,
    /// As cyan, magenta, yellow and black, a byte each; read as red, green, blue and opacity.
    Cmyk,
    /// As luma, and chroma shared by several cells; read as red, green and blue.
    YCbCr(YCbCr),
}

/// How luma and chroma are stored: TIFF 6.0, section 21.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YCbCr {
    /// Columns that share a chroma sample: 1, 2 or 4.
    pub across: u32,
    /// Rows that share a chroma sample: 1, 2 or 4.
    pub down: u32,
    /// Shares of red, green and blue in the luma.
    pub luma: [f32; 3],
    /// The stored numbers of black and white for luma and both chromas.
    pub black_white: [f32; 6],
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
        Self::parse(tags, file_len)
    }

    /// As [`Image::from_tags`], for a mask: one band, of 1 or 8 bit.
    ///
    /// # Errors
    /// As [`Image::from_tags`].
    pub fn mask_from_tags(tags: &Tags, file_len: u64) -> Result<Self, Error> {
        let image = Self::parse(tags, file_len)?;
        if image.samples != 1 {
            return Err(Error::unsupported(
                format!("an internal mask of {} bands", image.samples),
                "make one mask for all bands with 'gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES -mask 1 IN.tif OUT.tif'",
            ));
        }
        if image.dtype != DataType::UInt8 || !matches!(image.form, Form::Plain | Form::Packed(1)) {
            return Err(Error::unsupported(
                "an internal mask of other than 1 or 8 bit",
                "make it again with 'gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES IN.tif OUT.tif'",
            ));
        }
        Ok(image)
    }

    fn parse(tags: &Tags, file_len: u64) -> Result<Self, Error> {
        let width = size(tags, IMAGE_WIDTH)?;
        let height = size(tags, IMAGE_LENGTH)?;
        let samples = tags.uint(SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let samples = u16::try_from(samples)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| wrong(SAMPLES_PER_PIXEL, format!("it is {samples}")))?;
        let compression = compression(tags)?;
        let (dtype, form) = sample(tags)?;
        let form = colours(tags, compression, (dtype, form), samples)?;
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
            dtype,
            form,
            compression,
            predictor: predictor(tags, compression, (dtype, form))?,
            planar,
            palette: tags.uint(PHOTOMETRIC)? == Some(3),
            order: tags.order(),
            bits_reversed: tags.uint(FILL_ORDER)?.unwrap_or(1) == 2,
            chunks,
            offsets,
            lengths,
            jpeg_tables: tags.bytes(JPEG_TABLES).unwrap_or_default(),
            jpeg_ycbcr: tags.uint(PHOTOMETRIC)? == Some(6),
            lerc_wrap: lerc_wrap(tags)?,
        };
        image.check_form()?;
        image.check_chunks()?;
        Ok(image)
    }

    /// Returns the samples of a cell within one chunk.
    #[must_use]
    pub const fn chunk_samples(&self) -> u16 {
        if self.planar { 1 } else { self.samples }
    }

    /// Returns the bytes of one row of a chunk once its samples are numbers of their type.
    #[must_use]
    pub const fn row_bytes(&self) -> u64 {
        let samples = self.chunks.cols as u64 * self.chunk_samples() as u64;
        samples.saturating_mul(self.dtype.bytes() as u64)
    }

    /// Returns the bytes of the upper `rows` rows of a chunk as they are stored before compression.
    #[must_use]
    pub fn stored_bytes(&self, rows: u32) -> u64 {
        let (cols, rows) = (u64::from(self.chunks.cols), u64::from(rows));
        let samples = cols * u64::from(self.chunk_samples());
        match self.form {
            Form::Plain => self.row_bytes().saturating_mul(rows),
            Form::Packed(bits) => samples
                .saturating_mul(u64::from(bits))
                .div_ceil(8)
                .saturating_mul(rows),
            Form::Half => samples.saturating_mul(2).saturating_mul(rows),
            Form::Cmyk => samples.saturating_mul(rows),
            Form::YCbCr(YCbCr { across, down, .. }) => {
                let cells = u64::from(across * down + 2);
                let units = cols.div_ceil(u64::from(across)) * rows.div_ceil(u64::from(down));
                units.saturating_mul(cells)
            }
        }
    }

    /// Tells whether the rows of a chunk can be read one by one where it is not compressed.
    #[must_use]
    pub const fn rows_stand_alone(&self) -> bool {
        !matches!(self.form, Form::YCbCr(_))
    }

    /// Returns the number of chunks of all bands.
    #[must_use]
    pub const fn chunk_count(&self) -> u64 {
        let planes = if self.planar { self.samples as u64 } else { 1 };
        self.chunks.per_plane().saturating_mul(planes)
    }

    /// Refuses what no decoder makes samples of.
    fn check_form(&self) -> Result<(), Error> {
        let bytes = self.dtype == DataType::UInt8 && self.form == Form::Plain;
        let fits = match self.compression {
            Compression::Jpeg => bytes && matches!(self.chunk_samples(), 1 | 3 | 4),
            Compression::WebP => bytes && matches!(self.chunk_samples(), 3 | 4),
            Compression::Lerc => self.form == Form::Plain,
            Compression::Fax3 | Compression::Fax4 => {
                self.form == Form::Packed(1) && self.chunk_samples() == 1
            }
            _ => true,
        };
        if fits {
            return Ok(());
        }
        let name = Compression::name_of_tag(self.compression.tag());
        Err(Error::unsupported(
            format!(
                "{name} compression of {} bands of this type",
                self.chunk_samples()
            ),
            CONVERT,
        ))
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
        let bytes = bytes.max(self.stored_bytes(self.chunks.rows));
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

/// The way out of what only GDAL reads.
const CONVERT: &str = "convert it with 'gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif'";

fn compression(tags: &Tags) -> Result<Compression, Error> {
    let value = tags.uint(COMPRESSION)?.unwrap_or(1);
    let compression = Compression::from_tag(value).ok_or_else(|| {
        let name = Compression::name_of_tag(value);
        Error::unsupported(format!("compression {value} ({name})"), CONVERT)
    })?;
    // Bits of T4Options: two-dimensional, uncompressed parts.
    if compression == Compression::Fax3 && tags.uint(T4_OPTIONS)?.unwrap_or(0) & 3 != 0 {
        return Err(Error::unsupported(
            "two-dimensional CCITT group 3 fax",
            CONVERT,
        ));
    }
    Ok(compression)
}

fn lerc_wrap(tags: &Tags) -> Result<LercWrap, Error> {
    let parameters = tags.uints(LERC_PARAMETERS)?.unwrap_or_default();
    match parameters.get(1) {
        None | Some(0) => Ok(LercWrap::None),
        Some(1) => Ok(LercWrap::Deflate),
        Some(2) => Ok(LercWrap::Zstd),
        Some(other) => Err(wrong(
            LERC_PARAMETERS,
            format!("compression {other} is unknown"),
        )),
    }
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

/// Returns the type as which samples are read, and how they are stored.
fn sample(tags: &Tags) -> Result<(DataType, Form), Error> {
    let bits = shared(tags, BITS_PER_SAMPLE, 1)?;
    let format = shared(tags, SAMPLE_FORMAT, 1)?;
    let packed = |dtype| (dtype, Form::Packed(u32::try_from(bits).unwrap_or(0)));
    let plain = |dtype| (dtype, Form::Plain);
    let sample = match (format, bits) {
        // 4 says that the meaning is not known: libtiff reads it as unsigned.
        (1 | 4, 8) => plain(DataType::UInt8),
        (1 | 4, 16) => plain(DataType::UInt16),
        (1 | 4, 32) => plain(DataType::UInt32),
        (1 | 4, 64) => plain(DataType::UInt64),
        (2, 8) => plain(DataType::Int8),
        (2, 16) => plain(DataType::Int16),
        (2, 32) => plain(DataType::Int32),
        (2, 64) => plain(DataType::Int64),
        (3, 32) => plain(DataType::Float32),
        (3, 64) => plain(DataType::Float64),
        (3, 16) => (DataType::Float32, Form::Half),
        (1 | 4, 1..=8) => packed(DataType::UInt8),
        (1 | 4, 9..=16) => packed(DataType::UInt16),
        (1 | 4, 17..=32) => packed(DataType::UInt32),
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
                "widen them with 'gdal_translate -ot Int32 IN.tif OUT.tif' (or UInt32, Float32)",
            ));
        }
        (format, bits) => {
            return Err(wrong(
                BITS_PER_SAMPLE,
                format!("{bits} bit of sample format {format} are not a number"),
            ));
        }
    };
    Ok(sample)
}

/// Returns how samples are stored where their colours say more of it, and refuses colour spaces whose stored numbers are
/// not what other software shows as bands.
///
/// Palettes are read as their indices, inverted greys as stored, CMYK of more than 8 bit as stored.
fn colours(
    tags: &Tags,
    compression: Compression,
    (dtype, form): (DataType, Form),
    samples: u16,
) -> Result<Form, Error> {
    let bytes = dtype == DataType::UInt8 && form == Form::Plain;
    let together = tags.uint(PLANAR_CONFIGURATION)?.unwrap_or(1) == 1;
    let name = match tags.uint(PHOTOMETRIC)?.unwrap_or(1) {
        5 if bytes && samples == 4 && together && !compression.is_picture() => {
            return Ok(Form::Cmyk);
        }
        5 if bytes => "CMYK colour of this kind",
        6 if compression == Compression::Jpeg && samples == 3 && together => return Ok(form),
        6 if bytes && samples == 3 && together && !compression.is_picture() => {
            return Ok(Form::YCbCr(ycbcr(tags)?));
        }
        6 => "YCbCr colour of this kind",
        8 => "CIE L*a*b* colour",
        9 => "ICC L*a*b* colour",
        10 => "ITU L*a*b* colour",
        32844 | 32845 => "logarithmic luminance",
        _ => return Ok(form),
    };
    Err(Error::unsupported(
        name,
        "convert it with 'gdal_translate -co PHOTOMETRIC=RGB IN.tif OUT.tif'",
    ))
}

/// Reads how luma and chroma are stored, with the defaults of TIFF 6.0 as libtiff takes them.
fn ycbcr(tags: &Tags) -> Result<YCbCr, Error> {
    let shared = tags.uints(YCBCR_SUBSAMPLING)?.unwrap_or_default();
    let (across, down) = match shared[..] {
        [] => (2, 2),
        [across, down, ..] => (across, down),
        [_] => (0, 0),
    };
    let count = |n: u64| u32::try_from(n).ok().filter(|n| matches!(n, 1 | 2 | 4));
    let (Some(across), Some(down)) = (count(across), count(down)) else {
        return Err(wrong(YCBCR_SUBSAMPLING, format!("it is {shared:?}")));
    };
    let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<_>>();
    let numbers = |tag| Ok::<_, Error>(tags.doubles(tag)?.map(narrow));
    let luma = numbers(YCBCR_COEFFICIENTS)?.unwrap_or_else(|| vec![0.299, 0.587, 0.114]);
    let luma = luma.first_chunk::<3>().filter(|luma| luma[1] != 0.0);
    let black_white = numbers(REFERENCE_BLACK_WHITE)?
        .unwrap_or_else(|| vec![0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
    Ok(YCbCr {
        across,
        down,
        luma: *luma.ok_or_else(|| wrong(YCBCR_COEFFICIENTS, "it is not three shares"))?,
        black_white: *black_white
            .first_chunk::<6>()
            .ok_or_else(|| wrong(REFERENCE_BLACK_WHITE, "it has fewer than six numbers"))?,
    })
}

fn predictor(
    tags: &Tags,
    compression: Compression,
    (dtype, form): (DataType, Form),
) -> Result<Predictor, Error> {
    if !compression.has_predictor() {
        return Ok(Predictor::None);
    }
    match (tags.uint(PREDICTOR)?.unwrap_or(1), form) {
        (1, _) => Ok(Predictor::None),
        (2, Form::Plain | Form::Half) => Ok(Predictor::Difference),
        (3, Form::Plain | Form::Half) if dtype.is_float() => Ok(Predictor::Float),
        (2, Form::Cmyk) => Err(Error::unsupported(
            "CMYK colour with a predictor",
            "convert it with 'gdal_translate -co PHOTOMETRIC=RGB IN.tif OUT.tif'",
        )),
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
