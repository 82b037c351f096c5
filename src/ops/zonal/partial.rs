//! What is known of some cells of a zone, in a form that merges.

use super::exact::{ExactSum, take};
use crate::spec::{Statistic, StatisticKind};

/// What must be gathered for the statistics asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The sum of the values.
    pub sum: bool,
    /// The sum of their squares.
    pub squares: bool,
    /// Every value with its weight.
    pub values: bool,
}

impl Needs {
    /// Returns what statistics need.
    #[must_use]
    pub fn of(statistics: &[Statistic]) -> Self {
        let any = |of: &dyn Fn(StatisticKind) -> bool| statistics.iter().any(|s| of(s.kind()));
        let spread = |kind| matches!(kind, StatisticKind::Std | StatisticKind::Variance);
        let mean = |kind| matches!(kind, StatisticKind::Sum | StatisticKind::Mean);
        Self {
            sum: any(&|kind| mean(kind) || spread(kind)),
            squares: any(&spread),
            values: any(&StatisticKind::needs_values),
        }
    }
}

/// What is known of some cells of a zone.
///
/// Merging is exact: any order and grouping gives the same bits.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    /// Weights of the cells that hold data: their number, or with fractional coverage 2⁻³⁰ths of cells.
    pub weight: u128,
    /// Weights of the cells that hold none.
    pub nodata: u128,
    /// Smallest and largest value; nothing without a cell that holds data.
    pub range: Option<(f64, f64)>,
    /// Sum of the values, each times its weight.
    pub sum: ExactSum,
    /// Sum of the squares of the values, each times its weight.
    pub squares: ExactSum,
}

/// Says that bytes are no partial statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no partial statistics")]
pub struct PartialError;

impl Partial {
    /// Tells whether no cell was seen.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.weight == 0 && self.nodata == 0
    }

    /// Adds what is known of other cells.
    pub fn merge(&mut self, other: &Self) {
        self.weight += other.weight;
        self.nodata += other.nodata;
        if let Some((low, high)) = other.range {
            self.widen(low, high);
        }
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
    }

    pub(super) fn widen(&mut self, low: f64, high: f64) {
        // Zero has no sign here, so that it does not matter which came first.
        let (low, high) = (low + 0.0, high + 0.0);
        self.range = Some(match self.range {
            None => (low, high),
            Some((l, h)) => (l.min(low), h.max(high)),
        });
    }

    /// Returns it as bytes, the same for the same cells.
    #[must_use]
    pub fn encode(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.extend(self.weight.to_le_bytes());
        out.extend(self.nodata.to_le_bytes());
        let (low, high) = self.range.unwrap_or((f64::NAN, f64::NAN));
        out.extend(low.to_le_bytes());
        out.extend(high.to_le_bytes());
        self.sum.encode(&mut out);
        self.squares.encode(&mut out);
        out
    }

    /// Reads what [`Partial::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, PartialError> {
        let read = |bytes: &mut &[u8]| {
            let weight = u128::from_le_bytes(take(bytes)?);
            let nodata = u128::from_le_bytes(take(bytes)?);
            let low = f64::from_le_bytes(take(bytes)?);
            let high = f64::from_le_bytes(take(bytes)?);
            Some(Self {
                weight,
                nodata,
                range: (!low.is_nan()).then_some((low, high)),
                sum: ExactSum::decode(bytes)?,
                squares: ExactSum::decode(bytes)?,
            })
        };
        let partial = read(&mut bytes).ok_or(PartialError)?;
        // No raster has more cells.
        let plausible = partial.weight.max(partial.nodata) < 1 << 100;
        (bytes.is_empty() && plausible)
            .then_some(partial)
            .ok_or(PartialError)
    }
}
