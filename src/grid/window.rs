//! A rectangle of cells.

use serde::{Deserialize, Serialize};

/// A rectangle of cells of a raster: its upper left cell and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First column.
    pub col: u32,
    /// First row.
    pub row: u32,
    /// Number of columns.
    pub cols: u32,
    /// Number of rows.
    pub rows: u32,
}

impl Window {
    /// Returns the window that is a whole raster.
    #[must_use]
    pub const fn whole(cols: u32, rows: u32) -> Self {
        Self {
            col: 0,
            row: 0,
            cols,
            rows,
        }
    }

    /// Returns the number of cells.
    #[must_use]
    pub const fn cells(&self) -> u64 {
        self.cols as u64 * self.rows as u64
    }

    /// Returns the column after the last; saturates.
    #[must_use]
    pub const fn col_end(&self) -> u32 {
        self.col.saturating_add(self.cols)
    }

    /// Returns the row after the last; saturates.
    #[must_use]
    pub const fn row_end(&self) -> u32 {
        self.row.saturating_add(self.rows)
    }

    /// Returns what two windows share, or `None` when they share no cell.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let col = self.col.max(other.col);
        let row = self.row.max(other.row);
        let cols = self
            .col_end()
            .min(other.col_end())
            .checked_sub(col)
            .filter(|n| *n > 0)?;
        let rows = self
            .row_end()
            .min(other.row_end())
            .checked_sub(row)
            .filter(|n| *n > 0)?;
        Some(Self {
            col,
            row,
            cols,
            rows,
        })
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{},{}+{}", self.col, self.cols, self.row, self.rows)
    }
}
