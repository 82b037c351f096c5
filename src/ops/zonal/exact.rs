//! Sums without rounding.

use super::double::{Double, scale};

/// Bits of a digit.
const DIGIT: u32 = 32;
/// Additions after which digits are carried: none can have left its 64 bits before.
const CARRY_AFTER: u32 = 1 << 29;

/// A sum of doubles, kept exactly: it does not depend on the order or the grouping of what was added.
///
/// A number of base 2³² with signed digits (Neal 2015, *Fast exact summation using small and large superaccumulators*),
/// of which only the digits in use are kept. Infinities are kept apart.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    /// The power of 2³² of the first digit.
    first: i32,
    digits: Vec<i64>,
    /// At most so many 2³² are in a digit.
    adds: u32,
    /// Whether +∞ and −∞ were added.
    infinite: [bool; 2],
}

impl ExactSum {
    /// Adds one double; NaN is left out.
    pub fn add_double(&mut self, value: f64) {
        match decompose(value) {
            Some((mantissa, exponent)) => self.add(i128::from(mantissa), exponent),
            None if value.is_nan() => {}
            None => self.add_infinity(value < 0.0),
        }
    }

    pub(super) fn add_infinity(&mut self, negative: bool) {
        let [plus, minus] = &mut self.infinite;
        *(if negative { minus } else { plus }) = true;
    }

    /// Adds `value` × 2^`exponent`.
    pub fn add(&mut self, value: i128, exponent: i32) {
        // In two halves, so that a shift by up to 31 bits loses none.
        const LOW: u32 = 64;
        let low = value & i128::from(u64::MAX);
        self.add_half(low, exponent);
        let high = value >> LOW;
        if high != 0 {
            self.add_half(high, exponent + LOW.cast_signed());
        }
    }

    fn add_half(&mut self, value: i128, exponent: i32) {
        if value == 0 {
            return;
        }
        let at = exponent.div_euclid(DIGIT.cast_signed());
        let shifted = value << exponent.rem_euclid(DIGIT.cast_signed());
        self.reserve(at, 4);
        let place = usize::try_from(at - self.first).unwrap_or(0);
        for (number, digit) in (0..).zip(self.digits.iter_mut().skip(place).take(4)) {
            let part = shifted >> (DIGIT * number);
            // The last takes the sign with it; the others 32 bits.
            *digit += match number {
                3 => part as i64,
                _ => (part & 0xffff_ffff) as i64,
            };
        }
        self.count(1);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.infinite.iter_mut().zip(other.infinite) {
            *mine |= theirs;
        }
        if other.digits.is_empty() {
            return;
        }
        self.reserve(other.first, other.digits.len());
        let place = usize::try_from(other.first - self.first).unwrap_or(0);
        let mine = self.digits.iter_mut().skip(place);
        for (digit, added) in mine.zip(&other.digits) {
            *digit += added;
        }
        self.count(other.adds);
    }

    fn count(&mut self, adds: u32) {
        self.adds += adds;
        if self.adds >= CARRY_AFTER {
            self.carry();
        }
    }

    /// Makes room for digits.
    fn reserve(&mut self, at: i32, count: usize) {
        if self.digits.is_empty() {
            self.first = at;
        }
        if at < self.first {
            let more = usize::try_from(self.first - at).unwrap_or(0);
            self.digits.splice(..0, std::iter::repeat_n(0, more));
            self.first = at;
        }
        let end = usize::try_from(at - self.first).unwrap_or(0) + count;
        if self.digits.len() < end {
            self.digits.resize(end, 0);
        }
    }

    /// Brings every digit but the last to 0 … 2³² − 1, and takes zeros away at both ends: the one way to write the sum.
    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits {
            let sum = *digit + carry;
            carry = sum >> DIGIT;
            *digit = sum & 0xffff_ffff;
        }
        // The last digit carries the sign.
        self.digits.push(carry);
        while let [.., before, last] = self.digits.as_mut_slice() {
            let sign_only = *last == 0 || (*last == -1 && *before >= 1 << (DIGIT - 1));
            if !sign_only {
                break;
            }
            if *last == -1 {
                *before -= 1 << DIGIT;
            }
            self.digits.pop();
        }
        if self.digits == [0] {
            self.digits.clear();
        }
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.first = match self.digits.is_empty() {
            true => 0,
            false => self.first + i32::try_from(zeros).unwrap_or(0),
        };
        self.adds = 2;
    }

    /// Returns the sum rounded to the nearest double, ties to even.
    #[must_use]
    pub fn to_double(&self) -> f64 {
        match self.infinite {
            [true, true] => f64::NAN,
            [true, false] => f64::INFINITY,
            [false, true] => f64::NEG_INFINITY,
            [false, false] => self.clone().round(),
        }
    }

    /// Returns the sum rounded to two doubles, about 106 bits.
    pub(super) fn to_two_doubles(&self) -> Double {
        let high = self.to_double();
        let mut rest = self.clone();
        match decompose(-high) {
            Some((mantissa, exponent)) => rest.add(i128::from(mantissa), exponent),
            None => return Double::new(high),
        }
        Double {
            high,
            low: rest.round(),
        }
    }

    fn round(&mut self) -> f64 {
        self.carry();
        let negative = self.digits.last().is_some_and(|last| *last < 0);
        if negative {
            self.digits.iter_mut().for_each(|digit| *digit = -*digit);
            self.carry();
        }
        // The highest four digits hold at least 97 bits; what is below only tells whether a tie is one.
        let kept = self.digits.len().saturating_sub(4);
        let below = self.digits.iter().take(kept).any(|digit| *digit != 0);
        let high = self
            .digits
            .iter()
            .skip(kept)
            .rev()
            .fold(0_u128, |sum, digit| {
                (sum << DIGIT) + u128::from(digit.unsigned_abs())
            });
        let sticky = u128::from(below);
        let exponent = (self.first + i32::try_from(kept).unwrap_or(0)) * DIGIT.cast_signed();
        let rounded = scale((high | sticky) as f64, exponent);
        if negative { -rounded } else { rounded }
    }

    /// Appends the sum as bytes, the same for the same sum.
    pub fn encode(&mut self, out: &mut Vec<u8>) {
        self.carry();
        let [plus, minus] = self.infinite;
        out.push(u8::from(plus) | u8::from(minus) << 1);
        out.extend(self.first.to_le_bytes());
        let count = u16::try_from(self.digits.len()).unwrap_or(u16::MAX);
        out.extend(count.to_le_bytes());
        out.extend(self.digits.iter().flat_map(|digit| digit.to_le_bytes()));
    }

    /// Reads what [`ExactSum::encode`] wrote from the front of bytes; `None` when it is not that.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let [flags] = take(bytes)?;
        let first = i32::from_le_bytes(take(bytes)?);
        let count = u16::from_le_bytes(take(bytes)?);
        let digits = (0..count).map(|_| Some(i64::from_le_bytes(take(bytes)?)));
        let digits: Vec<i64> = digits.collect::<Option<_>>()?;
        let plausible =
            first.unsigned_abs() < 256 && digits.iter().all(|d| d.unsigned_abs() <= 1 << 33);
        plausible.then_some(Self {
            first,
            digits,
            adds: 2,
            infinite: [flags & 1 != 0, flags & 2 != 0],
        })
    }
}

/// Takes bytes from the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

/// Takes a double apart into a whole number and the power of two that it is multiplied by; `None` for NaN and infinities.
pub(super) fn decompose(value: f64) -> Option<(i64, i32)> {
    let bits = value.to_bits();
    let biased = (bits >> 52) & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match biased {
        0x7ff => return None,
        0 => (fraction, 1),
        biased => (fraction | 1 << 52, biased),
    };
    let mantissa = mantissa.cast_signed();
    let signed = if value.is_sign_negative() {
        -mantissa
    } else {
        mantissa
    };
    Some((signed, i32::try_from(exponent).ok()? - 1075))
}
