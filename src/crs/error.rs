//! Why a CRS cannot be used.

/// Says why a CRS cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The code is in no table.
    #[error(
        "EPSG:{code} is not known, or is no geographic or projected CRS; see epsg.io for codes"
    )]
    UnknownCode {
        /// The code.
        code: u32,
    },
    /// The text names no CRS.
    #[error("'{text}' is not a CRS; give a code such as EPSG:3857, a PROJ string, or WKT")]
    NotACrs {
        /// The text.
        text: String,
    },
    /// The raster does not say where it is.
    #[error("the raster has no CRS; say which it is with --src-crs EPSG:CODE")]
    Missing,
    /// The raster's keys define a CRS in a way that is not understood.
    #[error(
        "the raster's own CRS cannot be used: {problem}; name one that is the same with --src-crs EPSG:CODE"
    )]
    Keys {
        /// What is not understood.
        problem: String,
    },
    /// The text defines a CRS in a way that is not understood.
    #[error("the CRS {name} is not understood; give its code, such as EPSG:3857, or a PROJ string")]
    NotUnderstood {
        /// The name that it gives itself.
        name: String,
    },
    /// The keys of a GeoTIFF, as far as they are written, do not have it.
    #[error(
        "the CRS '{definition}' cannot be stated in a GeoTIFF: {reason}; give a code such as EPSG:3857"
    )]
    NotWritten {
        /// The CRS as a PROJ string.
        definition: String,
        /// What is missing.
        reason: String,
    },
    /// The projection is not one of those that are computed.
    #[error("the CRS '{definition}' cannot be computed: {reason}")]
    NotComputed {
        /// The CRS as a PROJ string.
        definition: String,
        /// What is missing.
        reason: String,
    },
    /// No point of the raster has a place in the other CRS.
    #[error("no part of the raster can be brought into '{definition}'")]
    Nowhere {
        /// The CRS as a PROJ string.
        definition: String,
    },
    /// The grid that fits would have no cell across or down.
    #[error(
        "the output would have {width:.1} × {height:.1} cells: the raster crosses an edge of '{definition}', such as the antimeridian; choose a CRS with that in its middle, such as EPSG:3832, or give --res and --extent"
    )]
    Flat {
        /// The CRS as a PROJ string.
        definition: String,
        /// Columns.
        width: f64,
        /// Rows.
        height: f64,
    },
    /// The grid that fits would be absurdly large.
    #[error("the output would have {width:.0} × {height:.0} cells; give --res and --extent")]
    TooLarge {
        /// Columns.
        width: f64,
        /// Rows.
        height: f64,
    },
}
