//! Terrain and focal statistics against what GDAL and numpy make of real elevations.
//!
//! Expected values: `expected/terrain*.csv`, `focal.csv` and `n43_published_by_gdal.csv` of the shared data.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use swath::grid::{Block, DataType, HaloBlock, Samples};
use swath::ops::focal::{CellSize, FocalKernel};
use swath::spec::{
    Aspect, FocalShape, FocalStatistic, Gradient, Hillshade, RuggednessFormula, Shading, Slope,
    TerrainProduct,
};

use crate::common::{raster_file, read};
use crate::zoo::shared_data;

/// Reads a CSV without quotes in fields that matter: a map a row.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| {
        // The one quoted field has a comma inside.
        let parts = line.split('"').enumerate();
        let line: String = parts
            .map(|(n, part)| {
                if n % 2 == 1 {
                    part.replace(',', ";")
                } else {
                    part.to_owned()
                }
            })
            .collect();
        line.split(',').map(str::to_owned).collect::<Vec<_>>()
    });
    let names = lines.next().unwrap();
    lines
        .map(|row| names.iter().cloned().zip(row).collect())
        .collect()
}

/// GDAL's checksum of a band.
fn checksum(band: &Samples) -> u32 {
    const PRIMES: [i64; 11] = [7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43];
    let values = doubles(band);
    let mut sum = 0i64;
    for (value, prime) in values.iter().zip(PRIMES.iter().cycle()) {
        let whole = (value + 0.5).floor() as i64;
        sum = (sum + whole % prime) & 0xffff;
    }
    u32::try_from(sum).unwrap()
}

fn doubles(band: &Samples) -> Vec<f64> {
    match band {
        Samples::UInt8(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Samples::Int16(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Samples::Float32(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Samples::Float64(v) => v.clone(),
        other => panic!("{:?}", other.dtype()),
    }
}

fn run(kernel: &FocalKernel, dem: &Block, dtype: DataType, nodata: f64) -> Block {
    let dem = HaloBlock::whole(dem.clone());
    kernel.run(&dem, dtype, Some(nodata), &mut || true).unwrap()
}

/// A product with the ground size of a raster's cells, `scale` vertical units in a unit of its coordinates.
async fn terrain(path: &Path, product: TerrainProduct, scale: f64, edges: bool) -> FocalKernel {
    let file = raster_file(path).await;
    let [_, east, .., south] = file.facts().profile.transform.unwrap().0;
    FocalKernel::Terrain {
        product,
        cell: CellSize {
            east: east * scale,
            south: south * scale,
        },
        compute_edges: edges,
    }
}

#[tokio::test]
async fn n43_has_the_checksums_that_gdal_published() {
    let Some(data) = shared_data() else { return };
    let path = data.join("dem/n43.tif");
    let dem = read(&path, &[1]).await;
    let shade = |shading, gradient| {
        TerrainProduct::Hillshade(Hillshade {
            shading,
            gradient,
            z_factor: 30.0,
            ..Hillshade::default()
        })
    };
    let rows = table(&data.join("expected/n43_published_by_gdal.csv"));
    assert_eq!(rows.len(), 13);
    let mut differing = Vec::new();
    for row in rows {
        let name = row["product"].as_str();
        let gradient = if name.contains("ZevenbergenThorne") {
            Gradient::ZevenbergenThorne
        } else {
            Gradient::Horn
        };
        // GDAL's suite runs the multidirectional one with edges too, which the table does not say.
        let edges = name.contains("edges") || name.contains("multidirectional");
        let product = match name.replace(';', "").split(' ').collect::<Vec<_>>()[..] {
            ["hillshade", "combined"] => shade(Shading::Combined, gradient),
            ["hillshade", "multidirectional"] => shade(Shading::Multidirectional, gradient),
            ["hillshade", ..] => shade(Shading::Single, gradient),
            ["slope", ..] => TerrainProduct::Slope(Slope {
                gradient,
                ..Slope::default()
            }),
            ["aspect", ..] => TerrainProduct::Aspect(Aspect {
                gradient,
                ..Aspect::default()
            }),
            ["TPI"] => TerrainProduct::Tpi,
            ["TRI", "Wilson"] => TerrainProduct::Tri(RuggednessFormula::Wilson),
            ["TRI", "Riley"] => TerrainProduct::Tri(RuggednessFormula::Riley),
            ["roughness"] => TerrainProduct::Roughness,
            _ => panic!("{name}"),
        };
        let (dtype, nodata) = match product {
            TerrainProduct::Hillshade(_) => (DataType::UInt8, 0.0),
            _ => (DataType::Float32, -9999.0),
        };
        let kernel = terrain(&path, product, 111_120.0, edges).await;
        let found = checksum(&run(&kernel, &dem, dtype, nodata).bands[0]);
        if found.to_string() != row["gdal_checksum"] {
            differing.push(format!("{name}: {found}, not {}", row["gdal_checksum"]));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

/// Statistics of valid cells: number, smallest, largest, mean.
fn summary(values: &[f64], nodata: f64) -> [f64; 4] {
    let valid = || values.iter().filter(|v| **v != nodata && !v.is_nan());
    let count = valid().count() as f64;
    [
        count,
        valid().fold(f64::INFINITY, |a, b| a.min(*b)),
        valid().fold(f64::NEG_INFINITY, |a, b| a.max(*b)),
        valid().sum::<f64>() / count,
    ]
}

/// Asserts that a summary is a row's, each number within a relative difference.
fn assert_summary(row: &BTreeMap<String, String>, found: [f64; 4], relative: f64) {
    for (name, found) in ["valid", "min", "max", "mean"].into_iter().zip(found) {
        let expected: f64 = row[name].parse().unwrap();
        assert!(
            (found - expected).abs() <= relative * expected.abs(),
            "{row:?}: {name} is {found}"
        );
    }
}

fn sha256<T: Copy, const N: usize>(cells: &[T], bytes: impl Fn(T) -> [u8; N]) -> String {
    let mut hash = Sha256::new();
    for cell in cells {
        hash.update(bytes(*cell));
    }
    format!("{:x}", hash.finalize())
}

#[tokio::test]
async fn terrain_is_that_of_the_reference() {
    let Some(data) = shared_data() else { return };
    let pixels = table(&data.join("expected/terrain_pixels.csv"));
    let mut tried = 0;
    for row in table(&data.join("expected/terrain.csv")) {
        let path = data.join(&row["file"]);
        let dem = read(&path, &[1]).await;
        let scale: f64 = row["scale"].parse().unwrap();
        let (product, column) = match row["product"].as_str() {
            "hillshade" => {
                let z_factor = row["z"].parse().unwrap();
                let light = Hillshade {
                    z_factor,
                    ..Hillshade::default()
                };
                (TerrainProduct::Hillshade(light), "hillshade")
            }
            "slope_degrees" => (TerrainProduct::Slope(Slope::default()), "slope_degrees"),
            "aspect" => (TerrainProduct::Aspect(Aspect::default()), "aspect"),
            other => panic!("{other}"),
        };
        let kernel = terrain(&path, product, scale, false).await;
        let (dtype, nodata) = if column == "hillshade" {
            (DataType::UInt8, 0.0)
        } else {
            (DataType::Float64, -9999.0)
        };
        let block = run(&kernel, &dem, dtype, nodata);
        let values = doubles(&block.bands[0]);
        assert_summary(&row, summary(&values, nodata), 1e-9);
        if let Samples::UInt8(v) = &block.bands[0] {
            // Every cell, to the last bit: not one rounds the other way.
            assert_eq!(sha256(v, |v| [v]), row["sha256_u8"], "{row:?}");
            assert_eq!(checksum(&block.bands[0]).to_string(), row["gdal_checksum"]);
        }
        for pixel in pixels.iter().filter(|pixel| pixel["dem"] == row["dem"]) {
            let at = |name: &str| pixel[name].parse::<usize>().unwrap();
            let found = values[at("row") * dem.cols as usize + at("col")];
            let expected: f64 = pixel[column].parse().unwrap();
            assert!(
                (found - expected).abs() <= 1e-9 * expected.abs(),
                "{pixel:?}: {column} is {found}"
            );
            tried += 1;
        }
    }
    assert!(tried >= 3 * 60, "{tried} cells");
}

#[tokio::test]
async fn focal_statistics_are_those_of_the_reference() {
    let Some(data) = shared_data() else { return };
    for row in table(&data.join("expected/focal.csv")) {
        let dem = read(&data.join(&row["file"]), &[1]).await;
        let statistic = match row["op"].as_str() {
            "mean" => FocalStatistic::Mean,
            "max" => FocalStatistic::Max,
            "min" => FocalStatistic::Min,
            "std_population" => FocalStatistic::Std,
            "median" => FocalStatistic::Median,
            other => panic!("{other}"),
        };
        let kernel = FocalKernel::Statistic {
            statistic,
            size: row["window"].parse().unwrap(),
            shape: FocalShape::Square,
        };
        let values = doubles(&run(&kernel, &dem, DataType::Float64, f64::NAN).bands[0]);
        assert_summary(&row, summary(&values, f64::NAN), 1e-9);
        let (cols, rows) = (dem.cols as usize, dem.rows as usize);
        for (name, at) in [
            ("value_row0_col0", 0),
            ("value_rowH2_colW3", rows / 2 * cols + cols / 3),
            ("value_last_row_last_col", cols * rows - 1),
        ] {
            let expected: f64 = row[name].parse().unwrap();
            let found = values[at];
            assert!(
                (found - expected).abs() <= 1e-9 * expected.abs(),
                "{row:?}: {name} is {found}"
            );
        }
        if !row["sha256_f32"].is_empty() {
            let singles = run(&kernel, &dem, DataType::Float32, f64::NAN);
            let Samples::Float32(v) = &singles.bands[0] else {
                panic!()
            };
            // The reference writes NaN as 0x7fc00000.
            let bytes = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 }.to_le_bytes();
            assert_eq!(sha256(v, bytes), row["sha256_f32"], "{row:?}");
        }
    }
}
