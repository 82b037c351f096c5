//! One schema for all files of a table.
//!
//! Columns are matched by name. A column that some files lack is null there. Where types differ, text formats take the
//! type that holds both (see `csv.rs`); Parquet and Arrow take the wider of two integers or of two floats, and text,
//! bytes and dictionaries of either width for one another; anything else is an error that names both files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::Error;
use super::facts::FileFacts;
use super::locate::Found;
use crate::query::Format;

/// Joins the schemas of a table's files.
pub(super) fn union(format: Format, files: &[(Found, FileFacts)]) -> Result<SchemaRef, Error> {
    let mut columns: Vec<(Field, &Found)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let Some((first, first_facts)) = files.first() else {
        return Err(Error::NoPaths);
    };
    for (found, facts) in files {
        if format == Format::Csv && !same_names(&first_facts.schema, &facts.schema) {
            return Err(Error::Headers {
                first: first.shown.clone(),
                second: found.shown.clone(),
            });
        }
        for field in facts.schema.fields() {
            let at = *places.entry(field.name().clone()).or_insert(columns.len());
            match columns.get_mut(at) {
                None => columns.push((field.as_ref().clone(), found)),
                Some((known, named)) => {
                    let joined = joined(format, known.data_type(), field.data_type());
                    let data_type = joined.ok_or_else(|| Error::Types {
                        column: field.name().clone(),
                        first: named.shown.clone(),
                        first_type: known.data_type().to_string(),
                        second: found.shown.clone(),
                        second_type: field.data_type().to_string(),
                    })?;
                    let nullable = known.is_nullable() || field.is_nullable();
                    *known = known
                        .clone()
                        .with_data_type(data_type)
                        .with_nullable(nullable);
                }
            }
        }
    }
    let fields = columns.into_iter().map(|(field, _)| {
        let has = |facts: &FileFacts| facts.schema.column_with_name(field.name()).is_some();
        let everywhere = files.iter().all(|(_, facts)| has(facts));
        let nullable = field.is_nullable() || !everywhere;
        let field = field.with_nullable(nullable);
        match field.data_type() {
            // A value behind the sample is kept as text.
            DataType::Null if is_text(format) => field.with_data_type(DataType::Utf8),
            _ => field,
        }
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

const fn is_text(format: Format) -> bool {
    matches!(format, Format::Csv | Format::Ndjson | Format::Geojson)
}

fn same_names(one: &Schema, two: &Schema) -> bool {
    let names = |schema: &Schema| -> Vec<String> {
        schema.fields().iter().map(|f| f.name().clone()).collect()
    };
    names(one) == names(two)
}

fn joined(format: Format, one: &DataType, two: &DataType) -> Option<DataType> {
    use DataType::{
        Binary, BinaryView, Dictionary, Float16, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, Null, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    if one == two {
        return Some(one.clone());
    }
    match format {
        Format::Csv => return Some(super::csv::wider(one, two)),
        Format::Ndjson | Format::Geojson if !one.is_nested() && !two.is_nested() => {
            return Some(super::csv::wider(one, two));
        }
        _ => {}
    }
    let widest = |order: &[DataType]| {
        let place = |t| order.iter().position(|known| known == t);
        order.get(place(one)?.max(place(two)?)).cloned()
    };
    match (one, two) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Dictionary(_, values), other) | (other, Dictionary(_, values)) => {
            joined(format, values, other)
        }
        _ => widest(&[Int8, Int16, Int32, Int64])
            .or_else(|| widest(&[UInt8, UInt16, UInt32, UInt64]))
            .or_else(|| widest(&[Float16, Float32, Float64]))
            .or_else(|| widest(&[Utf8, LargeUtf8, Utf8View]))
            .or_else(|| widest(&[Binary, LargeBinary, BinaryView])),
    }
}
