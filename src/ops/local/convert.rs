//! Samples of one type as samples of another, and masks as opacity.

use crate::grid::{Block, DataType, Samples};

/// Converts every band to a type, as `gdal_translate -ot` does.
///
/// - Values beyond the type become its nearest; floats are rounded to integers half away from zero.
/// - NoData: a cell that the mask calls invalid, that equals the block's `nodata` or that is NaN becomes the new `nodata`,
///   or else NaN in floats; without either it is converted like any other (a NaN to 0).
/// - Returns a block without mask.
#[must_use]
pub fn convert(block: Block, dtype: DataType, nodata: Option<f64>) -> Block {
    let Block {
        cols,
        rows,
        bands,
        nodata: from,
        mask,
    } = block;
    let to = nodata.or_else(|| dtype.is_float().then_some(f64::NAN));
    let invalid = to.map(|to| Invalid {
        from,
        mask: mask.as_deref(),
        to,
    });
    let bands = bands.iter().map(|band| one(band, dtype, invalid.as_ref()));
    Block {
        cols,
        rows,
        bands: bands.collect(),
        nodata,
        mask: None,
    }
}

/// Adds a band of opacity to bytes or 16-bit integers: the greatest number where the mask is valid, else 0.
#[must_use]
pub fn mask_to_alpha(mut block: Block) -> Block {
    let cells = block.cols as usize * block.rows as usize;
    let mask = block.mask.take().unwrap_or_else(|| vec![true; cells]);
    let wide = block.bands.first().map(Samples::dtype) == Some(DataType::UInt16);
    block.bands.push(if wide {
        Samples::UInt16(mask.iter().map(|v| if *v { u16::MAX } else { 0 }).collect())
    } else {
        Samples::UInt8(mask.iter().map(|v| if *v { u8::MAX } else { 0 }).collect())
    });
    block
}

/// Which cells are no data, and what they become.
struct Invalid<'a> {
    from: Option<f64>,
    mask: Option<&'a [bool]>,
    to: f64,
}

/// A sample type, by way of types that hold all of them.
trait Value: Copy + PartialEq {
    const FLOAT: bool;
    fn to_int(self) -> i128;
    fn to_float(self) -> f64;
    fn of_int(value: i128) -> Self;
    fn of_float(value: f64) -> Self;
    /// The value that a number is stored as, or `None` where no sample can equal it.
    fn exactly(value: f64) -> Option<Self>;
    fn is_nan(self) -> bool;
}

macro_rules! integer {
    ($($type:ty)*) => {$(
        impl Value for $type {
            const FLOAT: bool = false;
            fn to_int(self) -> i128 {
                i128::from(self)
            }
            fn to_float(self) -> f64 {
                self as f64
            }
            fn of_int(value: i128) -> Self {
                value.clamp(i128::from(Self::MIN), i128::from(Self::MAX)) as Self
            }
            fn of_float(value: f64) -> Self {
                // A cast saturates, and makes 0 of NaN.
                value.round() as Self
            }
            fn exactly(value: f64) -> Option<Self> {
                let (low, high) = (Self::MIN as f64, Self::MAX as f64);
                (value.fract() == 0.0 && (low..=high).contains(&value)).then_some(value as Self)
            }
            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}

macro_rules! float {
    ($($type:ty)*) => {$(
        impl Value for $type {
            const FLOAT: bool = true;
            fn to_int(self) -> i128 {
                self.round() as i128
            }
            fn to_float(self) -> f64 {
                f64::from(self)
            }
            fn of_int(value: i128) -> Self {
                value as Self
            }
            fn of_float(value: f64) -> Self {
                value as Self
            }
            fn exactly(value: f64) -> Option<Self> {
                Some(value as Self)
            }
            fn is_nan(self) -> bool {
                Self::is_nan(self)
            }
        }
    )*};
}

integer!(u8 i8 u16 i16 u32 i32 u64 i64);
float!(f32 f64);

fn one(band: &Samples, dtype: DataType, invalid: Option<&Invalid<'_>>) -> Samples {
    macro_rules! to {
        ($($variant:ident)*) => {
            match dtype {
                $(DataType::$variant => Samples::$variant(
                    crate::for_samples!(band, samples => cells(samples, invalid))
                ),)*
            }
        };
    }
    to!(UInt8 Int8 UInt16 Int16 UInt32 Int32 UInt64 Int64 Float32 Float64)
}

fn cells<S: Value, T: Value>(samples: &[S], invalid: Option<&Invalid<'_>>) -> Vec<T> {
    let value = |sample: S| {
        if S::FLOAT {
            T::of_float(sample.to_float())
        } else {
            T::of_int(sample.to_int())
        }
    };
    let Some(Invalid { from, mask, to }) = invalid else {
        return samples.iter().map(|sample| value(*sample)).collect();
    };
    let (from, to) = (from.and_then(S::exactly), T::of_float(*to));
    let masked = |at: usize| mask.is_some_and(|mask| mask.get(at) == Some(&false));
    samples
        .iter()
        .enumerate()
        .map(|(at, sample)| {
            if sample.is_nan() || from == Some(*sample) || masked(at) {
                to
            } else {
                value(*sample)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(band: Samples, nodata: Option<f64>, mask: Option<Vec<bool>>) -> Block {
        Block {
            cols: u32::try_from(band.len()).unwrap(),
            rows: 1,
            bands: vec![band],
            nodata,
            mask,
        }
    }

    fn check(band: Samples, dtype: DataType, expected: Samples) {
        let out = convert(block(band, None, None), dtype, None);
        assert_eq!(out.bands, [expected]);
    }

    #[test]
    fn values_are_rounded_and_kept_within_the_type() {
        // What `gdal_translate -ot Byte` (GDAL 3.6) makes of these cells.
        check(
            Samples::Float32(vec![-3.0, 0.4, 0.5, 1.5, 254.5, 255.4, 1e30]),
            DataType::UInt8,
            Samples::UInt8(vec![0, 0, 1, 2, 255, 255, 255]),
        );
        check(
            Samples::Float64(vec![-0.5, -1.5, -40_000.0]),
            DataType::Int16,
            Samples::Int16(vec![-1, -2, -32_768]),
        );
        check(
            Samples::Int16(vec![-1, 0, 300]),
            DataType::UInt8,
            Samples::UInt8(vec![0, 0, 255]),
        );
        check(
            Samples::UInt64(vec![u64::MAX, 1 << 63]),
            DataType::Int64,
            Samples::Int64(vec![i64::MAX, i64::MAX]),
        );
        check(
            Samples::Int64(vec![(1 << 53) + 1]),
            DataType::UInt64,
            Samples::UInt64(vec![(1 << 53) + 1]),
        );
    }

    #[test]
    fn no_data_stays_no_data() {
        let band = Samples::Float32(vec![-9999.0, f32::NAN, 7.0, 300.0]);
        let mask = Some(vec![true, true, false, true]);
        let out = convert(block(band, Some(-9999.0), mask), DataType::UInt8, Some(9.0));
        assert_eq!(out.bands, [Samples::UInt8(vec![9, 9, 9, 255])]);
        assert_eq!((out.nodata, out.mask), (Some(9.0), None));
    }

    #[test]
    fn a_mask_becomes_opacity() {
        let bytes = block(Samples::UInt8(vec![1, 2]), None, Some(vec![true, false]));
        let out = mask_to_alpha(bytes);
        assert_eq!(out.bands[1], Samples::UInt8(vec![255, 0]));
        assert_eq!(out.mask, None);
        let wide = mask_to_alpha(block(Samples::UInt16(vec![1]), None, None));
        assert_eq!(wide.bands[1], Samples::UInt16(vec![65535]));
    }
}
