//! Operations that look at the cells around a cell: terrain, focal statistics, convolution.

use serde::{Deserialize, Serialize};

/// A map of the relief of a digital elevation model, as `gdaldem` makes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terrain {
    /// Path or URL of the elevation raster.
    pub input: String,
    /// Its band of elevations, from 1.
    #[serde(default = "first_band")]
    pub band: u16,
    /// What is computed.
    pub product: TerrainProduct,
    /// Whether cells at the edge of the raster and beside cells without data get a value. Default no.
    #[serde(default)]
    pub compute_edges: bool,
}

/// What is computed of an elevation raster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TerrainProduct {
    /// Shaded relief: 1 (dark) to 255; 0 is no data.
    Hillshade(Hillshade),
    /// Steepness.
    Slope(Slope),
    /// Direction that the slope faces.
    Aspect(Aspect),
    /// Largest less smallest of a cell and its eight neighbours.
    Roughness,
    /// Terrain ruggedness index: how much a cell differs from its neighbours.
    Tri(RuggednessFormula),
    /// Topographic position index: a cell less the mean of its neighbours.
    Tpi,
}

impl TerrainProduct {
    /// Returns the name on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hillshade(_) => "hillshade",
            Self::Slope(_) => "slope",
            Self::Aspect(_) => "aspect",
            Self::Roughness => "roughness",
            Self::Tri(_) => "tri",
            Self::Tpi => "tpi",
        }
    }
}

/// How terrain is lit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hillshade {
    /// Which formula.
    pub shading: Shading,
    /// How the gradient is found.
    pub gradient: Gradient,
    /// Heights are multiplied by this. Default 1.
    pub z_factor: f64,
    /// Where the light comes from: degrees clockwise from north. Default 315.
    pub azimuth: f64,
    /// Height of the light over the horizon in degrees. Default 45.
    pub altitude: f64,
    /// Horizontal units in terms of vertical ones.
    pub scale: Scale,
}

impl Default for Hillshade {
    fn default() -> Self {
        Self {
            shading: Shading::default(),
            gradient: Gradient::default(),
            z_factor: 1.0,
            azimuth: 315.0,
            altitude: 45.0,
            scale: Scale::default(),
        }
    }
}

/// Formulas of shaded relief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shading {
    /// One light.
    #[default]
    Single,
    /// One light, darker the steeper.
    Combined,
    /// Lights from 225, 270, 315 and 360 degrees, weighted by aspect; there is no azimuth.
    Multidirectional,
    /// As light as other layers of a map need it; there is no altitude.
    Igor,
}

/// How the gradient is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gradient {
    /// From eight neighbours (Horn 1981).
    #[default]
    Horn,
    /// From four neighbours (Zevenbergen and Thorne 1987).
    ZevenbergenThorne,
}

/// How steepness is measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slope {
    /// The unit.
    pub unit: SlopeUnit,
    /// How the gradient is found.
    pub gradient: Gradient,
    /// Horizontal units in terms of vertical ones.
    pub scale: Scale,
}

/// Units of slope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlopeUnit {
    /// Angle, 0 to 90.
    #[default]
    Degree,
    /// Rise over run, times 100.
    Percent,
}

/// How the direction of a slope is given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aspect {
    /// Degrees anticlockwise from east instead of clockwise from north.
    pub trigonometric: bool,
    /// Flat cells are 0 instead of no data.
    pub zero_for_flat: bool,
    /// How the gradient is found.
    pub gradient: Gradient,
}

/// Formulas of the terrain ruggedness index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuggednessFormula {
    /// Root of the sum of squared differences (Riley et al. 1999), for land.
    #[default]
    Riley,
    /// Mean of absolute differences (Wilson et al. 2007), for the sea floor.
    Wilson,
}

/// The ratio of vertical units to horizontal ones: cell sizes are multiplied by it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// From the units that the raster states, at the latitude of its middle.
    #[default]
    Auto,
    /// In x and in y.
    By(f64, f64),
}

/// A statistic of the window around each cell, of each band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Focal {
    /// Path or URL of the raster.
    pub input: String,
    /// The one band to read, from 1; all of them when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<u16>,
    /// The statistic.
    pub statistic: FocalStatistic,
    /// Cells along the edge of the window: odd, 3 or more.
    pub size: u32,
    /// Which cells of the window count. Default all of them.
    #[serde(default)]
    pub shape: FocalShape,
}

/// Statistics of the valid cells of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each variant is the statistic's name")]
pub enum FocalStatistic {
    Mean,
    /// The middle one, or the mean of the middle two.
    Median,
    Min,
    Max,
    /// Standard deviation of the population.
    Std,
    Sum,
}

impl FocalStatistic {
    /// Returns the name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Median => "median",
            Self::Min => "min",
            Self::Max => "max",
            Self::Std => "std",
            Self::Sum => "sum",
        }
    }
}

/// Shapes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FocalShape {
    /// All cells.
    #[default]
    Square,
    /// Cells whose centres are no farther away than `(size - 1) / 2` cells.
    Circle,
}

/// A weighted sum of the cells around each cell, of each band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolve {
    /// Path or URL of the raster.
    pub input: String,
    /// The one band to read, from 1; all of them when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<u16>,
    /// The weights as they lie on the raster, row by row; the middle one is the cell's own.
    pub kernel: Vec<Vec<f64>>,
    /// Whether the sum is divided by that of the weights of valid cells. Default no.
    #[serde(default)]
    pub normalize: bool,
}

fn first_band() -> u16 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::TaskOperation;

    fn check(text: &str, expected: TaskOperation) {
        let read: TaskOperation = toml::from_str(text).unwrap();
        assert_eq!(read, expected);
        let again: TaskOperation = toml::from_str(&toml::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, expected);
        let wire = crate::wire::encode(&read).unwrap();
        assert_eq!(
            crate::wire::decode::<TaskOperation>(&wire).unwrap(),
            expected
        );
    }

    #[test]
    fn terrain_is_read_with_gdal_s_defaults() {
        let terrain = |product| {
            TaskOperation::Terrain(Terrain {
                input: "dem.tif".to_owned(),
                band: 1,
                product,
                compute_edges: false,
            })
        };
        let text = "type = 'terrain'\ninput = 'dem.tif'\nproduct = ";
        check(&format!("{text}'tpi'"), terrain(TerrainProduct::Tpi));
        check(
            &format!("{text}{{ tri = 'wilson' }}"),
            terrain(TerrainProduct::Tri(RuggednessFormula::Wilson)),
        );
        let shade = Hillshade {
            z_factor: 30.0,
            scale: Scale::By(111_120.0, 111_120.0),
            ..Hillshade::default()
        };
        check(
            &format!(
                "{text}{{ hillshade = {{ z_factor = 30.0, scale = {{ by = [111120.0, 111120.0] }} }} }}"
            ),
            terrain(TerrainProduct::Hillshade(shade)),
        );
    }

    #[test]
    fn a_window_is_read_and_an_unknown_setting_refused() {
        let text = "type = 'focal'\ninput = 'a.tif'\nstatistic = 'median'\nsize = 5\n";
        let expected = Focal {
            input: "a.tif".to_owned(),
            band: None,
            statistic: FocalStatistic::Median,
            size: 5,
            shape: FocalShape::Square,
        };
        check(text, TaskOperation::Focal(expected));
        let wrong = format!("{text}colour = 'red'");
        assert!(toml::from_str::<TaskOperation>(&wrong).is_err());
        let text = "type = 'terrain'\ninput = 'a.tif'\nproduct = { slope = { azimuth = 3 } }";
        assert!(toml::from_str::<TaskOperation>(text).is_err());
    }
}
