use std::path::PathBuf;

use crate::grid::{Block, DataType, Samples};
use crate::ops::local::calc::{CalcKernel, Error};

fn row(bands: Vec<Samples>, nodata: Option<f64>) -> Block {
    Block {
        cols: bands
            .first()
            .map_or(0, |band| u32::try_from(band.len()).unwrap()),
        rows: 1,
        bands,
        nodata,
        mask: None,
    }
}

fn kernel(expression: &str, names: &[&str]) -> CalcKernel {
    CalcKernel::new(expression, names, 1.0, 0.0).unwrap()
}

/// Computes A as it is, from one row of samples to another type.
fn copied(samples: Samples, nodata: Option<f64>, to: DataType, to_nodata: Option<f64>) -> Samples {
    let block = kernel("A", &["A"])
        .run(&[row(vec![samples], nodata)], to, to_nodata)
        .unwrap();
    assert_eq!(
        (block.cols, block.rows, block.nodata, block.mask),
        (block.cols, 1, to_nodata, None)
    );
    block.bands.into_iter().next().unwrap()
}

fn doubles(samples: Samples, nodata: Option<f64>) -> Vec<f64> {
    match copied(samples, nodata, DataType::Float64, Some(-1.0)) {
        Samples::Float64(values) => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ndvi_of_two_files_is_rounded_once_to_float32() {
    let red = row(vec![Samples::UInt16(vec![1000, 0, 3, 0, 7])], Some(0.0));
    let nir = row(vec![Samples::UInt16(vec![5000, 9, 3, 0, 3])], None);
    let block = kernel("(N - R) / (N + R)", &["R", "N"])
        .run(&[red, nir], DataType::Float32, None)
        .unwrap();
    let Some(Samples::Float32(values)) = block.bands.first() else {
        panic!("{block:?}");
    };
    // 4000/6000 and -4/10 by hand; cells 1 and 3 have no red.
    assert_eq!([values[0], values[2], values[4]], [0.666_666_7, 0.0, -0.4]);
    assert!(values[1].is_nan() && values[3].is_nan());
}

#[test]
fn no_data_is_compared_in_the_type_of_the_samples() {
    assert_eq!(
        doubles(Samples::UInt8(vec![0, 255, 7]), Some(255.0)),
        [0.0, -1.0, 7.0]
    );
    // -9999, 255.5 and NaN are no bytes: nothing matches, not even what they would wrap or round to.
    for never in [-9999.0, 256.0, 255.5, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            doubles(Samples::UInt8(vec![0, 255, 241]), Some(never)),
            [0.0, 255.0, 241.0]
        );
    }
    assert_eq!(
        doubles(Samples::Int16(vec![-9999, 1]), Some(-9999.0)),
        [-1.0, 1.0]
    );
    // The decimal that GDAL prints for the smallest float32, and 0.1, are rounded to float32 first.
    let floats = Samples::Float32(vec![f32::MIN, 0.1, 2.0, f32::NAN]);
    assert_eq!(
        doubles(floats.clone(), Some(-3.402_823_466_385_29e38))[0],
        -1.0
    );
    assert_eq!(doubles(floats.clone(), Some(0.1))[1], -1.0);
    assert_eq!(doubles(floats, Some(1e300))[2..], [2.0, -1.0]);
    // 2^53 + 1 is not a double, 2^53 is: only the latter matches.
    let large = vec![(1_i64 << 53) + 1, 1 << 53, i64::MAX];
    let two_53 = 9_007_199_254_740_992.0;
    assert_eq!(
        doubles(Samples::Int64(large.clone()), Some(two_53))[..2],
        [two_53, -1.0]
    );
    assert_eq!(
        doubles(Samples::Int64(large), Some(9_223_372_036_854_775_807.0))[2],
        -1.0
    );
    assert_eq!(
        doubles(
            Samples::UInt64(vec![u64::MAX, 5]),
            Some(18_446_744_073_709_551_615.0)
        ),
        [-1.0, 5.0]
    );
}

#[test]
fn every_type_is_read() {
    let expected = [1.0, 2.0, 3.0];
    assert_eq!(doubles(Samples::Int8(vec![1, 2, 3]), None), expected);
    assert_eq!(doubles(Samples::UInt16(vec![1, 2, 3]), None), expected);
    assert_eq!(doubles(Samples::UInt32(vec![1, 2, 3]), None), expected);
    assert_eq!(doubles(Samples::Int32(vec![1, 2, 3]), None), expected);
    assert_eq!(
        doubles(Samples::Float64(vec![1.0, 2.0, 3.0]), None),
        expected
    );
}

#[test]
fn a_mask_hides_cells_of_its_own_block_only() {
    let mut a = row(vec![Samples::UInt8(vec![1, 2, 3])], None);
    a.mask = Some(vec![true, false, true]);
    let b = row(vec![Samples::UInt8(vec![9, 9, 9])], None);
    let run = |expression: &str| {
        let names = ["A", "B"];
        kernel(expression, &names)
            .run(&[a.clone(), b.clone()], DataType::UInt8, Some(0.0))
            .unwrap()
            .bands
    };
    assert_eq!(run("A + B"), [Samples::UInt8(vec![10, 0, 12])]);
    assert_eq!(run("B"), [Samples::UInt8(vec![9, 9, 9])]);
    assert_eq!(run("isnan(A)"), [Samples::UInt8(vec![0, 1, 0])]);
}

#[test]
fn bands_of_all_blocks_are_the_inputs_in_order() {
    let two = row(
        vec![Samples::Int16(vec![1]), Samples::Int16(vec![20])],
        None,
    );
    let one = row(vec![Samples::Float32(vec![300.0])], None);
    let sum = kernel("A * 1 + B * 2 + C * 3", &["A", "B", "C"]);
    let block = sum.run(&[two, one], DataType::Int32, Some(0.0)).unwrap();
    assert_eq!(block.bands, [Samples::Int32(vec![941])]);
}

#[test]
fn integers_are_rounded_half_away_from_zero_and_clamped() {
    let values = vec![
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        254.5,
        255.4,
        1e10,
        -3.0,
        0.499_999_999_999_999_94,
        f64::NAN,
        f64::INFINITY,
    ];
    let to = |dtype| copied(Samples::Float64(values.clone()), None, dtype, Some(77.0));
    assert_eq!(
        to(DataType::UInt8),
        Samples::UInt8(vec![1, 2, 3, 0, 0, 255, 255, 255, 0, 0, 77, 77])
    );
    assert_eq!(
        to(DataType::Int8),
        Samples::Int8(vec![1, 2, 3, -1, -2, 127, 127, 127, -3, 0, 77, 77])
    );
    assert_eq!(
        to(DataType::UInt64),
        Samples::UInt64(vec![1, 2, 3, 0, 0, 255, 255, 10_000_000_000, 0, 0, 77, 77])
    );
    // A valid 77 stays: it cannot be told from no data any more.
    assert_eq!(
        copied(Samples::UInt8(vec![77]), None, DataType::UInt8, Some(77.0)),
        Samples::UInt8(vec![77])
    );
}

#[test]
fn what_overflows_float32_is_no_data() {
    let out = copied(
        Samples::Float64(vec![1e39, -1e39, 1e38]),
        None,
        DataType::Float32,
        Some(-1.0),
    );
    assert_eq!(out, Samples::Float32(vec![-1.0, -1.0, 1e38]));
}

#[test]
fn a_computation_stops_when_it_is_told_to() {
    let block = row(vec![Samples::UInt8(vec![1; 10_000])], None);
    let mut asked = 0;
    let mut go_on = || {
        asked += 1;
        asked < 4
    };
    let stopped = kernel("sin(A)", &["A"]).run_while(&[block], DataType::Float32, None, &mut go_on);
    assert_eq!(stopped.unwrap_err(), Error::Stopped);
    assert_eq!(asked, 4);
}

#[test]
fn scale_and_offset_come_before_the_expression_and_after_no_data() {
    let kernel = CalcKernel::new("A * 2", &["A"], 0.5, -1.0).unwrap();
    let block = row(vec![Samples::UInt8(vec![10, 0])], Some(0.0));
    let out = kernel.run(&[block], DataType::Float64, Some(-5.0)).unwrap();
    assert_eq!(out.bands, [Samples::Float64(vec![8.0, -5.0])]);
    let error = CalcKernel::new("A", &["A"], f64::NAN, 0.0).unwrap_err();
    assert_eq!(error.to_string(), "scale NaN and offset 0 must be finite");
}

#[test]
fn blocks_longer_than_a_chunk_are_computed_to_the_end() {
    let cells: Vec<u16> = (0..1300).collect();
    let mut block = row(vec![Samples::UInt16(cells.clone())], Some(1299.0));
    (block.cols, block.rows) = (130, 10);
    let out = kernel("A + 1", &["A"])
        .run(&[block], DataType::UInt16, Some(0.0))
        .unwrap();
    let expected = cells
        .iter()
        .map(|cell| if *cell == 1299 { 0 } else { cell + 1 })
        .collect();
    assert_eq!(out.bands, [Samples::UInt16(expected)]);
    assert_eq!((out.cols, out.rows), (130, 10));
}

#[test]
fn an_output_without_a_value_for_no_data_is_refused() {
    let text = |dtype, nodata| {
        CalcKernel::check_output(dtype, nodata)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text(DataType::UInt8, None),
        "uint8 output has no value for no data; give one with --nodata, or use a float --dtype"
    );
    assert_eq!(
        text(DataType::UInt8, Some(-9999.0)),
        "no data value -9999 cannot be stored as uint8; give one that can with --nodata"
    );
    assert!(text(DataType::Int32, Some(0.5)).contains("0.5"));
    assert!(text(DataType::Int32, Some(f64::NAN)).contains("NaN"));
    assert!(text(DataType::Float32, Some(1e300)).contains("float32"));
    for dtype in [DataType::Float32, DataType::Float64] {
        for nodata in [None, Some(f64::NAN), Some(-9999.0)] {
            assert_eq!(CalcKernel::check_output(dtype, nodata), Ok(()));
        }
    }
}

#[test]
fn blocks_that_do_not_fit_are_errors() {
    let a = row(vec![Samples::UInt8(vec![1, 2])], None);
    let sum = kernel("A + B", &["A", "B"]);
    let run = |blocks: &[Block]| sum.run(blocks, DataType::Float32, None).unwrap_err();
    assert_eq!(run(&[]), Error::NoBlocks);
    assert_eq!(
        run(std::slice::from_ref(&a)),
        Error::InputCount {
            expected: 2,
            given: 1
        }
    );
    let mut tall = a.clone();
    (tall.cols, tall.rows) = (1, 2);
    let text = run(&[a.clone(), tall]).to_string();
    assert_eq!(text, "block 1 has 1 x 2 cells and the first has 2 x 1");
    let mut short = a.clone();
    short.bands = vec![Samples::UInt8(vec![1])];
    assert_eq!(
        run(&[a.clone(), short]),
        Error::InputCells {
            input: 1,
            given: 1,
            expected: 2
        }
    );
    let mut masked = a.clone();
    masked.mask = Some(vec![true]);
    assert_eq!(
        run(&[a, masked]),
        Error::MaskCells {
            block: 1,
            given: 1,
            expected: 2
        }
    );
    let huge = Block {
        cols: u32::MAX,
        rows: u32::MAX,
        bands: vec![],
        nodata: None,
        mask: None,
    };
    assert!(matches!(run(&[huge]), Error::InputCount { .. }));
}

/// Pixels of real scenes and the NDVI that numpy gives for them: `expected/ndvi_pixels.csv` of the shared data.
#[test]
fn ndvi_of_real_pixels_is_numpys() {
    let shared = std::env::var_os("SWATH_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = shared.join("expected/ndvi_pixels.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("left out: no {}; set SWATH_TEST_DATA", path.display());
        return;
    };
    let lines = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>());
    let rows: Vec<Vec<&str>> = lines.filter(|fields| !fields[5].is_empty()).collect();
    let column = |k: usize| {
        rows.iter()
            .map(move |fields| fields[k].parse::<f64>().unwrap())
    };
    let samples = |k: usize| Samples::Float64(column(k).collect());
    let ndvi = kernel("(N - R) / (N + R)", &["R", "N"]);
    let out = ndvi.run(
        &[row(vec![samples(3), samples(4)], None)],
        DataType::Float64,
        None,
    );
    assert!(rows.len() > 50, "{}", rows.len());
    assert_eq!(out.unwrap().bands, [Samples::Float64(column(5).collect())]);
}
