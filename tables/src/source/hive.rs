//! Columns from the names of folders (`name=value`).
//!
//! Values are integers when all of a column's are (without leading zeros), else text; `__HIVE_DEFAULT_PARTITION__` is
//! null. A column of a file that has the name of a folder's is hidden by it.

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use super::Error;
use super::locate::Found;

const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns the columns that the folders of all files give.
pub(super) fn columns(files: &[&Found]) -> Result<Vec<Field>, Error> {
    let Some(first) = files.first() else {
        return Ok(Vec::new());
    };
    let names = |found: &Found| -> Vec<String> {
        found.hive.iter().map(|(name, _)| name.clone()).collect()
    };
    let expected = names(first);
    if let Some(second) = files.iter().find(|found| names(found) != expected) {
        return Err(Error::Hive {
            first: first.shown.clone(),
            second: second.shown.clone(),
        });
    }
    let field = |(at, name): (usize, String)| {
        let mut values = files.iter().filter_map(|found| found.hive.get(at));
        let whole = values.all(|(_, value)| value == NULL || integer(value).is_some());
        let data_type = if whole {
            DataType::Int64
        } else {
            DataType::Utf8
        };
        Field::new(name, data_type, true)
    };
    Ok(expected.into_iter().enumerate().map(field).collect())
}

/// Returns the values of a file for these columns.
pub(super) fn values(found: &Found, columns: &[Field]) -> Vec<ScalarValue> {
    let pairs = columns.iter().zip(&found.hive);
    let value = |(field, (_, value)): (&Field, &(String, String))| {
        let value = (value != NULL).then_some(value);
        match field.data_type() {
            DataType::Int64 => ScalarValue::Int64(value.and_then(|value| integer(value))),
            _ => ScalarValue::Utf8(value.cloned()),
        }
    };
    pairs.map(value).collect()
}

fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
