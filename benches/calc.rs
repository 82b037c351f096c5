//! Cells per second of band math on one core: `cargo bench --bench calc`.

#![expect(
    missing_docs,
    reason = "criterion's macro makes a function without one"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swath::grid::{Block, DataType, Samples};
use swath::ops::local::calc::CalcKernel;

/// A block as the planner cuts them: one output tile.
const EDGE: u32 = 512;

fn band(seed: u32) -> Samples {
    let cell = |i: u32| u16::try_from(i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 18);
    Samples::UInt16((0..EDGE * EDGE).map(|i| cell(i).unwrap_or(0)).collect())
}

fn block(bands: Vec<Samples>, nodata: Option<f64>) -> Block {
    Block {
        cols: EDGE,
        rows: EDGE,
        bands,
        nodata,
        mask: None,
    }
}

fn calc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("calc");
    group.throughput(Throughput::Elements(u64::from(EDGE) * u64::from(EDGE)));
    let three = vec![band(1), band(77), band(4711)];
    let two: Vec<Samples> = three.iter().take(2).cloned().collect();
    let evi = "2.5 * (A - B) / (A + 6 * B - 7.5 * C + 10000)";
    let cases = [
        (
            "ndvi u16 to f32",
            "(A - B) / (A + B)",
            2,
            None,
            DataType::Float32,
            None,
        ),
        (
            "ndvi u16 to f32, nodata 0",
            "(A - B) / (A + B)",
            2,
            Some(0.0),
            DataType::Float32,
            None,
        ),
        (
            "ndvi u16 to i16",
            "(A - B) / (A + B) * 10000",
            2,
            Some(0.0),
            DataType::Int16,
            Some(-32768.0),
        ),
        ("evi u16 to f32", evi, 3, Some(0.0), DataType::Float32, None),
        (
            "where u16 to u8",
            "where(A > B, 1, 2)",
            2,
            Some(0.0),
            DataType::UInt8,
            Some(0.0),
        ),
    ];
    for (name, expression, bands, nodata, dtype, output_nodata) in cases {
        let names = ["A", "B", "C"];
        let names: Vec<&str> = names.into_iter().take(bands).collect();
        let samples = if bands == 2 { &two } else { &three };
        let blocks = [block(samples.clone(), nodata)];
        let kernel = match CalcKernel::new(expression, &names, 1.0, 0.0) {
            Ok(kernel) => kernel,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| kernel.run(black_box(&blocks), dtype, output_nodata));
        });
    }
    group.finish();
}

criterion_group!(benches, calc);
criterion_main!(benches);
