//! Which column has the geometries, and in which CRS they are.

use arrow::datatypes::{DataType, Field, Schema};
use geoarrow_schema::{GeoArrowType, Metadata};
use serde_json::Value;

use crate::spatial::Error;

/// Names that a column of plain WKB is known by.
const WKB_NAMES: [&str; 4] = ["geometry", "geom", "wkb_geometry", "wkb"];

/// Returns the number of the main geometry column: the one that GeoParquet's metadata calls primary, else the one with GeoArrow's metadata that
/// is named `geometry`, else the first with such metadata, else plain WKB of a usual name.
pub(super) fn main_geometry(schema: &Schema) -> Option<usize> {
    let fields = schema.fields();
    let is_marked =
        |field: &Field| matches!(GeoArrowType::from_extension_field(field), Ok(Some(_)));
    let named = |name: &str| fields.iter().position(|field| field.name() == name);
    let is_wkb = |field: &Field| {
        matches!(
            field.data_type(),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView
        )
    };
    let primary = primary_column(schema).and_then(|name| named(&name));
    let marked_name = || named("geometry").filter(|at| is_marked(schema.field(*at)));
    let marked = || fields.iter().position(|field| is_marked(field));
    let plain = || {
        WKB_NAMES
            .into_iter()
            .filter_map(named)
            .find(|at| is_wkb(schema.field(*at)))
    };
    primary.or_else(marked_name).or_else(marked).or_else(plain)
}

fn primary_column(schema: &Schema) -> Option<String> {
    let metadata: Value = serde_json::from_str(schema.metadata().get("geo")?).ok()?;
    Some(metadata.get("primary_column")?.as_str()?.to_owned())
}

/// Checks that two columns do not name different CRS; one without a CRS goes with any.
pub(super) fn check_crs(left: &Field, right: &Field) -> Result<(), Error> {
    let (Some(left_crs), Some(right_crs)) = (crs(left), crs(right)) else {
        return Ok(());
    };
    if canonical(&left_crs) == canonical(&right_crs) {
        return Ok(());
    }
    let (left, right) = (left.name().clone(), right.name().clone());
    Err(Error::CrsDiffer {
        left,
        left_crs,
        right,
        right_crs,
    })
}

/// Returns authority and code, or failing those the name or the text.
fn crs(field: &Field) -> Option<String> {
    let metadata = Metadata::try_from(field).ok()?;
    let value = metadata.crs().crs_value()?;
    let parsed = value
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let value = parsed
        .as_ref()
        .filter(|value| value.is_object())
        .unwrap_or(value);
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let code = value
        .get("id")
        .and_then(|id| Some((id.get("authority")?.as_str()?, id.get("code")?)));
    match code {
        Some((authority, Value::String(code))) => Some(format!("{authority}:{code}")),
        Some((authority, code)) => Some(format!("{authority}:{code}")),
        None => Some(value.get("name")?.as_str()?.to_owned()),
    }
}

/// Files hold longitude before latitude whatever EPSG says, so that EPSG:4326 is CRS 84.
fn canonical(crs: &str) -> String {
    let crs = crs.to_ascii_uppercase();
    match crs.as_str() {
        "OGC:CRS84" | "CRS84" | "WGS 84 (CRS84)" | "WGS 84" => "EPSG:4326".to_owned(),
        _ => crs,
    }
}
