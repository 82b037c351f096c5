//! Which format a file has, and what its place in a scan is called.

use super::Error;
use super::locate::Found;
use crate::query::Format;

/// Returns the format that the name of a file tells.
#[must_use]
pub fn format_of(path: &str) -> Option<Format> {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "parquet" | "geoparquet" | "parq" | "pq" => Format::Parquet,
        "csv" => Format::Csv,
        "ndjson" | "jsonl" | "json" => Format::Ndjson,
        "geojson" | "geojsonl" | "geojsons" => Format::Geojson,
        "arrow" | "arrows" | "arrow_file" | "feather" | "ipc" | "stream" => Format::Arrow,
        _ => return None,
    })
}

/// Returns the format of a table's files: what was said, or else what all names tell.
pub(super) fn common_format(said: Option<Format>, files: &[Found]) -> Result<Format, Error> {
    if let Some(format) = said {
        return Ok(format);
    }
    let mut common: Option<(Format, &Found)> = None;
    for file in files {
        let format = format_of(&file.shown).ok_or_else(|| Error::UnknownFormat {
            path: file.shown.clone(),
        })?;
        match common {
            Some((first, named)) if first != format => {
                return Err(Error::MixedFormats {
                    first: named.shown.clone(),
                    second: file.shown.clone(),
                });
            }
            _ => common = Some((format, file)),
        }
    }
    common.map(|(format, _)| format).ok_or(Error::NoPaths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        for (name, format) in [
            ("a/b.parquet", Some(Format::Parquet)),
            ("https://x/b.CSV?sig=1.2", Some(Format::Csv)),
            ("b.arrow_file", Some(Format::Arrow)),
            ("b.c/d", None),
            ("b.csv.gz", None),
        ] {
            assert_eq!(format_of(name), format, "{name}");
        }
    }
}
