//! CSV, lines of JSON, GeoJSON: parts that are put together with little between them.
//!
//! - CSV: a header, then lines that end in a line feed. Null and the empty text are both an empty field. Bytes are
//!   hexadecimal; nested columns are an error.
//! - Lines of JSON: an object a row; a null is left out.
//! - GeoJSON: one `FeatureCollection`; a null property is `null`. A CRS other than WGS 84 longitude and latitude is said
//!   in a `crs` member, as GeoJSON had it before RFC 7946.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder as JsonWriterBuilder};

use crate::geometry::{Crs, primary_geometry, write_coordinates};
use crate::ports::BoxError;

pub(super) fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut out = Vec::new();
    CsvWriterBuilder::new()
        .with_header(header)
        .build(&mut out)
        .write(batch)?;
    Ok(out)
}

pub(super) fn csv_header(schema: &Arc<Schema>) -> Result<Vec<u8>, ArrowError> {
    csv(&RecordBatch::new_empty(Arc::clone(schema)), true)
}

pub(super) fn ndjson(batch: &RecordBatch, nulls: bool) -> Result<Vec<u8>, ArrowError> {
    let mut out = Vec::new();
    let builder = JsonWriterBuilder::new().with_explicit_nulls(nulls);
    let mut writer = builder.build::<_, LineDelimited>(&mut out);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(out)
}

/// Writes features, separated by commas.
///
/// - `geometry`: the place of the column of WKB.
pub(super) fn features(batch: &RecordBatch, geometry: usize) -> Result<Vec<u8>, BoxError> {
    let places: Vec<usize> = (0..batch.num_columns())
        .filter(|at| *at != geometry)
        .collect();
    let properties = batch.project(&places)?;
    let properties = match places.is_empty() {
        true => "{}\n".repeat(batch.num_rows()).into_bytes(),
        false => ndjson(&properties, true)?,
    };
    let properties = std::str::from_utf8(&properties)?;
    let mut out = String::new();
    let shapes = super::geo::values(batch.column(geometry));
    for (properties, wkb) in properties.lines().zip(shapes) {
        let separator = if out.is_empty() { "" } else { ",\n" };
        write!(
            out,
            r#"{separator}{{"type":"Feature","properties":{properties},"geometry":"#
        )?;
        match wkb {
            Some(wkb) => write_coordinates(wkb, &mut out)?,
            None => out.push_str("null"),
        }
        out.push('}');
    }
    Ok(out.into_bytes())
}

pub(super) const FEATURES_END: &[u8] = b"\n]}\n";

/// Returns what stands before the features.
pub(super) fn features_start(schema: &Schema) -> String {
    let crs = primary_geometry(schema).map_or(Crs::Wgs84, |column| column.crs);
    let name = match &crs {
        Crs::Wgs84 => None,
        Crs::Unknown => Some(serde_json::Value::Null),
        other => Some(match other.code() {
            Some(code) => format!("urn:ogc:def:crs:{}", code.replacen(':', "::", 1)).into(),
            None => other.to_string().into(),
        }),
    };
    let crs = match name {
        None => String::new(),
        Some(serde_json::Value::Null) => "\"crs\":null,".to_owned(),
        Some(name) => {
            format!(r#""crs":{{"type":"name","properties":{{"name":{name}}}}},"#)
        }
    };
    format!("{{\"type\":\"FeatureCollection\",{crs}\"features\":[\n")
}
