//! The chain of image file directories, classic and Big.

use std::collections::{BTreeMap, BTreeSet};

use super::bytes::array;
use super::{ByteOrder, Error, HeaderReader};

/// Images in one file; a COG has some twenty with overviews and masks.
const DIRECTORIES_MAX: usize = 1024;
/// Tags in one directory, as in libtiff.
const ENTRIES_MAX: u64 = 4096;

/// Numbers and offsets of a file's directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// How numbers are written.
    pub order: ByteOrder,
    /// Whether offsets have eight bytes (`BigTIFF`) instead of four.
    pub big: bool,
}

/// One tag of a directory, its value not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The type of its values.
    pub kind: FieldType,
    /// How many values it has.
    pub count: u64,
    /// Where they are.
    pub place: Place,
}

/// Where the values of a tag are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the directory: the first four or eight bytes count.
    Inline([u8; 8]),
    /// At this byte of the file.
    At(u64),
}

/// The type of a tag's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in TIFF 6.0 and BigTIFF")]
pub enum FieldType {
    Byte,
    Ascii,
    Short,
    Long,
    Rational,
    SByte,
    Undefined,
    SShort,
    SLong,
    SRational,
    Float,
    Double,
    Long8,
    SLong8,
    /// None that is known; such a tag is left alone unless it is needed.
    Unknown,
}

impl FieldType {
    const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Byte,
            2 => Self::Ascii,
            3 => Self::Short,
            4 | 13 => Self::Long,
            5 => Self::Rational,
            6 => Self::SByte,
            7 => Self::Undefined,
            8 => Self::SShort,
            9 => Self::SLong,
            10 => Self::SRational,
            11 => Self::Float,
            12 => Self::Double,
            16 | 18 => Self::Long8,
            17 => Self::SLong8,
            _ => Self::Unknown,
        }
    }

    /// Returns the bytes of one value.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte | Self::Ascii | Self::SByte | Self::Undefined => 1,
            Self::Short | Self::SShort => 2,
            Self::Long | Self::SLong | Self::Float => 4,
            Self::Rational | Self::SRational | Self::Double | Self::Long8 | Self::SLong8 => 8,
            Self::Unknown => 0,
        }
    }
}

/// The tags of one image.
pub type Directory = BTreeMap<u16, Entry>;

/// Reads the header and all directories of the main chain, first image first.
///
/// # Errors
/// When the file is no TIFF, ends within a directory, or its chain loops or is endless.
pub async fn read_chain(reader: &mut HeaderReader<'_>) -> Result<(Format, Vec<Directory>), Error> {
    let wanted = reader.file_len().min(16);
    let head = reader.read("header", 0, wanted).await?;
    let (format, mut at) = parse_header(&head).ok_or(Error::NotATiff)?;

    let mut directories = Vec::new();
    let mut seen = BTreeSet::new();
    while at != 0 {
        if !seen.insert(at) {
            return Err(Error::Loop { at });
        }
        if directories.len() == DIRECTORIES_MAX {
            return Err(Error::TooManyDirectories {
                limit: DIRECTORIES_MAX,
            });
        }
        let (directory, next) = read_directory(reader, format, at).await?;
        directories.push(directory);
        at = next;
    }
    Ok((format, directories))
}

/// Reads byte order, kind and the place of the first directory.
fn parse_header(head: &[u8]) -> Option<(Format, u64)> {
    let order = match head.get(..2)? {
        b"II" => ByteOrder::Little,
        b"MM" => ByteOrder::Big,
        _ => return None,
    };
    match order.u16(head, 2)? {
        42 => Some((Format { order, big: false }, u64::from(order.u32(head, 4)?))),
        43 if order.u16(head, 4)? == 8 => Some((Format { order, big: true }, order.u64(head, 8)?)),
        _ => None,
    }
}

async fn read_directory(
    reader: &mut HeaderReader<'_>,
    format: Format,
    at: u64,
) -> Result<(Directory, u64), Error> {
    let cut_off = |len| Error::CutOff {
        what: "directory",
        at,
        len,
    };
    let (count_bytes, entry_bytes, next_bytes) = if format.big { (8, 20, 8) } else { (2, 12, 4) };
    let count = reader.read("directory", at, count_bytes).await?;
    let entries = if format.big {
        format.order.u64(&count, 0)
    } else {
        format.order.u16(&count, 0).map(u64::from)
    }
    .unwrap_or(0);
    if entries == 0 || entries > ENTRIES_MAX {
        return Err(Error::DirectorySize { at, entries });
    }
    let body_at = at.saturating_add(count_bytes);
    let len = entries * entry_bytes;
    let body = reader.read("directory", body_at, len).await?;
    let mut directory = Directory::new();
    for raw in body.chunks_exact(if format.big { 20 } else { 12 }) {
        let (tag, entry) = parse_entry(format, raw).ok_or_else(|| cut_off(reader.file_len()))?;
        // The first of two counts, as in libtiff.
        directory.entry(tag).or_insert(entry);
    }
    // Some writers leave the last pointer out at the end of a file.
    let next_at = body_at.saturating_add(len);
    if next_at.saturating_add(next_bytes) > reader.file_len() {
        return Ok((directory, 0));
    }
    let next = reader.read("directory", next_at, next_bytes).await?;
    let next = if format.big {
        format.order.u64(&next, 0)
    } else {
        format.order.u32(&next, 0).map(u64::from)
    };
    Ok((directory, next.unwrap_or(0)))
}

fn parse_entry(format: Format, raw: &[u8]) -> Option<(u16, Entry)> {
    let order = format.order;
    let tag = order.u16(raw, 0)?;
    let kind = FieldType::from_code(order.u16(raw, 2)?);
    let (count, inline, inline_bytes, offset) = if format.big {
        let inline = array::<8>(raw, 12)?;
        (order.u64(raw, 4)?, inline, 8, order.u64(raw, 12)?)
    } else {
        let mut inline = [0; 8];
        inline
            .iter_mut()
            .zip(raw.get(8..12)?)
            .for_each(|(to, from)| *to = *from);
        (
            u64::from(order.u32(raw, 4)?),
            inline,
            4,
            u64::from(order.u32(raw, 8)?),
        )
    };
    let fits = kind
        .bytes()
        .checked_mul(count)
        .is_some_and(|bytes| bytes <= inline_bytes);
    let place = if fits {
        Place::Inline(inline)
    } else {
        Place::At(offset)
    };
    Some((tag, Entry { kind, count, place }))
}
