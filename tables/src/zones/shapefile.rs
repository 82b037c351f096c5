//! Shapefile: `.shp` with its `.dbf`, its `.prj` where there is one, and `.cpg`, which names the encoding of its text.

use std::io::Cursor;

use arrow::datatypes::DataType;
use bytes::Bytes;
use shapefile::dbase::{self, FieldType, FieldValue};
use shapefile::{Shape, ShapeReader};

use super::columns::{Cell, Rows};
use super::{Decoded, ZonesError, fetch};
use crate::BoxError;
use crate::geometry::{Crs, Rings};
use crate::source::{self, SourceContext};

/// The bytes of a Shapefile's files.
#[derive(Debug)]
pub(super) struct Files {
    shapes: Bytes,
    attributes: Option<Bytes>,
    projection: Option<Bytes>,
    encoding: Option<Bytes>,
}

impl Files {
    /// Reads the files whose names are `path` with other endings.
    pub(super) async fn fetch(path: &str, sources: &SourceContext) -> Result<Self, ZonesError> {
        Ok(Self {
            shapes: fetch(path, sources).await?,
            attributes: beside(path, "dbf", sources).await?,
            projection: beside(path, "prj", sources).await?,
            encoding: beside(path, "cpg", sources).await?,
        })
    }

    /// Decodes all.
    pub(super) fn batches(&self) -> Result<Decoded, BoxError> {
        let crs = match &self.projection {
            None => Crs::Unknown,
            Some(text) => Crs::from_json(&String::from_utf8_lossy(text).into()),
        };
        let mut shapes = ShapeReader::new(Cursor::new(&self.shapes))?;
        let Some(bytes) = &self.attributes else {
            let mut rows = Rows::new(&[], &crs)?;
            for shape in shapes.iter_shapes() {
                rows.push(&[], wkb(shape?)?.as_deref())?;
            }
            return rows.finish();
        };
        let mut attributes = self.open(bytes)?;
        let fields = attributes.fields().iter().enumerate();
        let columns = fields
            .map(|(number, field)| (field.name().to_owned(), data_type(field, number, bytes)));
        let columns: Vec<_> = columns.collect();
        let mut rows = Rows::new(&columns, &crs)?;
        let mut records = attributes.iter_records();
        for shape in shapes.iter_shapes() {
            let record = match records.next() {
                Some(record) => record?,
                None => return Err("the .dbf has fewer rows than the .shp has shapes".into()),
            };
            let cells = columns
                .iter()
                .map(|(name, data_type)| match record.get(name) {
                    Some(value) => cell(value, data_type),
                    None => Cell::Null,
                });
            let cells: Vec<Cell<'_>> = cells.collect();
            rows.push(&cells, wkb(shape?)?.as_deref())?;
        }
        rows.finish()
    }

    fn open<'b>(&self, bytes: &'b Bytes) -> Result<dbase::Reader<Cursor<&'b Bytes>>, BoxError> {
        let mut builder = dbase::ReaderBuilder::new();
        if let Some(label) = &self.encoding {
            let label = label_of(&String::from_utf8_lossy(label));
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                format!("its .cpg names the encoding {label}, which is not known")
            })?;
            builder = builder.with_encoding(dbase::encoding::EncodingRs::from(encoding));
        }
        Ok(builder.build(Cursor::new(bytes))?)
    }
}

/// Returns the label, as the web has it, of an encoding as `.cpg` files spell it: `UTF-8`, `ISO 88591`, `8859-1`, `1252`.
fn label_of(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let digits = plain.trim_start_matches("iso");
    let numbered = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.strip_prefix("8859") {
        Some(part) if numbered && !part.is_empty() => format!("iso-8859-{part}"),
        _ if numbered && digits == plain => format!("windows-{plain}"),
        _ => text.trim().to_ascii_lowercase(),
    }
}

/// Reads a file of another ending, in small or capital letters, or nothing when there is none.
async fn beside(
    path: &str,
    ending: &str,
    sources: &SourceContext,
) -> Result<Option<Bytes>, ZonesError> {
    let Some((stem, _)) = path.rsplit_once('.') else {
        return Ok(None);
    };
    for ending in [ending.to_owned(), ending.to_ascii_uppercase()] {
        match fetch(&format!("{stem}.{ending}"), sources).await {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(ZonesError::File { source }) if is_missing(&source) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn is_missing(error: &source::Error) -> bool {
    match error {
        source::Error::NotFound { .. } | source::Error::NoMatch { .. } => true,
        source::Error::Fetch { source, .. } => {
            matches!(**source, object_store::Error::NotFound { .. })
        }
        _ => false,
    }
}

fn data_type(field: &dbase::FieldInfo, number: usize, dbf: &[u8]) -> DataType {
    // The reader keeps the number of decimals to itself: byte 17 of the field's 32, behind the header's 32.
    let decimals = dbf.get(32 + 32 * number + 17).copied().unwrap_or(1);
    match field.field_type() {
        FieldType::Logical => DataType::Boolean,
        FieldType::Date => DataType::Date32,
        // Seconds since 1970.
        FieldType::Integer | FieldType::DateTime => DataType::Int64,
        // 15 digits fit into the double that the reader makes of them.
        FieldType::Numeric if decimals == 0 && field.length() <= 15 => DataType::Int64,
        FieldType::Numeric | FieldType::Float | FieldType::Double | FieldType::Currency => {
            DataType::Float64
        }
        FieldType::Character | FieldType::Memo => DataType::Utf8,
    }
}

fn cell<'a>(value: &'a FieldValue, data_type: &DataType) -> Cell<'a> {
    let number = |number: f64| match data_type {
        // Whole and of at most 15 digits.
        DataType::Int64 => Cell::Int(number as i64),
        _ => Cell::Float(number),
    };
    match value {
        FieldValue::Character(text) => text.as_deref().map_or(Cell::Null, Cell::Text),
        FieldValue::Numeric(value) => value.map_or(Cell::Null, number),
        FieldValue::Logical(value) => value.map_or(Cell::Null, Cell::Bool),
        FieldValue::Date(date) => date.map_or(Cell::Null, |date| Cell::Date(date.to_unix_days())),
        FieldValue::Float(value) => value.map_or(Cell::Null, |value| number(value.into())),
        FieldValue::Integer(value) => Cell::Int((*value).into()),
        FieldValue::Currency(value) | FieldValue::Double(value) => number(*value),
        FieldValue::Memo(text) => Cell::Text(text),
        FieldValue::DateTime(time) => Cell::Int(time.to_unix_timestamp()),
    }
}

/// Makes WKB of a shape: a multipolygon; nothing of a null shape.
fn wkb(shape: Shape) -> Result<Option<Vec<u8>>, BoxError> {
    macro_rules! rings {
        ($polygon:expr) => {
            $polygon
                .rings()
                .iter()
                .map(|ring| {
                    let outer = matches!(ring, shapefile::PolygonRing::Outer(_));
                    let points = ring.points().iter().map(|point| [point.x, point.y]);
                    (outer, points.collect::<Vec<_>>())
                })
                .collect::<Vec<_>>()
        };
    }
    let rings = match shape {
        Shape::NullShape => return Ok(None),
        Shape::Polygon(polygon) => rings!(polygon),
        Shape::PolygonM(polygon) => rings!(polygon),
        Shape::PolygonZ(polygon) => rings!(polygon),
        _ => return Err("its shapes are points, lines or patches; zones are polygons".into()),
    };
    Ok(Some(multipolygon(&polygons(rings))))
}

/// Puts every hole with the outside that it lies in: a Shapefile lists rings in any order.
fn polygons(rings: Vec<(bool, Vec<[f64; 2]>)>) -> Vec<Rings> {
    let (outers, holes): (Vec<_>, Vec<_>) = rings.into_iter().partition(|(outer, _)| *outer);
    let mut polygons: Vec<Rings> = outers.into_iter().map(|(_, ring)| vec![ring]).collect();
    for (_, hole) in holes {
        let around = |polygon: &&mut Rings| {
            let outer = polygon.first().map(Vec::as_slice).unwrap_or_default();
            hole.first().is_some_and(|point| contains(outer, *point))
        };
        match polygons.iter_mut().find(around) {
            Some(polygon) => polygon.push(hole),
            // In no outside: written the wrong way round.
            None => polygons.push(vec![hole]),
        }
    }
    polygons
}

fn contains(ring: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let next = ring.iter().skip(1).chain(ring.first());
    let crossings = ring.iter().zip(next).filter(|([x0, y0], [x1, y1])| {
        (*y0 > y) != (*y1 > y) && x < (x1 - x0) * (y - y0) / (y1 - y0) + x0
    });
    crossings.count() % 2 == 1
}

fn multipolygon(polygons: &[Rings]) -> Vec<u8> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = vec![1, 6, 0, 0, 0];
    out.extend(count(polygons.len()));
    for rings in polygons {
        out.extend([1, 3, 0, 0, 0]);
        out.extend(count(rings.len()));
        for ring in rings {
            out.extend(count(ring.len()));
            out.extend(
                ring.iter()
                    .flatten()
                    .flat_map(|number| number.to_le_bytes()),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_known_however_they_are_spelled() {
        let check = |text, name| {
            let label = label_of(text);
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes());
            assert_eq!(encoding.map(encoding_rs::Encoding::name), name, "{text}");
        };
        check("UTF-8\n", Some("UTF-8"));
        // The web takes Latin 1 for what Windows makes of it.
        check("ISO 88591", Some("windows-1252"));
        check("8859-2", Some("ISO-8859-2"));
        check("1252", Some("windows-1252"));
        check("GBK", Some("GBK"));
        check("what", None);
    }

    #[test]
    fn a_hole_goes_with_the_outside_that_it_lies_in() {
        let square = |left: f64, right: f64| {
            vec![
                [left, left],
                [left, right],
                [right, right],
                [right, left],
                [left, left],
            ]
        };
        let (far, near, hole) = (square(20.0, 30.0), square(0.0, 10.0), square(2.0, 3.0));
        let rings = vec![
            (false, hole.clone()),
            (true, far.clone()),
            (true, near.clone()),
        ];
        assert_eq!(polygons(rings), [vec![far], vec![near, hole]]);
    }
}
