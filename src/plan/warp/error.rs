//! Why rasters cannot be brought onto a grid.

use crate::crs;
use crate::grid::DataType;

/// Says why rasters cannot be brought onto a grid.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named by the messages")]
pub enum WarpError {
    /// The CRS of an input, or of the output as an input needs it.
    #[error("{path}")]
    Source { path: String, source: crs::Error },
    /// The CRS of the output.
    #[error("the output's CRS")]
    Target { source: crs::Error },
    /// An input that is nowhere.
    #[error(
        "{path} has no georeference; give it one with 'gdal_translate -a_srs EPSG:CODE -a_ullr LEFT TOP RIGHT BOTTOM'"
    )]
    NoTransform { path: String },
    /// No scene at all.
    #[error("there is no scene to combine: name files, or give --list or --stac")]
    NoScenes,
    /// Scenes that do not make the same bands.
    #[error(
        "{path} gives its scene {found} band(s), the first scene has {wanted}; choose bands with FILE@BAND"
    )]
    Bands {
        path: String,
        found: usize,
        wanted: usize,
    },
    /// Scenes of several types.
    #[error(
        "{path} is {found}, the first input is {wanted}: say with --dtype what the output is to be"
    )]
    Types {
        path: String,
        found: DataType,
        wanted: DataType,
    },
    /// An extent that is none.
    #[error("the extent {extent:?} is not LEFT,BOTTOM,RIGHT,TOP with something between")]
    Extent { extent: [f64; 4] },
    /// A resolution that is none.
    #[error("a resolution of {0} × {1} is not two positive numbers", resolution.0, resolution.1)]
    Resolution { resolution: (f64, f64) },
    /// A bound on the error that is none.
    #[error("an error threshold of {threshold} is not 0 or more cells")]
    Threshold { threshold: f64 },
    /// A grid that no raster can have.
    #[error(
        "the output would have {width:.0} × {height:.0} cells; give a coarser --res or a smaller --extent"
    )]
    Size { width: f64, height: f64 },
    /// Classes that mask nothing, or a mask without them.
    #[error(
        "--mask and --mask-values go together: a band of classes, and which of them to leave out"
    )]
    Mask,
}

impl WarpError {
    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source { .. } | Self::Target { .. } => "spec-crs",
            Self::NoTransform { .. } => "spec-georeference",
            Self::NoScenes | Self::Mask => "spec-scenes",
            Self::Bands { .. } => "spec-band",
            Self::Types { .. } => "spec-dtype",
            Self::Extent { .. } | Self::Resolution { .. } | Self::Size { .. } => "spec-grid",
            Self::Threshold { .. } => "spec-threshold",
        }
    }
}
