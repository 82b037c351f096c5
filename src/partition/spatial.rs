//! Partitioners of an extent.

use super::axis::Axis;
use super::error::Error;
use super::extent::{Partition, SpatialExtent};
use super::grid::WindowPartitioner;

/// Cuts an extent into columns and rows of equal size.
///
/// Parts are numbered row by row from the corner of the smallest x and y. Each holds its lower edges; the last column and the last row
/// hold the extent's upper edges too, so that every point of the extent belongs to exactly one part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TilePartitioner {
    x: Axis,
    y: Axis,
}

impl TilePartitioner {
    /// Cuts an extent into `cols × rows` parts.
    ///
    /// # Errors
    /// When either is 0, or parts would be narrower than coordinates can tell apart.
    pub fn new(extent: SpatialExtent, cols: u32, rows: u32) -> Result<Self, Error> {
        for (what, count) in [("columns", cols), ("rows", rows)] {
            if count == 0 {
                return Err(Error::NoParts { what });
            }
        }
        Ok(Self {
            x: Axis::new('x', extent.min_x(), extent.max_x(), cols)?,
            y: Axis::new('y', extent.min_y(), extent.max_y(), rows)?,
        })
    }

    /// Cuts a raster of `width × height` cells into windows of `tile_cols × tile_rows`; those at the right and lower edge are
    /// smaller where the raster ends.
    ///
    /// # Errors
    /// When the raster or the tiles are empty.
    pub fn on_grid(
        width: u32,
        height: u32,
        tile_cols: u32,
        tile_rows: u32,
    ) -> Result<WindowPartitioner, Error> {
        WindowPartitioner::new(width, height, tile_cols, tile_rows)
    }

    /// Returns the number of columns.
    #[must_use]
    pub const fn cols(&self) -> u32 {
        self.x.parts()
    }

    /// Returns the number of rows.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.y.parts()
    }

    /// Returns the number of parts.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.cols()) * u64::from(self.rows())
    }

    /// Returns a part by its number, or `None` beyond the last.
    #[must_use]
    pub fn partition(&self, index: u64) -> Option<Partition> {
        let row = u32::try_from(index / u64::from(self.cols())).ok()?;
        let col = u32::try_from(index % u64::from(self.cols())).ok()?;
        (row < self.rows()).then(|| Partition {
            index,
            extent: SpatialExtent::between(self.x.span(col), self.y.span(row)),
        })
    }

    /// Returns the number of the part that a point belongs to, or `None` outside the extent.
    #[must_use]
    pub fn partition_of(&self, x: f64, y: f64) -> Option<u64> {
        let (col, row) = (self.x.part_of(x)?, self.y.part_of(y)?);
        Some(u64::from(row) * u64::from(self.cols()) + u64::from(col))
    }

    /// Lists the parts in order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + use<> {
        let partitioner = *self;
        (0..self.count()).filter_map(move |index| partitioner.partition(index))
    }
}

/// Cuts an extent into strips of equal height, each as wide as the extent, from the smallest y up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StripPartitioner(TilePartitioner);

impl StripPartitioner {
    /// Cuts an extent into `strips` parts.
    ///
    /// # Errors
    /// When it is 0, or strips would be lower than coordinates can tell apart.
    pub fn new(extent: SpatialExtent, strips: u32) -> Result<Self, Error> {
        if strips == 0 {
            return Err(Error::NoParts { what: "strips" });
        }
        TilePartitioner::new(extent, 1, strips).map(Self)
    }

    /// Cuts a raster of `width × height` cells into windows as wide as it and `rows_per_strip` high; the last may be lower.
    ///
    /// # Errors
    /// When the raster or the strips are empty.
    pub fn on_grid(
        width: u32,
        height: u32,
        rows_per_strip: u32,
    ) -> Result<WindowPartitioner, Error> {
        WindowPartitioner::new(width, height, width, rows_per_strip)
    }

    /// Returns the number of strips.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// Returns a strip by its number, or `None` beyond the last.
    #[must_use]
    pub fn partition(&self, index: u64) -> Option<Partition> {
        self.0.partition(index)
    }

    /// Returns the number of the strip that a point belongs to, or `None` outside the extent.
    #[must_use]
    pub fn partition_of(&self, x: f64, y: f64) -> Option<u64> {
        self.0.partition_of(x, y)
    }

    /// Lists the strips in order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + use<> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tiles(corners: [f64; 4], cols: u32, rows: u32) -> TilePartitioner {
        let [a, b, c, d] = corners;
        let extent = SpatialExtent::new(a, b, c, d).unwrap();
        TilePartitioner::new(extent, cols, rows).unwrap()
    }

    #[test]
    fn parts_are_numbered_row_by_row() {
        let tiles = tiles([0.0, 0.0, 30.0, 20.0], 3, 2);
        let extents: Vec<_> = tiles.iter().map(|part| part.extent).collect();
        let expected = [
            (0.0, 0.0, 10.0, 10.0),
            (10.0, 0.0, 20.0, 10.0),
            (20.0, 0.0, 30.0, 10.0),
            (0.0, 10.0, 10.0, 20.0),
            (10.0, 10.0, 20.0, 20.0),
            (20.0, 10.0, 30.0, 20.0),
        ];
        let expected = expected.map(|(a, b, c, d)| SpatialExtent::new(a, b, c, d).unwrap());
        assert_eq!(extents, expected);
        assert_eq!(tiles.partition(6), None);
        assert_eq!(tiles.partition_of(10.0, 9.9), Some(1));
        assert_eq!(tiles.partition_of(30.0, 20.0), Some(5));
        assert_eq!(tiles.partition_of(30.1, 20.0), None);
        assert_eq!(tiles.partition_of(f64::NAN, 1.0), None);
    }

    #[test]
    fn strips_are_tiles_of_one_column() {
        let extent = SpatialExtent::new(-1.0, 0.0, 1.0, 9.0).unwrap();
        let strips = StripPartitioner::new(extent, 3).unwrap();
        let rows: Vec<_> = strips
            .iter()
            .map(|p| (p.extent.min_y(), p.extent.max_y()))
            .collect();
        assert_eq!(rows, [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0)]);
        assert_eq!(strips.partition_of(0.0, 3.0), Some(1));
    }

    #[test]
    fn no_parts_and_parts_too_fine_are_errors() {
        let extent = SpatialExtent::new(0.0, 0.0, 1.0, 1.0).unwrap();
        let none = TilePartitioner::new(extent, 0, 1).unwrap_err();
        assert_eq!(
            none.to_string(),
            "cannot cut into 0 columns; ask for at least 1"
        );
        assert!(StripPartitioner::new(extent, 0).is_err());
        let narrow = SpatialExtent::new(1e9, 0.0, 1e9 + 1e-5, 1.0).unwrap();
        let fine = TilePartitioner::new(narrow, 1000, 1).unwrap_err();
        assert!(
            matches!(
                fine,
                Error::TooFine {
                    axis: 'x',
                    parts: 1000,
                    ..
                }
            ),
            "{fine}"
        );
    }

    /// Extents whose edges are no round numbers, of any place and size.
    fn awkward() -> impl Strategy<Value = (f64, f64, u32)> {
        let place = prop_oneof![-1e7..1e7, -1.0..1.0, Just(0.0), -1e-3..1e300_f64];
        let size = prop_oneof![1e-3..1e7, Just(0.1), Just(1.0 / 3.0), 1.0..1e280];
        (place, size, 1_u32..5000).prop_map(|(min, size, parts)| (min, min + size, parts))
    }

    proptest! {
        #[test]
        fn every_point_belongs_to_the_one_part_whose_edges_hold_it(
            (min, max, parts) in awkward(),
            at in 0.0..=1.0_f64,
            nth in 0_u32..5000,
        ) {
            let Ok(extent) = SpatialExtent::new(min, min, max, max) else { return Ok(()) };
            let Ok(strips) = StripPartitioner::new(extent, parts) else { return Ok(()) };
            let on_an_edge = strips.partition(u64::from(nth % parts)).unwrap().extent.min_y();
            let inside = (min + (max - min) * at).clamp(min, max);
            let edges = [on_an_edge, on_an_edge.next_down().max(min), on_an_edge.next_up()];
            for y in edges.into_iter().chain([min, max, inside]) {
                let holding = strips.iter().filter(|part| {
                    let last = part.index + 1 == u64::from(parts);
                    let below = if last { y <= part.extent.max_y() } else { y < part.extent.max_y() };
                    part.extent.min_y() <= y && below
                });
                let holding: Vec<u64> = holding.map(|part| part.index).collect();
                prop_assert_eq!(&holding, &[strips.partition_of(min, y).unwrap()]);
            }
        }

        #[test]
        fn neighbours_share_their_edges_bit_for_bit((min, max, parts) in awkward()) {
            let Ok(extent) = SpatialExtent::new(min, min, max, max) else { return Ok(()) };
            let Ok(tiles) = TilePartitioner::new(extent, parts, 1) else { return Ok(()) };
            let mut edge = min;
            for part in tiles.iter() {
                prop_assert_eq!(part.extent.min_x().to_bits(), edge.to_bits());
                prop_assert!(part.extent.min_x() < part.extent.max_x());
                edge = part.extent.max_x();
            }
            prop_assert_eq!(edge.to_bits(), max.to_bits());
        }
    }
}
