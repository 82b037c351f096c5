//! What stands before the tiles: all directories, with room for the place of every tile.
//!
//! The order is that of a COG: level 0 first, right behind the signature, then the overviews from the
//! greatest to the smallest; each directory is followed by its values. The tiles come after all of it, from
//! the smallest overview to level 0. There is no block of structural metadata, hence no promise to keep.

use super::Error;
use super::tags::{Entry, Value, entries};
use crate::grid::pyramid::PyramidLayout;
use crate::grid::{Look, RasterProfile};
use crate::io::raster::encode::TileFormat;
use crate::spec::Compression;

/// Tiles that may add up to more than this before compression, in bytes, go into a BigTIFF.
const CLASSIC_BYTES_MAX: u64 = 3_900_000_000;
/// What compression and directory may add to a tile at most, beside LZW's growth, in bytes.
const TILE_OVERHEAD_BYTES: u64 = 64;
/// Values begin at multiples of this.
const ALIGN: u64 = 8;

/// Tells whether a raster goes into a BigTIFF: when its tiles before compression, all levels counted, may
/// pass 3.9 GB. What LZW may add to noise is counted in.
///
/// # Errors
/// When the sizes cannot be counted.
pub fn is_bigtiff(layout: &PyramidLayout, format: &TileFormat) -> Result<bool, Error> {
    let tile_bytes = format
        .tile_bytes()
        .map_err(|source| Error::TileBytes { source })?;
    let tile_bytes = u64::try_from(tile_bytes).map_err(|_| Error::TooManyTiles)?;
    let growth = match format.compression {
        // Codes of at most 12 bits for 8.
        Compression::Lzw => tile_bytes / 2,
        Compression::None | Compression::Deflate | Compression::Zstd => 0,
    };
    let mut total: u64 = 0;
    for level in 0..layout.levels {
        let bytes = tiles_of(layout, level).checked_mul(tile_bytes + growth + TILE_OVERHEAD_BYTES);
        total = bytes
            .and_then(|bytes| total.checked_add(bytes))
            .ok_or(Error::TooManyTiles)?;
    }
    Ok(total > CLASSIC_BYTES_MAX)
}

/// Returns how many bytes stand before the first tile.
///
/// # Errors
/// When the three speak of different rasters, or the sizes cannot be counted.
pub fn header_bytes(
    profile: &RasterProfile,
    layout: &PyramidLayout,
    format: &TileFormat,
) -> Result<u64, Error> {
    Header::plan(profile, layout, format, &Look::default()).map(|header| header.bytes)
}

pub(super) fn tiles_of(layout: &PyramidLayout, level: u32) -> u64 {
    let (across, down) = layout.level_tiles(level);
    u64::from(across) * u64::from(down)
}

/// Where a tile is: its first byte and its length. No tile begins at 0.
pub(super) type Place = (u64, u32);

/// One directory: the tags of a level, by rising number, and where it stands.
#[derive(Debug)]
struct Directory {
    entries: Vec<Entry>,
    at: u64,
}

/// All that stands before the tiles.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) big: bool,
    directories: Vec<Directory>,
    /// Its length, and so the place of the first tile.
    pub(super) bytes: u64,
}

impl Header {
    /// Plans the header of a raster.
    pub(super) fn plan(
        profile: &RasterProfile,
        layout: &PyramidLayout,
        format: &TileFormat,
        look: &Look,
    ) -> Result<Self, Error> {
        check(profile, layout, format)?;
        let big = is_bigtiff(layout, format)?;
        let mut header = Self {
            big,
            directories: Vec::new(),
            bytes: if big { 16 } else { 8 },
        };
        for level in 0..layout.levels {
            let entries = entries(profile, (layout, format), look, level, big)?;
            let at = header.bytes;
            header.bytes = header.end(at, &entries).ok_or(Error::TooManyTiles)?;
            header.directories.push(Directory { entries, at });
        }
        if !big && u32::try_from(header.bytes).is_err() {
            return Err(Error::TooManyTiles);
        }
        Ok(header)
    }

    /// Bytes of an entry's value that fit into the entry itself.
    const fn inline_bytes(&self) -> u64 {
        if self.big { 8 } else { 4 }
    }

    /// Returns where the values of a directory of `count` entries begin.
    fn values_at(&self, at: u64, count: usize) -> u64 {
        let count = count as u64;
        let end = at
            + if self.big {
                8 + 20 * count + 8
            } else {
                2 + 12 * count + 4
            };
        end.next_multiple_of(ALIGN)
    }

    /// Returns where what follows a directory begins.
    fn end(&self, at: u64, entries: &[Entry]) -> Option<u64> {
        entries
            .iter()
            .try_fold(self.values_at(at, entries.len()), |end, entry| {
                let bytes = entry.bytes()?;
                if bytes <= self.inline_bytes() {
                    return Some(end);
                }
                end.checked_add(bytes)?.checked_next_multiple_of(ALIGN)
            })
    }

    /// Writes the header, now that the place of every tile of every level is known.
    pub(super) fn write(&self, levels: &[Vec<Place>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        out.extend(b"II");
        if self.big {
            out.extend([43, 0, 8, 0, 0, 0]);
        } else {
            out.extend([42, 0]);
        }
        let starts = self.directories.iter().map(|directory| directory.at);
        self.push_word(&mut out, starts.clone().next().unwrap_or(0));
        let nexts = starts.skip(1).chain([0]);
        for ((directory, next), places) in self.directories.iter().zip(nexts).zip(levels) {
            self.write_directory(directory, next, places, &mut out);
        }
        debug_assert_eq!(out.len() as u64, self.bytes, "the reserved size holds");
        out
    }

    fn write_directory(
        &self,
        directory: &Directory,
        next: u64,
        places: &[Place],
        out: &mut Vec<u8>,
    ) {
        let entries = &directory.entries;
        if self.big {
            out.extend((entries.len() as u64).to_le_bytes());
        } else {
            out.extend(
                u16::try_from(entries.len())
                    .unwrap_or(u16::MAX)
                    .to_le_bytes(),
            );
        }
        let values_at = self.values_at(directory.at, entries.len());
        let mut values = Vec::new();
        for entry in entries {
            out.extend(entry.tag.to_le_bytes());
            out.extend((entry.kind as u16).to_le_bytes());
            self.push_word(out, entry.count);
            let mut bytes = self.value_bytes(entry, places);
            if bytes.len() as u64 <= self.inline_bytes() {
                bytes.resize(if self.big { 8 } else { 4 }, 0);
                out.extend(bytes);
            } else {
                self.push_word(out, values_at + values.len() as u64);
                values.extend(bytes);
                pad(&mut values);
            }
        }
        self.push_word(out, next);
        pad(out);
        out.extend(values);
    }

    fn value_bytes(&self, entry: &Entry, places: &[Place]) -> Vec<u8> {
        match &entry.value {
            Value::Known(bytes) => bytes.clone(),
            Value::TileByteCounts => places
                .iter()
                .flat_map(|(_, bytes)| bytes.to_le_bytes())
                .collect(),
            Value::TileOffsets => {
                let mut out = Vec::new();
                for (at, _) in places {
                    self.push_word(&mut out, *at);
                }
                out
            }
        }
    }

    /// Appends a number of 64 bits in a BigTIFF, of 32 else; the plan and the writer keep it small enough.
    fn push_word(&self, out: &mut Vec<u8>, word: u64) {
        if self.big {
            out.extend(word.to_le_bytes());
        } else {
            debug_assert!(u32::try_from(word).is_ok());
            out.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
}

/// Both the values and the file up to them are padded to the same multiple.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGN as usize), 0);
}

fn check(
    profile: &RasterProfile,
    layout: &PyramidLayout,
    format: &TileFormat,
) -> Result<(), Error> {
    let same = [
        (
            "size",
            (profile.width, profile.height) == (layout.width, layout.height),
        ),
        ("data type", profile.dtype == format.dtype),
        ("number of bands", profile.bands == format.bands),
        ("size of tiles", layout.tile == format.tile),
        (
            "number of levels",
            layout.levels > 0 && profile.width > 0 && profile.height > 0,
        ),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Err(Error::Mismatch { what });
    }
    if format.tile == 0 || !format.tile.is_multiple_of(16) {
        return Err(Error::TileEdge { tile: format.tile });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::DataType;

    #[test]
    fn a_raster_that_may_pass_the_limit_is_big() {
        let check = |size: u32, compression, expected| {
            let layout = PyramidLayout::new(size, size, 512, false, (512, 512));
            let format = TileFormat {
                tile: 512,
                dtype: DataType::UInt8,
                bands: 1,
                compression,
                nodata: None,
            };
            assert_eq!(is_bigtiff(&layout, &format).unwrap(), expected, "{size}");
        };
        // 121 × 512 = 61,952, whose square is 3.84e9; 122 × 512 gives 3.90e9 and the overhead more.
        check(61_952, Compression::Deflate, false);
        check(61_953, Compression::Deflate, true);
        check(61_952, Compression::Lzw, true);
        check(50_000, Compression::Lzw, false);
    }
}
