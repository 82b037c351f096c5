//! The edges along one axis.

use super::error::Error;

/// An interval cut into `parts` of equal length; part `i` is `[edge(i), edge(i + 1))`, the last one includes its upper edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    min: f64,
    max: f64,
    parts: u32,
}

impl Axis {
    /// Cuts an interval of finite ends in order.
    pub(super) fn new(name: char, min: f64, max: f64, parts: u32) -> Result<Self, Error> {
        // Rounding moves an edge by less than three steps of the coarser end: parts of 16 have edges in strict order.
        let smallest = f64::from_bits(1);
        let spacing = (min.abs().max(max.abs()) * f64::EPSILON).max(smallest);
        if parts > 1 && (max - min) / f64::from(parts) < 16.0 * spacing {
            return Err(Error::TooFine {
                axis: name,
                parts,
                min,
                max,
            });
        }
        Ok(Self { min, max, parts })
    }

    pub(super) const fn parts(&self) -> u32 {
        self.parts
    }

    /// Returns the lower edge of part `i`, or the last edge: every neighbour gets the same bits.
    ///
    /// Each operation rounds monotonically, so that edges never go back.
    pub(super) fn edge(&self, i: u32) -> f64 {
        if i == 0 {
            return self.min;
        }
        if i >= self.parts {
            return self.max;
        }
        let from_min = (self.max - self.min) * f64::from(i) / f64::from(self.parts);
        (self.min + from_min).min(self.max)
    }

    /// Returns both edges of part `i`.
    pub(super) fn span(&self, i: u32) -> (f64, f64) {
        (self.edge(i), self.edge(i.saturating_add(1)))
    }

    /// Returns the part that holds a coordinate; `None` outside, and for NaN.
    pub(super) fn part_of(&self, at: f64) -> Option<u32> {
        if !(self.min..=self.max).contains(&at) {
            return None;
        }
        let last = self.parts - 1;
        let guess = (at - self.min) / (self.max - self.min) * f64::from(self.parts);
        // Clamped by the cast; the edges themselves decide, and are at most a step away.
        let mut part = (guess as u32).min(last);
        while part > 0 && at < self.edge(part) {
            part -= 1;
        }
        while part < last && at >= self.edge(part + 1) {
            part += 1;
        }
        Some(part)
    }
}
