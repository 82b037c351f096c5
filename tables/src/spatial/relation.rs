//! The topological relations of DE-9IM by the names of SQL.

use geo::coordinate_position::CoordPos;
use geo::relate::IntersectionMatrix;
use serde::{Deserialize, Serialize};

use crate::Predicate;

/// How one geometry stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// They share a point.
    Intersects,
    /// They share none.
    Disjoint,
    /// All of the first is in the second, and their interiors meet.
    Within,
    /// All of the second is in the first, and their interiors meet.
    Contains,
    /// No point of the second is outside the first.
    Covers,
    /// No point of the first is outside the second.
    CoveredBy,
    /// They are the same set of points.
    Equals,
    /// They meet, and their interiors do not.
    Touches,
    /// Their interiors meet in something of a lower dimension.
    Crosses,
    /// Their interiors meet, in their own dimension, and neither covers the other.
    Overlaps,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Intersects,
        Self::Disjoint,
        Self::Within,
        Self::Contains,
        Self::Covers,
        Self::CoveredBy,
        Self::Equals,
        Self::Touches,
        Self::Crosses,
        Self::Overlaps,
    ];

    /// Returns the name of the SQL function, in lower case.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::Intersects => "st_intersects",
            Self::Disjoint => "st_disjoint",
            Self::Within => "st_within",
            Self::Contains => "st_contains",
            Self::Covers => "st_covers",
            Self::CoveredBy => "st_coveredby",
            Self::Equals => "st_equals",
            Self::Touches => "st_touches",
            Self::Crosses => "st_crosses",
            Self::Overlaps => "st_overlaps",
        }
    }

    /// Returns the same relation seen from the second geometry.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Within => Self::Contains,
            Self::Contains => Self::Within,
            Self::Covers => Self::CoveredBy,
            Self::CoveredBy => Self::Covers,
            symmetric => symmetric,
        }
    }

    /// Returns whether the matrix of the first and the second is of this relation.
    pub(super) fn holds(self, matrix: &IntersectionMatrix) -> bool {
        match self {
            Self::Intersects => matrix.is_intersects(),
            Self::Disjoint => matrix.is_disjoint(),
            Self::Within => matrix.is_within(),
            Self::Contains => matrix.is_contains(),
            Self::Covers => matrix.is_covers(),
            Self::CoveredBy => matrix.is_coveredby(),
            Self::Equals => matrix.is_equal_topo(),
            Self::Touches => matrix.is_touches(),
            Self::Crosses => matrix.is_crosses(),
            Self::Overlaps => matrix.is_overlaps(),
        }
    }

    /// Returns whether an area stands so to a point that lies there; the area has an interior.
    pub(super) fn area_to_point(self, position: CoordPos) -> bool {
        match self {
            Self::Intersects | Self::Covers => position != CoordPos::Outside,
            Self::Disjoint => position == CoordPos::Outside,
            Self::Contains => position == CoordPos::Inside,
            Self::Touches => position == CoordPos::OnBoundary,
            Self::Within | Self::CoveredBy | Self::Equals | Self::Crosses | Self::Overlaps => false,
        }
    }
}

impl From<Predicate> for Relation {
    fn from(predicate: Predicate) -> Self {
        match predicate {
            Predicate::Intersects => Self::Intersects,
            Predicate::Within => Self::Within,
            Predicate::Contains => Self::Contains,
        }
    }
}
