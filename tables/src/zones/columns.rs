//! Columns that are filled value by value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder,
    RecordBatch, StringBuilder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::BATCH_ROWS;
use crate::BoxError;
use crate::geometry::{Crs, wkb_field};

/// The name of the geometry's column.
const GEOMETRY: &str = "geometry";

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Days since 1970.
    Date(i32),
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    UInt(UInt64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
}

/// Says that a value is of another type than its column.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds a value that is not of its type")]
struct Type {
    column: String,
}

impl Values {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::UInt64 => Self::UInt(UInt64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: &Cell<'_>) -> Option<()> {
        match (self, cell) {
            (Self::Bool(values), Cell::Bool(value)) => values.append_value(*value),
            (Self::Bool(values), Cell::Null) => values.append_null(),
            (Self::Int(values), Cell::Int(value)) => values.append_value(*value),
            (Self::Int(values), Cell::Null) => values.append_null(),
            (Self::UInt(values), Cell::UInt(value)) => values.append_value(*value),
            (Self::UInt(values), Cell::Null) => values.append_null(),
            (Self::Float(values), Cell::Float(value)) => values.append_value(*value),
            (Self::Float(values), Cell::Null) => values.append_null(),
            (Self::Text(values), Cell::Text(value)) => values.append_value(value),
            (Self::Text(values), Cell::Null) => values.append_null(),
            (Self::Bytes(values), Cell::Bytes(value)) => values.append_value(value),
            (Self::Bytes(values), Cell::Null) => values.append_null(),
            (Self::Date(values), Cell::Date(value)) => values.append_value(*value),
            (Self::Date(values), Cell::Null) => values.append_null(),
            _ => return None,
        }
        Some(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::UInt(values) => Arc::new(values.finish()),
            Self::Float(values) => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
            Self::Bytes(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
        }
    }
}

/// Makes batches of attributes and geometries.
#[derive(Debug)]
pub(super) struct Rows {
    schema: SchemaRef,
    values: Vec<Values>,
    geometries: BinaryBuilder,
    rows: usize,
    batches: Vec<RecordBatch>,
}

impl Rows {
    /// Makes it for columns of these names and types (boolean, 64-bit integers, `Float64`, `Date32`, `Binary`, `Utf8`).
    pub(super) fn new(columns: &[(String, DataType)], crs: &Crs) -> Result<Self, BoxError> {
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len() + 1);
        for (name, data_type) in columns {
            if name == GEOMETRY || fields.iter().any(|field| field.name() == name) {
                return Err(format!("it has two columns {name}").into());
            }
            fields.push(Field::new(name, data_type.clone(), true));
        }
        let values = columns.iter().map(|(_, data_type)| Values::new(data_type));
        let values = values.collect();
        fields.push(wkb_field(GEOMETRY, crs));
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            values,
            geometries: BinaryBuilder::new(),
            rows: 0,
            batches: Vec::new(),
        })
    }

    /// Appends a row: as many cells as there are columns, and WKB.
    pub(super) fn push(&mut self, cells: &[Cell<'_>], wkb: Option<&[u8]>) -> Result<(), BoxError> {
        for (number, values) in self.values.iter_mut().enumerate() {
            let cell = cells.get(number).unwrap_or(&Cell::Null);
            values.push(cell).ok_or_else(|| Type {
                column: self.schema.field(number).name().clone(),
            })?;
        }
        self.geometries.append_option(wkb);
        self.rows += 1;
        if self.rows == BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        let mut columns: Vec<ArrayRef> = self.values.iter_mut().map(Values::finish).collect();
        columns.push(Arc::new(self.geometries.finish()));
        self.batches
            .push(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        self.rows = 0;
        Ok(())
    }

    /// Returns all batches.
    pub(super) fn finish(mut self) -> Result<super::Decoded, BoxError> {
        if self.rows > 0 {
            self.flush()?;
        }
        Ok((self.schema, self.batches))
    }
}
