//! Why polygons cannot be read.

use crate::BoxError;

/// Says why a file of polygons cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ZonesError {
    /// `SQLite` is C, and its readers in Rust are not kept.
    #[error(
        "{path} is a GeoPackage, which Swath does not read; make it another file first: ogr2ogr zones.fgb {path}"
    )]
    GeoPackage {
        /// The file.
        path: String,
    },
    /// A file without a geometry.
    #[error(
        "{path} has no geometry column; zones are GeoParquet, GeoJSON, GeoArrow, FlatGeobuf (.fgb) or Shapefile (.shp)"
    )]
    NoGeometry {
        /// The file.
        path: String,
    },
    /// A geometry that is no zone.
    #[error("the geometry of row {row} of {path} cannot be used: {problem}")]
    Geometry {
        /// The file.
        path: String,
        /// From 0.
        row: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that its decoder refuses.
    #[error("{path} cannot be read")]
    Decode {
        /// The file.
        path: String,
        /// What the decoder says.
        source: BoxError,
    },
    /// A file that is not there, or cannot be fetched.
    #[error("the zones cannot be read")]
    File {
        /// What is wrong.
        source: Box<crate::source::Error>,
    },
    /// A table that cannot be read.
    #[error("the zones cannot be read")]
    Table(#[from] crate::Error),
}

impl ZonesError {
    /// Tells whether another try may go better.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::File { source } => source.may_pass(),
            Self::Table(source) => source.may_pass(),
            Self::GeoPackage { .. }
            | Self::NoGeometry { .. }
            | Self::Geometry { .. }
            | Self::Decode { .. } => false,
        }
    }
}
