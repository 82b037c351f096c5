//! Medians of windows of any shape: a histogram of ranks that slides along each row.
//!
//! The valid cells of a panel are numbered in the order of their values. A window is then a count for each number, with sums over
//! buckets of them, so that moving on by a cell changes a count for each row of the window at either end, and the middle
//! is found from where it was. It is as exact as sorting, for any type, and its time grows with the window's edge.

use super::footprint::Footprint;
use super::panel::{Panel, Real};

/// Ranks in a bucket.
const BUCKET: usize = 64;
/// The rank of a cell without data.
const NONE: u32 = u32::MAX;

/// The ranks of a panel's cells, and the window's histogram of them.
#[derive(Debug)]
pub(super) struct Ranks<T> {
    /// The different values, ascending.
    values: Vec<T>,
    /// The rank of each cell.
    ranks: Vec<u32>,
    counts: Vec<u32>,
    buckets: Vec<u32>,
    /// Cells in the window.
    total: u32,
    /// The bucket last looked at, and the cells in the buckets before it.
    at: usize,
    before: u32,
}

impl<T> Default for Ranks<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            ranks: Vec::new(),
            counts: Vec::new(),
            buckets: Vec::new(),
            total: 0,
            at: 0,
            before: 0,
        }
    }
}

impl<T: Real> Ranks<T> {
    /// Finds the median of the valid cells of the footprint around each cell of the core.
    pub(super) fn medians(&mut self, panel: &Panel<T>, footprint: &Footprint, out: &mut [f64]) {
        self.number(panel);
        let width = panel.core_cols();
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            self.empty();
            // The window's row `down` covers columns `col + radius − reach` to `col + radius + reach` of the panel.
            for (down, reach) in footprint.reach.iter().enumerate() {
                let start = (row + down) * panel.cols + footprint.radius - reach;
                for at in start..start + 2 * reach {
                    self.enter(at);
                }
            }
            for ((col, out), centre) in out.iter_mut().enumerate().zip(panel.core_row(row)) {
                for (down, reach) in footprint.reach.iter().enumerate() {
                    let middle = (row + down) * panel.cols + col + footprint.radius;
                    self.enter(middle + reach);
                }
                *out = if centre.is_nan() {
                    f64::NAN
                } else {
                    self.median()
                };
                for (down, reach) in footprint.reach.iter().enumerate() {
                    let middle = (row + down) * panel.cols + col + footprint.radius;
                    self.leave(middle - reach);
                }
            }
        }
    }

    fn number(&mut self, panel: &Panel<T>) {
        let order = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
        self.values.clear();
        let valid = panel.cells.iter().filter(|cell| !cell.is_nan());
        self.values.extend(valid);
        self.values.sort_unstable_by(order);
        self.values.dedup_by(|a, b| a == b);
        let values = &self.values;
        let rank = |cell: &T| match values.binary_search_by(|value| order(value, cell)) {
            Ok(rank) if !cell.is_nan() => u32::try_from(rank).unwrap_or(NONE),
            _ => NONE,
        };
        self.ranks.clear();
        self.ranks.extend(panel.cells.iter().map(rank));
        self.counts.clear();
        self.counts
            .resize(self.values.len().next_multiple_of(BUCKET), 0);
        self.buckets.clear();
        self.buckets.resize(self.counts.len() / BUCKET, 0);
    }

    fn empty(&mut self) {
        self.counts.fill(0);
        self.buckets.fill(0);
        (self.total, self.at, self.before) = (0, 0, 0);
    }

    fn enter(&mut self, cell: usize) {
        let rank = self.ranks.get(cell).copied().unwrap_or(NONE) as usize;
        let Some(count) = self.counts.get_mut(rank) else {
            return;
        };
        *count += 1;
        if let Some(bucket) = self.buckets.get_mut(rank / BUCKET) {
            *bucket += 1;
        }
        self.total += 1;
        self.before += u32::from(rank / BUCKET < self.at);
    }

    fn leave(&mut self, cell: usize) {
        let rank = self.ranks.get(cell).copied().unwrap_or(NONE) as usize;
        let Some(count) = self.counts.get_mut(rank) else {
            return;
        };
        *count -= 1;
        if let Some(bucket) = self.buckets.get_mut(rank / BUCKET) {
            *bucket -= 1;
        }
        self.total -= 1;
        self.before -= u32::from(rank / BUCKET < self.at);
    }

    fn bucket(&self, at: usize) -> u32 {
        self.buckets.get(at).copied().unwrap_or(0)
    }

    /// Returns the median of a window that is not empty.
    fn median(&mut self) -> f64 {
        let upper = self.total / 2;
        while self.before > upper {
            self.at -= 1;
            self.before -= self.bucket(self.at);
        }
        while self.before + self.bucket(self.at) <= upper {
            self.before += self.bucket(self.at);
            self.at += 1;
            if self.at >= self.buckets.len() {
                return f64::NAN;
            }
        }
        let mut below = self.before;
        let mut rank = self.at * BUCKET;
        loop {
            let count = self.counts.get(rank).copied().unwrap_or(u32::MAX);
            if upper - below < count {
                break;
            }
            below += count;
            rank += 1;
        }
        let value = self.value(rank);
        if !self.total.is_multiple_of(2) || below < upper {
            return value;
        }
        // The lower of the middle two is the next one down that is there.
        let lower = (0..rank)
            .rev()
            .find(|rank| self.counts.get(*rank).is_some_and(|count| *count > 0));
        lower.map_or(value, |rank| (self.value(rank) + value) / 2.0)
    }

    fn value(&self, rank: usize) -> f64 {
        self.values
            .get(rank)
            .map_or(f64::NAN, |value| value.to_f64())
    }
}
