//! Types of the columns of CSV files.
//!
//! - The first line is the header. Fields are separated by commas and may be quoted by `"`, doubled inside.
//! - An empty field, quoted or not, is null. Nothing else is: the text `NA` is text.
//! - A column is of the narrowest of these types that all its fields in the sample have: boolean (`true`, `false` in any
//!   case), 64 bit integer (also `007`, which is 7), 64 bit float, date (`2024-12-31`), timestamp, text. Integers mixed
//!   with floats are floats, dates with timestamps are timestamps, any other mixture is text; so are columns without a
//!   value.
//! - The sample is the whole file up to 64 MiB, shared by the files of a table, 64 KiB of each at least. A field behind
//!   it that is not of the type found is an error that names the line.
//! - A file with a line break inside quotes in the sample is read by one task; others are cut by bytes. A quoted break
//!   that first comes behind the sample, and right where a cut falls, is an error: a row has too few fields.

use std::sync::Arc;

use arrow::csv::reader::Format;
use arrow::datatypes::DataType;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt};

use super::Error;
use super::facts::FileFacts;
use super::guard::guarded;
use super::locate::{Found, fetch_failed};
use super::split::Cuts;

/// Reads the header of a file and as many lines as fit in a sample.
pub(super) async fn facts(
    found: &Found,
    store: &Arc<dyn ObjectStore>,
    sample_bytes: u64,
) -> Result<FileFacts, Error> {
    let sample = sample(found, store, sample_bytes).await?;
    let lines = Lines::new(&sample);
    let whole = sample.len() as u64 == found.meta.size;
    let end = if whole { sample.len() } else { lines.end };
    let (schema, rows) = guarded(&found.shown, async {
        let lines = sample.get(..end).unwrap_or_default();
        let format = Format::default().with_header(true);
        format.infer_schema(lines, None).map_err(Into::into)
    })
    .await?;
    Ok(FileFacts {
        schema: Arc::new(schema),
        rows: whole.then_some(rows),
        cuts: match lines.quoted_breaks {
            true => Cuts::Whole,
            false => Cuts::Anywhere,
        },
        footer: None,
    })
}

/// Reads the beginning of a file.
pub(super) async fn sample(
    found: &Found,
    store: &Arc<dyn ObjectStore>,
    bytes: u64,
) -> Result<Bytes, Error> {
    let end = found.meta.size.min(bytes);
    store
        .get_range(&found.meta.location, 0..end)
        .await
        .map_err(|source| fetch_failed(&found.shown, source))
}

/// What a sample looks like.
struct Lines {
    /// Behind the last line that is whole.
    end: usize,
    quoted_breaks: bool,
}

impl Lines {
    fn new(sample: &[u8]) -> Self {
        let mut lines = Self {
            end: 0,
            quoted_breaks: false,
        };
        // A doubled quote toggles twice.
        let mut quoted = false;
        for (at, byte) in sample.iter().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' if quoted => lines.quoted_breaks = true,
                b'\n' => lines.end = at + 1,
                _ => {}
            }
        }
        lines
    }
}

/// Returns the type that holds the fields of both.
pub(super) fn wider(one: &DataType, two: &DataType) -> DataType {
    use DataType::{Date32, Float64, Int64, Null, Timestamp, Utf8};
    match (one, two) {
        (a, b) if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (Int64, Float64) | (Float64, Int64) => Float64,
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Timestamp(*unit, zone.clone())
        }
        (Timestamp(a, None), Timestamp(b, None)) => Timestamp(*a.max(b), None),
        _ => Utf8,
    }
}
