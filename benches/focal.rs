//! Cells per second of terrain and focal kernels on one core: `cargo bench --bench focal`.

#![expect(
    missing_docs,
    reason = "criterion's macro makes a function without one"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swath::grid::{Block, DataType, HaloBlock, Samples, Window};
use swath::ops::focal::{CellSize, FocalKernel, Weights};
use swath::spec::{
    Aspect, FocalShape, FocalStatistic, Hillshade, RuggednessFormula, Shading, Slope,
    TerrainProduct,
};

/// The core of a block: a quarter of a task's window.
const EDGE: u32 = 1024;
/// Halo around it, as wide as the widest kernel here needs.
const HALO: u32 = 10;

/// A rough surface of hills, in tenths of a metre.
fn height(col: u32, row: u32) -> f64 {
    let (x, y) = (f64::from(col), f64::from(row));
    let noise = f64::from((col * 2_654_435 + row * 40_503) % 997) / 100.0;
    8000.0 + 3000.0 * (x / 97.0).sin() * (y / 61.0).cos() + noise
}

fn block(samples: impl Fn(Vec<f64>) -> Samples) -> HaloBlock {
    let edge = EDGE + 2 * HALO;
    let cells = (0..edge).flat_map(|row| (0..edge).map(move |col| height(col, row)));
    let block = Block {
        cols: edge,
        rows: edge,
        bands: vec![samples(cells.collect())],
        nodata: Some(-9999.0),
        mask: None,
    };
    let whole = Window::whole(EDGE * 8, EDGE * 8);
    let core = Window {
        col: EDGE,
        row: EDGE,
        cols: EDGE,
        rows: EDGE,
    };
    HaloBlock::cut(block, core.with_halo(HALO, &whole), core, whole)
}

fn terrain(product: TerrainProduct) -> FocalKernel {
    FocalKernel::Terrain {
        product,
        cell: CellSize {
            east: 100.0,
            south: -100.0,
        },
        compute_edges: false,
    }
}

fn statistic(statistic: FocalStatistic, size: u32, shape: FocalShape) -> FocalKernel {
    FocalKernel::Statistic {
        statistic,
        size,
        shape,
    }
}

fn kernels() -> Vec<(String, FocalKernel, DataType)> {
    let shade = |shading| {
        let light = Hillshade {
            shading,
            ..Hillshade::default()
        };
        terrain(TerrainProduct::Hillshade(light))
    };
    let mut kernels = vec![
        (
            "hillshade".to_owned(),
            shade(Shading::Single),
            DataType::UInt8,
        ),
        (
            "hillshade multidirectional".to_owned(),
            shade(Shading::Multidirectional),
            DataType::UInt8,
        ),
        (
            "slope".to_owned(),
            terrain(TerrainProduct::Slope(Slope::default())),
            DataType::Float32,
        ),
        (
            "aspect".to_owned(),
            terrain(TerrainProduct::Aspect(Aspect::default())),
            DataType::Float32,
        ),
        (
            "tri".to_owned(),
            terrain(TerrainProduct::Tri(RuggednessFormula::Riley)),
            DataType::Float32,
        ),
    ];
    let windows = [
        (FocalStatistic::Mean, 5, FocalShape::Square),
        (FocalStatistic::Min, 5, FocalShape::Square),
        (FocalStatistic::Std, 5, FocalShape::Square),
        (FocalStatistic::Median, 3, FocalShape::Square),
        (FocalStatistic::Median, 5, FocalShape::Square),
        (FocalStatistic::Median, 5, FocalShape::Circle),
        (FocalStatistic::Median, 21, FocalShape::Square),
        (FocalStatistic::Mean, 21, FocalShape::Square),
    ];
    for (which, size, shape) in windows {
        let circle = if shape == FocalShape::Circle {
            " circle"
        } else {
            ""
        };
        let name = format!("{} {size}{circle}", which.name());
        kernels.push((name, statistic(which, size, shape), DataType::Float32));
    }
    if let Ok(weights) =
        Weights::from_text("1 4 6 4 1\n4 16 24 16 4\n6 24 36 24 6\n4 16 24 16 4\n1 4 6 4 1")
    {
        let kernel = FocalKernel::Convolve {
            weights,
            normalize: true,
        };
        kernels.push(("convolve 5 × 5".to_owned(), kernel, DataType::Float32));
    }
    kernels
}

fn focal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("focal");
    group.throughput(Throughput::Elements(u64::from(EDGE) * u64::from(EDGE)));
    group.sample_size(10);
    let singles = block(|cells| Samples::Float32(cells.iter().map(|c| *c as f32).collect()));
    let shorts = block(|cells| Samples::Int16(cells.iter().map(|c| *c as i16).collect()));
    for (name, kernel, dtype) in kernels() {
        let nodata = if dtype == DataType::UInt8 {
            0.0
        } else {
            -9999.0
        };
        for (block, input) in [(&singles, "f32"), (&shorts, "i16")] {
            group.bench_function(format!("{name}, {input}"), |bencher| {
                bencher.iter(|| kernel.run(black_box(block), dtype, Some(nodata), &mut || true));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, focal);
criterion_main!(benches);
