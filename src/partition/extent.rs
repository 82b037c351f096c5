//! A rectangle of coordinates.

use serde::{Deserialize, Serialize};

use super::error::Error;

/// A rectangle of coordinates: finite, and neither empty nor inverted.
///
/// It holds its lower edges; an upper edge belongs to the neighbour there, or to the last part of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Corners", into = "Corners")]
pub struct SpatialExtent {
    min_x: f64,
    min_y: f64,
    max_x: f64,
    max_y: f64,
}

/// The same, not yet checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Corners {
    min_x: f64,
    min_y: f64,
    max_x: f64,
    max_y: f64,
}

impl SpatialExtent {
    /// Makes an extent from its corners.
    ///
    /// # Errors
    /// When a coordinate is NaN or infinite, a minimum is not below its maximum, or they are too far apart to compute with.
    pub fn new(min_x: f64, min_y: f64, max_x: f64, max_y: f64) -> Result<Self, Error> {
        if ![min_x, min_y, max_x, max_y].into_iter().all(f64::is_finite) {
            return Err(Error::NotFinite {
                min_x,
                min_y,
                max_x,
                max_y,
            });
        }
        for (axis, min, max) in [('x', min_x, max_x), ('y', min_y, max_y)] {
            if min >= max {
                return Err(Error::Empty { axis, min, max });
            }
            // Edges multiply the width by the number of a part.
            if !((max - min) * f64::from(u32::MAX)).is_finite() {
                return Err(Error::TooWide { axis, min, max });
            }
        }
        Ok(Self {
            min_x,
            min_y,
            max_x,
            max_y,
        })
    }

    /// Makes an extent whose edges are known to be in order.
    pub(super) const fn between(x: (f64, f64), y: (f64, f64)) -> Self {
        Self {
            min_x: x.0,
            min_y: y.0,
            max_x: x.1,
            max_y: y.1,
        }
    }

    /// Returns the smallest x.
    #[must_use]
    pub const fn min_x(&self) -> f64 {
        self.min_x
    }

    /// Returns the smallest y.
    #[must_use]
    pub const fn min_y(&self) -> f64 {
        self.min_y
    }

    /// Returns the largest x.
    #[must_use]
    pub const fn max_x(&self) -> f64 {
        self.max_x
    }

    /// Returns the largest y.
    #[must_use]
    pub const fn max_y(&self) -> f64 {
        self.max_y
    }

    /// Returns the length along x, in the unit of the coordinates.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.max_x - self.min_x
    }

    /// Returns the length along y, in the unit of the coordinates.
    #[must_use]
    pub fn height(&self) -> f64 {
        self.max_y - self.min_y
    }

    /// Tells whether a point lies inside or on an edge; a NaN lies nowhere.
    #[must_use]
    pub fn contains(&self, x: f64, y: f64) -> bool {
        (self.min_x..=self.max_x).contains(&x) && (self.min_y..=self.max_y).contains(&y)
    }

    /// Tells whether two extents share an area; to touch is not enough.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.intersection(other).is_some()
    }

    /// Returns the area that two extents share, or `None` when they share none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let x = (self.min_x.max(other.min_x), self.max_x.min(other.max_x));
        let y = (self.min_y.max(other.min_y), self.max_y.min(other.max_y));
        (x.0 < x.1 && y.0 < y.1).then(|| Self::between(x, y))
    }
}

impl std::fmt::Display for SpatialExtent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            min_x,
            min_y,
            max_x,
            max_y,
        } = self;
        write!(f, "({min_x}, {min_y}) to ({max_x}, {max_y})")
    }
}

impl TryFrom<Corners> for SpatialExtent {
    type Error = Error;

    fn try_from(corners: Corners) -> Result<Self, Error> {
        Self::new(corners.min_x, corners.min_y, corners.max_x, corners.max_y)
    }
}

impl From<SpatialExtent> for Corners {
    fn from(extent: SpatialExtent) -> Self {
        Self {
            min_x: extent.min_x,
            min_y: extent.min_y,
            max_x: extent.max_x,
            max_y: extent.max_y,
        }
    }
}

/// One part of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 0.
    pub index: u64,
    /// Where it is.
    pub extent: SpatialExtent,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(min_x: f64, min_y: f64, max_x: f64, max_y: f64) -> SpatialExtent {
        SpatialExtent::new(min_x, min_y, max_x, max_y).unwrap()
    }

    #[test]
    fn nan_infinite_empty_and_inverted_extents_are_errors() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for at in 0..4 {
                let mut corners = [0.0, 0.0, 1.0, 1.0];
                corners[at] = bad;
                let [a, b, c, d] = corners;
                let error = SpatialExtent::new(a, b, c, d).unwrap_err();
                assert!(matches!(error, Error::NotFinite { .. }), "{error}");
            }
        }
        let empty = SpatialExtent::new(1.0, 0.0, 1.0, 1.0).unwrap_err();
        assert!(matches!(empty, Error::Empty { axis: 'x', .. }));
        let inverted = SpatialExtent::new(0.0, 5.0, 1.0, -5.0).unwrap_err();
        assert_eq!(
            inverted.to_string(),
            "extent from 5 to -5 in y is empty or inverted; the minimum must be the smaller"
        );
        let wide = SpatialExtent::new(-1e308, 0.0, 1e308, 1.0).unwrap_err();
        assert!(matches!(wide, Error::TooWide { axis: 'x', .. }));
    }

    #[test]
    fn an_intersection_is_what_both_contain() {
        let a = extent(0.0, 0.0, 10.0, 10.0);
        let b = extent(5.0, -5.0, 15.0, 5.0);
        assert_eq!(a.intersection(&b), Some(extent(5.0, 0.0, 10.0, 5.0)));
        assert_eq!((b.width(), b.height()), (10.0, 10.0));
        let touching = extent(10.0, 0.0, 20.0, 10.0);
        assert!(!a.intersects(&touching));
        assert!(a.contains(10.0, 10.0) && a.contains(0.0, 0.0));
        assert!(!a.contains(10.1, 5.0) && !a.contains(f64::NAN, 5.0));
    }

    #[test]
    fn a_stored_extent_is_checked_when_it_is_read() {
        let text = serde_json::to_string(&extent(0.1, 0.2, 0.3, 0.4)).unwrap();
        let read: SpatialExtent = serde_json::from_str(&text).unwrap();
        assert_eq!(read, extent(0.1, 0.2, 0.3, 0.4));
        let inverted = text.replace("0.3", "-0.3");
        let error = serde_json::from_str::<SpatialExtent>(&inverted).unwrap_err();
        assert!(error.to_string().contains("empty or inverted"), "{error}");
    }
}
