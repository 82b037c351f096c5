//! Floats of a panel to the samples of an output.

use crate::for_samples;
use crate::grid::{DataType, Samples, Window};
use crate::ops::local::calc::cell::Cell;

use super::Error;
use super::panel::Real;

/// The samples of an output band and its value for "no data".
pub(super) struct Band {
    pub(super) samples: Samples,
    cols: usize,
    nodata: f64,
}

impl Band {
    /// Makes a band of `cols × rows` cells.
    pub(super) fn new(
        dtype: DataType,
        nodata: Option<f64>,
        (cols, rows): (u32, u32),
    ) -> Result<Self, Error> {
        let cols = cols as usize;
        Ok(Self {
            samples: Samples::zeros(dtype, cols.saturating_mul(rows as usize)),
            cols,
            nodata: check(dtype, nodata)?,
        })
    }

    /// Writes the values of a window, row by row, each rounded once; NaN and what is not finite becomes "no data".
    pub(super) fn put<T: Real>(&mut self, window: Window, values: &[T]) {
        let width = (window.cols as usize).max(1);
        for (row, values) in values.chunks_exact(width).enumerate() {
            let from = (window.row as usize + row) * self.cols + window.col as usize;
            let nodata = self.nodata;
            macro_rules! through_int {
                ($out:expr, $type:ty) => {{
                    let nodata = nodata as $type;
                    for (out, value) in $out.iter_mut().zip(values) {
                        *out = match small(value.to_f64(), <$type>::MIN.into(), <$type>::MAX.into())
                        {
                            Some(value) => value as $type,
                            None => nodata,
                        };
                    }
                }};
            }
            let range = from..from + width;
            match &mut self.samples {
                // The types of 8 and 16 bit take a way that the compiler vectorises.
                Samples::UInt8(v) => through_int!(v.get_mut(range).unwrap_or_default(), u8),
                Samples::Int8(v) => through_int!(v.get_mut(range).unwrap_or_default(), i8),
                Samples::UInt16(v) => through_int!(v.get_mut(range).unwrap_or_default(), u16),
                Samples::Int16(v) => through_int!(v.get_mut(range).unwrap_or_default(), i16),
                others => for_samples!(others, v => {
                    let out = v.get_mut(range).unwrap_or_default();
                    cells(values, nodata, out);
                }),
            }
        }
    }
}

/// Rounds half away from zero and clamps; `None` where the value is not finite.
#[inline(always)]
fn small(value: f64, low: i32, high: i32) -> Option<i32> {
    if !value.is_finite() {
        return None;
    }
    let clamped = value.clamp(f64::from(low), f64::from(high));
    // The cast cuts off; what it cut off says whether to go one further.
    let cut = clamped as i32;
    let rest = clamped - f64::from(cut);
    Some(cut + i32::from(rest >= 0.5) - i32::from(rest <= -0.5))
}

fn cells<S: Cell, T: Real>(values: &[T], nodata: f64, out: &mut [S]) {
    let Some(nodata) = S::nodata(nodata) else {
        debug_assert!(false, "the value was checked");
        return;
    };
    for (out, value) in out.iter_mut().zip(values) {
        *out = S::from_f64(value.to_f64()).unwrap_or(nodata);
    }
}

/// Returns the value for "no data": the one given, or NaN for floats.
pub(super) fn check(dtype: DataType, nodata: Option<f64>) -> Result<f64, Error> {
    let value = match nodata {
        Some(value) => value,
        None if dtype.is_float() => f64::NAN,
        None => return Err(Error::NodataMissing { dtype }),
    };
    let storable = for_samples!(&Samples::zeros(dtype, 0), v => storable(v, value));
    if storable {
        Ok(value)
    } else {
        Err(Error::NodataNotStorable {
            dtype,
            nodata: value,
        })
    }
}

fn storable<S: Cell>(_: &[S], value: f64) -> bool {
    S::nodata(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_integers_are_rounded_as_all_are() {
        let values = [
            f64::NAN,
            0.49999999999999994,
            0.5,
            -0.5,
            1.5,
            2.5,
            254.5,
            255.4,
            1e300,
            -3.0,
            f64::INFINITY,
        ];
        for dtype in DataType::ALL.into_iter().filter(|dtype| !dtype.is_float()) {
            let window = Window::whole(11, 1);
            let mut band = Band::new(dtype, Some(7.0), (11, 1)).unwrap();
            band.put(window, &values);
            for_samples!(&band.samples, v => {
                for (found, value) in v.iter().zip(values) {
                    assert_eq!(*found, Cell::from_f64(value).unwrap_or(*found), "{dtype} {value}");
                    assert_eq!(value.is_finite(), Cell::to_f64(*found) != 7.0, "{dtype} {value}");
                }
            });
        }
    }
}
