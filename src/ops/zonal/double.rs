//! Numbers of twice the precision of a double, for differences of large sums.

/// The sum of two doubles, of which the second is at most half a unit in the last place of the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Double {
    pub(super) high: f64,
    pub(super) low: f64,
}

/// Multiplies by a power of two, exactly while the result is normal.
pub(super) fn scale(value: f64, exponent: i32) -> f64 {
    let mut left = exponent;
    let mut scaled = value;
    while left != 0 && scaled != 0.0 && scaled.is_finite() {
        let step = left.clamp(-1000, 1000);
        scaled *= 2.0_f64.powi(step);
        left -= step;
    }
    scaled
}

impl Double {
    pub(super) const fn new(high: f64) -> Self {
        Self { high, low: 0.0 }
    }

    /// Rounds a whole number.
    pub(super) fn whole(number: u128) -> Self {
        let high = number as f64;
        // Exact: the double is whole, and at most half a unit away.
        let low = number.cast_signed().wrapping_sub(high as i128) as f64;
        Self { high, low }
    }

    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let part = high - a;
        let low = (a - (high - part)) + (b - part);
        Self { high, low }
    }

    fn normal(self) -> Self {
        Self::sum(self.high, self.low)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        let sum = Self::sum(self.high, -other.high);
        let low = sum.low + (self.low - other.low);
        Self { low, ..sum }.normal()
    }

    pub(super) fn times(self, other: Self) -> Self {
        let high = self.high * other.high;
        let low = self.high.mul_add(other.high, -high);
        let low = low + (self.high * other.low + self.low * other.high);
        Self { high, low }.normal()
    }

    pub(super) fn over(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self.minus(Self::new(first).times(other));
        let second = rest.high / other.high;
        let rest = rest.minus(Self::new(second).times(other));
        let third = rest.high / other.high;
        let sum = Self::sum(first, second);
        Self {
            low: sum.low + third,
            ..sum
        }
        .normal()
    }
}
