use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};

use super::*;
use crate::Predicate;
use crate::spatial::register_functions;
use crate::tests::support::left_out;

fn shared(path: &str) -> String {
    let root = std::env::var("SWATH_TEST_DATA").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(path);
    assert!(
        path.exists(),
        "{} is missing; set SWATH_TEST_DATA to the folder of test data",
        path.display()
    );
    path.display().to_string()
}

fn session(partitions: usize, broadcast_bytes: u64) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config);
    let builder = with_spatial_joins(builder, SpatialSettings { broadcast_bytes });
    let context = SessionContext::new_with_state(builder.build());
    register_functions(&context);
    context
}

/// Countries from the Arrow stream, whose geometry has GeoArrow's metadata, or from the GeoParquet.
async fn session_of_files(
    partitions: usize,
    broadcast_bytes: u64,
    is_parquet: bool,
) -> SessionContext {
    let context = session(partitions, broadcast_bytes);
    let navaids = shared("tables/ourairports/navaids.csv");
    context
        .register_csv("navaids", navaids, CsvReadOptions::new())
        .await
        .unwrap();
    if is_parquet {
        let countries = shared("tables/naturalearth/natural-earth_countries_geo.parquet");
        context
            .register_parquet("countries", countries, ParquetReadOptions::new())
            .await
            .unwrap();
    } else {
        let file = File::open(shared(
            "tables/naturalearth/natural-earth_countries_wkb.arrows",
        ))
        .unwrap();
        let reader = arrow_ipc::reader::StreamReader::try_new(file, None).unwrap();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        let one = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        context.register_batch("countries", one).unwrap();
    }
    context
}

async fn rows(context: &SessionContext, sql: &str) -> Vec<Vec<String>> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let row = |batch: &RecordBatch, row: usize| {
        batch
            .columns()
            .iter()
            .map(|column| array_value_to_string(column, row).unwrap())
            .collect()
    };
    batches
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows())
                .map(|at| row(batch, at))
                .collect::<Vec<_>>()
        })
        .collect()
}

async fn plan_of(context: &SessionContext, sql: &str) -> String {
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

const BY_COUNTRY: &str = "SELECT c.name, count(*), avg(n.elevation_ft) FROM navaids n JOIN countries c \
    ON ST_Intersects(ST_Point(n.longitude_deg, n.latitude_deg), c.geometry) GROUP BY c.name ORDER BY c.name";

#[tokio::test]
async fn navaids_are_in_the_countries_that_they_are_in() {
    if left_out() {
        return;
    }
    let text =
        std::fs::read_to_string(shared("expected/spatialjoin_navaids_naturalearth.csv")).unwrap();
    let expected: BTreeMap<&str, (u64, &str)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (rest, mean) = line.rsplit_once(',').unwrap();
            let (country, points) = rest.rsplit_once(',').unwrap();
            (country.trim_matches('"'), (points.parse().unwrap(), mean))
        })
        .collect();
    for (partitions, broadcast_bytes, is_parquet, operator) in [
        (4, 0, false, "cells="),
        (3, 0, true, "cells="),
        (4, u64::MAX, false, "broadcast=right"),
        (1, 0, true, "broadcast=right"),
    ] {
        let context = session_of_files(partitions, broadcast_bytes, is_parquet).await;
        let plan = plan_of(&context, BY_COUNTRY).await;
        assert!(
            plan.contains(operator) && !plan.contains("NestedLoop"),
            "{plan}"
        );
        let found = rows(&context, BY_COUNTRY).await;
        assert_eq!(found.len(), expected.len());
        for row in found {
            let (points, mean) = expected[row[0].as_str()];
            assert_eq!(row[1], points.to_string(), "{row:?}");
            let both = (row[2].parse::<f64>(), mean.parse::<f64>());
            match both {
                (Ok(found), Ok(mean)) => assert!((found - mean).abs() < 1e-6, "{row:?} {mean}"),
                _ => assert_eq!(row[2], mean),
            }
        }
    }
}

#[tokio::test]
async fn cells_are_fitted_to_what_the_files_hold() {
    if left_out() {
        return;
    }
    let context = session_of_files(4, 0, true).await;
    let plan = plan_of(&context, BY_COUNTRY).await;
    assert!(plan.contains("32 cells"), "{plan}");
    assert!(
        plan.contains("RepartitionExec: partitioning=Hash([__cell@"),
        "{plan}"
    );
    // Polygons are not copied into every pair.
    assert!(plan.contains("projection=[elevation_ft, name]"), "{plan}");
}

#[tokio::test]
async fn other_ways_to_write_the_join_give_the_same() {
    if left_out() {
        return;
    }
    let context = session_of_files(3, 0, false).await;
    let point = "ST_Point(n.longitude_deg, n.latitude_deg)";
    for (from, expected) in [
        (
            format!("navaids n, countries c WHERE ST_Intersects(c.geometry, {point})"),
            "9813",
        ),
        (
            format!("countries c JOIN navaids n ON ST_Within({point}, c.geometry)"),
            "9813",
        ),
        (
            format!(
                "countries c JOIN navaids n ON ST_Contains(c.geometry, {point}) AND n.type = 'NDB' AND length(n.name) > length(c.name)"
            ),
            "",
        ),
    ] {
        let sql = format!("SELECT count(*) FROM {from}");
        let plan = plan_of(&context, &sql).await;
        assert!(
            plan.contains("SpatialJoinExec") && !plan.contains("NestedLoop"),
            "{plan}"
        );
        let found = rows(&context, &sql).await;
        if expected.is_empty() {
            let all = format!(
                "SELECT n.type, n.name nn, c.name cn FROM navaids n JOIN countries c ON ST_Intersects({point}, c.geometry)"
            );
            let counted = rows(&context, &format!("SELECT sum(CASE WHEN type = 'NDB' AND length(nn) > length(cn) THEN 1 ELSE 0 END) FROM ({all})")).await;
            assert_eq!(found, counted);
        } else {
            assert_eq!(found[0][0], expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn tables_are_joined_by_their_main_geometries_and_names_stay_apart() {
    if left_out() {
        return;
    }
    let cities = shared("tables/naturalearth/natural-earth_cities_geo.parquet");
    let mut all = Vec::new();
    for (partitions, broadcast_bytes) in [(1, 0), (4, 0), (4, u64::MAX)] {
        let context = session_of_files(partitions, broadcast_bytes, true).await;
        context
            .register_parquet("cities", &cities, ParquetReadOptions::new())
            .await
            .unwrap();
        let plan = async |name| context.table(name).await.unwrap().into_unoptimized_plan();
        let joined = join_tables(
            ("countries", plan("countries").await),
            ("cities", plan("cities").await),
            Predicate::Contains,
        )
        .unwrap();
        let names: Vec<String> = joined
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        assert_eq!(
            names,
            [
                "name",
                "continent",
                "geometry",
                "name_right",
                "geometry_right"
            ]
        );
        let frame = context.execute_logical_plan(joined).await.unwrap();
        let text = frame.select_columns(&["name", "name_right"]).unwrap();
        let batches = text.collect().await.unwrap();
        let mut pairs: Vec<String> = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let of = |at: usize| array_value_to_string(batch.column(at), row).unwrap();
                pairs.push(format!("{}/{}", of(0), of(1)));
            }
        }
        pairs.sort();
        assert!(pairs.contains(&"Austria/Vienna".to_owned()), "{pairs:?}");
        all.push(pairs);
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    let context = session_of_files(1, 0, true).await;
    let plan = async |name| context.table(name).await.unwrap().into_unoptimized_plan();
    let error = join_tables(
        ("countries", plan("countries").await),
        ("navaids", plan("navaids").await),
        Predicate::Contains,
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("table `navaids` has no geometry column among id, filename"),
        "{error}"
    );
}

#[tokio::test]
async fn sides_in_different_crs_are_an_error_that_names_both() {
    let context = session(2, 0);
    for (name, crs) in [("a", "EPSG:4326"), ("b", "EPSG:3857"), ("c", "OGC:CRS84")] {
        let metadata = [
            ("ARROW:extension:name", "geoarrow.wkb".to_owned()),
            ("ARROW:extension:metadata", format!("{{\"crs\":\"{crs}\"}}")),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let field = Field::new("geometry", DataType::Binary, true).with_metadata(metadata);
        context
            .register_batch(
                name,
                RecordBatch::new_empty(Arc::new(Schema::new(vec![field]))),
            )
            .unwrap();
    }
    let sql = |other: &str| {
        format!("SELECT 1 FROM a JOIN {other} ON ST_Intersects(a.geometry, {other}.geometry)")
    };
    let error = context
        .sql(&sql("b"))
        .await
        .unwrap()
        .collect()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`geometry` is in EPSG:4326, `geometry` in EPSG:3857; reproject"),
        "{error}"
    );
    assert!(
        context
            .sql(&sql("c"))
            .await
            .unwrap()
            .collect()
            .await
            .unwrap()
            .is_empty()
    );
}
