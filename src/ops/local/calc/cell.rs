//! Samples of any type to doubles and back.

/// A sample type: how it becomes a double, and how a double becomes it.
pub(in crate::ops) trait Cell: Copy + PartialEq {
    /// Returns the value; 64-bit integers beyond 2^53 are rounded to the nearest double.
    fn to_f64(self) -> f64;

    /// Rounds once (integers: half away from zero, clamped to the range); `None` when not finite in this type.
    fn from_f64(value: f64) -> Option<Self>;

    /// Returns a "no data" value in this type; `None` when the type does not have it.
    fn nodata(value: f64) -> Option<Self>;
}

macro_rules! integer_cell {
    ($($type:ty: $to_f64:expr;)*) => {$(
        impl Cell for $type {
            fn to_f64(self) -> f64 {
                $to_f64(self)
            }

            fn from_f64(value: f64) -> Option<Self> {
                // `as` clamps to the range.
                value.is_finite().then(|| value.round() as Self)
            }

            fn nodata(value: f64) -> Option<Self> {
                // The upper end of 64 bits is not a double: its neighbour, one beyond, stands for it.
                let range = Self::MIN as f64..=Self::MAX as f64;
                (value.fract() == 0.0 && range.contains(&value)).then_some(value as Self)
            }
        }
    )*};
}

integer_cell! {
    u8: f64::from;
    i8: f64::from;
    u16: f64::from;
    i16: f64::from;
    u32: f64::from;
    i32: f64::from;
    u64: |cell| cell as f64;
    i64: |cell| cell as f64;
}

impl Cell for f32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn from_f64(value: f64) -> Option<Self> {
        let rounded = value as Self;
        rounded.is_finite().then_some(rounded)
    }

    fn nodata(value: f64) -> Option<Self> {
        let rounded = value as Self;
        (rounded.is_finite() || !value.is_finite()).then_some(rounded)
    }
}

impl Cell for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(value)
    }

    fn nodata(value: f64) -> Option<Self> {
        Some(value)
    }
}

/// Turns cells into doubles: NaN where a cell equals `nodata`, `value * scale + offset` elsewhere.
pub(super) fn load<T: Cell>(cells: &[T], nodata: Option<f64>, out: &mut [f64]) {
    match nodata.and_then(T::nodata) {
        Some(nodata) => (out.iter_mut().zip(cells)).for_each(|(out, cell)| {
            *out = if *cell == nodata {
                f64::NAN
            } else {
                cell.to_f64()
            };
        }),
        None => (out.iter_mut().zip(cells)).for_each(|(out, cell)| *out = cell.to_f64()),
    }
}

/// Turns doubles into cells, each rounded once; `nodata` where one is not finite.
pub(super) fn store<T: Cell>(values: &[f64], nodata: T, out: &mut [T]) {
    (out.iter_mut().zip(values)).for_each(|(out, v)| *out = T::from_f64(*v).unwrap_or(nodata));
}
