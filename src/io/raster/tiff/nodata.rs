//! The value that means "no data": GDAL's tag 42113.

use super::Tags;
use super::tags::GDAL_NODATA;
use crate::grid::DataType;

/// Returns the value that means "no data" in every band.
///
/// The tag holds text. A value that no sample of the type can have is `None`: no cell can be equal to it. For `float32` it is
/// rounded to the nearest of its numbers, so that a cell written as `-3.4028235e38` is found.
#[must_use]
pub fn nodata(tags: &Tags, dtype: DataType) -> Option<f64> {
    let text = tags.text(GDAL_NODATA)?;
    let value = parse(text.trim())?;
    match dtype {
        DataType::Float64 => Some(value),
        DataType::Float32 => to_float32(value),
        _ => {
            let (low, high) = dtype.range();
            (value.fract() == 0.0 && value >= low && value <= high).then_some(value)
        }
    }
}

fn parse(text: &str) -> Option<f64> {
    // C libraries write these in their own ways; Rust reads "nan", "inf" and "infinity" in any case.
    let text = match text.to_ascii_lowercase().as_str() {
        "-nan" | "nan(ind)" | "-nan(ind)" | "1.#qnan" | "-1.#ind" => "nan".to_owned(),
        "1.#inf" => "inf".to_owned(),
        "-1.#inf" => "-inf".to_owned(),
        // Some writers put the decimal comma of their language.
        other => other.replace(',', "."),
    };
    text.parse().ok()
}

fn to_float32(value: f64) -> Option<f64> {
    let narrow = value as f32;
    if narrow.is_infinite() && value.is_finite() {
        return None;
    }
    Some(f64::from(narrow))
}
