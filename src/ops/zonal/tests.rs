//! Cells and sums by hand, and: whole equals cut into random windows, merged in any order.

use proptest::prelude::*;

use super::*;
use crate::grid::{Block, Samples, Window};
use crate::spec::{Pixels, Statistic};

const ALL: [Pixels; 3] = [Pixels::Default, Pixels::AllTouched, Pixels::Fractional];

fn ring(positions: &[(f64, f64)]) -> Vec<[f64; 2]> {
    positions.iter().map(|(x, y)| [*x, *y]).collect()
}

fn square(left: f64, top: f64, right: f64, bottom: f64) -> Vec<[f64; 2]> {
    ring(&[
        (left, top),
        (right, top),
        (right, bottom),
        (left, bottom),
        (left, top),
    ])
}

fn outline(polygons: Vec<Vec<Vec<[f64; 2]>>>) -> Outline {
    Outline { polygons }
}

fn cells(outline: &Outline, pixels: Pixels, window: &Window) -> Vec<Span> {
    spans(&outline.clip(window), pixels, window)
}

/// Returns the weight of every cell of a small raster, in cells, row by row.
fn weights(outline: &Outline, pixels: Pixels, cols: u32, rows: u32) -> Vec<Vec<f64>> {
    let window = Window::whole(cols, rows);
    let mut found = vec![vec![0.0; cols as usize]; rows as usize];
    for span in cells(outline, pixels, &window) {
        for col in span.from..span.to {
            let cell = &mut found[span.row as usize][col as usize];
            assert_eq!(*cell, 0.0, "a cell twice");
            *cell = f64::from(span.weight) / f64::from(WHOLE);
        }
    }
    found
}

#[test]
fn a_square_has_the_cells_that_one_counts_on_paper() {
    let check = |pixels, expected: [[f64; 4]; 3]| {
        let zone = outline(vec![vec![square(0.25, 0.0, 2.75, 1.75)]]);
        let found = weights(&zone, pixels, 4, 3);
        assert_eq!(found, expected.map(Vec::from), "{pixels:?}");
    };
    check(
        Pixels::Default,
        [[1., 1., 1., 0.], [1., 1., 1., 0.], [0.; 4]],
    );
    check(
        Pixels::AllTouched,
        [[1., 1., 1., 0.], [1., 1., 1., 0.], [0.; 4]],
    );
    check(
        Pixels::Fractional,
        [[0.75, 1., 0.75, 0.], [0.5625, 0.75, 0.5625, 0.], [0.; 4]],
    );
}

#[test]
fn a_hole_is_not_part_of_its_zone_whatever_the_direction_of_its_ring() {
    let outer = square(0.0, 0.0, 4.0, 4.0);
    let mut hole = square(1.0, 1.0, 2.5, 3.0);
    for _ in 0..2 {
        let zone = outline(vec![vec![outer.clone(), hole.clone()]]);
        let row = |pixels| weights(&zone, pixels, 4, 4)[1].clone();
        assert_eq!(row(Pixels::Fractional), [1.0, 0.0, 0.5, 1.0]);
        // The centre of the third cell lies on the side of the hole: it belongs to what is on the left, the hole.
        assert_eq!(row(Pixels::Default), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(row(Pixels::AllTouched), [1.0, 0.0, 1.0, 1.0]);
        hole.reverse();
    }
}

#[test]
fn polygons_that_overlap_count_a_cell_once() {
    let zone = outline(vec![
        vec![square(0.0, 0.0, 2.0, 1.0)],
        vec![square(1.0, 0.0, 3.0, 1.0)],
        vec![square(3.5, 0.0, 3.75, 1.0)],
    ]);
    assert_eq!(
        weights(&zone, Pixels::Fractional, 4, 1),
        [[1.0, 1.0, 1.0, 0.25]]
    );
    assert_eq!(
        weights(&zone, Pixels::Default, 4, 1),
        [[1.0, 1.0, 1.0, 0.0]]
    );
    assert_eq!(
        weights(&zone, Pixels::AllTouched, 4, 1),
        [[1.0, 1.0, 1.0, 1.0]]
    );
}

#[test]
fn neighbours_that_share_a_side_share_no_cell_and_leave_none_out() {
    // The side runs through the centres of a column, then of a row.
    for at in [2.5, 2.0, 2.3] {
        for turned in [false, true] {
            let turn = |ring: Vec<[f64; 2]>| match turned {
                true => ring.into_iter().map(|[x, y]| [y, x]).collect(),
                false => ring,
            };
            let one = outline(vec![vec![turn(square(0.0, 0.0, at, 5.0))]]);
            let two = outline(vec![vec![turn(square(at, 0.0, 5.0, 5.0))]]);
            for pixels in [Pixels::Default, Pixels::Fractional] {
                let (one, two) = (weights(&one, pixels, 5, 5), weights(&two, pixels, 5, 5));
                let sums = one
                    .iter()
                    .flatten()
                    .zip(two.iter().flatten())
                    .map(|(a, b)| a + b);
                assert!(
                    sums.clone().all(|sum| sum == 1.0),
                    "{at} {turned} {pixels:?}"
                );
            }
        }
    }
}

#[test]
fn slivers_points_and_what_lies_outside_have_the_cells_they_should() {
    let sliver = outline(vec![vec![square(0.6, 0.6, 3.4, 0.7)]]);
    assert_eq!(weights(&sliver, Pixels::Default, 4, 1), [[0.0; 4]]);
    assert_eq!(weights(&sliver, Pixels::AllTouched, 4, 1), [[1.0; 4]]);
    let share: f64 = weights(&sliver, Pixels::Fractional, 4, 1)
        .concat()
        .iter()
        .sum();
    assert!((share - 0.28).abs() < 1e-8, "{share}");
    for nothing in [
        outline(vec![]),
        outline(vec![vec![]]),
        outline(vec![vec![vec![]]]),
        outline(vec![vec![ring(&[(1.5, 1.5)])]]),
        outline(vec![vec![square(-9.0, -9.0, -1.0, -1.0)]]),
        outline(vec![vec![square(90.0, 90.0, 91.0, 91.0)]]),
        outline(vec![vec![square(-9.0, 1.0, 0.0, 2.0)]]),
    ] {
        for pixels in ALL {
            let found = weights(&nothing, pixels, 4, 4);
            assert!(
                found.concat().iter().all(|cell| *cell == 0.0),
                "{nothing:?}"
            );
        }
    }
    let around = outline(vec![vec![square(-1e12, -1e12, 1e12, 1e12)]]);
    let around = around.to_cells(&crate::grid::Affine::identity()).unwrap();
    for pixels in ALL {
        assert_eq!(weights(&around, pixels, 3, 3), [[1.0; 3]; 3], "{pixels:?}");
    }
}

#[test]
fn both_lobes_of_a_ring_that_crosses_itself_count() {
    // Two triangles of area 4 each, which meet at (2, 2), a corner of cells.
    let bow = outline(vec![vec![ring(&[
        (0.0, 0.0),
        (4.0, 4.0),
        (4.0, 0.0),
        (0.0, 4.0),
    ])]]);
    let sum = |pixels| -> f64 { weights(&bow, pixels, 4, 4).concat().iter().sum() };
    assert_eq!(sum(Pixels::Fractional), 8.0);
    assert_eq!(sum(Pixels::AllTouched), 12.0);
}

#[test]
fn the_corners_of_cells_come_out_whole_on_a_grid_of_degrees() {
    let cell = 1.0 / 3600.0;
    let transform = crate::grid::Affine::north_up(-113.0, 37.5, cell, cell);
    let corner = |col: f64, row: f64| [-113.0 + col * cell, 37.5 - row * cell];
    let zone = outline(vec![vec![vec![
        corner(3.0, 4.0),
        corner(9.0, 4.0),
        corner(9.0, 8.0),
        corner(3.0, 8.0),
    ]]]);
    let zone = zone.to_cells(&transform).unwrap();
    for pixels in ALL {
        let sum: f64 = weights(&zone, pixels, 12, 12).concat().iter().sum();
        assert_eq!(sum, 24.0, "{pixels:?}");
    }
}

#[test]
fn sums_are_exact_and_correctly_rounded() {
    let sum = |values: &[f64]| {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add_double(*value));
        sum.to_double()
    };
    // As Python's math.fsum gives them.
    assert_eq!(sum(&[0.1; 10]), 1.0);
    assert_eq!(sum(&[1e308, 1.0, -1e308]), 1.0);
    assert_eq!(sum(&[1e16, 1.0, 1e-16]), 10_000_000_000_000_002.0);
    assert_eq!(sum(&[1e16, 1.0]), 1e16);
    assert_eq!(sum(&[-1e16, -1.0, -1e-16]), -10_000_000_000_000_002.0);
    assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
    assert_eq!(sum(&[1.5, -1.5]), 0.0);
    assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    let mut whole = ExactSum::default();
    whole.add(i128::MAX, 0);
    whole.add(-i128::MAX, 0);
    whole.add(i128::MIN, 3);
    assert_eq!(whole.to_double(), -(2.0_f64.powi(130)));
}

#[test]
fn percentiles_are_those_of_numpy_and_of_exactextract() {
    let numpy = |values: &[f64], percent| {
        let mut found = Quantiles::of_cells(&[percent], values.len() as u128);
        values.iter().for_each(|value| found.push(*value, 1, 1.0));
        found.finish()[0].unwrap()
    };
    // numpy.percentile of each.
    assert_eq!(numpy(&[1., 2., 3., 4.], 10.0), 1.3);
    assert_eq!(numpy(&[1., 2., 3., 4.], 50.0), 2.5);
    assert_eq!(numpy(&[1., 2., 3., 4.], 100.0), 4.0);
    assert_eq!(numpy(&[7.0], 25.0), 7.0);
    assert_eq!(numpy(&[1., 5., 6., 10., 20.], 90.0), 16.0);
    let mut repeated = Quantiles::of_cells(&[50.0, 75.0], 4);
    repeated.push(1.0, 3, 3.0);
    repeated.push(9.0, 1, 1.0);
    assert_eq!(repeated.finish(), [Some(1.0), Some(3.0)]);
    assert_eq!(Quantiles::of_cells(&[50.0], 0).finish(), [None]);
    // Of weights 1, 2, 1 the second value stands at 1·2 + 2·1 = 4 of 2·4 = 8: in the middle.
    let mut weighted = Quantiles::of_weights(&[50.0, 25.0, 100.0], 4.0, 3);
    for (value, weight) in [(10.0, 1.0), (20.0, 2.0), (30.0, 1.0)] {
        weighted.push(value, 0, weight);
    }
    assert_eq!(weighted.finish(), [Some(20.0), Some(15.0), Some(30.0)]);
}

/// A polygon with a hole at times, anywhere around a raster of 40 × 30 cells.
fn any_zone() -> impl Strategy<Value = Outline> {
    let position = (-8.0..48.0_f64, -8.0..38.0_f64, 0..4_u8).prop_map(|(x, y, snap)| match snap {
        0 => (x.round(), y.round()),
        1 => (x.round() + 0.5, y),
        2 => (x, y.round() + 0.5),
        _ => (x, y),
    });
    let ring = prop::collection::vec(position, 3..9).prop_map(|positions| ring(&positions));
    let polygon = prop::collection::vec(ring, 1..3);
    prop::collection::vec(polygon, 1..3).prop_map(outline)
}

/// A block of a random raster.
fn block(samples: &[f64], window: &Window, of: u8) -> Block {
    let rows = window.row..window.row_end();
    let cells = rows.flat_map(|row| (window.col..window.col_end()).map(move |col| row * 40 + col));
    let picked = cells.map(|cell| samples[cell as usize]);
    let band = match of {
        0 => Samples::Float64(picked.collect()),
        1 => Samples::Float32(picked.map(|value| value as f32).collect()),
        _ => Samples::Int16(picked.map(|value| value as i16).collect()),
    };
    Block {
        cols: window.cols,
        rows: window.rows,
        bands: vec![band],
        nodata: Some(7.0),
        mask: None,
    }
}

fn needs() -> Needs {
    let all: Vec<Statistic> = ["std", "median"]
        .iter()
        .map(|s| s.parse().unwrap())
        .collect();
    Needs::of(&all)
}

fn scan(zone: &Outline, pixels: Pixels, window: &Window, blocks: &[(Window, Block)]) -> ZoneCells {
    Scan::new(needs(), pixels).zone(&cells(zone, pixels, window), blocks)
}

fn cut(at: &[u32], end: u32) -> Vec<(u32, u32)> {
    let mut edges: Vec<u32> = at.iter().map(|at| at % end).chain([0, end]).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
        .windows(2)
        .map(|pair| (pair[0], pair[1] - pair[0]))
        .collect()
}

#[test]
fn chunks_that_begin_above_their_window_are_asked_about_within_it() {
    // Three sides of the second ring are known below row 8 only by what reaches there; the chunks begin at row 5. The
    // first ring is a line, so that the second, a hole by its place, encloses by the rule of centres.
    let zone = outline(vec![vec![
        ring(&[(0.0, 23.0), (0.0, 17.0), (0.0, 0.0)]),
        ring(&[(46.0, 0.0), (0.5, 7.58), (0.0, 36.0)]),
    ]]);
    let window = Window {
        col: 0,
        row: 9,
        cols: 40,
        rows: 21,
    };
    let polygons = zone.clip(&window);
    let chunks = chunk_rectangles([polygons.as_slice()], (7, 5), &window);
    let read = |row, col| {
        chunks.iter().any(|chunk| {
            (chunk.row..chunk.row_end()).contains(&row)
                && (chunk.col..chunk.col_end()).contains(&col)
        })
    };
    for span in cells(&zone, Pixels::Default, &window) {
        assert!(
            (span.from..span.to).all(|col| read(span.row, col)),
            "{span:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whole_equals_cut_into_windows_merged_in_any_order(
        zone in any_zone(),
        samples in prop::collection::vec(
            prop_oneof![4 => -1e4..1e4_f64, 1 => -1e-3..1e-3_f64, 1 => Just(f64::NAN), 1 => Just(7.0), 1 => Just(1e300)],
            1200
        ),
        of in 0..3_u8,
        cols in prop::collection::vec(0..40_u32, 0..4),
        rows in prop::collection::vec(0..30_u32, 0..4),
        order in any::<u64>(),
    ) {
        let whole = Window::whole(40, 30);
        for pixels in ALL {
            let all = block(&samples, &whole, of);
            let mut expected = scan(&zone, pixels, &whole, &[(whole, all)]);
            let mut parts = Vec::new();
            for (row, high) in cut(&rows, 30) {
                for (col, wide) in cut(&cols, 40) {
                    let window = Window { col, row, cols: wide, rows: high };
                    // What a task reads: the chunks that the zone touches, and no others.
                    let polygons = zone.clip(&window);
                    let chunks = chunk_rectangles([polygons.as_slice()], (7, 5), &window);
                    let blocks: Vec<_> =
                        chunks.into_iter().map(|chunk| (chunk, block(&samples, &chunk, of))).collect();
                    parts.push(scan(&zone, pixels, &window, &blocks));
                }
            }
            let shift = usize::try_from(order % parts.len() as u64).unwrap();
            parts.rotate_left(shift);
            if order & 1 == 1 {
                parts.reverse();
            }
            // Two groups, merged each by itself, over the wire and then together.
            let (left, right) = parts.split_at(parts.len() / 2);
            let mut found = Partial::default();
            for group in [left, right] {
                let mut sum = Partial::default();
                for part in group {
                    let bytes = part.partial.clone().encode();
                    sum.merge(&Partial::decode(&bytes).unwrap());
                }
                found.merge(&sum);
            }
            prop_assert_eq!(found.encode(), expected.partial.encode(), "{:?}", pixels);
            let mut values = std::collections::BTreeMap::new();
            for (key, weight) in parts.iter().flat_map(|part| &part.values) {
                *values.entry(*key).or_insert(0) += weight;
            }
            prop_assert!(values.into_iter().eq(expected.values), "{:?}", pixels);
        }
    }

    #[test]
    fn covered_shares_add_up_to_the_area(
        corners in prop::collection::vec((0.0..40.0_f64, 0.0..30.0_f64), 3),
    ) {
        let zone = outline(vec![vec![ring(&corners)]]);
        let [(ax, ay), (bx, by), (cx, cy)] = corners[..] else { unreachable!() };
        let area = ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)).abs() / 2.0;
        let sum: f64 = weights(&zone, Pixels::Fractional, 40, 30).concat().iter().sum();
        // 2⁻³⁰ for each of at most some hundred cells.
        prop_assert!((sum - area).abs() < 1e-6, "{sum} {area}");
        // A cell with a share is a touched one, and the other way round but for a hair.
        let touched = weights(&zone, Pixels::AllTouched, 40, 30).concat();
        let shares = weights(&zone, Pixels::Fractional, 40, 30).concat();
        for (touched, share) in touched.iter().zip(shares) {
            prop_assert!((*touched == 1.0) == (share > 0.0) || share < 1e-6);
        }
    }

    #[test]
    fn keys_sort_as_values_do(a in any::<f64>(), b in any::<f64>()) {
        prop_assume!(!a.is_nan() && !b.is_nan());
        prop_assert_eq!(key(a).cmp(&key(b)), a.partial_cmp(&b).unwrap());
        prop_assert_eq!(from_key(key(a)), a);
    }

    #[test]
    fn bytes_that_are_no_partial_statistics_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Partial::decode(&bytes);
        let _ = EdgeRing::default().decode(&bytes);
    }
}
