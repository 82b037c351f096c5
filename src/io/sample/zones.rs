//! The zones of a scene: districts that cover it without gap or overlap, as GeoParquet and GeoJSON.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::{CELL_M, CORNER_M, Error, noise};

/// Districts along each edge of the scene.
const DISTRICTS: i64 = 8;
/// EPSG:32630 as PROJJSON, as `gdalsrsinfo -o projjson EPSG:32630` prints it.
const CRS: &str = include_str!("epsg_32630.json");

/// A named quadrilateral: its corners in metres, the first again at the end, counter-clockwise.
pub(super) struct Zone {
    id: i64,
    name: String,
    ring: [(f64, f64); 5],
}

/// Makes the zones; neighbours share their corners to the last bit.
pub(super) fn zones(size: u32, seed: u64) -> Vec<Zone> {
    let edge = f64::from(size) * CELL_M / DISTRICTS as f64;
    let corner = |col: i64, row: i64| {
        let inner = |n: i64| 0 < n && n < DISTRICTS;
        let shift = |number: u64, moves: bool| {
            let random = noise::unit(seed.wrapping_add(number), col, row) - 0.5;
            if moves { 0.5 * random * edge } else { 0.0 }
        };
        let x = CORNER_M.0 + col as f64 * edge + shift(500, inner(col));
        let y = CORNER_M.1 - row as f64 * edge + shift(501, inner(row));
        (x, y)
    };
    let places = (0..DISTRICTS).flat_map(|row| (0..DISTRICTS).map(move |col| (col, row)));
    places
        .map(|(col, row)| {
            let first = corner(col, row);
            let ring = [
                first,
                corner(col, row + 1),
                corner(col + 1, row + 1),
                corner(col + 1, row),
                first,
            ];
            let id = row * DISTRICTS + col + 1;
            Zone {
                id,
                name: format!("District {id}"),
                ring,
            }
        })
        .collect()
}

impl Zone {
    /// Encodes the polygon as little-endian WKB.
    fn wkb(&self) -> Vec<u8> {
        let mut out = vec![1];
        for number in [3_u32, 1, 5] {
            out.extend(number.to_le_bytes());
        }
        for (x, y) in self.ring {
            out.extend(x.to_le_bytes());
            out.extend(y.to_le_bytes());
        }
        out
    }
}

fn bbox(zones: &[Zone]) -> [f64; 4] {
    let start = [
        f64::INFINITY,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NEG_INFINITY,
    ];
    zones
        .iter()
        .flat_map(|zone| zone.ring)
        .fold(start, |[west, south, east, north], (x, y)| {
            [west.min(x), south.min(y), east.max(x), north.max(y)]
        })
}

/// Writes GeoParquet 1.1: columns `id`, `name` and `geometry` (WKB).
pub(super) fn write_parquet(file: &File, zones: &[Zone]) -> Result<(), Error> {
    let crs: serde_json::Value = serde_json::from_str(CRS).unwrap_or_default();
    let geometry = json!({
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": crs,
        "bbox": bbox(zones),
    });
    let geo = json!({
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": { "geometry": geometry },
    });
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("geometry", DataType::Binary, false),
    ]));
    let geometries: Vec<Vec<u8>> = zones.iter().map(Zone::wkb).collect();
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Int64Array::from_iter_values(
                zones.iter().map(|zone| zone.id),
            )),
            Arc::new(StringArray::from_iter_values(
                zones.iter().map(|zone| &zone.name),
            )),
            Arc::new(BinaryArray::from_iter_values(geometries)),
        ],
    )?;
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![KeyValue::new("geo".to_owned(), geo.to_string())]))
        .build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Writes GeoJSON with the `crs` member of its first edition, which GDAL and others read: the coordinates are not
/// longitude and latitude.
pub(super) fn write_geojson(file: &File, zones: &[Zone]) -> std::io::Result<()> {
    let feature = |zone: &Zone| {
        json!({
            "type": "Feature",
            "id": zone.id,
            "properties": { "id": zone.id, "name": zone.name },
            "geometry": { "type": "Polygon", "coordinates": [zone.ring] },
        })
    };
    let collection = json!({
        "type": "FeatureCollection",
        "crs": { "type": "name", "properties": { "name": "urn:ogc:def:crs:EPSG::32630" } },
        "features": zones.iter().map(feature).collect::<Vec<_>>(),
    });
    let mut out = BufWriter::new(file);
    serde_json::to_writer(&mut out, &collection)?;
    out.flush()
}
