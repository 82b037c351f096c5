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

/// Returns noise from 0 to 1 for `count` cells of a row, from column `left` on: random at lattice points `cells` apart,
/// smooth between; each further octave is twice as fine and half as strong.
///
/// A cell's noise depends on its own place only, not on `left`.
pub(super) fn line(
    seed: u64,
    octaves: u32,
    cells: f64,
    (left, row): (u32, u32),
    count: usize,
) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    // The weights of all octaves add up to one.
    let whole = 2.0 - 0.5_f64.powi(octaves.cast_signed() - 1);
    let (mut weight, mut step) = (1.0 / whole, 1.0 / cells);
    for octave in 0..octaves {
        let seed = seed.wrapping_add(u64::from(octave));
        add_octave(&mut sums, seed, weight, step, (left, row));
        weight *= 0.5;
        step *= 2.0;
    }
    sums
}

fn add_octave(sums: &mut [f64], seed: u64, weight: f64, step: f64, (left, row): (u32, u32)) {
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    // Places are not negative: `as` rounds them down.
    let y = f64::from(row) * step;
    let lattice_row = y as i64;
    let v = smooth(y - lattice_row as f64);
    let lattice = |col: i64| {
        let (above, below) = (
            unit(seed, col, lattice_row),
            unit(seed, col, lattice_row + 1),
        );
        weight * mix(above, below, v)
    };
    let mut at = (f64::from(left) * step) as i64;
    let (mut a, mut b) = (lattice(at), lattice(at + 1));
    for (col, sum) in (left..).zip(sums) {
        let x = f64::from(col) * step;
        let lattice_col = x as i64;
        // Lattice points are further apart than cells are, so that none is passed over.
        if lattice_col != at {
            (at, a) = (lattice_col, b);
            b = lattice(at + 1);
        }
        *sum += mix(a, b, smooth(x - lattice_col as f64));
    }
}
