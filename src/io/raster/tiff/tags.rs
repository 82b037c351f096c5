//! The values of a directory's tags, as far as anyone here asks for them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::directory::{Directory, Entry, FieldType, Place};
use super::{ByteOrder, Error, HeaderReader};

/// Bytes of one tag's value; the longest of honest ones are WKT strings and per-band arrays.
const VALUE_BYTES_MAX: u64 = 16 << 20;

macro_rules! tags {
    ($($name:ident = $tag:literal, $text:literal;)*) => {
        $(pub(in crate::io::raster) const $name: u16 = $tag;)*
        /// Returns the name of a tag.
        pub(super) const fn name_of(tag: u16) -> &'static str {
            match tag { $($tag => $text,)* _ => "unknown" }
        }
        /// Every tag whose value is read when a file is opened; the others may be damaged for all we care.
        const READ_AT_OPEN: &[u16] = &[$($tag),*];
    };
}

tags! {
    NEW_SUBFILE_TYPE = 254, "NewSubfileType";
    IMAGE_WIDTH = 256, "ImageWidth";
    IMAGE_LENGTH = 257, "ImageLength";
    BITS_PER_SAMPLE = 258, "BitsPerSample";
    COMPRESSION = 259, "Compression";
    PHOTOMETRIC = 262, "PhotometricInterpretation";
    FILL_ORDER = 266, "FillOrder";
    SAMPLES_PER_PIXEL = 277, "SamplesPerPixel";
    ROWS_PER_STRIP = 278, "RowsPerStrip";
    PLANAR_CONFIGURATION = 284, "PlanarConfiguration";
    T4_OPTIONS = 292, "T4Options";
    PREDICTOR = 317, "Predictor";
    COLOR_MAP = 320, "ColorMap";
    TILE_WIDTH = 322, "TileWidth";
    TILE_LENGTH = 323, "TileLength";
    EXTRA_SAMPLES = 338, "ExtraSamples";
    SAMPLE_FORMAT = 339, "SampleFormat";
    JPEG_TABLES = 347, "JPEGTables";
    YCBCR_COEFFICIENTS = 529, "YCbCrCoefficients";
    YCBCR_SUBSAMPLING = 530, "YCbCrSubSampling";
    REFERENCE_BLACK_WHITE = 532, "ReferenceBlackWhite";
    MODEL_PIXEL_SCALE = 33550, "ModelPixelScale";
    MODEL_TIEPOINT = 33922, "ModelTiepoint";
    MODEL_TRANSFORMATION = 34264, "ModelTransformation";
    GEO_KEY_DIRECTORY = 34735, "GeoKeyDirectory";
    GEO_DOUBLE_PARAMS = 34736, "GeoDoubleParams";
    GEO_ASCII_PARAMS = 34737, "GeoAsciiParams";
    GDAL_METADATA = 42112, "GDAL_METADATA";
    GDAL_NODATA = 42113, "GDAL_NODATA";
    LERC_PARAMETERS = 50674, "LercParameters";
}

/// Tags that say how a raster looks, not what it holds: damaged ones are left out.
const FOR_LOOKS: &[u16] = &[COLOR_MAP, EXTRA_SAMPLES, GDAL_METADATA];

pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;

/// The tags of one image, with the values of those that matter.
#[derive(Debug, Clone)]
pub struct Tags {
    order: ByteOrder,
    values: BTreeMap<u16, (FieldType, Bytes)>,
    directory: Directory,
}

impl Tags {
    /// Reads the values of the tags that matter.
    ///
    /// # Errors
    /// When such a tag's value lies behind the end of the file, is absurdly long, or cannot be read.
    pub async fn load(
        reader: &mut HeaderReader<'_>,
        order: ByteOrder,
        directory: Directory,
    ) -> Result<Self, Error> {
        let mut values = BTreeMap::new();
        for tag in READ_AT_OPEN {
            let Some(entry) = directory.get(tag) else {
                continue;
            };
            match load_value(reader, *tag, entry).await {
                Ok(value) => drop(values.insert(*tag, (entry.kind, value))),
                Err(error @ Error::Source(_)) => return Err(error),
                Err(_) if FOR_LOOKS.contains(tag) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            order,
            values,
            directory,
        })
    }

    /// Returns how numbers are written.
    #[must_use]
    pub const fn order(&self) -> ByteOrder {
        self.order
    }

    /// Tells whether the tag is there.
    pub(super) fn has(&self, tag: u16) -> bool {
        self.directory.contains_key(&tag)
    }

    /// Returns a tag that holds one value for each chunk, without its values.
    pub(super) fn array(&self, tag: u16) -> Option<Array> {
        self.directory.get(&tag).map(|entry| Array {
            entry: *entry,
            order: self.order,
        })
    }

    /// Returns all values of a tag as unsigned numbers.
    pub(super) fn uints(&self, tag: u16) -> Result<Option<Vec<u64>>, Error> {
        self.numbers(tag, "unsigned numbers", parse_uint)
    }

    /// Returns the first value of a tag as an unsigned number.
    pub(super) fn uint(&self, tag: u16) -> Result<Option<u64>, Error> {
        let Some(values) = self.uints(tag)? else {
            return Ok(None);
        };
        match values.first() {
            Some(value) => Ok(Some(*value)),
            None => Err(wrong(tag, "it has no value")),
        }
    }

    /// Returns all values of a tag as doubles.
    pub(super) fn doubles(&self, tag: u16) -> Result<Option<Vec<f64>>, Error> {
        self.numbers(tag, "numbers", parse_double)
    }

    /// Returns the bytes of a tag's value, as they are stored.
    pub(super) fn bytes(&self, tag: u16) -> Option<Bytes> {
        self.values.get(&tag).map(|(_, bytes)| bytes.clone())
    }

    /// Returns a tag's text up to its first zero byte; what is not UTF-8 is read as Latin-1.
    pub(super) fn text(&self, tag: u16) -> Option<String> {
        let (_, bytes) = self.values.get(&tag)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let bytes = bytes.get(..end).unwrap_or_default();
        Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
        })
    }

    fn numbers<T>(
        &self,
        tag: u16,
        wanted: &str,
        parse: fn(FieldType, ByteOrder, &[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        let Some((kind, bytes)) = self.values.get(&tag) else {
            return Ok(None);
        };
        let size = usize::try_from(kind.bytes()).unwrap_or(0).max(1);
        bytes
            .chunks_exact(size)
            .map(|value| parse(*kind, self.order, value))
            .collect::<Option<Vec<T>>>()
            .map(Some)
            .ok_or_else(|| wrong(tag, format!("it holds no {wanted}")))
    }
}

async fn load_value(
    reader: &mut HeaderReader<'_>,
    tag: u16,
    entry: &Entry,
) -> Result<Bytes, Error> {
    let bytes = entry
        .kind
        .bytes()
        .checked_mul(entry.count)
        .filter(|bytes| *bytes <= VALUE_BYTES_MAX)
        .ok_or_else(|| wrong(tag, format!("it claims {} values", entry.count)))?;
    match entry.place {
        Place::Inline(inline) => {
            let len = usize::try_from(bytes).unwrap_or(0).min(inline.len());
            Ok(Bytes::copy_from_slice(
                inline.get(..len).unwrap_or_default(),
            ))
        }
        Place::At(at) => reader.read(name_of(tag), at, bytes).await,
    }
}

/// Makes an error about a tag.
pub(super) fn wrong(tag: u16, problem: impl Into<String>) -> Error {
    Error::Wrong {
        tag,
        name: name_of(tag),
        problem: problem.into(),
    }
}

fn parse_uint(kind: FieldType, order: ByteOrder, value: &[u8]) -> Option<u64> {
    match kind {
        FieldType::Byte | FieldType::Undefined => value.first().map(|b| u64::from(*b)),
        FieldType::Short => order.u16(value, 0).map(u64::from),
        FieldType::Long => order.u32(value, 0).map(u64::from),
        FieldType::Long8 => order.u64(value, 0),
        // Signed numbers where unsigned ones belong are forgiven while they are positive.
        FieldType::SByte => value.first().map(|b| u64::from(*b)).filter(|n| *n < 1 << 7),
        FieldType::SShort => order.u16(value, 0).map(u64::from).filter(|n| *n < 1 << 15),
        FieldType::SLong => order.u32(value, 0).map(u64::from).filter(|n| *n < 1 << 31),
        FieldType::SLong8 => order.u64(value, 0).filter(|n| *n < 1 << 63),
        _ => None,
    }
}

fn parse_double(kind: FieldType, order: ByteOrder, value: &[u8]) -> Option<f64> {
    match kind {
        FieldType::Double => order.u64(value, 0).map(f64::from_bits),
        FieldType::Float => order.u32(value, 0).map(f32::from_bits).map(f64::from),
        FieldType::Short => order.u16(value, 0).map(f64::from),
        FieldType::Long => order.u32(value, 0).map(f64::from),
        FieldType::Rational => {
            let (above, below) = (order.u32(value, 0)?, order.u32(value, 4)?);
            Some(f64::from(above) / f64::from(below))
        }
        _ => None,
    }
}

/// A tag with one offset or length for each chunk, which may be too long to read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    entry: Entry,
    order: ByteOrder,
}

impl Array {
    /// Returns the number of values.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.entry.count
    }

    /// Returns the bytes of one value.
    #[must_use]
    pub const fn value_bytes(&self) -> u64 {
        self.entry.kind.bytes()
    }

    /// Checks that the values are numbers, and all of them in a file of `file_len` bytes.
    pub(super) fn check(&self, name: &'static str, tag: u16, file_len: u64) -> Result<(), Error> {
        if !matches!(
            self.entry.kind,
            FieldType::Byte | FieldType::Short | FieldType::Long | FieldType::Long8
        ) {
            return Err(Error::Wrong {
                tag,
                name,
                problem: format!("its values are of type {:?}", self.entry.kind),
            });
        }
        let Place::At(at) = self.entry.place else {
            return Ok(());
        };
        self.count()
            .checked_mul(self.value_bytes())
            .and_then(|bytes| bytes.checked_add(at))
            .filter(|end| *end <= file_len)
            .map(drop)
            .ok_or(Error::CutOff {
                what: name,
                at,
                len: file_len,
            })
    }

    /// Returns where values `first` to `first + n` are in the file, or the values themselves when they are in the directory.
    #[must_use]
    pub fn locate(&self, first: u64, n: u64) -> Located {
        let size = self.value_bytes();
        match self.entry.place {
            Place::Inline(bytes) => {
                let start = usize::try_from(first.saturating_mul(size)).unwrap_or(usize::MAX);
                let len = usize::try_from(n.saturating_mul(size)).unwrap_or(usize::MAX);
                let end = start.saturating_add(len).min(bytes.len());
                Located::Here(self.parse(bytes.get(start..end).unwrap_or_default()))
            }
            Place::At(at) => {
                let start = at.saturating_add(first.saturating_mul(size));
                Located::At(start..start.saturating_add(n.saturating_mul(size)))
            }
        }
    }

    /// Reads values out of their bytes.
    #[must_use]
    pub fn parse(&self, bytes: &[u8]) -> Vec<u64> {
        let size = usize::try_from(self.value_bytes()).unwrap_or(1).max(1);
        bytes
            .chunks_exact(size)
            .map(|value| parse_uint(self.entry.kind, self.order, value).unwrap_or(0))
            .collect()
    }
}

/// Where values of an [`Array`] are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// These are the values.
    Here(Vec<u64>),
    /// These bytes of the file hold them.
    At(std::ops::Range<u64>),
}
