//! Every kind of raster job on three worker processes, and in one process without a server: the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use swath::TaskOperation;
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::grid::pyramid::PyramidLayout;
use swath::grid::{Affine, Block, Crs, DataType, RasterProfile, Samples, Window};
use swath::io::raster::cog::CogWriter;
use swath::io::raster::encode::{TileEncoder, TileFormat};
use swath::io::raster::read::RasterFile;
use swath::io::source::Sources;
use swath::spec::Compression;

use crate::cluster::{end, submit};
use crate::tables::{Cluster, spec};

/// Cells across: more than a tile, so that the file has tiles and not strips.
const WIDTH: u32 = 96;
/// Cells down: three windows of tasks.
const HEIGHT: u32 = 4500;
const TILE: u32 = 64;

/// Writes a raster of cells of 10 m in zone 30 of UTM, whose samples an integer mixes from their place.
fn write_raster(path: &Path, bands: u16, left: f64, dtype: DataType) {
    let profile = RasterProfile {
        width: WIDTH,
        height: HEIGHT,
        bands,
        dtype,
        nodata: Some(0.0),
        crs: Crs {
            epsg: Some(32630),
            key_directory: vec![1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32630],
            double_params: Vec::new(),
            ascii_params: String::new(),
        },
        transform: Some(Affine::north_up(left, 5_900_000.0, 10.0, 10.0)),
        pixel_is_point: false,
    };
    let format = TileFormat {
        tile: TILE,
        dtype,
        bands,
        compression: Compression::Deflate,
        nodata: profile.nodata,
    };
    let layout = PyramidLayout::new(WIDTH, HEIGHT, TILE, false, (TILE, TILE));
    let mut writer =
        CogWriter::new(File::create(path).unwrap(), &profile, &layout, &format).unwrap();
    let (across, down) = layout.level_tiles(0);
    for (row, col) in (0..down).flat_map(|row| (0..across).map(move |col| (row, col))) {
        let (cols, rows) = (TILE.min(WIDTH - col * TILE), TILE.min(HEIGHT - row * TILE));
        let cells =
            (0..rows).flat_map(|y| (0..cols).map(move |x| (row * TILE + y, col * TILE + x)));
        let band = |band: u32| {
            let values = cells.clone().map(|(y, x)| {
                let mixed = (y * 7919 + x * 104_729 + band * 31_337).wrapping_mul(2_654_435_761);
                // A slope with noise; every 97th cell has no data.
                (mixed % 97).min(1) * (1000 + 40 * band + y / 3 + 5 * x + (mixed >> 26))
            });
            match dtype {
                DataType::Float32 => Samples::Float32(values.map(|v| v as f32).collect()),
                _ => Samples::UInt16(values.map(|v| u16::try_from(v).unwrap()).collect()),
            }
        };
        let block = Block {
            cols,
            rows,
            bands: (0..u32::from(bands)).map(band).collect(),
            nodata: profile.nodata,
            mask: None,
        };
        let tile = TileEncoder::new(format).encode(&block, 0, 0).unwrap();
        writer.write_tile(0, col, row, &tile).unwrap();
    }
    writer.finish().unwrap();
}

fn write_zones(path: &Path) {
    let square = |number: u32| {
        let (left, top) = (500_030.0 + f64::from(number) * 90.0, 5_899_900.0);
        let bottom = top - 1234.0 - f64::from(number) * 8000.0;
        let ring = json!([
            [left, bottom],
            [left + 417.0, bottom + 33.0],
            [left + 400.0, top],
            [left, top],
            [left, bottom]
        ]);
        json!({ "type": "Feature", "properties": { "id": number },
            "geometry": { "type": "Polygon", "coordinates": [ring] } })
    };
    let zones = json!({ "type": "FeatureCollection",
        "crs": { "type": "name", "properties": { "name": "urn:ogc:def:crs:EPSG::32630" } },
        "features": (0..5).map(square).collect::<Vec<_>>() });
    std::fs::write(path, zones.to_string()).unwrap();
}

/// A job a kind, as a job file spells it, and the ending of its output.
fn jobs(dir: &Path) -> BTreeMap<&'static str, (Value, &'static str)> {
    let file = |name: &str| json!(dir.join(name).display().to_string());
    let (scene, dem) = (file("scene.tif"), file("dem.tif"));
    let band = |name: &str, band: u16| json!({ "name": name, "path": scene, "band": band });
    let terrain = |product: Value| {
        (
            json!({ "type": "terrain", "input": dem, "product": product }),
            "tif",
        )
    };
    let scenes = json!([
        { "layers": [{ "path": scene }] },
        { "layers": [{ "path": file("east.tif") }] },
    ]);
    let web = json!({ "crs": "EPSG:3857", "resolution": [17.0, 17.0] });
    let warp = json!({ "resampling": "bilinear" });
    let composite = |how: &str, grid: Value| {
        (
            json!({ "type": "composite", "scenes": scenes, "combine": how, "grid": grid, "warp": warp }),
            "tif",
        )
    };
    BTreeMap::from([
        (
            "calc",
            (
                json!({ "type": "calc", "inputs": [band("A", 1), band("B", 3)],
            "expression": "A > B ? sqrt(A) - B / 7 : where(B > 1500, A ** 2 % 13, atan2(A, B))" }),
                "tif",
            ),
        ),
        (
            "index",
            (
                json!({ "type": "index", "name": "EVI", "scale": 0.0001,
            "inputs": [band("N", 1), band("R", 2), band("B", 3)] }),
                "tif",
            ),
        ),
        (
            "ndvi",
            (
                json!({ "type": "index", "name": "NDVI", "inputs": [band("N", 1), band("R", 2)] }),
                "tif",
            ),
        ),
        (
            "hillshade",
            terrain(json!({ "hillshade": { "shading": "combined" } })),
        ),
        ("slope", terrain(json!({ "slope": { "unit": "percent" } }))),
        (
            "aspect",
            terrain(json!({ "aspect": { "gradient": "zevenbergen-thorne" } })),
        ),
        ("roughness", terrain(json!("roughness"))),
        ("tri", terrain(json!({ "tri": "riley" }))),
        ("tpi", terrain(json!("tpi"))),
        (
            "focal",
            (
                json!({ "type": "focal", "input": scene, "statistic": "median", "size": 5 }),
                "tif",
            ),
        ),
        (
            "convolve",
            (
                json!({ "type": "convolve", "input": scene, "normalize": true,
            "kernel": [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]] }),
                "tif",
            ),
        ),
        (
            "reproject",
            (
                json!({ "type": "reproject", "input": scene, "grid": web,
            "warp": { "resampling": "cubic" } }),
                "tif",
            ),
        ),
        ("mosaic", composite("last", json!({}))),
        ("composite", composite("median", web)),
        (
            "zonal-stats",
            (
                json!({ "type": "zonal-stats", "raster": dem, "zones": file("zones.geojson"),
            "statistics": ["count", "mean", "median", "p10", "majority", "std"], "pixels": "fractional" }),
                "csv",
            ),
        ),
        (
            "convert",
            (json!({ "type": "convert", "input": scene }), "tif"),
        ),
    ])
}

/// Asserts that a raster has data, and not one value alone.
#[expect(clippy::unnecessary_cast, reason = "of one type of ten")]
async fn has_values(path: &Path) {
    let sources = Sources::new().unwrap();
    let file = RasterFile::open(&sources, path.to_str().unwrap())
        .await
        .unwrap();
    let profile = file.facts().profile.clone();
    let bands: Vec<u16> = (1..=profile.bands).collect();
    let whole = Window::whole(profile.width, profile.height);
    let block = file.fetch(&bands, whole).await.unwrap().decode().unwrap();
    for band in &block.bands {
        let mut valid = BTreeSet::new();
        swath::for_samples!(band, samples => {
            for (cell, sample) in samples.iter().enumerate() {
                let sample = f64::from(*sample as f32);
                if Some(sample) != profile.nodata && !sample.is_nan() && cell % 7 == 0 {
                    valid.insert(sample.to_bits());
                }
            }
        });
        assert!(
            valid.len() > 5,
            "{}: {} values",
            path.display(),
            valid.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_raster_job_gives_the_same_bytes_on_three_workers_and_embedded() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_raster(&dir.join("scene.tif"), 3, 500_000.0, DataType::UInt16);
    write_raster(&dir.join("east.tif"), 3, 500_355.0, DataType::UInt16);
    write_raster(&dir.join("dem.tif"), 1, 500_000.0, DataType::Float32);
    write_zones(&dir.join("zones.geojson"));
    let together = Cluster::start(&["a", "b", "c"]).await;
    let alone = LocalCluster::start(LocalOptions::default()).await.unwrap();
    let mut helped = BTreeSet::new();
    for (name, (operation, ending)) in jobs(dir) {
        let operation: TaskOperation = serde_json::from_value(operation).unwrap();
        let output = |how: &str| dir.join(format!("{name}-{how}.{ending}"));
        let (here, there) = (output("alone"), output("together"));
        let of = |path: &Path| {
            let mut spec = spec(&operation, path);
            if ending == "tif" {
                spec.output =
                    Some(swath::spec::RasterOutput::new(path.display().to_string()).into());
            }
            spec
        };
        let job = submit(&together.client, &of(&there)).await;
        end(&together.client, &job).await;
        let runs = together.runs(&job).await;
        assert!(
            runs.len() > 3,
            "{name}: {} tasks are too few to be shared",
            runs.len()
        );
        helped.extend(runs.into_values().flatten().map(|(worker, _)| worker));
        let job = alone
            .client()
            .submit(&of(&here), SubmitOptions::default())
            .await
            .unwrap();
        end(&alone.client(), &job).await;
        let (here_bytes, there_bytes) = (
            std::fs::read(&here).unwrap(),
            std::fs::read(&there).unwrap(),
        );
        assert!(here_bytes == there_bytes, "{name}: other bytes");
        if ending == "tif" {
            has_values(&there).await;
        } else {
            // A line for names, and a line a zone, each with cells.
            let text = String::from_utf8(there_bytes).unwrap();
            assert_eq!(text.lines().count(), 6, "{text}");
            assert!(!text.contains(",0,"), "{text}");
        }
    }
    assert_eq!(helped.len(), 3, "{helped:?}");
}
