//! What Parquet files say of their geometry columns: GeoParquet's `geo`, or Parquet's own GEOMETRY and GEOGRAPHY.

use arrow::datatypes::{Field, Schema};
use parquet::basic::LogicalType;
use parquet::file::metadata::FileMetaData;
use serde_json::{Map, Value};

use crate::geometry::{Crs, geometry_field};

/// Writes what a footer says of geometry columns into the fields of a schema.
pub(super) fn annotate(schema: &Schema, file: &FileMetaData) -> Schema {
    let value = |key: &str| {
        let pairs = file.key_value_metadata()?;
        let pair = pairs.iter().find(|pair| pair.key == key)?;
        serde_json::from_str::<Value>(pair.value.as_deref()?).ok()
    };
    let geo = value("geo").unwrap_or_default();
    let of_geo = |field: &Field| {
        let column = geo.get("columns")?.get(field.name())?;
        from_geo(field, column.as_object()?)
    };
    let of_type = |field: &Field| from_type(field, file, value);
    let fields = schema.fields().iter().map(|field| {
        let found = of_geo(field).or_else(|| of_type(field));
        found.map_or_else(|| std::sync::Arc::clone(field), std::sync::Arc::new)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn from_geo(field: &Field, column: &Map<String, Value>) -> Option<Field> {
    let kind = column.get("encoding")?.as_str()?.to_ascii_lowercase();
    // No `crs` means longitude and latitude; null means that nobody knows.
    let crs = column.get("crs").map_or(Crs::Wgs84, Crs::from_json);
    let edges = column.get("edges").and_then(Value::as_str);
    let edges = edges.filter(|edges| *edges != "planar");
    Some(geometry_field(field, &kind, &crs, edges))
}

fn from_type(
    field: &Field,
    file: &FileMetaData,
    value: impl Fn(&str) -> Option<Value>,
) -> Option<Field> {
    let columns = file.schema_descr().columns().iter();
    let column = columns
        .filter(|column| column.path().parts().len() == 1)
        .find(|column| column.name() == field.name())?;
    let (crs, edges) = match column.logical_type_ref()? {
        LogicalType::Geometry(geometry) => (&geometry.crs, None),
        LogicalType::Geography(geography) => {
            let edges = geography.algorithm().map(|a| a.to_string().to_lowercase());
            (
                &geography.crs,
                Some(edges.unwrap_or_else(|| "spherical".to_owned())),
            )
        }
        _ => return None,
    };
    let crs = match crs.as_deref() {
        None => Crs::Wgs84,
        Some(text) => match text.split_once(':') {
            Some(("projjson", key)) => value(key).as_ref().map_or(Crs::Unknown, Crs::from_json),
            Some(("srid", "0")) => Crs::Unknown,
            _ => Crs::from_json(&Value::String(text.to_owned())),
        },
    };
    Some(geometry_field(field, "wkb", &crs, edges.as_deref()))
}
