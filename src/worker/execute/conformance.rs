//! Every raster kernel, run whole and cut at random with halos wider than it asks for, must give the same bits.
//!
//! A later kernel joins with a line in [`kernels`].

use std::sync::atomic::AtomicBool;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::raster::compute;
use crate::for_samples;
use crate::grid::{Block, Crs, DataType, HaloBlock, RasterProfile, Samples, Window};
use crate::ops::focal::{CellSize, FocalKernel, Weights};
use crate::plan::stage::KernelSpec;
use crate::spec::{
    Aspect, FocalShape, FocalStatistic, Gradient, Hillshade, RuggednessFormula, Shading, Slope,
    TerrainProduct,
};

/// Every kernel, each with the parameters that take another way through it.
fn kernels() -> Vec<KernelSpec> {
    let mut kernels = vec![
        KernelSpec::Copy,
        KernelSpec::Calc {
            expressions: vec!["(A - B) / (A + B)".to_owned(), "A > B ? A : B".to_owned()],
            names: vec!["A".to_owned(), "B".to_owned()],
            scale: 0.5,
            offset: 1.0,
            descriptions: Vec::new(),
        },
    ];
    kernels.extend(terrain().into_iter().map(KernelSpec::Focal));
    kernels.extend(statistics().into_iter().map(KernelSpec::Focal));
    kernels.extend(convolutions().into_iter().map(KernelSpec::Focal));
    kernels
}

fn terrain() -> Vec<FocalKernel> {
    let shadings = [
        Shading::Single,
        Shading::Combined,
        Shading::Multidirectional,
        Shading::Igor,
    ];
    let gradients = [Gradient::Horn, Gradient::ZevenbergenThorne];
    let mut products = vec![
        TerrainProduct::Roughness,
        TerrainProduct::Tri(RuggednessFormula::Riley),
        TerrainProduct::Tri(RuggednessFormula::Wilson),
        TerrainProduct::Tpi,
    ];
    for gradient in gradients {
        products.extend(shadings.map(|shading| {
            TerrainProduct::Hillshade(Hillshade {
                shading,
                gradient,
                ..Hillshade::default()
            })
        }));
        products.push(TerrainProduct::Slope(Slope {
            gradient,
            ..Slope::default()
        }));
        products.push(TerrainProduct::Aspect(Aspect {
            gradient,
            ..Aspect::default()
        }));
    }
    let cell = CellSize {
        east: 30.0,
        south: -25.0,
    };
    let both = products.into_iter().flat_map(|product| {
        [false, true].map(|compute_edges| FocalKernel::Terrain {
            product: product.clone(),
            cell,
            compute_edges,
        })
    });
    both.collect()
}

fn statistics() -> Vec<FocalKernel> {
    let statistics = [
        FocalStatistic::Mean,
        FocalStatistic::Median,
        FocalStatistic::Min,
        FocalStatistic::Max,
        FocalStatistic::Std,
        FocalStatistic::Sum,
    ];
    let windows = [
        (3, FocalShape::Square),
        (5, FocalShape::Square),
        (9, FocalShape::Square),
        (5, FocalShape::Circle),
        (11, FocalShape::Circle),
    ];
    let each = statistics.into_iter().flat_map(|statistic| {
        windows.map(|(size, shape)| FocalKernel::Statistic {
            statistic,
            size,
            shape,
        })
    });
    each.collect()
}

fn convolutions() -> Vec<FocalKernel> {
    let sobel = ("-1 0 1\n-2 0 2\n-1 0 1", false);
    let texts = ["1 4 7 4 1", "0.1\n0.7\n0.3\n0.2\n0.1"];
    let each = texts.map(|text| [(text, false), (text, true)]).concat();
    let each = each.into_iter().chain([sobel]);
    let each = each.map(|(text, normalize)| FocalKernel::Convolve {
        weights: Weights::from_text(text).unwrap(),
        normalize,
    });
    each.collect()
}

/// What a raster may be like.
#[derive(Debug, Clone, Copy)]
enum Like {
    /// A surface with some holes.
    Holes,
    /// Every cell valid.
    Full,
    /// A few values, many of them the same, zeros of both signs among floats.
    Flat,
    /// Nothing but holes.
    Empty,
    /// A surface; its holes are in a mask.
    Masked,
}

fn raster((cols, rows): (u32, u32), dtype: DataType, like: Like, rng: &mut StdRng) -> Block {
    let cells = cols as usize * rows as usize;
    const NODATA: f64 = 7.0;
    let band = |rng: &mut StdRng| {
        let mut band = Samples::zeros(dtype, cells);
        for n in 0..cells {
            let hole = rng.random_bool(0.05);
            let value = match like {
                Like::Empty => NODATA,
                Like::Holes if hole => NODATA,
                Like::Flat => [0.0, -0.0, 1.0, 2.0][rng.random_range(0..4)],
                _ => rng.random_range(8.0..120.0),
            };
            for_samples!(&mut band, v => v[n] = cast(v, value));
        }
        band
    };
    let bands = vec![band(rng), band(rng)];
    let mask = matches!(like, Like::Masked).then(|| {
        let valid = (0..cells).map(|_| rng.random_bool(0.9));
        valid.collect()
    });
    Block {
        cols,
        rows,
        bands,
        nodata: Some(NODATA),
        mask,
    }
}

trait Cast {
    fn cast(value: f64) -> Self;
}

macro_rules! casts {
    ($($type:ty)*) => {$(impl Cast for $type {
        fn cast(value: f64) -> Self {
            value as Self
        }
    })*};
}

casts!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);

fn cast<T: Cast>(_: &[T], value: f64) -> T {
    T::cast(value)
}

/// Returns a part of a block.
fn part(block: &Block, window: Window) -> Block {
    fn cells<T: Copy>(all: &[T], cols: u32, window: Window) -> Vec<T> {
        let rows = window.row as usize..window.row_end() as usize;
        let row = |row: usize| {
            let start = row * cols as usize + window.col as usize;
            all[start..start + window.cols as usize].iter().copied()
        };
        rows.flat_map(row).collect()
    }
    let band = |band: &Samples| {
        let mut out = Samples::zeros(band.dtype(), 0);
        macro_rules! copy {
            ($($kind:ident)*) => {
                match (band, &mut out) {
                    $((Samples::$kind(from), Samples::$kind(into)) => {
                        *into = cells(from, block.cols, window);
                    })*
                    _ => panic!("bands of two types"),
                }
            };
        }
        copy!(UInt8 Int8 UInt16 Int16 UInt32 Int32 UInt64 Int64 Float32 Float64);
        out
    };
    Block {
        cols: window.cols,
        rows: window.rows,
        bands: block.bands.iter().map(band).collect(),
        nodata: block.nodata,
        mask: block
            .mask
            .as_ref()
            .map(|mask| cells(mask, block.cols, window)),
    }
}

/// The bits of each cell, band by band.
fn bits(block: &Block) -> Vec<Vec<u64>> {
    fn of<T: Copy + Into<f64>>(v: &[T]) -> Vec<u64> {
        v.iter().map(|cell| (*cell).into().to_bits()).collect()
    }
    let band = |band: &Samples| match band {
        Samples::UInt8(v) => of(v),
        Samples::Int16(v) => of(v),
        Samples::UInt16(v) => of(v),
        Samples::Float32(v) => of(v),
        Samples::Float64(v) => of(v),
        other => panic!("{:?} is no output of this test", other.dtype()),
    };
    block.bands.iter().map(band).collect()
}

fn run(kernel: &KernelSpec, output: &RasterProfile, block: HaloBlock) -> Block {
    compute(kernel, output, vec![block], &AtomicBool::new(false))
        .unwrap_or_else(|error| panic!("{kernel:?}: {error}"))
}

/// Cuts a length at random places.
fn cuts(length: u32, rng: &mut StdRng) -> Vec<(u32, u32)> {
    let mut at = 0;
    let mut parts = Vec::new();
    while at < length {
        let size = rng.random_range(1..=length - at);
        parts.push((at, size));
        at += size;
    }
    parts
}

fn check(kernel: &KernelSpec, block: &Block, rng: &mut StdRng) {
    let dtype = block.bands[0].dtype();
    // A copy keeps its type; the rest are tried as floats and as small integers.
    let (dtype, nodata) = match kernel {
        KernelSpec::Copy => (dtype, block.nodata),
        _ if rng.random_bool(0.3) => (DataType::UInt8, Some(255.0)),
        _ => (DataType::Float32, None),
    };
    let output = RasterProfile {
        width: block.cols,
        height: block.rows,
        bands: 2,
        dtype,
        nodata,
        crs: Crs::default(),
        transform: None,
        pixel_is_point: false,
    };
    let whole = Window::whole(block.cols, block.rows);
    let expected = bits(&run(kernel, &output, HaloBlock::whole(block.clone())));
    let mut found = vec![vec![0u64; whole.cells() as usize]; expected.len()];
    let rows = cuts(block.rows, rng);
    for (col, cols) in cuts(block.cols, rng) {
        for (row, rows) in rows.iter().copied() {
            let core = Window {
                col,
                row,
                cols,
                rows,
            };
            // Kernels without a halo take whole blocks, as tasks give them.
            let more = if kernel.halo() > 0 {
                rng.random_range(0..4)
            } else {
                0
            };
            let read = core.with_halo(kernel.halo() + more, &whole);
            let cut = HaloBlock::cut(part(block, read), read, core, whole);
            let part = run(kernel, &output, cut);
            assert_eq!((part.cols, part.rows), (cols, rows));
            for (found, part) in found.iter_mut().zip(bits(&part)) {
                for (n, line) in part.chunks(cols as usize).enumerate() {
                    let start = (row as usize + n) * block.cols as usize + col as usize;
                    found[start..start + line.len()].copy_from_slice(line);
                }
            }
        }
    }
    assert!(
        found == expected,
        "{kernel:?} of {} × {} cells of {dtype} depends on how they were cut",
        block.cols,
        block.rows
    );
}

#[test]
fn a_raster_cut_at_random_gives_the_bits_of_the_whole() {
    let seed = 20_261_125;
    let mut rng = StdRng::seed_from_u64(seed);
    let sizes = [
        (0, 0),
        (1, 1),
        (1, 9),
        (9, 1),
        (2, 2),
        (3, 3),
        (8, 5),
        (31, 23),
    ];
    let types = [
        DataType::UInt8,
        DataType::Int16,
        DataType::UInt16,
        DataType::Float32,
        DataType::Float64,
    ];
    let likes = [
        Like::Holes,
        Like::Full,
        Like::Flat,
        Like::Empty,
        Like::Masked,
    ];
    for kernel in kernels() {
        for size in sizes {
            for like in likes {
                let dtype = types[rng.random_range(0..types.len())];
                let block = raster(size, dtype, like, &mut rng);
                check(&kernel, &block, &mut rng);
            }
        }
        // Larger than a panel both ways, and cut across panels.
        let like = likes[rng.random_range(0..likes.len())];
        let block = raster((301, 83), DataType::Float32, like, &mut rng);
        check(&kernel, &block, &mut rng);
    }
}

#[test]
fn a_kernel_that_looks_at_its_block_is_found_out() {
    // The test's own test: a hole in the halo's place must show.
    let mut rng = StdRng::seed_from_u64(1);
    let block = raster((20, 20), DataType::Float32, Like::Full, &mut rng);
    let whole = Window::whole(20, 20);
    let core = Window { cols: 10, ..whole };
    let kernel = FocalKernel::Statistic {
        statistic: FocalStatistic::Mean,
        size: 3,
        shape: FocalShape::Square,
    };
    let cut = HaloBlock::cut(part(&block, core), core, core, whole);
    let refused = kernel.run(&cut, DataType::Float32, None, &mut || true);
    assert!(refused.is_err(), "a block without its halo must be refused");
    let lied = HaloBlock::whole(part(&block, core));
    let lied = kernel
        .run(&lied, DataType::Float32, None, &mut || true)
        .unwrap();
    let honest = kernel
        .run(
            &HaloBlock::whole(block),
            DataType::Float32,
            None,
            &mut || true,
        )
        .unwrap();
    assert_ne!(bits(&lied), bits(&part(&honest, core)));
}
