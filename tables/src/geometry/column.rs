//! Which columns are geometries.

use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};

use super::Crs;

/// The key of a field's metadata that names its extension type.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// The key of a field's metadata that holds the parameters of its extension type, such as the CRS.
pub const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// How geometries are stored in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Well-known binary.
    Wkb,
    /// Well-known text.
    Wkt,
    /// Nested lists or structs of coordinates: GeoArrow's native types.
    Native,
}

/// A column of geometries.
#[derive(Debug, Clone, PartialEq)]
pub struct GeometryColumn {
    /// Its place in the schema.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// How geometries are stored in it.
    pub encoding: Encoding,
    /// Where its coordinates are.
    pub crs: Crs,
    /// What an edge between two points is, when it is not a straight line: such as `spherical`.
    pub edges: Option<String>,
}

/// Returns the columns whose fields say that they hold geometries.
#[must_use]
pub fn geometry_columns(schema: &Schema) -> Vec<GeometryColumn> {
    let of = |(index, field): (usize, &std::sync::Arc<Field>)| {
        let name = field.metadata().get(EXTENSION_NAME)?;
        let encoding = match name.as_str() {
            "geoarrow.wkb" | "ogc.wkb" => Encoding::Wkb,
            "geoarrow.wkt" | "ogc.wkt" => Encoding::Wkt,
            name if name.starts_with("geoarrow.") => Encoding::Native,
            _ => return None,
        };
        let parameters = field.metadata().get(EXTENSION_METADATA);
        let parameters: Map<String, Value> = parameters
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let edges = parameters.get("edges").and_then(Value::as_str);
        Some(GeometryColumn {
            index,
            name: field.name().clone(),
            encoding,
            crs: parameters.get("crs").map_or(Crs::Unknown, Crs::from_json),
            edges: edges.map(str::to_owned),
        })
    };
    schema.fields().iter().enumerate().filter_map(of).collect()
}

/// Returns the geometry column that is meant when none is named: `geometry`, or else the first.
#[must_use]
pub fn primary_geometry(schema: &Schema) -> Option<GeometryColumn> {
    let columns = geometry_columns(schema);
    let named = columns.iter().position(|column| column.name == "geometry");
    columns.into_iter().nth(named.unwrap_or(0))
}

/// Makes a field say that it holds geometries.
///
/// - `kind`: the GeoArrow type behind `geoarrow.`, such as `wkb` or `point`.
#[must_use]
pub fn geometry_field(field: &Field, kind: &str, crs: &Crs, edges: Option<&str>) -> Field {
    let mut parameters = crs.members();
    if let Some(edges) = edges {
        parameters.insert("edges".to_owned(), edges.into());
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(EXTENSION_NAME.to_owned(), format!("geoarrow.{kind}"));
    metadata.insert(
        EXTENSION_METADATA.to_owned(),
        Value::Object(parameters).to_string(),
    );
    field.clone().with_metadata(metadata)
}

/// Returns the field of a column that Swath itself fills with geometries.
pub(crate) fn wkb_field(name: &str, crs: &Crs) -> Field {
    geometry_field(&Field::new(name, DataType::Binary, true), "wkb", crs, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometry_field_says_what_it_was_told() {
        let crs = Crs::Text("EPSG:32618".to_owned());
        let plain = Field::new("a", DataType::Int32, true);
        let schema = Schema::new(vec![
            plain.clone(),
            wkb_field("shape", &Crs::Wgs84),
            geometry_field(
                &Field::new("geometry", DataType::BinaryView, true),
                "wkb",
                &crs,
                Some("spherical"),
            ),
        ]);
        let found = geometry_columns(&schema);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].index, &found[0].crs), (1, &Crs::Wgs84));
        assert_eq!((found[1].index, &found[1].crs), (2, &crs));
        assert_eq!(found[1].edges.as_deref(), Some("spherical"));
        assert_eq!(primary_geometry(&schema).unwrap().name, "geometry");
        assert_eq!(primary_geometry(&Schema::new(vec![plain])), None);
    }
}
