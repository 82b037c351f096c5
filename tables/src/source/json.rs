//! Columns of lines of JSON objects.
//!
//! - Each line that is not blank is an object; its members are columns, in the order in which they first appear. A member
//!   that is missing or `null` is null.
//! - Integers mixed with floats are floats; any other mixture of numbers, booleans and text is text; nested objects are
//!   structs, arrays are lists. Columns without a value are text.
//! - The sample from which types are found is that of CSV. A value behind it that does not fit is an error; a member that
//!   is not in it is left out.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::json::reader::{Decoder, ReaderBuilder, infer_json_schema_from_iterator};
use object_store::ObjectStore;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Error;
use super::csv::sample;
use super::facts::FileFacts;
use super::guard::guarded;
use super::locate::Found;
use super::split::Cuts;
use crate::ports::BoxError;

/// Reads as many lines as fit in a sample.
pub(super) async fn facts(
    found: &Found,
    store: &Arc<dyn ObjectStore>,
    sample_bytes: u64,
) -> Result<FileFacts, Error> {
    let sample = sample(found, store, sample_bytes).await?;
    let whole = sample.len() as u64 == found.meta.size;
    let end = match whole {
        true => sample.len(),
        false => sample.iter().rposition(|byte| *byte == b'\n').unwrap_or(0),
    };
    let (schema, rows) = guarded(&found.shown, async {
        let lines = sample.get(..end).unwrap_or_default();
        let lines = lines.split(|byte| *byte == b'\n');
        let lines: Vec<&[u8]> = lines.filter(|line| !line.trim_ascii().is_empty()).collect();
        Ok((infer(lines.iter().copied())?, lines.len()))
    })
    .await?;
    Ok(FileFacts {
        schema,
        rows: whole.then_some(rows),
        cuts: Cuts::Anywhere,
        footer: None,
    })
}

/// Finds the columns of objects; an object may be `null`, which has none.
pub(super) fn infer<'a>(
    objects: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<SchemaRef, BoxError> {
    let mut order: Vec<String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for object in objects.clone() {
        let Members(members) = serde_json::from_slice(object)?;
        for name in members {
            if known.insert(name.clone()) {
                order.push(name);
            }
        }
    }
    let values = objects.filter_map(|object| match serde_json::from_slice(object) {
        Ok(Value::Null) => None,
        Ok(value) => Some(Ok(value)),
        Err(error) => Some(Err(arrow::error::ArrowError::JsonError(error.to_string()))),
    });
    let found = infer_json_schema_from_iterator::<_, Value>(values)?;
    let fields = order.iter().map(|name| {
        let field = found.field_with_name(name)?;
        let data_type = match field.data_type() {
            // Another file may know.
            DataType::Null => DataType::Null,
            known => settled(known),
        };
        Ok(Field::new(name, data_type, true))
    });
    let fields: Result<Vec<_>, arrow::error::ArrowError> = fields.collect();
    Ok(Arc::new(Schema::new(fields?)))
}

/// Gives members of nested objects an order, which arrow leaves to chance, and nulls a type.
fn settled(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| Field::new(field.name(), settled(field.data_type()), true);
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::List(inner) => DataType::List(Arc::new(field(inner))),
        DataType::Struct(members) => {
            let mut members: Vec<Field> = members.iter().map(field).collect();
            members.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(Fields::from(members))
        }
        other => other.clone(),
    }
}

/// The names of an object's members, in order.
struct Members(Vec<String>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> serde::de::Visitor<'de> for Names {
            type Value = Vec<String>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_unit<E>(self) -> Result<Vec<String>, E> {
                Ok(Vec::new())
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Vec<String>, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = map.next_key()? {
                    map.next_value::<&RawValue>()?;
                    names.push(name);
                }
                Ok(names)
            }
        }
        from.deserialize_any(Names).map(Members)
    }
}

/// Makes a decoder of objects; numbers are taken where text is wanted.
pub(super) fn decoder(schema: SchemaRef, batch_rows: usize) -> Result<Decoder, BoxError> {
    let builder = ReaderBuilder::new(schema).with_batch_size(batch_rows);
    Ok(builder.with_coerce_primitive(true).build_decoder()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_columns_in_the_order_of_appearance() {
        let lines = [
            r#"{"z":1,"a":null,"n":{"q":1,"b":[1.5]}}"#,
            r#"{"z":2.5,"late":true,"a":null}"#,
            r#"{"z":3,"late":"text"}"#,
        ];
        let schema = infer(lines.iter().map(|line| line.as_bytes())).unwrap();
        let names: Vec<&String> = schema.fields().iter().map(|f| f.name()).collect();
        assert_eq!(names, ["z", "a", "n", "late"]);
        assert_eq!(schema.field(0).data_type(), &DataType::Float64);
        assert_eq!(schema.field(1).data_type(), &DataType::Null);
        assert_eq!(schema.field(3).data_type(), &DataType::Utf8);
        let DataType::Struct(inner) = schema.field(2).data_type() else {
            panic!("{schema:?}");
        };
        assert_eq!(
            (inner[0].name().as_str(), inner[1].name().as_str()),
            ("b", "q")
        );
        for wrong in ["[1]", "1", "{"] {
            assert!(infer([wrong.as_bytes()].into_iter()).is_err(), "{wrong}");
        }
    }
}
