//! Inverse tangents that the compiler vectorises, and that are the same bits on every machine.
//!
//! The platform's library computes one at a time, and platforms differ in the last bit: two workers would make two rasters.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// tan(π/8).
const TAN_PI_8: f64 = 0.414_213_562_373_095_03;

/// Chebyshev fit of `atan(t) / t` in `t²` on 0 to tan²(π/8), error below 4e-17: `mpmath.chebyfit` with 11 terms at 40 digits.
const TERMS: [f64; 11] = [
    1.0,
    -0.333_333_333_333_284_35,
    0.199_999_999_988_541_68,
    -0.142_857_141_809_006_47,
    0.111_111_061_773_752_27,
    -0.090_907_730_032_408_28,
    0.076_899_524_882_330_16,
    -0.066_402_251_735_395,
    0.056_883_034_036_332_5,
    -0.043_479_198_390_465_37,
    0.021_133_752_033_748_364,
];

/// Computes `atan(y / x)` for `y` and `x` of 0 or more, not both 0 or infinite; NaN else.
#[inline(always)]
fn first_quadrant(y: f64, x: f64) -> f64 {
    let steep = y > x;
    let (low, high) = if steep { (x, y) } else { (y, x) };
    let middle = low > TAN_PI_8 * high;
    // atan(q) = π/4 + atan((q − 1) / (q + 1)) brings the argument near 0.
    let t = if middle { low - high } else { low } / if middle { low + high } else { high };
    let z = t * t;
    let fit = TERMS.iter().rev().fold(0.0, |sum, term| sum * z + *term);
    let angle = t * fit + if middle { FRAC_PI_4 } else { 0.0 };
    if steep { FRAC_PI_2 - angle } else { angle }
}

/// Computes the inverse tangent of a number of 0 or more.
#[inline(always)]
pub(super) fn atan(q: f64) -> f64 {
    first_quadrant(q, 1.0)
}

/// Computes the angle of `(x, y)` in radians, −π to π, not both 0.
#[inline(always)]
pub(super) fn atan2(y: f64, x: f64) -> f64 {
    let angle = first_quadrant(y.abs(), x.abs());
    let angle = if x < 0.0 { PI - angle } else { angle };
    if y < 0.0 { -angle } else { angle }
}

/// Computes the inverse cosine; the argument is cut to −1 to 1.
#[inline(always)]
pub(super) fn acos(c: f64) -> f64 {
    let c = c.clamp(-1.0, 1.0);
    2.0 * first_quadrant((1.0 - c).sqrt(), (1.0 + c).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_those_of_the_platform_s_library_to_the_last_bits() {
        let close = |found: f64, expected: f64| {
            assert!(
                (found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs().max(f64::EPSILON),
                "{found} {expected}"
            );
        };
        for n in 0..20_000 {
            let q = f64::from(n).powi(3) / 1e9;
            close(atan(q), q.atan());
            let (y, x) = ((f64::from(n) * 0.7).sin(), (f64::from(n) * 0.3).cos());
            close(atan2(y, x), y.atan2(x));
            let c = f64::from(n) / 10_000.0 - 1.0;
            assert!((acos(c) - c.acos()).abs() < 1e-15, "{c}");
        }
        close(atan(1e300), FRAC_PI_2);
        assert_eq!([atan(0.0), atan2(0.0, 3.0)], [0.0, 0.0]);
        assert_eq!([atan2(0.0, -1.0), atan2(-2.0, 0.0)], [PI, -FRAC_PI_2]);
        assert!(atan2(0.0, 0.0).is_nan());
    }
}
