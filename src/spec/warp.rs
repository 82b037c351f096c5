//! Rasters brought onto another grid: one, or many combined.

use serde::{Deserialize, Serialize};

/// How a cell is computed from the source's cells around its place, or under it; names and definitions are gdalwarp's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WarpMethod {
    /// The cell in which the centre lies.
    #[default]
    Nearest,
    /// The four cells around the centre, by distance.
    Bilinear,
    /// Sixteen cells, by Keys' cubic convolution (a = -0.5).
    Cubic,
    /// Sixteen cells, by a cubic B-spline, which smooths.
    CubicSpline,
    /// Thirty-six cells, by a windowed sinc.
    Lanczos,
    /// The mean of the cells under the output's cell, by the area they share.
    Average,
    /// The value most frequent under the cell.
    Mode,
    /// The least value under the cell.
    Min,
    /// The greatest value under the cell.
    Max,
    /// The median of the values under the cell.
    Med,
    /// Their first quartile.
    Q1,
    /// Their third quartile.
    Q3,
    /// Their sum, by the area they share: what was counted stays counted.
    Sum,
    /// The root of the mean square, by the area they share.
    Rms,
}

impl WarpMethod {
    /// Every method and its name.
    pub const ALL: [(&'static str, Self); 14] = [
        ("nearest", Self::Nearest),
        ("bilinear", Self::Bilinear),
        ("cubic", Self::Cubic),
        ("cubicspline", Self::CubicSpline),
        ("lanczos", Self::Lanczos),
        ("average", Self::Average),
        ("mode", Self::Mode),
        ("min", Self::Min),
        ("max", Self::Max),
        ("med", Self::Med),
        ("q1", Self::Q1),
        ("q3", Self::Q3),
        ("sum", Self::Sum),
        ("rms", Self::Rms),
    ];

    /// Tells whether the method makes only values that the source has.
    #[must_use]
    pub const fn keeps_values(self) -> bool {
        matches!(
            self,
            Self::Nearest | Self::Mode | Self::Min | Self::Max | Self::Med | Self::Q1 | Self::Q3
        )
    }

    /// Tells whether the method looks at what lies under the whole cell, not around its centre.
    #[must_use]
    pub const fn is_footprint(self) -> bool {
        !matches!(
            self,
            Self::Nearest | Self::Bilinear | Self::Cubic | Self::CubicSpline | Self::Lanczos
        )
    }
}

impl std::fmt::Display for WarpMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = Self::ALL.iter().find(|(_, method)| method == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

impl std::str::FromStr for WarpMethod {
    type Err = UnknownMethod;
    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        let lower = name.to_ascii_lowercase();
        // gdalwarp's short form.
        let lower = if lower == "near" { "nearest" } else { &lower };
        Self::ALL
            .iter()
            .find(|(known, _)| *known == lower)
            .map(|(_, method)| *method)
            .ok_or_else(|| UnknownMethod {
                name: name.to_owned(),
            })
    }
}

/// Says that a name is no resampling method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no resampling; there are nearest, bilinear, cubic, cubicspline, lanczos, average, mode, min, max, med, q1, q3, sum and rms"
)]
pub struct UnknownMethod {
    name: String,
}

/// The grid that a raster is brought onto; what is not given fits the sources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetGrid {
    /// The CRS: a code such as `EPSG:3857`, a PROJ string, WKT or PROJJSON; default that of the (first) source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crs: Option<String>,
    /// Width and height of a cell, in the CRS's unit; default as fine as the sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<(f64, f64)>,
    /// Left, bottom, right, top in the CRS; default all that the sources cover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extent: Option<[f64; 4]>,
}

/// How cells are brought onto a grid.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarpSettings {
    /// How a cell is computed. Default `nearest`.
    pub resampling: WarpMethod,
    /// By how many cells of the source a position may be off, in exchange for speed; 0 is exact. Default 0.125.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<f64>,
    /// The CRS of sources that do not say theirs, or say a wrong one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_crs: Option<String>,
}

/// The default of [`WarpSettings::error_threshold`], as gdalwarp's.
pub const ERROR_THRESHOLD: f64 = 0.125;

/// One raster onto another grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reproject {
    /// Path or URL of the raster.
    pub input: String,
    /// Onto which grid.
    #[serde(default)]
    pub grid: TargetGrid,
    /// How.
    #[serde(default)]
    pub warp: WarpSettings,
}

/// Many rasters onto one grid, and one value for each cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Composite {
    /// What is there to choose from, in order.
    pub scenes: Vec<Scene>,
    /// What becomes of the valid values of a cell. Default `last`.
    #[serde(default)]
    pub combine: Combine,
    /// Onto which grid.
    #[serde(default)]
    pub grid: TargetGrid,
    /// How.
    #[serde(default)]
    pub warp: WarpSettings,
    /// Classes of the scenes' masks whose cells are left out, such as 3, 8, 9, 10 of Sentinel-2's scene classification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask_values: Vec<f64>,
}

/// What becomes of the valid values of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// That of the first scene that has one.
    First,
    /// That of the last scene that has one.
    #[default]
    Last,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their mean.
    Mean,
    /// Their median; of an even number, the mean of the two in the middle.
    Median,
}

impl Combine {
    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Median => "median",
        }
    }
}

/// One scene: files that belong together, each with bands, and what masks them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The files, in the order of the output's bands.
    pub layers: Vec<SceneLayer>,
    /// A band of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<SceneLayer>,
}

impl Scene {
    /// Lists its files, the mask last.
    pub fn files(&self) -> impl Iterator<Item = &SceneLayer> {
        self.layers.iter().chain(&self.mask)
    }

    /// Lists its files, to be changed.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut SceneLayer> {
        self.layers.iter_mut().chain(&mut self.mask)
    }
}

/// Bands of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneLayer {
    /// Path or URL.
    pub path: String,
    /// The band, from 1; all of them when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<u16>,
    /// Where its cells are, when a catalogue says so: then its header is not read to plan. Type, bands and NoData value are taken
    /// to be as in the first scene; a task that finds other cells, or cells of another type, in the file fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<StatedGrid>,
}

/// What a catalogue says of where the cells of a file are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedGrid {
    /// The CRS, such as `EPSG:32630`.
    pub crs: String,
    /// From cell corners to coordinates, in GDAL's order: left, width of a cell, 0, top, 0, height of a cell (negative where
    /// rows go south).
    pub transform: [f64; 6],
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}
