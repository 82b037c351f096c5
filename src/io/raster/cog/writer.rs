//! The tiles of a COG, streamed behind the room kept for its header.

use std::io::{Seek, SeekFrom, Write};

use super::Error;
use super::header::{Header, Place, tiles_of};
use crate::grid::pyramid::PyramidLayout;
use crate::grid::{Look, RasterProfile};
use crate::io::raster::encode::TileFormat;

/// A tile that is not there yet.
const NOWHERE: Place = (0, 0);

/// Writes encoded tiles into one Cloud Optimized GeoTIFF, smallest overview first.
///
/// It keeps 16 bytes a tile in memory. Until [`CogWriter::finish`] the file has no signature, so that
/// nobody takes it for an image.
#[derive(Debug)]
pub struct CogWriter<W> {
    out: W,
    header: Header,
    layout: PyramidLayout,
    /// The place of each tile of each level, row by row.
    places: Vec<Vec<Place>>,
    /// The level that is being written.
    level: u32,
    /// Its tiles that are still to come.
    missing: u64,
    /// Where the next tile goes.
    at: u64,
}

fn written(source: std::io::Error) -> Error {
    Error::Write { source }
}

impl<W: Write + Seek> CogWriter<W> {
    /// Begins a file and keeps room for its header.
    ///
    /// - `out`: empty; every tile is one write, so buffer it.
    /// - `profile`, `layout`, `format`: must speak of the same raster.
    ///
    /// # Errors
    /// When they do not, the CRS has no keys, or `out` fails.
    pub fn new(
        out: W,
        profile: &RasterProfile,
        layout: &PyramidLayout,
        format: &TileFormat,
    ) -> Result<Self, Error> {
        Self::with_look(out, profile, (layout, format), &Look::default())
    }

    /// As [`CogWriter::new`], with colours, opacity, palette and metadata.
    ///
    /// # Errors
    /// As [`CogWriter::new`].
    pub fn with_look(
        mut out: W,
        profile: &RasterProfile,
        (layout, format): (&PyramidLayout, &TileFormat),
        look: &Look,
    ) -> Result<Self, Error> {
        let header = Header::plan(profile, layout, format, look)?;
        out.seek(SeekFrom::Start(header.bytes)).map_err(written)?;
        let level = layout.levels.saturating_sub(1);
        let places = |level| {
            let tiles = usize::try_from(tiles_of(layout, level));
            tiles.map(|tiles| vec![NOWHERE; tiles])
        };
        let places: Result<_, _> = (0..layout.levels).map(places).collect();
        Ok(Self {
            at: header.bytes,
            out,
            header,
            layout: layout.clone(),
            places: places.map_err(|_| Error::TooManyTiles)?,
            level,
            missing: tiles_of(layout, level),
        })
    }

    /// Appends a tile.
    ///
    /// - `level`: levels come from the smallest overview (the greatest number) to 0, each one whole.
    /// - `col`, `row`: place in the level, in tiles; any order.
    ///
    /// # Errors
    /// When the tile is out of order, was written before or is none of the raster, or `out` fails.
    pub fn write_tile(
        &mut self,
        level: u32,
        col: u32,
        row: u32,
        encoded: &[u8],
    ) -> Result<(), Error> {
        self.enter(level)?;
        let length = u32::try_from(encoded.len()).ok().filter(|bytes| *bytes > 0);
        let bytes = length.ok_or(Error::TileLength {
            level,
            col,
            row,
            bytes: encoded.len(),
        })?;
        let end = self.at + u64::from(bytes);
        if !self.header.big && u32::try_from(end).is_err() {
            return Err(Error::ClassicFull);
        }
        let (across, down) = self.layout.level_tiles(level);
        let index = u64::from(row) * u64::from(across) + u64::from(col);
        let place = usize::try_from(index)
            .ok()
            .filter(|_| col < across && row < down)
            .and_then(|index| self.places.get_mut(level as usize)?.get_mut(index))
            .ok_or(Error::NoSuchTile { level, col, row })?;
        if *place != NOWHERE {
            return Err(Error::TileTwice { level, col, row });
        }
        self.out.write_all(encoded).map_err(written)?;
        *place = (self.at, bytes);
        self.at = end;
        self.missing = self.missing.saturating_sub(1);
        Ok(())
    }

    /// Goes on to a level, if it is the one being written or the next.
    fn enter(&mut self, level: u32) -> Result<(), Error> {
        if level == self.level {
            return Ok(());
        }
        if Some(level) != self.level.checked_sub(1) {
            return Err(Error::LevelOrder {
                level,
                expected: self.level,
            });
        }
        self.check_whole()?;
        self.level = level;
        self.missing = tiles_of(&self.layout, level);
        Ok(())
    }

    fn check_whole(&self) -> Result<(), Error> {
        match self.missing {
            0 => Ok(()),
            missing => Err(Error::TilesMissing {
                level: self.level,
                missing,
            }),
        }
    }

    /// Writes the header, flushes, and gives back what was written into.
    ///
    /// # Errors
    /// When a tile is missing, or `out` fails.
    pub fn finish(mut self) -> Result<W, Error> {
        self.check_whole()?;
        if self.level > 0 {
            let level = self.level - 1;
            let missing = tiles_of(&self.layout, level);
            return Err(Error::TilesMissing { level, missing });
        }
        let header = self.header.write(&self.places);
        self.out.seek(SeekFrom::Start(0)).map_err(written)?;
        self.out.write_all(&header).map_err(written)?;
        self.out.flush().map_err(written)?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests;
