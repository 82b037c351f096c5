//! Cutting a raster and its overviews into windows, so that tasks never share a tile.
//!
//! Level 0 is the raster; each next level halves it (rounding up), so that one cell of level `n + 1`
//! covers exactly a 2 × 2 square of level `n`, fewer at the right and lower edges. Levels are made in *groups*: a
//! task of a group owns one window of the group's first level, encodes its tiles of every level of
//! the group, and hands the next group its *patch*: its window at the level after the group's last.

use serde::{Deserialize, Serialize};

use super::Window;

/// Cells along the edge of a window of every group but the first, in tiles.
const UPPER_WINDOW_TILES: u32 = 4;
/// Levels a window of [`UPPER_WINDOW_TILES`] makes after its first: 4 → 2 → 1 tiles.
const UPPER_DEPTH: u32 = 2;

/// A run of levels made together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The first level made.
    pub first: u32,
    /// The last level made.
    pub last: u32,
    /// Columns of a window, in cells of the first level.
    pub window_cols: u32,
    /// Rows of a window, in cells of the first level.
    pub window_rows: u32,
}

/// The levels of a raster and the windows in which they are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PyramidLayout {
    /// Columns of level 0.
    pub width: u32,
    /// Rows of level 0.
    pub height: u32,
    /// Cells along the edge of a tile.
    pub tile: u32,
    /// Number of levels, level 0 counted.
    pub levels: u32,
    /// The groups, lowest levels first; at least one.
    pub groups: Vec<Group>,
}

impl PyramidLayout {
    /// Lays out a raster of `width × height` cells.
    ///
    /// - `tile`: cells along the edge of a tile; positive.
    /// - `overviews`: halve until the raster fits in one tile, or make level 0 only.
    /// - `window`: the size wanted for a window of level 0, in cells; rounded up to whole tiles.
    #[must_use]
    pub fn new(width: u32, height: u32, tile: u32, overviews: bool, window: (u32, u32)) -> Self {
        let mut levels = 1;
        if overviews {
            while width
                .div_ceil(1 << (levels - 1))
                .max(height.div_ceil(1 << (levels - 1)))
                > tile
            {
                levels += 1;
            }
        }
        let whole = |wanted: u32, size: u32| wanted.clamp(1, size.max(1)).div_ceil(tile).max(1);
        let (tiles_across, tiles_down) = (whole(window.0, width), whole(window.1, height));
        // A window as large as the raster may be cut at any level; another must hold whole tiles
        // of every level that its group makes.
        let halvings = |tiles: u32, size: u32| {
            if tiles >= size.div_ceil(tile) {
                u32::MAX
            } else {
                tiles.trailing_zeros()
            }
        };
        let depth = halvings(tiles_across, width).min(halvings(tiles_down, height));
        let last = depth.min(levels - 1);
        let align = |tiles: u32, size: u32| {
            // A window that covers the raster is rounded up so that its halvings stay whole.
            if tiles >= size.div_ceil(tile) {
                tiles.next_multiple_of(1 << last)
            } else {
                tiles
            }
        };
        let mut groups = vec![Group {
            first: 0,
            last,
            window_cols: align(tiles_across, width).saturating_mul(tile),
            window_rows: align(tiles_down, height).saturating_mul(tile),
        }];
        let mut next = last + 1;
        while next < levels {
            let last = (next + UPPER_DEPTH).min(levels - 1);
            let edge = UPPER_WINDOW_TILES * tile;
            groups.push(Group {
                first: next,
                last,
                window_cols: edge,
                window_rows: edge,
            });
            next = last + 1;
        }
        Self {
            width,
            height,
            tile,
            levels,
            groups,
        }
    }

    /// Returns columns and rows of a level.
    #[must_use]
    pub fn level_size(&self, level: u32) -> (u32, u32) {
        let halve = |n: u32| u32::try_from(u64::from(n).div_ceil(1 << level.min(32))).unwrap_or(1);
        (halve(self.width).max(1), halve(self.height).max(1))
    }

    /// Returns how many tiles lie across and down a level.
    #[must_use]
    pub fn level_tiles(&self, level: u32) -> (u32, u32) {
        let (cols, rows) = self.level_size(level);
        (cols.div_ceil(self.tile), rows.div_ceil(self.tile))
    }

    /// Returns how many windows of a group lie across and down.
    #[must_use]
    pub fn windows(&self, group: &Group) -> (u32, u32) {
        let (cols, rows) = self.level_size(group.first);
        (
            cols.div_ceil(group.window_cols),
            rows.div_ceil(group.window_rows),
        )
    }

    /// Returns the window that a task of a group owns, in cells of the group's first level, or `None`
    /// when there is no such task. Tasks go row by row.
    #[must_use]
    pub fn window(&self, group: &Group, task: u32) -> Option<Window> {
        let (across, down) = self.windows(group);
        let (at_col, at_row) = (task % across, task / across);
        if at_row >= down {
            return None;
        }
        let (cols, rows) = self.level_size(group.first);
        let wanted = Window {
            col: at_col * group.window_cols,
            row: at_row * group.window_rows,
            cols: group.window_cols,
            rows: group.window_rows,
        };
        wanted.intersection(&Window::whole(cols, rows))
    }

    /// Returns where a window of a group's first level lies at a higher level of the group, or at
    /// the level after its last (the patch).
    #[must_use]
    pub fn at_level(&self, group: &Group, window: &Window, level: u32) -> Window {
        let shift = level.saturating_sub(group.first);
        let (cols, rows) = self.level_size(level);
        let (col, row) = (window.col >> shift, window.row >> shift);
        let end = |end: u32, size: u32| {
            u32::try_from(u64::from(end).div_ceil(1 << shift))
                .unwrap_or(size)
                .min(size)
        };
        Window {
            col,
            row,
            cols: end(window.col_end(), cols).saturating_sub(col),
            rows: end(window.row_end(), rows).saturating_sub(row),
        }
    }

    /// Returns the tasks of the group below whose patches make up a task's window.
    #[must_use]
    pub fn feeders(&self, group_index: usize, task: u32) -> Vec<u32> {
        let Some(below) = group_index
            .checked_sub(1)
            .and_then(|below| self.groups.get(below))
        else {
            return Vec::new();
        };
        let Some(window) = self
            .groups
            .get(group_index)
            .and_then(|group| self.window(group, task))
        else {
            return Vec::new();
        };
        let shift = below.last + 1 - below.first;
        let span = |from: u32, to: u32, edge: u32, count: u32| {
            let first = (u64::from(from) << shift) / u64::from(edge);
            let end = (u64::from(to) << shift).div_ceil(u64::from(edge));
            let clip = |n: u64| u32::try_from(n).unwrap_or(count).min(count);
            clip(first)..clip(end)
        };
        let (across, down) = self.windows(below);
        let cols = span(window.col, window.col_end(), below.window_cols, across);
        span(window.row, window.row_end(), below.window_rows, down)
            .flat_map(|row| cols.clone().map(move |col| row * across + col))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_2_band_has_the_levels_that_halving_to_one_tile_gives() {
        let layout = PyramidLayout::new(10_980, 10_980, 512, true, (2048, 2048));
        let sizes: Vec<_> = (0..layout.levels).map(|l| layout.level_size(l).0).collect();
        assert_eq!(sizes, [10_980, 5490, 2745, 1373, 687, 344]);
        assert_eq!(layout.groups.len(), 2);
        assert_eq!(layout.windows(&layout.groups[0]), (6, 6));
        assert_eq!(layout.windows(&layout.groups[1]), (1, 1));
        assert_eq!(layout.feeders(1, 0), (0..36).collect::<Vec<_>>());
    }

    #[test]
    fn every_tile_of_every_level_is_made_by_exactly_one_task() {
        for (width, height, tile, window) in [
            (1, 1, 512, (2048, 2048)),
            (513, 7, 16, (64, 64)),
            (1000, 777, 16, (64, 64)),
            (1000, 777, 16, (1000, 64)),
            (1000, 777, 16, (1000, 16)),
            (777, 1000, 16, (48, 32)),
            (4097, 129, 16, (128, 4096)),
            (1310, 1093, 512, (1310, 512)),
            (287, 310, 128, (287, 1024)),
        ] {
            let layout = PyramidLayout::new(width, height, tile, true, window);
            let mut made = std::collections::BTreeMap::new();
            for (index, group) in layout.groups.iter().enumerate() {
                let (across, down) = layout.windows(group);
                let mut fed = std::collections::BTreeMap::new();
                for task in 0..across * down {
                    let window = layout.window(group, task).unwrap();
                    for feeder in layout.feeders(index, task) {
                        *fed.entry(feeder).or_insert(0) += 1;
                    }
                    for level in group.first..=group.last {
                        let at = layout.at_level(group, &window, level);
                        assert_eq!((at.col % tile, at.row % tile), (0, 0), "{layout:?}");
                        for row in at.row / tile..at.row_end().div_ceil(tile) {
                            for col in at.col / tile..at.col_end().div_ceil(tile) {
                                *made.entry((level, col, row)).or_insert(0) += 1;
                            }
                        }
                    }
                }
                assert!(layout.window(group, across * down).is_none());
                if index > 0 {
                    let (a, d) = layout.windows(&layout.groups[index - 1]);
                    // A patch as wide as the raster may feed several windows.
                    assert_eq!(fed.len() as u32, a * d, "each patch is read: {layout:?}");
                }
            }
            let all: u32 = (0..layout.levels)
                .map(|l| layout.level_tiles(l))
                .map(|(a, d)| a * d)
                .sum();
            assert_eq!(made.len() as u32, all, "{layout:?}");
            assert!(made.values().all(|n| *n == 1));
        }
    }
}
