//! Which cells of a window count.

use super::{Error, SIZE_MAX};
use crate::spec::FocalShape;

/// The cells of a window that count: in each of its rows those up to some distance from the middle column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Cells on each side of the middle one.
    pub(super) radius: usize,
    pub(super) shape: FocalShape,
    /// For each row from the top, how far its cells reach to each side.
    pub(super) reach: Vec<usize>,
}

impl Footprint {
    /// Makes a footprint of `size × size` cells.
    ///
    /// A circle has the cells whose centres are at most `(size − 1) / 2` cells from the middle: `dx² + dy² ≤ r²`, the
    /// `disk` of scikit-image.
    pub(super) fn new(size: u32, shape: FocalShape) -> Result<Self, Error> {
        if size.is_multiple_of(2) || !(3..=SIZE_MAX).contains(&size) {
            return Err(Error::Size { size });
        }
        let radius = (size / 2) as usize;
        let reach = |row: usize| match shape {
            FocalShape::Square => radius,
            FocalShape::Circle => {
                let across = row.abs_diff(radius);
                (radius * radius - across * across).isqrt()
            }
        };
        Ok(Self {
            radius,
            shape,
            reach: (0..=2 * radius).map(reach).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_scikit_image_s_disk() {
        let reach = |size| Footprint::new(size, FocalShape::Circle).unwrap().reach;
        // skimage.morphology.disk(1), disk(2) and disk(3).
        assert_eq!(reach(3), [0, 1, 0]);
        assert_eq!(reach(5), [0, 1, 2, 1, 0]);
        assert_eq!(reach(7), [0, 2, 2, 3, 2, 2, 0]);
    }

    #[test]
    fn a_window_needs_a_middle_and_neighbours() {
        for size in [0, 1, 2, 4, 1003] {
            let refused = Footprint::new(size, FocalShape::Square);
            assert_eq!(refused, Err(Error::Size { size }));
        }
    }
}
