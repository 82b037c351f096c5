//! Folders of parts: their names, and the `_SUCCESS` file that says the folder is whole.

use arrow::datatypes::Schema;
use serde_json::json;

use super::OutputFormat;

/// The name of the file that is written last.
pub const SUCCESS: &str = "_SUCCESS";

/// A file of a folder of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFile {
    /// Its name in the folder.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Returns the name of a part; names sort as the parts do, up to 100,000 of them.
#[must_use]
pub fn part_name(index: usize, format: &OutputFormat) -> String {
    format!("part-{index:05}.{}", format.extension())
}

/// Tells whether a file is named as [`part_name`] names a part.
#[must_use]
pub fn is_part(name: &str) -> bool {
    let number = name
        .strip_prefix("part-")
        .and_then(|rest| rest.split_once('.'));
    number
        .is_some_and(|(number, _)| number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns the text of `_SUCCESS`: a JSON object of parts, rows, bytes and columns.
#[must_use]
pub fn manifest(parts: &[PartFile], format: &OutputFormat, schema: &Schema) -> String {
    let files = parts
        .iter()
        .map(|part| json!({ "name": part.name, "rows": part.rows, "bytes": part.bytes }));
    let columns = schema.fields().iter().map(|field| {
        json!({
            "name": field.name(),
            "type": field.data_type().to_string(),
            "nullable": field.is_nullable(),
        })
    });
    let manifest = json!({
        "version": 1,
        "format": format.format,
        "rows": parts.iter().map(|part| part.rows).sum::<u64>(),
        "bytes": parts.iter().map(|part| part.bytes).sum::<u64>(),
        "parts": files.collect::<Vec<_>>(),
        "schema": columns.collect::<Vec<_>>(),
    });
    format!("{manifest:#}\n")
}
