//! From what was gathered of a zone to the numbers that were asked for.

use super::WHOLE;
use super::double::Double;
use super::partial::Partial;
use super::values::{Frequencies, from_key};
use crate::spec::StatisticKind;

/// What is known of the values of a zone, beyond their sums.
#[derive(Debug, Clone, Default)]
pub struct ValueFacts {
    /// How often each occurs.
    pub frequencies: Frequencies,
    /// Percentiles, as many and in the order in which the statistics have them, the median among them.
    pub percentiles: Vec<Option<f64>>,
}

/// A number, or a text, in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A count of whole cells.
    Count(u64),
    /// A number.
    Number(f64),
    /// The count of every class, as JSON.
    Text(String),
}

/// Returns the statistics of a zone, `None` where there is none: of no cell there is a count, and nothing else.
#[must_use]
pub fn finish(
    kinds: &[StatisticKind],
    fractional: bool,
    partial: &Partial,
    values: &ValueFacts,
) -> Vec<Option<Value>> {
    let mut percentiles = values.percentiles.iter();
    let zone = Zone {
        fractional,
        partial,
        frequencies: &values.frequencies,
    };
    let one = |kind: &StatisticKind| match kind {
        StatisticKind::Median | StatisticKind::Percentile(_) => {
            percentiles.next().copied().flatten().map(Value::Number)
        }
        kind => zone.statistic(*kind),
    };
    kinds.iter().map(one).collect()
}

struct Zone<'a> {
    fractional: bool,
    partial: &'a Partial,
    frequencies: &'a Frequencies,
}

impl Zone<'_> {
    fn statistic(&self, kind: StatisticKind) -> Option<Value> {
        let partial = self.partial;
        match kind {
            StatisticKind::Count => return Some(self.count(partial.weight)),
            StatisticKind::Nodata => return Some(self.count(partial.nodata)),
            _ => {}
        }
        let (low, high) = partial.range?;
        let number = match kind {
            StatisticKind::Sum => partial.sum.to_double() / self.unit(),
            StatisticKind::Mean => self.mean(),
            StatisticKind::Min => low,
            StatisticKind::Max => high,
            StatisticKind::Range => high - low,
            StatisticKind::Variance => self.variance(),
            StatisticKind::Std => self.variance().sqrt(),
            StatisticKind::Variety => return Some(Value::Count(self.frequencies.variety)),
            StatisticKind::Majority => self.frequencies.majority?.0,
            StatisticKind::Minority => self.frequencies.minority?.0,
            StatisticKind::Categories => return Some(Value::Text(self.categories()?)),
            StatisticKind::Count
            | StatisticKind::Nodata
            | StatisticKind::Median
            | StatisticKind::Percentile(_) => return None,
        };
        Some(Value::Number(number))
    }

    /// Returns what one cell weighs.
    fn unit(&self) -> f64 {
        if self.fractional {
            f64::from(WHOLE)
        } else {
            1.0
        }
    }

    fn count(&self, weight: u128) -> Value {
        match self.fractional {
            true => Value::Number(weight as f64 / self.unit()),
            false => Value::Count(u64::try_from(weight).unwrap_or(u64::MAX)),
        }
    }

    fn mean(&self) -> f64 {
        let sum = self.partial.sum.to_two_doubles();
        if !sum.high.is_finite() {
            return sum.high;
        }
        let mean = sum.over(Double::whole(self.partial.weight));
        mean.high
    }

    /// (Σwx² − (Σwx)² / Σw) / Σw of exact sums, in twice the precision of a double: nothing to lose by cancelling.
    fn variance(&self) -> f64 {
        let (sum, squares) = (&self.partial.sum, &self.partial.squares);
        let (sum, squares) = (sum.to_two_doubles(), squares.to_two_doubles());
        if !sum.high.is_finite() || !squares.high.is_finite() {
            return f64::NAN;
        }
        let weight = Double::whole(self.partial.weight);
        let mean_squares = sum.times(sum).over(weight);
        squares.minus(mean_squares).over(weight).high.max(0.0)
    }

    fn categories(&self) -> Option<String> {
        let categories = self.frequencies.categories.as_ref()?;
        let one = |(key, weight): (&u64, &u128)| {
            let count = match self.count(*weight) {
                Value::Count(count) => count.to_string(),
                Value::Number(share) => share.to_string(),
                Value::Text(text) => text,
            };
            format!("\"{}\":{count}", from_key(*key))
        };
        let all: Vec<String> = categories.iter().map(one).collect();
        Some(format!("{{{}}}", all.join(",")))
    }
}
