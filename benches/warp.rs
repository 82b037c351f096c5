//! Output cells per second of resampling on one core, positions included: `cargo bench --bench warp`.

#![expect(
    missing_docs,
    reason = "criterion's macro makes a function without one"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swath::crs::{CellMap, Definition, Lattice, Mesh, SourceGrid, suggest};
use swath::grid::{Affine, Samples, Window};
use swath::ops::warp::{Positions, Resampler, SourceBand};
use swath::spec::WarpMethod;

/// Cells along the edge of a source in UTM.
const EDGE: u32 = 1024;

fn warp(criterion: &mut Criterion) {
    let source = SourceGrid {
        width: EDGE,
        height: EDGE,
        transform: Affine::north_up(400_000.0, 5_300_000.0, 10.0, 10.0),
        crs: Definition::from_epsg(32633).unwrap_or_else(|error| fail(&error)),
    };
    let crs = Definition::from_epsg(3857).unwrap_or_else(|error| fail(&error));
    let fits = suggest(&source, &crs).unwrap_or_else(|error| fail(&error));
    let [left, _, _, top] = fits.extent;
    let cell = |i: u32| u16::try_from(i.wrapping_mul(2_654_435_761) >> 18).unwrap_or(0);
    let samples = Samples::UInt16((0..EDGE * EDGE).map(cell).collect());
    let mut group = criterion.benchmark_group("warp");
    group.sample_size(10);
    // As fine as the source, and four times coarser.
    for (grid, factor) in [("1:1", 1), ("4:1", 4)] {
        let (width, height) = (fits.width / factor, fits.height / factor);
        let times = f64::from(factor);
        let output = Affine::north_up(left, top, fits.cell.0 * times, fits.cell.1 * times);
        let map = CellMap::new(output, &crs, &source).unwrap_or_else(|error| fail(&error));
        group.throughput(Throughput::Elements(u64::from(width) * u64::from(height)));
        for (name, method) in WarpMethod::ALL {
            group.bench_function(format!("{name}, u16, {grid}"), |bencher| {
                bencher.iter(|| {
                    black_box(run(
                        &map,
                        &source,
                        &samples,
                        (width, height),
                        method,
                        1.0 / times,
                    ))
                });
            });
        }
        for (name, tolerance) in [("within 0.125", 0.125), ("exact", 0.0)] {
            group.bench_function(format!("positions {name}, {grid}"), |bencher| {
                let window = (0, 0, width, height);
                bencher.iter(|| {
                    black_box(Mesh::new(
                        &map,
                        Lattice::centres(width, height),
                        window,
                        tolerance,
                    ))
                });
            });
        }
    }
    group.finish();
}

/// Computes all rows; returns the sum of the last, so that nothing is left out.
fn run(
    map: &CellMap,
    source: &SourceGrid,
    samples: &Samples,
    (width, height): (u32, u32),
    method: WarpMethod,
    scale: f64,
) -> f64 {
    let band = SourceBand {
        window: Window::whole(source.width, source.height),
        size: (source.width, source.height),
        samples,
        around: false,
        valid: None,
        mask: None,
    };
    let more = u32::from(method.is_footprint());
    let lattice = if more == 1 {
        Lattice::corners(width, height)
    } else {
        Lattice::centres(width, height)
    };
    let mesh = Mesh::new(map, lattice, (0, 0, width + more, height + more), 0.125);
    let mut resampler = Resampler::new(method, (scale, scale));
    let (mut values, mut valid) = (vec![0.0; width as usize], vec![false; width as usize]);
    let mut lines = [(); 4].map(|()| vec![0.0; (width + more) as usize]);
    for row in 0..height {
        let [xs, ys, lower_xs, lower_ys] = &mut lines;
        mesh.row(row, xs, ys);
        let positions = if more == 1 {
            mesh.row(row + 1, lower_xs, lower_ys);
            Positions::Corners([xs, ys, lower_xs, lower_ys])
        } else {
            Positions::Centres(xs, ys)
        };
        resampler.row(&band, positions, &mut values, &mut valid);
    }
    values.iter().sum()
}

fn fail<T>(error: &dyn std::error::Error) -> T {
    // A bench has nobody to return an error to.
    eprintln!("{error}");
    std::process::exit(1)
}

criterion_group!(benches, warp);
criterion_main!(benches);
