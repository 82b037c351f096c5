//! The columns that keys name.

use arrow::array::{Array, ArrayRef, AsArray, RunArray, UInt64Array, downcast_run_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, RunEndIndexType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::error::Error;

/// Returns the column of a name.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    let schema = batch.schema_ref();
    let mut named = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(field, _)| field.name() == name);
    match (named.next(), named.next()) {
        (Some((_, column)), None) => Ok(column),
        (Some(_), Some(_)) => Err(Error::AmbiguousColumn {
            column: name.to_owned(),
        }),
        (None, _) => Err(Error::UnknownColumn {
            column: name.to_owned(),
            columns: schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
        }),
    }
}

/// Checks the names of keys: at least one.
pub(super) fn key_names<I>(names: I) -> Result<Vec<String>, Error>
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    let names: Vec<String> = names.into_iter().map(Into::into).collect();
    if names.is_empty() {
        Err(Error::NoKeys)
    } else {
        Ok(names)
    }
}

/// Returns the type of a column's values, however they are encoded.
pub(super) fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        plain => plain,
    }
}

/// Undoes dictionary and run-end encoding.
pub(super) fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match encoded(array.as_ref())? {
        Some((values, at)) => plain(&take(&values, &at, None)?),
        None => Ok(array.clone()),
    }
}

/// Returns the values of an encoded column, and which of them stands in each row; `None` when it is not encoded.
pub(super) fn encoded(array: &dyn Array) -> Result<Option<(ArrayRef, ArrayRef)>, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            Ok(Some((
                dictionary.values().clone(),
                dictionary.keys().slice(0, array.len()),
            )))
        }
        DataType::RunEndEncoded(_, _) => downcast_run_array! {
            array => run_values(array).map(Some),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn run_values<R: RunEndIndexType>(array: &RunArray<R>) -> Result<(ArrayRef, ArrayRef), ArrowError> {
    let at = UInt64Array::from_iter_values(
        (0..array.len()).map(|row| array.get_physical_index(row) as u64),
    );
    Ok((array.values().clone(), std::sync::Arc::new(at)))
}
