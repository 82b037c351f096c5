//! Zonal statistics from files to files, in one process and on three workers.
//!
//! The expected numbers were made by rasterstats (GDAL's rasterisation) and exactextract; see the shared data's README.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::spec::{
    JobOptions, NamedInput, Output, Pixels, RasterOutput, SPEC_VERSION, TableOutput, ZonalStats,
};
use swath::{JobSpec, TaskOperation, WorkerConfig};

use crate::shared::shared_data;

async fn cluster(workers: u32) -> LocalCluster {
    let worker = WorkerConfig::default().with_max_concurrent_tasks(1);
    let options = LocalOptions {
        workers,
        worker,
        ..LocalOptions::default()
    };
    LocalCluster::start(options).await.unwrap()
}

async fn run(
    cluster: &LocalCluster,
    operation: TaskOperation,
    output: Output,
) -> Result<(), String> {
    let spec = JobSpec {
        version: SPEC_VERSION,
        operation,
        output: Some(output),
        options: JobOptions::default(),
    };
    let client = cluster.client();
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(&job)).await;
    let ended = ended.expect("within two minutes").unwrap();
    if ended.succeeded() {
        Ok(())
    } else {
        Err(ended.sentence())
    }
}

fn zonal(raster: &Path, zones: &Path, pixels: Pixels, statistics: &[&str]) -> ZonalStats {
    ZonalStats {
        raster: raster.display().to_string(),
        band: 1,
        zones: zones.display().to_string(),
        zones_format: None,
        zones_crs: None,
        statistics: statistics
            .iter()
            .map(|name| name.parse().unwrap())
            .collect(),
        pixels,
        geometry: false,
        prefix: String::new(),
    }
}

type Rows = Vec<BTreeMap<String, String>>;

/// Reads CSV whose quoted fields have no quotes inside.
fn read_csv(path: &Path) -> Rows {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    });
    let header = lines.next().unwrap();
    lines
        .map(|line| header.iter().cloned().zip(line).collect())
        .collect()
}

async fn stats(cluster: &LocalCluster, asked: ZonalStats, dir: &Path) -> Result<Rows, String> {
    let output = dir.join(format!("{}.csv", asked.pixels.name()));
    let mut table = TableOutput::new(output.display().to_string());
    table.overwrite = true;
    run(cluster, TaskOperation::ZonalStats(asked), table.into()).await?;
    Ok(read_csv(&output))
}

fn number(text: &str) -> Option<f64> {
    (!text.is_empty()).then(|| text.parse().unwrap())
}

/// A set of the shared data: raster, zones, expected numbers, and how far a count may be off.
struct Case {
    name: &'static str,
    raster: PathBuf,
    zones: PathBuf,
}

fn cases(data: &Path, ndvi: &Path) -> Vec<Case> {
    let case = |name: &'static str, raster: &str| Case {
        name,
        raster: data.join(raster),
        zones: data.join(format!("expected/zones_{name}.parquet")),
    };
    let rasterstats = data.join("zonal/rasterstats");
    vec![
        case("zion_elevation", "dem/srtm_zion.tif"),
        case("exploradores_elevation", "dem/exploradores_aster.tif"),
        case("rasterstats_slope", "zonal/rasterstats/slope.tif"),
        case(
            "rasterstats_slope_nodata",
            "zonal/rasterstats/slope_nodata.tif",
        ),
        case("rasterstats_slope_partial", "zonal/rasterstats/slope.tif"),
        Case {
            raster: ndvi.to_owned(),
            ..case("carolina_ndvi", "")
        },
        // In another format and another CRS: reprojected vertex by vertex.
        Case {
            raster: ndvi.to_owned(),
            zones: data.join("zonal/carolina/rcr_landcover.shp"),
            ..case("carolina_ndvi", "")
        },
        Case {
            zones: rasterstats.join("polygons.shp"),
            ..case("rasterstats_slope", "zonal/rasterstats/slope.tif")
        },
    ]
}

async fn carolina_ndvi(cluster: &LocalCluster, data: &Path, dir: &Path) -> PathBuf {
    let scene = data.join("scenes/sentinel2_carolina");
    let band = |name: &str, file: &str| NamedInput {
        name: name.to_owned(),
        path: scene.join(file).display().to_string(),
        band: 1,
    };
    let operation = TaskOperation::Calc {
        inputs: vec![
            band("R", "S2B_L1C_20181013_B04.tiff"),
            band("N", "S2B_L1C_20181013_B08.tiff"),
        ],
        expressions: vec!["(N - R) / (N + R)".to_owned()],
    };
    let path = dir.join("ndvi.tif");
    let mut output = RasterOutput::new(path.display().to_string());
    output.dtype = Some(swath::grid::DataType::Float64);
    run(cluster, operation, output.into()).await.unwrap();
    path
}

/// Compares a column with an expected one: null with empty (or the zero that exactextract gives of no cells).
fn compare(
    case: &Case,
    pixels: Pixels,
    found: &Rows,
    expected: &Rows,
    columns: &[(&str, &str, f64)],
) {
    assert_eq!(found.len(), expected.len(), "{}", case.name);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (ours, theirs, tolerance) in columns {
            let place = format!("{} {pixels:?} zone {at} {ours}", case.name);
            let (ours, theirs) = (number(&found[*ours]), number(&expected[*theirs]));
            match (ours, theirs) {
                (Some(a), Some(b)) => {
                    let off = (a - b).abs();
                    assert!(
                        off <= tolerance * b.abs().max(1e-9),
                        "{place}: {a} instead of {b}"
                    );
                }
                (None, theirs) => assert!(theirs.is_none_or(|b| b == 0.0), "{place}: nothing"),
                (Some(a), None) => panic!("{place}: {a} instead of nothing"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_have_the_statistics_that_rasterstats_and_exactextract_give_them() {
    let Some(data) = shared_data() else { return };
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(workers).await;
        let ndvi = carolina_ndvi(&cluster, &data, dir.path()).await;
        for case in cases(&data, &ndvi) {
            let expected = read_csv(&data.join(format!("expected/zonal_{}.csv", case.name)));
            let all = ["count", "min", "max", "mean", "sum", "std", "median"];
            let ask = |pixels| zonal(&case.raster, &case.zones, pixels, &all);
            let centre = stats(&cluster, ask(Pixels::Default), dir.path())
                .await
                .unwrap();
            // rasterstats adds samples of 32 bits up in 32 bits.
            let columns = [
                ("count", "centre_count", 0.0),
                ("min", "centre_min", 1e-9),
                ("max", "centre_max", 1e-9),
                ("mean", "centre_mean", 2e-7),
                ("sum", "centre_sum", 2e-7),
                ("std", "centre_std_population", 1e-6),
                ("median", "centre_median", 1e-7),
            ];
            compare(&case, Pixels::Default, &centre, &expected, &columns);
            let touched = stats(&cluster, ask(Pixels::AllTouched), dir.path())
                .await
                .unwrap();
            let columns = [
                ("count", "touched_count", 0.0),
                ("min", "touched_min", 1e-9),
                ("max", "touched_max", 1e-9),
                ("mean", "touched_mean", 2e-7),
                ("sum", "touched_sum", 2e-7),
            ];
            compare(&case, Pixels::AllTouched, &touched, &expected, &columns);
            let exact = stats(&cluster, ask(Pixels::Fractional), dir.path())
                .await
                .unwrap();
            let columns = [
                ("count", "exact_coverage", 1e-6),
                ("min", "exact_min", 1e-9),
                ("max", "exact_max", 1e-9),
                ("mean", "exact_mean", 1e-7),
                ("sum", "exact_sum", 1e-6),
            ];
            compare(&case, Pixels::Fractional, &exact, &expected, &columns);
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_are_counted() {
    let Some(data) = shared_data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(1).await;
    let zones = data.join("expected/zones_rasterstats_slope.parquet");
    let raster = data.join("zonal/rasterstats/slope_classes.tif");
    let asked = zonal(
        &raster,
        &zones,
        Pixels::Default,
        &["categories", "variety", "majority"],
    );
    let output = dir.path().join("classes.ndjson");
    let table = TableOutput::new(output.display().to_string());
    run(&cluster, TaskOperation::ZonalStats(asked), table.into())
        .await
        .unwrap();
    let found = std::fs::read_to_string(&output).unwrap();
    let found: Vec<BTreeMap<String, serde_json::Value>> = found
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut counts: BTreeMap<(usize, String), u64> = BTreeMap::new();
    for (zone, row) in found.iter().enumerate() {
        let classes = row["categories"].as_str().unwrap();
        let classes: BTreeMap<String, u64> = serde_json::from_str(classes).unwrap();
        assert_eq!(row["variety"], classes.len() as u64);
        counts.extend(
            classes
                .into_iter()
                .map(|(class, count)| ((zone, class), count)),
        );
    }
    for row in read_csv(&data.join("expected/zonal_rasterstats_slope_classes.csv")) {
        let class = number(&row["class"]).unwrap().to_string();
        let key = (row["zone"].parse().unwrap(), class);
        assert_eq!(
            counts.remove(&key),
            row["cells_centre_rule"].parse().ok(),
            "{key:?}"
        );
    }
    assert!(counts.is_empty(), "{counts:?}");
    cluster.stop().await;
}

/// A scene of four windows, and the zones that cover it.
fn scene(dir: &Path) -> (PathBuf, PathBuf) {
    crate::common::scene(dir, 2304);
    (dir.join("red.tif"), dir.join("zones.parquet"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_or_three_write_the_same_bytes_with_attributes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (raster, zones) = scene(dir.path());
    let mut written = Vec::new();
    for workers in [1, 3] {
        let cluster = cluster(workers).await;
        for pixels in [Pixels::Default, Pixels::AllTouched, Pixels::Fractional] {
            let names = [
                "mean", "std", "sum", "p10", "median", "variety", "majority", "minority",
            ];
            let mut asked = zonal(&raster, &zones, pixels, &names);
            asked.prefix = "red_".to_owned();
            let output = dir.path().join(format!("{workers}-{}.csv", pixels.name()));
            let table = TableOutput::new(output.display().to_string());
            run(&cluster, TaskOperation::ZonalStats(asked), table.into())
                .await
                .unwrap();
            written.push(std::fs::read_to_string(output).unwrap());
        }
        cluster.stop().await;
    }
    let (one, three) = written.split_at(3);
    assert_eq!(one, three);
    for text in one {
        let mut lines = text.lines();
        let header = "id,name,red_mean,red_std,red_sum,red_p10,red_median,red_variety,red_majority,red_minority";
        assert_eq!(lines.next(), Some(header));
        let names: Vec<&str> = lines.map(|line| line.split(',').nth(1).unwrap()).collect();
        let expected: Vec<String> = (1..=64).map(|id| format!("District {id}")).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_without_cells_count_none_and_wrong_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (raster, _) = scene(dir.path());
    let cluster = cluster(1).await;
    let collection = |features: &str| {
        let path = dir.path().join("given.geojson");
        let text = format!(
            r#"{{"type":"FeatureCollection","crs":{{"type":"name","properties":{{"name":"EPSG:32630"}}}},"features":[{features}]}}"#
        );
        std::fs::write(&path, text).unwrap();
        path
    };
    let feature = |name: &str, geometry: &str| {
        format!(r#"{{"type":"Feature","properties":{{"name":"{name}"}},"geometry":{geometry}}}"#)
    };
    let far = r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}"#;
    let empty = r#"{"type":"MultiPolygon","coordinates":[]}"#;
    let zones = collection(
        &[
            feature("far", far),
            feature("empty", empty),
            feature("null", "null"),
        ]
        .join(","),
    );
    for pixels in [Pixels::Default, Pixels::AllTouched, Pixels::Fractional] {
        let names = [
            "count", "nodata", "mean", "std", "sum", "p10", "variety", "majority",
        ];
        let asked = zonal(&raster, &zones, pixels, &names);
        let rows = stats(&cluster, asked, dir.path()).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row["name"].as_str()).collect();
        assert_eq!(found, ["far", "empty", "null"]);
        for row in &rows {
            for (name, value) in row.iter().filter(|(name, _)| *name != "name") {
                let zero = matches!(name.as_str(), "count" | "nodata");
                assert_eq!(number(value), zero.then_some(0.0), "{name}");
            }
        }
    }
    let fails = |asked: ZonalStats| stats(&cluster, asked, dir.path());
    let point = collection(&feature("point", r#"{"type":"Point","coordinates":[1,2]}"#));
    let asked = zonal(&raster, &point, Pixels::Default, &["count"]);
    let error = fails(asked).await.unwrap_err();
    assert!(
        error.contains("row 0") && error.contains("a point"),
        "{error}"
    );
    let clash = collection(&feature("far", far));
    let mut asked = zonal(&raster, &clash, Pixels::Default, &["count"]);
    asked.statistics.push("count".parse().unwrap());
    let error = fails(asked).await.unwrap_err();
    assert!(
        error.contains("'count'") && error.contains("--column-prefix"),
        "{error}"
    );
    let mut asked = zonal(&raster, &clash, Pixels::Default, &["count"]);
    asked.band = 9;
    let error = fails(asked).await.unwrap_err();
    assert!(error.contains("no band 9"), "{error}");
    let mut asked = zonal(&raster, &clash, Pixels::Default, &["count"]);
    asked.geometry = true;
    let error = fails(asked).await.unwrap_err();
    assert!(error.contains("--geometry"), "{error}");
    let package = zonal(
        &raster,
        Path::new("/tmp/zones.gpkg"),
        Pixels::Default,
        &["count"],
    );
    let error = fails(package).await.unwrap_err();
    assert!(error.contains("ogr2ogr"), "{error}");
    cluster.stop().await;
}
