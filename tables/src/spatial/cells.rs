//! Cells that cut the plane where the data is.

use geo::{Coord, Rect};
use serde::{Deserialize, Serialize};

/// A cut of the whole plane into numbered cells: a tree of halves, finer where there is more data.
///
/// A cell holds its lower edges, not its upper ones; the outermost have no outer edges. So every point is in exactly one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cells {
    /// One cell.
    Cell(u32),
    /// Two halves.
    Split {
        /// The axis that is cut.
        axis: Axis,
        /// Where: coordinates less than this are below.
        at: f64,
        /// The half of the lesser coordinates.
        below: Box<Cells>,
        /// The other half.
        above: Box<Cells>,
    },
}

/// A coordinate's axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]

pub enum Axis {
    /// The first.
    X,
    /// The second.
    Y,
}

impl Axis {
    const fn of(self, coord: Coord) -> f64 {
        match self {
            Self::X => coord.x,
            Self::Y => coord.y,
        }
    }
}

impl Cells {
    /// Returns one cell that is the whole plane.
    #[must_use]
    pub const fn whole() -> Self {
        Self::Cell(0)
    }

    /// Fits at most `count` cells to a sample, each with about as much of it; fewer when the sample has too few different places.
    #[must_use]
    pub fn fit(mut sample: Vec<Coord>, count: u32) -> Self {
        sample.retain(|place| place.x.is_finite() && place.y.is_finite());
        halve(&mut sample, count, &mut 0)
    }

    /// Returns the number of the cell that holds a point.
    #[must_use]
    pub fn holding(&self, point: Coord) -> u32 {
        match self {
            Self::Cell(number) => *number,
            Self::Split {
                axis,
                at,
                below,
                above,
            } => {
                if axis.of(point) < *at {
                    below.holding(point)
                } else {
                    above.holding(point)
                }
            }
        }
    }

    /// Calls `each` with the number of every cell that a box touches, each once.
    pub fn touching(&self, bounds: &Rect, each: &mut impl FnMut(u32)) {
        match self {
            Self::Cell(number) => each(*number),
            Self::Split {
                axis,
                at,
                below,
                above,
            } => {
                if axis.of(bounds.min()) < *at {
                    below.touching(bounds, each);
                }
                if axis.of(bounds.max()) >= *at {
                    above.touching(bounds, each);
                }
            }
        }
    }

    /// Returns the number of cells.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self {
            Self::Cell(_) => 1,
            Self::Split { below, above, .. } => below.count() + above.count(),
        }
    }
}

fn halve(sample: &mut [Coord], count: u32, next: &mut u32) -> Cells {
    let Some((axis, at)) = cut(sample, count) else {
        let number = *next;
        *next += 1;
        return Cells::Cell(number);
    };
    sample.sort_unstable_by(|a, b| axis.of(*a).total_cmp(&axis.of(*b)));
    let (low, high) = sample.split_at_mut(sample.partition_point(|p| axis.of(*p) < at));
    let below = Box::new(halve(low, count / 2, next));
    let above = Box::new(halve(high, count - count / 2, next));
    Cells::Split {
        axis,
        at,
        below,
        above,
    }
}

/// Chooses the axis along which the sample is spread wider, and the place with `count / 2` parts of it below.
fn cut(sample: &[Coord], count: u32) -> Option<(Axis, f64)> {
    if count < 2 {
        return None;
    }
    let along = |axis: Axis| {
        let mut places: Vec<f64> = sample.iter().map(|p| axis.of(*p)).collect();
        places.sort_unstable_by(f64::total_cmp);
        places
    };
    let spread = |places: &[f64]| match places {
        [first, .., last] => last - first,
        _ => 0.0,
    };
    let (x, y) = (along(Axis::X), along(Axis::Y));
    let (axis, places) = if spread(&x) >= spread(&y) {
        (Axis::X, x)
    } else {
        (Axis::Y, y)
    };
    let share = places.len() * (count / 2) as usize / count as usize;
    let (first, at) = (places.first()?, places.get(share)?);
    let at = if at > first {
        at
    } else {
        places.iter().find(|place| *place > first)?
    };
    Some((axis, *at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_finer_where_there_is_more() {
        let dense = (0..900).map(|i| Coord {
            x: f64::from(i % 30) / 30.0,
            y: f64::from(i / 30) / 30.0,
        });
        let sparse = (0..100).map(|i| Coord {
            x: f64::from(i),
            y: 50.0,
        });
        let sample: Vec<Coord> = dense.chain(sparse).collect();
        let cells = Cells::fit(sample.clone(), 10);
        assert_eq!(cells.count(), 10);
        let mut load = [0_u32; 10];
        for point in sample {
            load[cells.holding(point) as usize] += 1;
        }
        assert!(
            load.iter().all(|rows| (70..=140).contains(rows)),
            "{load:?}"
        );
    }

    #[test]
    fn a_sample_of_one_place_or_none_is_one_cell() {
        assert_eq!(
            Cells::fit(vec![Coord { x: 1.0, y: 2.0 }; 50], 8),
            Cells::whole()
        );
        assert_eq!(Cells::fit(vec![], 8), Cells::whole());
        let two = Cells::fit(vec![Coord { x: 1.0, y: 2.0 }, Coord { x: 1.0, y: 3.0 }], 8);
        assert_eq!(two.count(), 2);
        assert_ne!(
            two.holding(Coord { x: 9.0, y: 2.9 }),
            two.holding(Coord { x: 9.0, y: 3.0 })
        );
    }
}
