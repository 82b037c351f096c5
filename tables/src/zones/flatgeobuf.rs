//! `FlatGeobuf`: features in the order of the file, whatever its index.
//!
//! Integers of every width become 64-bit ones; dates and JSON stay text.

use arrow::datatypes::DataType;
use flatgeobuf::{ColumnType, FallibleStreamingIterator, FeatureProperties, FgbFeature, FgbReader};
use geozero::error::Result as Processed;
use geozero::{ColumnValue, CoordDimensions, PropertyProcessor, ToWkb};

use super::Decoded;
use super::columns::{Cell, Rows};
use crate::BoxError;
use crate::geometry::Crs;

/// Decodes a whole file.
pub(super) fn batches(bytes: &[u8]) -> Result<Decoded, BoxError> {
    let reader = FgbReader::open(bytes)?;
    let header = reader.header();
    let crs = match header.crs() {
        None => Crs::Unknown,
        Some(crs) => match (crs.code(), crs.wkt()) {
            (code @ 1.., _) => {
                let code = format!("{}:{code}", crs.org().unwrap_or("EPSG"));
                Crs::from_json(&code.into())
            }
            (_, Some(wkt)) => Crs::from_json(&wkt.into()),
            (_, None) => Crs::Unknown,
        },
    };
    let columns = header.columns().map(|columns| {
        let column =
            |column: flatgeobuf::Column<'_>| (column.name().to_owned(), data_type(column.type_()));
        columns.iter().map(column).collect::<Vec<_>>()
    });
    let columns = columns.unwrap_or_default();
    let mut rows = Rows::new(&columns, &crs)?;
    let mut features = reader.select_all_seq()?;
    while let Some(feature) = features.next()? {
        push(feature, columns.len(), &mut rows)?;
    }
    rows.finish()
}

fn data_type(column: ColumnType) -> DataType {
    match column {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Byte
        | ColumnType::UByte
        | ColumnType::Short
        | ColumnType::UShort
        | ColumnType::Int
        | ColumnType::UInt
        | ColumnType::Long => DataType::Int64,
        ColumnType::ULong => DataType::UInt64,
        ColumnType::Float | ColumnType::Double => DataType::Float64,
        ColumnType::Binary => DataType::Binary,
        _ => DataType::Utf8,
    }
}

/// A value that outlives the feature's buffer.
#[derive(Debug, Clone, Default)]
enum Owned {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

struct Properties(Vec<Owned>);

impl PropertyProcessor for Properties {
    fn property(&mut self, index: usize, _: &str, value: &ColumnValue<'_>) -> Processed<bool> {
        if let Some(cell) = self.0.get_mut(index) {
            *cell = match value {
                ColumnValue::Bool(value) => Owned::Bool(*value),
                ColumnValue::Byte(value) => Owned::Int((*value).into()),
                ColumnValue::UByte(value) => Owned::Int((*value).into()),
                ColumnValue::Short(value) => Owned::Int((*value).into()),
                ColumnValue::UShort(value) => Owned::Int((*value).into()),
                ColumnValue::Int(value) => Owned::Int((*value).into()),
                ColumnValue::UInt(value) => Owned::Int((*value).into()),
                ColumnValue::Long(value) => Owned::Int(*value),
                ColumnValue::ULong(value) => Owned::UInt(*value),
                ColumnValue::Float(value) => Owned::Float((*value).into()),
                ColumnValue::Double(value) => Owned::Float(*value),
                ColumnValue::String(text)
                | ColumnValue::Json(text)
                | ColumnValue::DateTime(text) => Owned::Text((*text).to_owned()),
                ColumnValue::Binary(bytes) => Owned::Bytes(bytes.to_vec()),
            };
        }
        Ok(false)
    }
}

fn push(feature: &FgbFeature, columns: usize, rows: &mut Rows) -> Result<(), BoxError> {
    let mut properties = Properties(vec![Owned::Null; columns]);
    feature.process_properties(&mut properties)?;
    let cells = properties.0.iter().map(|owned| match owned {
        Owned::Null => Cell::Null,
        Owned::Bool(value) => Cell::Bool(*value),
        Owned::Int(value) => Cell::Int(*value),
        Owned::UInt(value) => Cell::UInt(*value),
        Owned::Float(value) => Cell::Float(*value),
        Owned::Text(text) => Cell::Text(text),
        Owned::Bytes(bytes) => Cell::Bytes(bytes),
    });
    let cells: Vec<Cell<'_>> = cells.collect();
    let wkb = match feature.geometry() {
        Some(_) => Some(feature.to_wkb(CoordDimensions::xy())?),
        None => None,
    };
    rows.push(&cells, wkb.as_deref())
}
