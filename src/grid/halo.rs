//! A block together with the cells around it that a neighbourhood needs.

use super::{Block, Window};

/// A block that knows which of its cells are to be computed, its *core*, and where the raster ends.
///
/// What lies between the core and the border of the block is its halo. It is cut where the raster ends, and may be wider
/// than a kernel needs: a kernel's result depends on its own neighbourhood only, so that it is the same however the raster
/// was cut.
#[derive(Debug, Clone, PartialEq)]
pub struct HaloBlock {
    /// The samples: core and halo.
    pub block: Block,
    /// The cells to compute, counted from the upper left of the block.
    pub core: Window,
    /// The sides on which the block ends because the raster does.
    pub edges: Edges,
}

/// The sides of a block, each of which may be the raster's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each side is named")]
pub struct Edges {
    pub top: bool,
    pub bottom: bool,
    pub left: bool,
    pub right: bool,
}

impl HaloBlock {
    /// Takes a block for a whole raster, all of it core.
    #[must_use]
    pub fn whole(block: Block) -> Self {
        let core = Window::whole(block.cols, block.rows);
        Self::cut(block, core, core, core)
    }

    /// Takes a block that is the window `read` of the raster `whole`, of which `core` is to be computed.
    #[must_use]
    pub fn cut(block: Block, read: Window, core: Window, whole: Window) -> Self {
        debug_assert_eq!((block.cols, block.rows), (read.cols, read.rows));
        debug_assert_eq!(read.intersection(&core).unwrap_or(core), core);
        Self {
            block,
            core: Window {
                col: core.col.saturating_sub(read.col),
                row: core.row.saturating_sub(read.row),
                ..core
            },
            edges: Edges {
                top: read.row <= whole.row,
                bottom: read.row_end() >= whole.row_end(),
                left: read.col <= whole.col,
                right: read.col_end() >= whole.col_end(),
            },
        }
    }
}

impl Window {
    /// Returns the window with `halo` more cells on each side, cut where `whole` ends.
    #[must_use]
    pub fn with_halo(&self, halo: u32, whole: &Self) -> Self {
        let col = self.col.saturating_sub(halo).max(whole.col);
        let row = self.row.saturating_sub(halo).max(whole.row);
        Self {
            col,
            row,
            cols: self.col_end().saturating_add(halo).min(whole.col_end()) - col,
            rows: self.row_end().saturating_add(halo).min(whole.row_end()) - row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Samples;

    fn window(col: u32, row: u32, cols: u32, rows: u32) -> Window {
        Window {
            col,
            row,
            cols,
            rows,
        }
    }

    #[test]
    fn a_halo_ends_where_the_raster_does() {
        let whole = Window::whole(10, 8);
        let core = window(0, 3, 4, 2);
        assert_eq!(core.with_halo(0, &whole), core);
        assert_eq!(core.with_halo(2, &whole), window(0, 1, 6, 6));
        assert_eq!(core.with_halo(u32::MAX, &whole), whole);
    }

    #[test]
    fn a_cut_block_knows_its_core_and_the_raster_s_sides() {
        let (whole, core) = (Window::whole(10, 8), window(0, 3, 4, 2));
        let read = core.with_halo(2, &whole);
        let block = Block {
            cols: read.cols,
            rows: read.rows,
            bands: vec![Samples::UInt8(vec![0; 36])],
            nodata: None,
            mask: None,
        };
        let cut = HaloBlock::cut(block, read, core, whole);
        assert_eq!(cut.core, window(0, 2, 4, 2));
        let edges = Edges {
            top: false,
            bottom: false,
            left: true,
            right: false,
        };
        assert_eq!(cut.edges, edges);
    }
}
