//! Floats in one form, and numbers as bits that sort.
//!
//! −0.0 becomes +0.0, and every NaN the same one, which sorts after every number (before, when descending).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, make_array,
};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, IntervalDayTime, IntervalMonthDayNano, i256,
};
use arrow::downcast_primitive_array;
use arrow::error::ArrowError;
use half::f16;

/// Puts the floats of a column into canonical form, at any depth.
pub(super) fn canonical(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Float16 => Ok(Arc::new(
            array
                .as_primitive::<Float16Type>()
                .unary::<_, Float16Type>(canonical_f16),
        )),
        DataType::Float32 => Ok(Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(canonical_f32),
        )),
        DataType::Float64 => Ok(Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(canonical_f64),
        )),
        _ if holds_floats(&array.to_data()) => {
            let data = array.to_data();
            let inner = |child: &ArrayData| Ok(canonical(&make_array(child.clone()))?.to_data());
            let children = data
                .child_data()
                .iter()
                .map(inner)
                .collect::<Result<_, ArrowError>>()?;
            data.into_builder()
                .child_data(children)
                .build()
                .map(make_array)
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn holds_floats(data: &ArrayData) -> bool {
    data.child_data()
        .iter()
        .any(|child| child.data_type().is_floating() || holds_floats(child))
}

fn canonical_f16(value: f16) -> f16 {
    match value {
        value if value.is_nan() => f16::NAN,
        value if value == f16::ZERO => f16::ZERO,
        value => value,
    }
}

fn canonical_f32(value: f32) -> f32 {
    match value {
        value if value.is_nan() => f32::NAN,
        0.0 => 0.0,
        value => value,
    }
}

fn canonical_f64(value: f64) -> f64 {
    match value {
        value if value.is_nan() => f64::NAN,
        0.0 => 0.0,
        value => value,
    }
}

/// Returns numbers of the same order for a column of numbers of up to 64 bits, canonical or not; `None` for every other.
pub(super) fn bits(array: &dyn Array, descending: bool) -> Option<Vec<u64>> {
    downcast_primitive_array! {
        array => ordered(array, descending),
        _ => None,
    }
}

fn ordered<T: ArrowPrimitiveType<Native: Ordered>>(
    array: &PrimitiveArray<T>,
    descending: bool,
) -> Option<Vec<u64>> {
    if !T::Native::NARROW {
        return None;
    }
    let flip = if descending { u64::MAX } else { 0 };
    Some(
        array
            .values()
            .iter()
            .map(|value| value.bits() ^ flip)
            .collect(),
    )
}

/// A number that may be narrow enough for 64 bits that sort as it does.
trait Ordered: Copy {
    /// Whether it is.
    const NARROW: bool = true;

    fn bits(self) -> u64;
}

const SIGN: u64 = 1 << 63;

macro_rules! ordered {
    ($via:ty: $($native:ty)* => |$value:ident| $bits:expr) => {
        $(impl Ordered for $native {
            #[inline]
            fn bits(self) -> u64 {
                let $value = <$via>::from(self);
                $bits
            }
        })*
    };
}

ordered!(u64: u8 u16 u32 u64 => |value| value);
ordered!(i64: i8 i16 i32 i64 => |value| value.cast_unsigned() ^ SIGN);
ordered!(f64: f16 f32 f64 => |value| {
    // −0.0 + 0.0 is +0.0, and every other number stays itself.
    let bits = if value.is_nan() { f64::NAN } else { value + 0.0 }.to_bits();
    if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
});

macro_rules! wide {
    ($($native:ty)*) => {
        $(impl Ordered for $native {
            const NARROW: bool = false;

            fn bits(self) -> u64 {
                0
            }
        })*
    };
}

wide!(i128 i256 IntervalDayTime IntervalMonthDayNano);
