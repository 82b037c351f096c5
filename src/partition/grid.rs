//! A partitioner of the cells of a raster.

use super::error::Error;
use crate::grid::Window;

/// Cuts a raster into windows of one size, row by row from the upper left; the last column and row may be smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPartitioner {
    width: u32,
    height: u32,
    tile_cols: u32,
    tile_rows: u32,
}

impl WindowPartitioner {
    pub(super) fn new(
        width: u32,
        height: u32,
        tile_cols: u32,
        tile_rows: u32,
    ) -> Result<Self, Error> {
        let sizes = [
            ("a raster", width, height),
            ("a part", tile_cols, tile_rows),
        ];
        for (what, cols, rows) in sizes {
            if cols == 0 || rows == 0 {
                return Err(Error::EmptyGrid { what, cols, rows });
            }
        }
        Ok(Self {
            width,
            height,
            tile_cols,
            tile_rows,
        })
    }

    /// Returns the number of windows across.
    #[must_use]
    pub const fn cols(&self) -> u32 {
        self.width.div_ceil(self.tile_cols)
    }

    /// Returns the number of windows down.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.height.div_ceil(self.tile_rows)
    }

    /// Returns the number of windows.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.cols()) * u64::from(self.rows())
    }

    /// Returns a window by its number, or `None` beyond the last.
    #[must_use]
    pub fn window(&self, index: u64) -> Option<Window> {
        let across = u64::from(self.cols());
        let row = u32::try_from(index / across).ok()?;
        let col = u32::try_from(index % across).ok()?;
        if row >= self.rows() {
            return None;
        }
        // Below the raster's size, as `row` and `col` are below their numbers.
        let (row, col) = (row * self.tile_rows, col * self.tile_cols);
        Some(Window {
            col,
            row,
            cols: self.tile_cols.min(self.width - col),
            rows: self.tile_rows.min(self.height - row),
        })
    }

    /// Returns the number of the window that holds a cell, or `None` outside the raster.
    #[must_use]
    pub fn window_of(&self, col: u32, row: u32) -> Option<u64> {
        if col >= self.width || row >= self.height {
            return None;
        }
        let (across, down) = (col / self.tile_cols, row / self.tile_rows);
        Some(u64::from(down) * u64::from(self.cols()) + u64::from(across))
    }

    /// Lists the windows in order.
    pub fn iter(&self) -> impl Iterator<Item = Window> + use<> {
        let partitioner = *self;
        (0..self.count()).filter_map(move |index| partitioner.window(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::partition::{Error, StripPartitioner, TilePartitioner};

    #[test]
    fn the_last_column_and_row_end_with_the_raster() {
        let tiles = TilePartitioner::on_grid(10, 7, 4, 5).unwrap();
        let windows: Vec<String> = tiles.iter().map(|window| window.to_string()).collect();
        let expected = [
            "0+4,0+5", "4+4,0+5", "8+2,0+5", "0+4,5+2", "4+4,5+2", "8+2,5+2",
        ];
        assert_eq!(windows, expected);
        let strips = StripPartitioner::on_grid(10, 7, 3).unwrap();
        let windows: Vec<String> = strips.iter().map(|window| window.to_string()).collect();
        assert_eq!(windows, ["0+10,0+3", "0+10,3+3", "0+10,6+1"]);
    }

    #[test]
    fn the_largest_raster_has_no_overflow() {
        let tiles = TilePartitioner::on_grid(u32::MAX, u32::MAX, 1, 1).unwrap();
        let last = tiles.window(tiles.count() - 1).unwrap();
        assert_eq!((last.col_end(), last.row_end()), (u32::MAX, u32::MAX));
        assert_eq!(tiles.window(tiles.count()), None);
        let one = TilePartitioner::on_grid(3, 3, u32::MAX, u32::MAX).unwrap();
        assert_eq!(one.iter().count(), 1);
    }

    #[test]
    fn empty_rasters_and_parts_are_errors() {
        for (width, height, cols, rows) in [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)]
        {
            let error = TilePartitioner::on_grid(width, height, cols, rows).unwrap_err();
            assert!(matches!(error, Error::EmptyGrid { .. }), "{error}");
        }
        assert!(StripPartitioner::on_grid(5, 5, 0).is_err());
    }

    proptest! {
        #[test]
        fn every_cell_belongs_to_exactly_one_window(
            (width, height) in (1_u32..60, 1_u32..60),
            (cols, rows) in (1_u32..70, 1_u32..70),
        ) {
            let tiles = TilePartitioner::on_grid(width, height, cols, rows).unwrap();
            let mut owners = vec![None; (width * height) as usize];
            for (index, window) in (0_u64..).zip(tiles.iter()) {
                for row in window.row..window.row_end() {
                    for col in window.col..window.col_end() {
                        let owner = &mut owners[(row * width + col) as usize];
                        prop_assert_eq!(*owner, None);
                        *owner = Some(index);
                        prop_assert_eq!(tiles.window_of(col, row), Some(index));
                    }
                }
            }
            prop_assert!(owners.iter().all(Option::is_some));
            prop_assert_eq!(tiles.window_of(width, 0), None);
            prop_assert_eq!(tiles.window_of(0, height), None);
        }
    }
}
