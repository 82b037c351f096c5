//! Adding many doubles quickly and exactly: by their exponents first.

use super::exact::{ExactSum, decompose};

/// One whole number for each exponent that a double can have.
#[derive(Debug)]
pub(super) struct Bins {
    bins: Vec<i128>,
    /// The exponents seen, as places in `bins`.
    low: usize,
    high: usize,
}

/// The lowest exponent of [`decompose`].
const LOWEST: i32 = -1074;

impl Bins {
    pub(super) fn new() -> Self {
        Self {
            bins: vec![0; 2048],
            low: usize::MAX,
            high: 0,
        }
    }

    /// Adds a finite double so many times; 2³⁰ cells of the greatest weight fit.
    #[inline]
    pub(super) fn add(&mut self, value: f64, times: u32) {
        let Some((mantissa, exponent)) = decompose(value) else {
            return;
        };
        let place = (exponent - LOWEST).unsigned_abs() as usize;
        if let Some(bin) = self.bins.get_mut(place) {
            *bin += i128::from(mantissa) * i128::from(times);
            self.low = self.low.min(place);
            self.high = self.high.max(place);
        }
    }

    /// Moves all into a sum.
    pub(super) fn drain_into(&mut self, sum: &mut ExactSum) {
        if self.low > self.high {
            return;
        }
        for (place, bin) in self
            .bins
            .iter_mut()
            .enumerate()
            .take(self.high + 1)
            .skip(self.low)
        {
            if *bin != 0 {
                let exponent = i32::try_from(place).unwrap_or(0) + LOWEST;
                sum.add(std::mem::take(bin), exponent);
            }
        }
        (self.low, self.high) = (usize::MAX, 0);
    }
}
