//! Statistics of a raster's cells by zone.

use serde::{Deserialize, Serialize};

use super::TableFormat;

/// What `zonal-stats` asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZonalStats {
    /// Path or URL of the raster.
    pub raster: String,
    /// The band, from 1.
    #[serde(default = "first_band")]
    pub band: u16,
    /// Path or URL of the polygons: GeoParquet, GeoJSON, Arrow, FlatGeobuf or Shapefile.
    pub zones: String,
    /// Their format, when the name does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones_format: Option<TableFormat>,
    /// The CRS of the zones when their file does not tell, or tells it wrong: `EPSG:32633`, or `raster` for the
    /// raster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones_crs: Option<String>,
    /// One column each, in this order.
    pub statistics: Vec<Statistic>,
    /// Which cells belong to a zone. Default [`Pixels::Default`].
    #[serde(default)]
    pub pixels: Pixels,
    /// Whether the zones' geometry is kept; GeoJSON always keeps it, CSV never. Default no.
    #[serde(default)]
    pub geometry: bool,
    /// Stands before the name of every statistic's column. Default nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

const fn first_band() -> u16 {
    1
}

/// Which cells belong to a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pixels {
    /// Those whose centre lies in it.
    #[default]
    Default,
    /// Those of which it covers any part.
    AllTouched,
    /// Those of which it covers any part, weighted by the share that it covers.
    Fractional,
}

impl Pixels {
    /// Returns the name as the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AllTouched => "all-touched",
            Self::Fractional => "fractional",
        }
    }
}

/// A statistic of the cells of a zone that hold data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Statistic {
    kind: StatisticKind,
    /// The name as it was asked for: the column is called so.
    name: String,
}

/// Which statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StatisticKind {
    /// Number of cells; of shares, with fractional coverage.
    Count,
    /// Sum of the values, each times its share.
    Sum,
    /// Mean value.
    Mean,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Largest minus smallest.
    Range,
    /// Standard deviation of the population.
    Std,
    /// Variance of the population.
    Variance,
    /// The value in the middle.
    Median,
    /// The value below which so many percent lie, 0 to 100.
    Percentile(f64),
    /// Number of different values.
    Variety,
    /// The most frequent value; of several, the smallest.
    Majority,
    /// The least frequent value; of several, the smallest.
    Minority,
    /// The count of every value, as a JSON object.
    Categories,
    /// Number (or shares) of cells without data.
    Nodata,
}

impl Statistic {
    /// Every name that is no percentile's; those behind the first of a kind are other programs' names of it.
    pub const NAMES: [(&str, StatisticKind); 19] = [
        ("count", StatisticKind::Count),
        ("sum", StatisticKind::Sum),
        ("mean", StatisticKind::Mean),
        ("min", StatisticKind::Min),
        ("max", StatisticKind::Max),
        ("range", StatisticKind::Range),
        ("std", StatisticKind::Std),
        ("stdev", StatisticKind::Std),
        ("variance", StatisticKind::Variance),
        ("median", StatisticKind::Median),
        ("variety", StatisticKind::Variety),
        ("unique", StatisticKind::Variety),
        ("majority", StatisticKind::Majority),
        ("mode", StatisticKind::Majority),
        ("minority", StatisticKind::Minority),
        ("categories", StatisticKind::Categories),
        ("categorical", StatisticKind::Categories),
        ("nodata", StatisticKind::Nodata),
        ("average", StatisticKind::Mean),
    ];

    /// Returns which statistic it is.
    #[must_use]
    pub const fn kind(&self) -> StatisticKind {
        self.kind
    }

    /// Returns the name as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl StatisticKind {
    /// Tells whether it needs every value, not only sums and extremes.
    #[must_use]
    pub const fn needs_values(self) -> bool {
        match self {
            Self::Median
            | Self::Percentile(_)
            | Self::Variety
            | Self::Majority
            | Self::Minority
            | Self::Categories => true,
            Self::Count
            | Self::Sum
            | Self::Mean
            | Self::Min
            | Self::Max
            | Self::Range
            | Self::Std
            | Self::Variance
            | Self::Nodata => false,
        }
    }
}

/// Says that a name is no statistic's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is not a statistic; there are count, sum, mean, min, max, range, std, variance, median, variety, majority, minority, categories, nodata and percentiles such as p10 or p97.5"
)]
pub struct UnknownStatistic {
    name: String,
}

impl std::str::FromStr for Statistic {
    type Err = UnknownStatistic;

    fn from_str(text: &str) -> Result<Self, UnknownStatistic> {
        let name = text.trim();
        let named = Self::NAMES.iter().find(|(known, _)| *known == name);
        let percent = || {
            let number = name
                .strip_prefix("percentile_")
                .or_else(|| name.strip_prefix('p'))?;
            let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let percent: f64 = number.parse().ok().filter(|_| plain)?;
            (0.0..=100.0).contains(&percent).then_some(percent)
        };
        let kind = match named {
            Some((_, kind)) => Some(*kind),
            None => percent().map(StatisticKind::Percentile),
        };
        let name = name.to_owned();
        match kind {
            Some(kind) => Ok(Self { kind, name }),
            None => Err(UnknownStatistic { name }),
        }
    }
}

impl TryFrom<String> for Statistic {
    type Error = UnknownStatistic;

    fn try_from(name: String) -> Result<Self, UnknownStatistic> {
        name.parse()
    }
}

impl From<Statistic> for String {
    fn from(statistic: Statistic) -> Self {
        statistic.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_is_read_by_any_of_its_names_and_keeps_it() {
        let check = |name: &str, kind| {
            let statistic: Statistic = name.parse().unwrap();
            assert_eq!((statistic.kind(), statistic.name()), (kind, name));
        };
        check("mean", StatisticKind::Mean);
        check("mode", StatisticKind::Majority);
        check("p10", StatisticKind::Percentile(10.0));
        check("p97.5", StatisticKind::Percentile(97.5));
        check("percentile_0", StatisticKind::Percentile(0.0));
        for wrong in ["", "p", "p101", "p-1", "pnan", "p1e1", "modus", "MEAN"] {
            let error = wrong.parse::<Statistic>().unwrap_err().to_string();
            assert!(error.contains("p97.5"), "{error}");
        }
    }
}
