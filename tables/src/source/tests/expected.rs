//! Real files against what pyarrow found in them (`expected/columnar.json`).

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use serde_json::Value;

use super::*;
use crate::geometry::{Crs, geometry_columns};

/// Files that we refuse, each with a part of what we say.
const REFUSED: &[(&str, &str)] = &[
    ("bigendian_generated_datetime.stream", "it is big-endian"),
    ("bigendian_generated_null.stream", "it is big-endian"),
    // SQL could not tell one column from the other.
    (
        "cpp21_generated_duplicate_fieldnames.arrow_file",
        "two columns ints",
    ),
    // DataFusion reads no rows where the file's own count is 0.
    (
        "repeated_no_annotation.parquet",
        "its row groups have 6 rows, and it says 0",
    ),
];

#[tokio::test]
async fn good_files_hold_what_pyarrow_finds_in_them() {
    let Some(root) = shared_data() else { return };
    let text = std::fs::read_to_string(root.join("expected/columnar.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let (mut read_well, mut wrong) = (0, Vec::new());
    for (name, expected) in &expected {
        let path = vec![root.join(name).display().to_string()];
        let sources = SourceContext::new();
        let refused = REFUSED.iter().find(|(file, _)| name.ends_with(file));
        match (
            read(&path, None, "SELECT * FROM t", 3, &sources).await,
            refused,
        ) {
            (Ok(read), None) => match compare(&read, expected) {
                Ok(()) => read_well += 1,
                Err(problem) => wrong.push(format!("{name}: {problem}")),
            },
            (Ok(_), Some(_)) => wrong.push(format!("{name}: is read now")),
            (Err(error), Some((_, text))) if error.0.contains(text) => {}
            (Err(error), _) => wrong.push(format!("{name}: {}", error.0)),
        }
    }
    println!("{read_well} files read");
    assert!(
        wrong.is_empty(),
        "{}\n{} wrong",
        wrong.join("\n"),
        wrong.len()
    );
    assert!(read_well > 100);
}

fn compare(read: &Read, expected: &Value) -> std::result::Result<(), String> {
    let rows = expected["rows"].as_u64().unwrap() as usize;
    if read.rows() != rows {
        return Err(format!("{} rows, not {rows}", read.rows()));
    }
    if read.facts.rows.is_some_and(|known| known != rows as u64) {
        return Err(format!(
            "{:?} rows in its footer, not {rows}",
            read.facts.rows
        ));
    }
    let columns = expected["columns"].as_array().unwrap();
    let names: Vec<&str> = columns
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    let found: Vec<&str> = read
        .schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .collect();
    if names != found {
        return Err(format!("columns {found:?}, not {names:?}"));
    }
    let batches = read.batches();
    for (index, column) in columns.iter().enumerate() {
        let name = column["name"].as_str().unwrap();
        // Unions, runs and nulls have no bitmap of their own: there pyarrow counts none, or all.
        let count = |count: fn(&dyn Array) -> usize| -> u64 {
            batches.iter().map(|b| count(b.column(index)) as u64).sum()
        };
        let nulls = [count(|a| a.null_count()), count(|a| a.logical_null_count())];
        if !nulls.contains(&column["nulls"].as_u64().unwrap()) {
            return Err(format!("{name}: {nulls:?} nulls, not {}", column["nulls"]));
        }
        if let Some(sum) = column.get("sum").and_then(Value::as_str) {
            let got = sum_of(&batches, index);
            let wanted: f64 = sum.parse().unwrap();
            let near = (got - wanted).abs() <= wanted.abs().max(1.0) * 1e-9;
            if !near {
                return Err(format!("{name}: sum {got}, not {wanted}"));
            }
        }
    }
    Ok(())
}

fn sum_of(batches: &[RecordBatch], column: usize) -> f64 {
    let mut whole: i128 = 0;
    let mut sum = 0.0;
    for batch in batches {
        let column = batch.column(column);
        if column.data_type().is_integer() && *column.data_type() != DataType::UInt64 {
            let column = cast(column, &DataType::Int64).unwrap();
            let values = column.as_primitive::<Int64Type>().iter().flatten();
            whole += values.map(i128::from).sum::<i128>();
        } else {
            let column = cast(column, &DataType::Float64).unwrap();
            // pyarrow's sums left NaN out.
            let values = column.as_primitive::<Float64Type>().iter().flatten();
            sum += values.filter(|value| !value.is_nan()).sum::<f64>();
        }
    }
    sum + whole as f64
}

#[tokio::test]
async fn geometry_columns_say_where_their_coordinates_are() {
    let Some(root) = shared_data() else { return };
    let utm = "EPSG:32618";
    for (file, column, crs) in [
        ("geoparquet/example.parquet", "geometry", "OGC:CRS84"),
        (
            "geoparquet/example-crs_vermont-4326_geo.parquet",
            "geometry",
            "OGC:CRS84",
        ),
        (
            "geoparquet/example-crs_vermont-utm_geo.parquet",
            "geometry",
            utm,
        ),
        (
            "geoparquet/data-point-encoding_native.parquet",
            "geometry",
            "OGC:CRS84",
        ),
        ("parquet/crs-srid.parquet", "geometry", "SRID:5070"),
        ("parquet/crs-geography.parquet", "geography", "OGC:CRS84"),
        (
            "naturalearth/natural-earth_cities_wkb.arrows",
            "geometry",
            "OGC:CRS84",
        ),
        ("geojson/with-crs.geojson", "geometry", "OGC:CRS84"),
    ] {
        let path = vec![root.join("tables").join(file).display().to_string()];
        let read = read(&path, None, "SELECT * FROM t", 1, &SourceContext::new())
            .await
            .unwrap();
        let found = geometry_columns(&read.schema);
        let found = found.iter().find(|found| found.name == column);
        let found = found.unwrap_or_else(|| panic!("{file}: {:?}", read.schema));
        assert_eq!(
            found.crs.code().unwrap_or_default(),
            crs,
            "{file}: {:?}",
            found.crs
        );
        // The field keeps its mark through a projection with another name.
        let statement = format!("SELECT {column} AS shape FROM t WHERE {column} IS NOT NULL");
        let renamed = super::read(&path, None, &statement, 1, &SourceContext::new())
            .await
            .unwrap();
        assert_eq!(
            geometry_columns(&renamed.schema)[0].crs.code(),
            found.crs.code(),
            "{file}"
        );
        assert_ne!(found.crs, Crs::Unknown);
    }
}
