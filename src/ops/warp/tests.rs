//! A window of an output does not depend on how the output was cut: every method, whole and in random windows, bit for bit.

use super::{Positions, Resampler, SourceBand, Stack, StackShape, validity};
use crate::crs::{CellMap, Definition, Lattice, Mesh, SourceGrid, footprint, scale, suggest};
use crate::for_samples;
use crate::grid::{Affine, Block, DataType, Samples, Window};
use crate::spec::{Combine, WarpMethod};

/// Numbers that look random, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n.max(1))) as u32
    }
}

/// A source and an output.
struct Case {
    name: &'static str,
    source: SourceGrid,
    block: Block,
    output: Affine,
    crs: Definition,
    size: (u32, u32),
}

fn crop(block: &Block, window: &Window) -> Block {
    let rows = |r: u32| {
        let start = (r * block.cols + window.col) as usize;
        start..start + window.cols as usize
    };
    let all = window.row..window.row_end();
    let bands = block.bands.iter().map(|band| {
        let mut out = Samples::zeros(band.dtype(), 0);
        match (band, &mut out) {
            (Samples::UInt8(v), Samples::UInt8(o)) => {
                all.clone().for_each(|r| o.extend(&v[rows(r)]))
            }
            (Samples::Float32(v), Samples::Float32(o)) => {
                all.clone().for_each(|r| o.extend(&v[rows(r)]))
            }
            _ => panic!("a type that the cases have not"),
        }
        out
    });
    Block {
        cols: window.cols,
        rows: window.rows,
        bands: bands.collect(),
        nodata: block.nodata,
        mask: block
            .mask
            .as_ref()
            .map(|m| all.clone().flat_map(|r| m[rows(r)].to_vec()).collect()),
    }
}

/// Computes a window of the output, of what a task would read for it.
fn compute(case: &Case, method: WarpMethod, tolerance: f64, window: Window) -> Block {
    let whole = Window::whole(case.size.0, case.size.1);
    let print = footprint(&case.source, &case.output, &case.crs, case.size).unwrap();
    let scale = print.map_or((1.0, 1.0), |_| {
        scale(&case.source, &case.output, &case.crs, case.size).unwrap()
    });
    let dtype = case.block.bands[0].dtype();
    let mut stack = Stack::new(&StackShape {
        size: (window.cols, window.rows),
        bands: 1,
        combine: Combine::First,
        dtype,
        nodata: case.block.nodata,
        nudge: true,
        scenes: 1,
    });
    let map = CellMap::new(case.output, &case.crs, &case.source).unwrap();
    let corners = method.is_footprint();
    let (lattice, more) = if corners {
        (Lattice::corners(whole.cols, whole.rows), 1)
    } else {
        (Lattice::centres(whole.cols, whole.rows), 0)
    };
    let points = (
        window.col,
        window.row,
        window.cols + more,
        window.rows + more,
    );
    let mesh = Mesh::new(&map, lattice, points, tolerance);
    let mut resampler = Resampler::new(method, scale);
    let Some(part) = mesh.source_window(&case.source, resampler.reach()) else {
        return stack.finish();
    };
    if print.is_none_or(|print| print.intersection(&window).is_none()) {
        // What a plan takes for lying elsewhere must lie elsewhere.
        let (mut xs, mut ys) = (vec![0.5; 1], vec![0.5; 1]);
        for row in window.row..window.row_end() {
            for col in window.col..window.col_end() {
                (xs[0], ys[0]) = (f64::from(col) + 0.5, f64::from(row) + 0.5);
                map.apply(&mut xs, &mut ys);
                let inside = xs[0] >= 0.0
                    && ys[0] >= 0.0
                    && xs[0] <= f64::from(case.source.width)
                    && ys[0] <= f64::from(case.source.height);
                assert!(!inside, "{}: {col} {row} lies in the source", case.name);
            }
        }
        return stack.finish();
    }
    let block = crop(&case.block, &part);
    let valid = validity(&block, &block.bands[0]);
    let source = SourceBand {
        window: part,
        size: (case.source.width, case.source.height),
        samples: &block.bands[0],
        around: case.source.is_around(),
        valid: valid.as_deref(),
    };
    let cols = window.cols as usize;
    let (mut values, mut has) = (vec![0.0; cols], vec![false; cols]);
    let mut lines = [(); 4].map(|()| vec![0.0; cols + more as usize]);
    for row in 0..window.rows {
        let [xs, ys, lower_xs, lower_ys] = &mut lines;
        mesh.row(window.row + row, xs, ys);
        let positions = if corners {
            mesh.row(window.row + row + 1, lower_xs, lower_ys);
            Positions::Corners([xs, ys, lower_xs, lower_ys])
        } else {
            Positions::Centres(xs, ys)
        };
        resampler.row(&source, positions, &mut values, &mut has);
        stack.push(0, row as usize, &values, &has);
    }
    stack.finish()
}

fn floats(random: &mut Random, cells: u32, holes: u32) -> Samples {
    let value = |random: &mut Random| {
        if random.below(100) < holes {
            f32::NAN
        } else {
            random.below(2000) as f32 / 7.0 - 100.0
        }
    };
    Samples::Float32((0..cells).map(|_| value(random)).collect())
}

fn case(name: &'static str, from: (u32, Affine), size: (u32, u32), to: u32, block: Block) -> Case {
    let source = SourceGrid {
        width: size.0,
        height: size.1,
        transform: from.1,
        crs: Definition::from_epsg(from.0).unwrap(),
    };
    let crs = Definition::from_epsg(to).unwrap();
    let suggested = suggest(&source, &crs).unwrap();
    let [left, _, _, top] = suggested.extent;
    Case {
        name,
        output: Affine::north_up(left, top, suggested.cell.0, suggested.cell.1),
        size: (suggested.width, suggested.height),
        source,
        block,
        crs,
    }
}

fn block(size: (u32, u32), samples: Samples, nodata: Option<f64>) -> Block {
    Block {
        cols: size.0,
        rows: size.1,
        bands: vec![samples],
        nodata,
        mask: None,
    }
}

fn cases() -> Vec<Case> {
    let random = &mut Random(4);
    let utm = (32633, Affine::north_up(400_000.0, 5_300_000.0, 30.0, 30.0));
    let globe = |size: (u32, u32)| {
        let (w, h) = (360.0 / f64::from(size.0), 180.0 / f64::from(size.1));
        (4326, Affine::north_up(-180.0, 90.0, w, h))
    };
    let mut cases = vec![
        case(
            "NoData here and there",
            utm,
            (97, 61),
            3857,
            block((97, 61), floats(random, 97 * 61, 10), Some(f64::NAN)),
        ),
        case(
            "one cell",
            utm,
            (1, 1),
            3857,
            block((1, 1), floats(random, 1, 0), Some(f64::NAN)),
        ),
        case(
            "one row",
            utm,
            (90, 1),
            4326,
            block((90, 1), floats(random, 90, 5), Some(f64::NAN)),
        ),
        case(
            "one column",
            utm,
            (1, 90),
            4326,
            block((1, 90), floats(random, 90, 5), Some(f64::NAN)),
        ),
        case(
            "nothing but NoData",
            utm,
            (40, 40),
            3857,
            block((40, 40), floats(random, 1600, 100), Some(f64::NAN)),
        ),
        case(
            "a globe",
            globe((72, 36)),
            (72, 36),
            3035,
            block((72, 36), floats(random, 72 * 36, 3), Some(f64::NAN)),
        ),
    ];
    // The pole, seen from above, and the antimeridian in it.
    let mut polar = case(
        "a pole",
        globe((90, 45)),
        (90, 45),
        3857,
        block((90, 45), floats(random, 90 * 45, 3), Some(f64::NAN)),
    );
    polar.crs = Definition::from_epsg(3413).unwrap();
    polar.output = Affine::north_up(-4_000_000.0, 4_000_000.0, 100_000.0, 100_000.0);
    polar.size = (80, 80);
    cases.push(polar);
    // Ten times coarser than the source, and beyond its edges on all sides.
    let mut coarse = case(
        "coarser",
        utm,
        (97, 61),
        3857,
        block((97, 61), floats(random, 97 * 61, 10), Some(f64::NAN)),
    );
    let Affine([left, width, _, top, _, height]) = coarse.output;
    coarse.output = Affine::north_up(
        left - 20.0 * width,
        top - 20.0 * height,
        width * 10.0,
        -height * 10.0,
    );
    coarse.size = (16, 12);
    cases.push(coarse);
    // Bytes with a mask of their own.
    let bytes = (0..97 * 61).map(|_| random.below(256) as u8).collect();
    let mut masked = case(
        "bytes with a mask",
        utm,
        (97, 61),
        32632,
        block((97, 61), Samples::UInt8(bytes), Some(0.0)),
    );
    masked.block.mask = Some((0..97 * 61).map(|_| random.below(10) > 0).collect());
    cases.push(masked);
    cases
}

/// The bits of a block's samples, by row.
#[expect(clippy::unnecessary_cast, reason = "of one type of ten")]
fn bits(block: &Block) -> Vec<Vec<u64>> {
    let cells: Vec<u64> =
        for_samples!(&block.bands[0], v => v.iter().map(|s| (*s as f64).to_bits()).collect());
    cells
        .chunks(block.cols.max(1) as usize)
        .map(<[u64]>::to_vec)
        .collect()
}

#[test]
fn whole_is_the_same_as_cut_into_random_windows() {
    let random = &mut Random(11);
    for case in cases() {
        for (name, method) in WarpMethod::ALL {
            for tolerance in [0.125, 0.0] {
                let (width, height) = case.size;
                let whole = compute(&case, method, tolerance, Window::whole(width, height));
                let all = bits(&whole);
                for _ in 0..6 {
                    let (col, row) = (random.below(width), random.below(height));
                    let window = Window {
                        col,
                        row,
                        cols: 1 + random.below(width - col),
                        rows: 1 + random.below(height - row),
                    };
                    let part = bits(&compute(&case, method, tolerance, window));
                    for (down, line) in part.iter().enumerate() {
                        let wanted =
                            &all[row as usize + down][col as usize..window.col_end() as usize];
                        assert_eq!(
                            line, wanted,
                            "{}, {name}, {tolerance}: {window}, row {down}",
                            case.name
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_there_is_comes_over() {
    // A test of cuts that compares nothing with nothing would pass.
    for case in cases()
        .iter()
        .filter(|case| case.name != "nothing but NoData")
    {
        let (width, height) = case.size;
        for (name, method) in WarpMethod::ALL {
            let block = compute(case, method, 0.125, Window::whole(width, height));
            let valid = validity(&block, &block.bands[0])
                .map_or(width as usize * height as usize, |v| {
                    v.iter().filter(|v| **v).count()
                });
            assert!(valid > 0, "{}, {name}", case.name);
        }
    }
}

#[test]
fn a_grid_that_is_the_source_s_own_changes_nothing() {
    let random = &mut Random(5);
    let at = Affine::north_up(10.0, 50.0, 0.5, 0.25);
    let samples = floats(random, 30 * 20, 0);
    let case = case(
        "itself",
        (4326, at),
        (30, 20),
        4326,
        block((30, 20), samples.clone(), None),
    );
    assert_eq!((case.size, case.output), ((30, 20), at));
    for method in [
        WarpMethod::Nearest,
        WarpMethod::Bilinear,
        WarpMethod::Cubic,
        WarpMethod::Average,
        WarpMethod::Mode,
        WarpMethod::Max,
    ] {
        let block = compute(&case, method, 0.125, Window::whole(30, 20));
        let (Samples::Float32(out), Samples::Float32(wanted)) = (&block.bands[0], &samples) else {
            panic!()
        };
        for (a, b) in out.iter().zip(wanted) {
            assert!((a - b).abs() <= 1e-4, "{method}: {a} {b}");
        }
    }
}

#[test]
fn sums_stay_what_was_counted() {
    let random = &mut Random(6);
    let values: Vec<f32> = (0..97 * 61).map(|_| random.below(100) as f32).collect();
    let total: f64 = values.iter().map(|v| f64::from(*v)).sum();
    let utm = (32633, Affine::north_up(400_000.0, 5_300_000.0, 30.0, 30.0));
    let mut case = case(
        "counts",
        utm,
        (97, 61),
        3857,
        block((97, 61), Samples::Float32(values), None),
    );
    // A wider output, so that all of the source lies in it.
    let Affine([left, width, _, top, _, height]) = case.output;
    case.output = Affine::north_up(
        left - 3.0 * width,
        top - 3.0 * height,
        width * 1.7,
        -height * 1.7,
    );
    let block = compute(
        &case,
        WarpMethod::Sum,
        0.0,
        Window::whole(case.size.0, case.size.1),
    );
    let Samples::Float32(sums) = &block.bands[0] else {
        panic!()
    };
    let found: f64 = sums
        .iter()
        .filter(|v| !v.is_nan())
        .map(|v| f64::from(*v))
        .sum();
    assert_eq!(block.bands[0].dtype(), DataType::Float32);
    assert!((found / total - 1.0).abs() < 1e-5, "{found} of {total}");
}
