//! Columns as a format holds them.
//!
//! Geometries are WKB in Parquet, Arrow and as GeoJSON's geometry, WKT in CSV, in lines of JSON and among GeoJSON's
//! properties. Views are plain text and bytes for readers that do not know them; Arrow files have no dictionaries, since
//! those of different parts differ.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use geoarrow_array::GeoArrowArray;
use geoarrow_array::array::from_arrow_array;
use geoarrow_array::cast::{to_wkb, to_wkt};

use super::{Error, OutputFormat};
use crate::geometry::{
    Bounds, Encoding, GeometryColumn, Scan, geometry_columns, geometry_field, primary_geometry,
};
use crate::query::Format;

/// How the columns of a result become those of a file.
#[derive(Debug)]
pub(super) struct Columns {
    format: Format,
    input: SchemaRef,
    /// The columns as they are encoded.
    pub(super) schema: SchemaRef,
    /// The geometry columns among them that are WKB.
    pub(super) geometry: Vec<GeometryColumn>,
    /// What happens to each column.
    changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Keep,
    Cast(DataType),
    Wkb,
    Wkt,
}

impl Columns {
    pub(super) fn new(format: &OutputFormat, input: &SchemaRef) -> Result<Self, Error> {
        let format = format.format;
        let primary = primary_geometry(input).map(|column| column.index);
        if format == Format::Geojson && primary.is_none() {
            return Err(Error::NoGeometry);
        }
        let geometry = geometry_columns(input);
        let mut fields = Vec::new();
        let mut changes = Vec::new();
        for (index, field) in input.fields().iter().enumerate() {
            let column = geometry.iter().find(|column| column.index == index);
            let as_wkb = match format {
                Format::Parquet | Format::Arrow => true,
                Format::Geojson => primary == Some(index),
                Format::Csv | Format::Ndjson => false,
            };
            let (field, change) = match column {
                Some(column) if as_wkb => wkb(field, column, format),
                Some(_) => {
                    let plain = Field::new(field.name(), DataType::Utf8, true);
                    (Arc::new(plain), Change::Wkt)
                }
                None => plain(field, format),
            };
            fields.push(field);
            changes.push(change);
        }
        let schema = Schema::new_with_metadata(fields, Default::default());
        Ok(Self {
            format,
            input: Arc::clone(input),
            geometry: geometry_columns(&schema),
            schema: Arc::new(schema),
            changes,
        })
    }

    /// Changes a batch.
    pub(super) fn change(
        &self,
        batch: &RecordBatch,
        rows_before: u64,
    ) -> Result<RecordBatch, Error> {
        let fields = self.input.fields().iter();
        let columns = fields.zip(batch.columns()).zip(&self.changes);
        let columns = columns.map(|((field, column), change)| match change {
            Change::Keep => Ok(Arc::clone(column)),
            Change::Cast(to) => cast(column, to).map_err(|e| self.failed(e)),
            Change::Wkb => self.convert(field, column, true, rows_before),
            Change::Wkt => self.convert(field, column, false, rows_before),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, Error>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| self.failed(error))
    }

    fn convert(
        &self,
        field: &FieldRef,
        column: &ArrayRef,
        wkb: bool,
        rows_before: u64,
    ) -> Result<ArrayRef, Error> {
        // The converter trusts WKB.
        for (row, bytes) in super::geo::values(column).enumerate() {
            let checked = bytes.map(|bytes| Scan::new(bytes, &mut Bounds::default()));
            checked.transpose().map_err(|problem| Error::Geometry {
                column: field.name().clone(),
                row: rows_before + row as u64,
                problem,
            })?;
        }
        let array = from_arrow_array(column, field).map_err(|e| self.failed(e))?;
        Ok(match wkb {
            true => to_wkb::<i32>(array.as_ref())
                .map_err(|e| self.failed(e))?
                .to_array_ref(),
            false => to_wkt::<i32>(array.as_ref())
                .map_err(|e| self.failed(e))?
                .to_array_ref(),
        })
    }

    fn failed(&self, source: impl Into<crate::BoxError>) -> Error {
        encode_failed(self.format, source)
    }
}

/// Returns a column of geometries of any encoding as WKB.
pub(crate) fn to_wkb_column(
    field: &FieldRef,
    column: &ArrayRef,
) -> Result<ArrayRef, crate::BoxError> {
    let array = from_arrow_array(column, field)?;
    Ok(to_wkb::<i32>(array.as_ref())?.to_array_ref())
}

pub(super) fn encode_failed(format: Format, source: impl Into<crate::BoxError>) -> Error {
    Error::Encode {
        format: match format {
            Format::Parquet => "Parquet",
            Format::Csv => "CSV",
            Format::Ndjson => "lines of JSON",
            Format::Geojson => "GeoJSON",
            Format::Arrow => "Arrow IPC",
        },
        source: source.into(),
    }
}

fn wkb(field: &FieldRef, column: &GeometryColumn, format: Format) -> (FieldRef, Change) {
    if column.encoding == Encoding::Wkb {
        return plain(field, format);
    }
    let binary = Field::new(field.name(), DataType::Binary, true);
    let edges = column.edges.as_deref();
    let field = geometry_field(&binary, "wkb", &column.crs, edges);
    (Arc::new(field), Change::Wkb)
}

fn plain(field: &FieldRef, format: Format) -> (FieldRef, Change) {
    // Parquet's encoder takes views and dictionaries as they are.
    let dictionaries = format == Format::Arrow;
    let to = match format {
        Format::Parquet => field.data_type().clone(),
        _ => plain_type(field.data_type(), dictionaries),
    };
    match to == *field.data_type() {
        true => (Arc::clone(field), Change::Keep),
        false => {
            let plain = field.as_ref().clone().with_data_type(to.clone());
            (Arc::new(plain), Change::Cast(to))
        }
    }
}

/// Returns a type without views, and on request without dictionaries.
pub(super) fn plain_type(data_type: &DataType, dictionaries: bool) -> DataType {
    let inner = |field: &FieldRef| {
        let plain = plain_type(field.data_type(), dictionaries);
        Arc::new(field.as_ref().clone().with_data_type(plain))
    };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) if dictionaries => plain_type(values, true),
        DataType::Dictionary(keys, values) => {
            let values = plain_type(values, false);
            DataType::Dictionary(keys.clone(), Box::new(values))
        }
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(field, sorted) => DataType::Map(inner(field), *sorted),
        other => other.clone(),
    }
}
