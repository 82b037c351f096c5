//! What is in geometry columns, and how GeoParquet says it.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Error;
use crate::geometry::{Bounds, GeometryColumn, Scan, geometry_columns, primary_geometry};

/// What was seen in a geometry column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GeometryFacts {
    bounds: Bounds,
    /// Names as GeoParquet writes them, such as `Point Z`.
    types: BTreeSet<String>,
}

impl GeometryFacts {
    /// Looks through a column of WKB.
    pub(super) fn add(
        &mut self,
        column: &GeometryColumn,
        array: &ArrayRef,
        rows_before: u64,
    ) -> Result<(), Error> {
        for (row, wkb) in values(array).enumerate() {
            let Some(wkb) = wkb else { continue };
            let scan = Scan::new(wkb, &mut self.bounds).map_err(|problem| Error::Geometry {
                column: column.name.clone(),
                row: rows_before + row as u64,
                problem,
            })?;
            let name = scan.kind.name();
            let known = |name: &str| self.types.contains(name);
            match scan.has_z {
                false if !known(name) => self.types.insert(name.to_owned()),
                true => self.types.insert(format!("{name} Z")),
                false => true,
            };
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.bounds.merge(&other.bounds);
        self.types.extend(other.types.iter().cloned());
    }
}

/// Returns the values of a binary column of any width; of another column, nothing.
pub(crate) fn values(array: &ArrayRef) -> Box<dyn Iterator<Item = Option<&[u8]>> + '_> {
    match array.data_type() {
        DataType::Binary => Box::new(array.as_binary::<i32>().iter()),
        DataType::LargeBinary => Box::new(array.as_binary::<i64>().iter()),
        DataType::BinaryView => Box::new(array.as_binary_view().iter()),
        _ => Box::new(std::iter::repeat_n(None, array.len())),
    }
}

/// Returns the value of the `geo` key, version 1.1.0, or nothing without a geometry column.
///
/// A CRS that is known as text only is written as `null`, not known: GeoParquet takes PROJJSON.
pub(super) fn metadata(schema: &Schema, facts: &[GeometryFacts]) -> Option<String> {
    let primary = primary_geometry(schema)?;
    let columns = geometry_columns(schema);
    let described = columns.iter().zip(facts).map(|(column, facts)| {
        let crs = column.crs.projjson().unwrap_or(Value::Null);
        let mut described = Map::from_iter([
            ("encoding".to_owned(), json!("WKB")),
            ("geometry_types".to_owned(), json!(facts.types)),
            ("crs".to_owned(), crs),
        ]);
        if column.edges.is_some() {
            described.insert("edges".to_owned(), json!("spherical"));
        }
        if !facts.bounds.is_empty() {
            described.insert("bbox".to_owned(), json!(bbox(&facts.bounds)));
        }
        (column.name.clone(), Value::Object(described))
    });
    let described: Map<String, Value> = described.collect();
    let geo = json!({
        "version": "1.1.0",
        "primary_column": primary.name,
        "columns": described,
    });
    Some(geo.to_string())
}

fn bbox(bounds: &Bounds) -> Vec<f64> {
    let ([x, y, z], [right, top, up]) = (bounds.min, bounds.max);
    match z.is_finite() && up.is_finite() {
        true => vec![x, y, z, right, top, up],
        false => vec![x, y, right, top],
    }
}
