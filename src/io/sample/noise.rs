//! Value noise: smooth, repeatable, the same on every machine (only `+ - ×` on doubles and integers).

/// Mixes a lattice point and a seed into 64 evenly spread bits (the finaliser of SplitMix64).
pub(super) fn hash(seed: u64, col: i64, row: i64) -> u64 {
    let mut bits = seed
        ^ col.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ row.cast_unsigned().wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Returns a number from 0 (inclusive) to 1 (exclusive) for a lattice point.
pub(super) fn unit(seed: u64, col: i64, row: i64) -> f64 {
    // The upper 53 bits fill the mantissa of a double exactly.
    (hash(seed, col, row) >> 11) as f64 / 9_007_199_254_740_992.0
}

/// Returns value noise from 0 to 1: random at lattice points one apart, smooth between.
pub(super) fn value(seed: u64, x: f64, y: f64) -> f64 {
    let (x0, y0) = (x.floor(), y.floor());
    let (col, row) = (x0 as i64, y0 as i64);
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - x0), smooth(y - y0));
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    let top = mix(unit(seed, col, row), unit(seed, col + 1, row), u);
    let bottom = mix(unit(seed, col, row + 1), unit(seed, col + 1, row + 1), u);
    mix(top, bottom, v)
}

/// Sums octaves of value noise, each twice as fine and half as strong; from 0 to 1.
pub(super) fn fractal(seed: u64, x: f64, y: f64, octaves: u32) -> f64 {
    let (mut sum, mut whole, mut weight, mut scale) = (0.0, 0.0, 1.0, 1.0);
    for octave in 0..octaves {
        sum += weight * value(seed.wrapping_add(u64::from(octave)), x * scale, y * scale);
        whole += weight;
        weight *= 0.5;
        scale *= 2.0;
    }
    if whole > 0.0 { sum / whole } else { 0.0 }
}
