//! The values of a zone in order, each with its weight.

use std::collections::BTreeMap;

/// The most different values of a zone that are listed by [`crate::spec::StatisticKind::Categories`].
const CATEGORIES_MAX: usize = 1 << 16;

/// Returns a number that sorts as the value does; zero has no sign.
#[must_use]
pub fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    match bits >> 63 {
        0 => bits | 1 << 63,
        _ => !bits,
    }
}

/// Returns the value of a [`key`].
#[must_use]
pub fn from_key(key: u64) -> f64 {
    f64::from_bits(match key >> 63 {
        1 => key & !(1 << 63),
        _ => !key,
    })
}

/// What is known of how often each value occurs, gathered value by value.
#[derive(Debug, Clone, Default)]
pub struct Frequencies {
    /// Number of different values.
    pub variety: u64,
    /// The value of the greatest weight, the smallest of several, and its weight.
    pub majority: Option<(f64, u128)>,
    /// The value of the least weight, the smallest of several, and its weight.
    pub minority: Option<(f64, u128)>,
    /// Every value (by [`key`]) and its weight, where wanted.
    pub categories: Option<BTreeMap<u64, u128>>,
}

impl Frequencies {
    /// Makes it.
    #[must_use]
    pub fn new(categories: bool) -> Self {
        Self {
            categories: categories.then(BTreeMap::new),
            ..Self::default()
        }
    }

    /// Takes the next larger value; `None` when there are too many to list.
    pub fn push(&mut self, value: f64, weight: u128) -> Option<()> {
        self.variety += 1;
        if self.majority.is_none_or(|(_, most)| weight > most) {
            self.majority = Some((value, weight));
        }
        if self.minority.is_none_or(|(_, least)| weight < least) {
            self.minority = Some((value, weight));
        }
        if let Some(categories) = &mut self.categories {
            if categories.len() >= CATEGORIES_MAX {
                return None;
            }
            categories.insert(key(value), weight);
        }
        Some(())
    }
}
