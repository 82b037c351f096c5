//! The tags of a level: what a reader must know before it reads a tile.

use super::header::tiles_of;
use super::{Error, geo};
use crate::grid::look::{Colours, Extra};
use crate::grid::pyramid::PyramidLayout;
use crate::grid::{DataType, Look, RasterProfile};
use crate::io::raster::encode::TileFormat;
use crate::io::raster::tiff::tags::{COLOR_MAP, EXTRA_SAMPLES, GDAL_METADATA, PHOTOMETRIC};
use crate::spec::Compression;

/// The types of values that we write, with their codes in a TIFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ascii = 2,
    Short = 3,
    Long = 4,
    Double = 12,
    Long8 = 16,
}

impl Kind {
    const fn bytes(self) -> u64 {
        match self {
            Self::Ascii => 1,
            Self::Short => 2,
            Self::Long => 4,
            Self::Double | Self::Long8 => 8,
        }
    }
}

/// A value, known from the start or once all tiles are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Known(Vec<u8>),
    TileOffsets,
    TileByteCounts,
}

/// A tag with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) tag: u16,
    pub(super) kind: Kind,
    pub(super) count: u64,
    pub(super) value: Value,
}

impl Entry {
    fn known(tag: u16, kind: Kind, bytes: Vec<u8>) -> Self {
        Self {
            tag,
            kind,
            count: bytes.len() as u64 / kind.bytes(),
            value: Value::Known(bytes),
        }
    }

    pub(super) fn shorts(tag: u16, values: &[u16]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::known(tag, Kind::Short, bytes)
    }

    fn long(tag: u16, value: u32) -> Self {
        Self::known(tag, Kind::Long, value.to_le_bytes().to_vec())
    }

    pub(super) fn doubles(tag: u16, values: &[f64]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::known(tag, Kind::Double, bytes)
    }

    /// A text ends with a NUL, added where it is missing.
    pub(super) fn ascii(tag: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        if !text.ends_with('\0') {
            bytes.push(0);
        }
        Self::known(tag, Kind::Ascii, bytes)
    }

    /// Returns the bytes of the value.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.count.checked_mul(self.kind.bytes())
    }
}

/// Lists the tags of a level, by rising number as TIFF wants them.
pub(super) fn entries(
    profile: &RasterProfile,
    (layout, format): (&PyramidLayout, &TileFormat),
    look: &Look,
    level: u32,
    big: bool,
) -> Result<Vec<Entry>, Error> {
    let (width, height) = layout.level_size(level);
    let tiles = tiles_of(layout, level);
    let bands = usize::from(format.bands);
    let bits = u16::try_from(format.dtype.bytes() * 8).unwrap_or(0);
    let mut entries = vec![
        // NewSubfileType: an overview is a reduced image.
        Entry::long(254, u32::from(level > 0)),
        Entry::long(256, width),
        Entry::long(257, height),
        Entry::shorts(258, &vec![bits; bands]),
        Entry::shorts(259, &[compression_code(format.compression)]),
        Entry::shorts(PHOTOMETRIC, &[photometric(&look.colours)]),
        Entry::shorts(277, &[format.bands]),
        Entry::shorts(284, &[1]),
    ];
    if format.predictor() != 1 {
        entries.push(Entry::shorts(317, &[format.predictor()]));
    }
    if let Colours::Palette(palette) = &look.colours {
        entries.push(Entry::shorts(COLOR_MAP, palette));
    }
    entries.extend([
        Entry::long(322, format.tile),
        Entry::long(323, format.tile),
        Entry {
            tag: 324,
            kind: if big { Kind::Long8 } else { Kind::Long },
            count: tiles,
            value: Value::TileOffsets,
        },
        Entry {
            tag: 325,
            kind: Kind::Long,
            count: tiles,
            value: Value::TileByteCounts,
        },
    ]);
    let extra: Vec<u16> = look.extras(format.bands).iter().map(extra_code).collect();
    if !extra.is_empty() {
        entries.push(Entry::shorts(EXTRA_SAMPLES, &extra));
    }
    entries.push(Entry::shorts(
        339,
        &vec![sample_format(format.dtype); bands],
    ));
    if level == 0 {
        entries.extend(geo::entries(profile)?);
    }
    if level == 0 && !look.metadata.is_empty() {
        entries.push(Entry::ascii(GDAL_METADATA, &look.metadata));
    }
    if let Some(nodata) = profile.nodata {
        entries.push(Entry::ascii(42_113, &nodata_text(nodata, format.dtype)));
    }
    Ok(entries)
}

/// Overviews have the colours of level 0, so that each can be shown by itself.
const fn photometric(colours: &Colours) -> u16 {
    match colours {
        Colours::GreyInverted => 0,
        Colours::Grey => 1,
        Colours::Rgb => 2,
        Colours::Palette(_) => 3,
    }
}

const fn extra_code(extra: &Extra) -> u16 {
    match extra {
        Extra::Other => 0,
        Extra::Premultiplied => 1,
        Extra::Alpha => 2,
    }
}

const fn compression_code(compression: Compression) -> u16 {
    match compression {
        Compression::None => 1,
        Compression::Lzw => 5,
        Compression::Deflate => 8,
        Compression::Zstd => 50_000,
    }
}

const fn sample_format(dtype: DataType) -> u16 {
    match dtype {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => 1,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => 2,
        DataType::Float32 | DataType::Float64 => 3,
    }
}

/// Writes a NoData value as GDAL reads it: the shortest text which gives the same double back. The greatest
/// integers of 64 bits, which are no doubles, are written for the doubles that stand for them.
fn nodata_text(nodata: f64, dtype: DataType) -> String {
    let top = dtype.range().1;
    if nodata.is_nan() {
        "nan".to_owned()
    } else if dtype == DataType::UInt64 && nodata == top {
        u64::MAX.to_string()
    } else if dtype == DataType::Int64 && nodata == top {
        i64::MAX.to_string()
    } else if !dtype.is_float() && nodata.fract() == 0.0 {
        format!("{nodata:.0}")
    } else if nodata.abs() < 1e15 && nodata.fract() == 0.0 {
        format!("{nodata}")
    } else {
        format!("{nodata:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodata_value_is_written_as_gdal_reads_it() {
        for (nodata, dtype, text) in [
            (f64::NAN, DataType::Float32, "nan"),
            (f64::NEG_INFINITY, DataType::Float64, "-inf"),
            (-9999.0, DataType::Float32, "-9999"),
            (-9999.0, DataType::Int16, "-9999"),
            (0.1, DataType::Float64, "0.1"),
            (
                f64::from(f32::MIN),
                DataType::Float32,
                "-3.4028234663852886e38",
            ),
            (
                DataType::UInt64.range().1,
                DataType::UInt64,
                "18446744073709551615",
            ),
            (
                DataType::Int64.range().1,
                DataType::Int64,
                "9223372036854775807",
            ),
            (
                DataType::Int64.range().0,
                DataType::Int64,
                "-9223372036854775808",
            ),
        ] {
            assert_eq!(nodata_text(nodata, dtype), text);
        }
    }
}
