//! Sizes and durations as people write them.

use std::time::Duration;

/// Says why a text is not a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct Error {
    text: String,
    what: &'static str,
}

const SIZE: &str =
    "a size; write a number and B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB), such as 4GiB";
const DURATION: &str = "a duration; write a number and ms, s, m or h, such as 10m";

/// Reads a size in bytes: `4GiB`, `512MB`, `1000`.
///
/// # Errors
/// When the text is not a number with one of the units, or is too large.
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    let units: [(&str, f64); 10] = [
        ("KiB", 1024.0),
        ("MiB", 1024.0 * 1024.0),
        ("GiB", 1024.0 * 1024.0 * 1024.0),
        ("TiB", 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("B", 1.0),
        ("", 1.0),
    ];
    parse(text, SIZE, &units).map(|bytes| bytes as u64)
}

/// Reads a duration: `10m`, `1.5s`, `200ms`, `2h`.
///
/// # Errors
/// When the text is not a number with one of the units, or is too large.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let units = [
        ("ms", 0.001),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let seconds = parse(text, DURATION, &units)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| Error {
        text: text.to_owned(),
        what: DURATION,
    })
}

fn parse(text: &str, what: &'static str, units: &[(&str, f64)]) -> Result<f64, Error> {
    let error = || Error {
        text: text.to_owned(),
        what,
    };
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
        .ok_or_else(error)?;
    let value = number.parse::<f64>().map_err(|_| error())? * factor;
    // 2^53 is far beyond any size or duration, and still exact.
    if value < 9_007_199_254_740_992.0 {
        Ok(value)
    } else {
        Err(error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_as_people_write_them() {
        assert_eq!(parse_bytes("4GiB"), Ok(4 << 30));
        assert_eq!(parse_bytes("1.5 kib"), Ok(1536));
        assert_eq!(parse_bytes("512MB"), Ok(512_000_000));
        assert_eq!(parse_bytes("1000"), Ok(1000));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_duration("200ms"), Ok(Duration::from_millis(200)));
        for wrong in ["", "GiB", "4 elephants", "-1", "1e999", "9999999TiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert!(parse_duration("10").is_err(), "a duration needs its unit");
    }
}
