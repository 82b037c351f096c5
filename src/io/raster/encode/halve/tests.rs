use super::*;

fn block(cols: u32, samples: Samples, nodata: Option<f64>) -> Block {
    Block {
        cols,
        rows: samples.len() as u32 / cols,
        bands: vec![samples],
        nodata,
        mask: None,
    }
}

/// Halves a single band by the mean; expected values are arithmetic by hand.
fn check(cols: u32, samples: Samples, nodata: Option<f64>, expected: Samples) {
    let out = halve(&block(cols, samples, nodata), Resampling::Average);
    // Compared as text, so that NaN equals NaN.
    assert_eq!(format!("{:?}", out.bands), format!("{:?}", [expected]));
    assert_eq!(out.bands[0].len(), (out.cols * out.rows) as usize);
}

#[test]
fn a_mean_of_integers_is_rounded_half_away_from_zero() {
    use Samples::{Int8, UInt8};
    // 10/4 = 2.5, 11/4 = 2.75, 9/4 = 2.25.
    check(2, UInt8(vec![1, 2, 3, 4]), None, UInt8(vec![3]));
    check(2, UInt8(vec![1, 2, 3, 5]), None, UInt8(vec![3]));
    check(2, UInt8(vec![1, 2, 3, 3]), None, UInt8(vec![2]));
    check(2, UInt8(vec![255; 4]), None, UInt8(vec![255]));
    check(2, Int8(vec![-1, -2, -3, -4]), None, Int8(vec![-3]));
    check(2, Int8(vec![-1, -2, -3, -3]), None, Int8(vec![-2]));
    check(2, Int8(vec![-128; 4]), None, Int8(vec![-128]));
    // Sums from -6 to -1 in quarters: -1.5, -1.25, -1, -0.75, -0.5, -0.25.
    for (sum, mean) in [(-6, -2), (-5, -1), (-4, -1), (-3, -1), (-2, -1), (-1, 0)] {
        check(2, Int8(vec![sum, 0, 0, 0]), None, Int8(vec![mean]));
    }
    // Three valid ones: 5/3 = 1.67, 4/3 = 1.33; two: -3/2 = -1.5.
    check(2, Int8(vec![9, 1, 1, 3]), Some(9.0), Int8(vec![2]));
    check(2, Int8(vec![9, 1, 1, 2]), Some(9.0), Int8(vec![1]));
    check(2, Int8(vec![9, -1, -2, 9]), Some(9.0), Int8(vec![-2]));
}

#[test]
fn edges_of_odd_size_take_what_is_there() {
    use Samples::UInt16;
    let cells = UInt16(vec![1, 3, 10, 5, 7, 30, 100, 300, 65_535]);
    check(3, cells, None, UInt16(vec![4, 20, 200, 65_535]));
    check(1, UInt16(vec![7]), None, UInt16(vec![7]));
    check(5, UInt16(vec![2, 4, 6, 8, 9]), None, UInt16(vec![3, 7, 9]));
    check(1, UInt16(vec![2, 4, 9]), None, UInt16(vec![3, 9]));
}

#[test]
fn integers_of_64_bits_are_exact() {
    use Samples::{Int64, UInt64};
    let top = u64::MAX;
    check(
        2,
        UInt64(vec![top, top, top, top - 1]),
        None,
        UInt64(vec![top]),
    );
    check(
        2,
        UInt64(vec![top, top - 2, top - 2, top - 2]),
        None,
        UInt64(vec![top - 1]),
    );
    check(2, Int64(vec![i64::MIN; 4]), None, Int64(vec![i64::MIN]));
    // 2^53 + 1 is no double.
    let odd = (1 << 53) + 1;
    check(2, Int64(vec![odd; 4]), None, Int64(vec![odd]));
    check(
        2,
        Int64(vec![odd, -9, -9, -9]),
        Some(-9.0),
        Int64(vec![odd]),
    );
}

#[test]
fn cells_without_value_do_not_count() {
    use Samples::{Float32, Float64, UInt8};
    let nan = f32::NAN;
    check(
        2,
        Float32(vec![nan, 1.0, nan, 2.0]),
        None,
        Float32(vec![1.5]),
    );
    check(2, Float32(vec![nan; 4]), None, Float32(vec![nan]));
    check(
        2,
        Float32(vec![nan, -9.0, nan, nan]),
        Some(-9.0),
        Float32(vec![-9.0]),
    );
    check(
        2,
        Float64(vec![-9.0, 1.0, 2.0, 6.0]),
        Some(-9.0),
        Float64(vec![3.0]),
    );
    check(2, UInt8(vec![0, 0, 0, 7]), Some(0.0), UInt8(vec![7]));
    check(2, UInt8(vec![0; 4]), Some(0.0), UInt8(vec![0]));
    // No byte can equal these.
    for nodata in [-1.0, 0.5, 256.0, f64::NAN, f64::INFINITY] {
        check(2, UInt8(vec![0, 0, 0, 8]), Some(nodata), UInt8(vec![2]));
    }
    // The greatest double that is no sample of 32 bits is not taken for infinity.
    let inf = f32::INFINITY;
    check(2, Float32(vec![inf; 4]), Some(1e300), Float32(vec![inf]));
    check(
        2,
        Float32(vec![1.0, 1.0, inf, inf]),
        Some(f64::INFINITY),
        Float32(vec![1.0]),
    );
}

#[test]
fn a_valid_mean_never_becomes_no_data() {
    use Samples::{Float32, UInt8};
    check(2, UInt8(vec![1, 1, 3, 3]), Some(2.0), UInt8(vec![3]));
    // The same beside a cell without value: (1 + 1 + 4) / 3 = 2.
    check(2, UInt8(vec![1, 2, 1, 4]), Some(2.0), UInt8(vec![3]));
    let next = f32::from_bits(1);
    check(
        2,
        Float32(vec![-1.0, 1.0, -2.0, 2.0]),
        Some(0.0),
        Float32(vec![next]),
    );
}

#[test]
fn the_mean_of_great_doubles_is_finite() {
    use Samples::Float64;
    check(2, Float64(vec![f64::MAX; 4]), None, Float64(vec![f64::MAX]));
    let opposite = vec![f64::INFINITY, f64::NEG_INFINITY, 1.0, 1.0];
    check(2, Float64(opposite), None, Float64(vec![f64::NAN]));
}

#[test]
fn a_masked_cell_does_not_count() {
    let mut masked = block(4, Samples::UInt8(vec![9, 1, 5, 5, 9, 3, 5, 5]), None);
    masked.mask = Some(vec![false, true, false, false, false, true, false, false]);
    let out = halve(&masked, Resampling::Average);
    assert_eq!(out.bands, [Samples::UInt8(vec![2, 0])]);
    assert_eq!(out.mask, Some(vec![true, false]));
    let out = halve(&masked, Resampling::Nearest);
    assert_eq!(out.bands, [Samples::UInt8(vec![9, 5])]);
    assert_eq!(out.mask, Some(vec![false, false]));
}

#[test]
fn nearest_takes_the_upper_left_cell() {
    let cells = Samples::Int16((1..=15).collect());
    let out = halve(&block(5, cells, Some(1.0)), Resampling::Nearest);
    assert_eq!(out.bands, [Samples::Int16(vec![1, 3, 5, 11, 13, 15])]);
    assert_eq!((out.cols, out.rows, out.nodata), (3, 2, Some(1.0)));
}

/// Cuts a window out of a block of one `f32` band with a mask.
fn cut(from: &Block, col: u32, row: u32, cols: u32, rows: u32) -> Block {
    let Samples::Float32(samples) = &from.bands[0] else {
        panic!("the test's block is f32")
    };
    let cells: Vec<_> = (row..row + rows)
        .flat_map(|r| (col..col + cols).map(move |c| (r * from.cols + c) as usize))
        .collect();
    Block {
        cols,
        rows,
        bands: vec![Samples::Float32(
            cells.iter().map(|at| samples[*at]).collect(),
        )],
        nodata: from.nodata,
        mask: from
            .mask
            .as_ref()
            .map(|mask| cells.iter().map(|at| mask[*at]).collect()),
    }
}

#[test]
fn a_cascade_does_not_depend_on_how_the_raster_is_cut() {
    let (cols, rows) = (45, 37);
    let value = |at: u32| match at.wrapping_mul(2_654_435_761) >> 24 {
        0..=40 => f32::NAN,
        41..=60 => -9.0,
        other => other as f32 / 7.0,
    };
    let mut whole = block(
        cols,
        Samples::Float32((0..cols * rows).map(value).collect()),
        Some(-9.0),
    );
    let mask = (0..cols * rows).map(|at| !at.is_multiple_of(11)).collect();
    for mask in [None, Some(mask)] {
        whole.mask = mask;
        for resampling in [Resampling::Average, Resampling::Nearest] {
            let cascade =
                |block: &Block| (0..3).fold(block.clone(), |block, _| halve(&block, resampling));
            let expected = cascade(&whole);
            for (col, row) in [(0, 0), (8, 8), (16, 24), (40, 32), (32, 0)] {
                let (wide, high) = ((cols - col).min(16), (rows - row).min(8));
                let part = cascade(&cut(&whole, col, row, wide, high));
                let same = cut(&expected, col / 8, row / 8, part.cols, part.rows);
                assert_eq!(format!("{part:?}"), format!("{same:?}"), "{col} {row}");
            }
        }
    }
}

#[test]
fn colours_without_opacity_do_not_run_into_others() {
    let block = Block {
        cols: 4,
        rows: 2,
        bands: vec![
            Samples::UInt8(vec![200, 9, 9, 9, 100, 9, 9, 9]),
            Samples::UInt8(vec![255, 0, 0, 0, 255, 0, 0, 0]),
        ],
        nodata: None,
        mask: None,
    };
    let half = halve_under_alpha(&block, 1);
    // By hand: (200 + 100) / 2, nothing to average; (255 + 255) / 4 = 127.5.
    assert_eq!(
        half.bands,
        [Samples::UInt8(vec![150, 0]), Samples::UInt8(vec![128, 0])]
    );
    assert_eq!((half.cols, half.rows), (2, 1));
}
