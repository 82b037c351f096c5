//! The hash of each value of a column: the same for equal values, however they are stored.
//!
//! A value's bytes are hashed by [`hash_key`]; this is a format, held by golden values in the tests:
//! - integers, decimals, dates, times, intervals: little-endian, as wide as the type (so 1 as `Int32` and as `Int64` differ; decimals of
//!   different scale too);
//! - floats: likewise, each NaN as the same quiet NaN, −0.0 as +0.0;
//! - booleans: one byte, 0 or 1; strings and bytes: themselves, in whichever layout;
//! - null: the hash 0, without hashing;
//! - lists: the length as `u64`, then [`combine`] with each element's hash; structs: 0, combined with each field's; maps: lists of
//!   entries; unions: the type id as `i8`, combined with the value's;
//! - dictionaries and run-ends: as their values.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, GenericListArray, GenericListViewArray,
    OffsetSizeTrait, PrimitiveArray, UInt64Array, UnionArray,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, IntervalDayTime, IntervalMonthDayNano, UInt64Type, i256};
use arrow::downcast_primitive_array;
use arrow::error::ArrowError;
use half::f16;

use super::column::encoded;
use crate::partition::{hash_key, hash_key_of_4, hash_key_of_8};

/// The hash of a null.
const NULL: u64 = 0;

type Hashes = Result<Vec<u64>, ArrowError>;

/// Hashes each row of a key: one column as its value, several combined from left to right.
pub(super) fn row_hashes(columns: &[ArrayRef]) -> Hashes {
    let Some((first, rest)) = columns.split_first() else {
        return Ok(Vec::new());
    };
    let mut hashes = value_hashes(first.as_ref())?;
    for column in rest {
        combine_all(&mut hashes, &value_hashes(column.as_ref())?);
    }
    Ok(hashes)
}

/// Hashes each value of a column.
fn value_hashes(array: &dyn Array) -> Hashes {
    let mut hashes = present(array)?;
    if let Some(nulls) = array.nulls() {
        for (hash, valid) in hashes.iter_mut().zip(nulls) {
            *hash = if valid { *hash } else { NULL };
        }
    }
    Ok(hashes)
}

/// Hashes each value, and something where there is none.
fn present(array: &dyn Array) -> Hashes {
    downcast_primitive_array! {
        array => Ok(primitives(array)),
        DataType::Null => Ok(vec![NULL; array.len()]),
        DataType::Boolean => Ok(array.as_boolean().values().iter().map(|value| hash_key(&[u8::from(value)])).collect()),
        DataType::Utf8 => Ok(bytes(array.as_string::<i32>().iter())),
        DataType::LargeUtf8 => Ok(bytes(array.as_string::<i64>().iter())),
        DataType::Utf8View => Ok(bytes(array.as_string_view().iter())),
        DataType::Binary => Ok(bytes(array.as_binary::<i32>().iter())),
        DataType::LargeBinary => Ok(bytes(array.as_binary::<i64>().iter())),
        DataType::BinaryView => Ok(bytes(array.as_binary_view().iter())),
        DataType::FixedSizeBinary(_) => Ok(bytes(array.as_fixed_size_binary().iter())),
        DataType::Dictionary(_, _) | DataType::RunEndEncoded(_, _) => decoded(array),
        DataType::List(_) => list(array.as_list::<i32>()),
        DataType::LargeList(_) => list(array.as_list::<i64>()),
        DataType::ListView(_) => list_view(array.as_list_view::<i32>()),
        DataType::LargeListView(_) => list_view(array.as_list_view::<i64>()),
        DataType::FixedSizeList(_, _) => {
            let lists = array.as_fixed_size_list();
            let length = usize::try_from(lists.value_length()).unwrap_or(0);
            spans(lists.values(), (0..lists.len()).map(|row| (row * length, length)))
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            runs(maps.entries(), maps.value_offsets())
        }
        DataType::Struct(_) => {
            let mut hashes = vec![0; array.len()];
            for field in array.as_struct().columns() {
                combine_all(&mut hashes, &value_hashes(field.as_ref())?);
            }
            Ok(hashes)
        }
        DataType::Union(_, _) => union(array.as_union()),
        other => Err(ArrowError::NotYetImplemented(format!("hashing {other}"))),
    }
}

/// Hashes two hashes to one; the order matters.
#[inline]
fn combine(first: u64, second: u64) -> u64 {
    let both = u128::from(first) | u128::from(second) << 64;
    hash_key(&both.to_le_bytes())
}

fn combine_all(hashes: &mut [u64], more: &[u64]) {
    for (hash, more) in hashes.iter_mut().zip(more) {
        *hash = combine(*hash, *more);
    }
}

fn primitives<T: ArrowPrimitiveType<Native: Canonical>>(array: &PrimitiveArray<T>) -> Vec<u64> {
    array.values().iter().map(|value| value.hash()).collect()
}

fn bytes<V: AsRef<[u8]>>(values: impl Iterator<Item = Option<V>>) -> Vec<u64> {
    values
        .map(|value| value.map_or(NULL, |value| hash_key(value.as_ref())))
        .collect()
}

fn decoded(array: &dyn Array) -> Hashes {
    let Some((values, at)) = encoded(array)? else {
        return present(array);
    };
    // A dictionary may be far larger than the few rows that use it.
    if values.len() > array.len() {
        return value_hashes(take(&values, &at, None)?.as_ref());
    }
    let hashes = UInt64Array::from(value_hashes(values.as_ref())?);
    let rows = take(&hashes, &at, None)?;
    let rows = rows.as_primitive::<UInt64Type>().iter();
    Ok(rows.map(|hash| hash.unwrap_or(NULL)).collect())
}

fn list<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> Hashes {
    runs(lists.values().as_ref(), lists.value_offsets())
}

/// Hashes lists that lie one behind the other.
fn runs<O: OffsetSizeTrait>(elements: &dyn Array, offsets: &[O]) -> Hashes {
    let (start, end) = (
        offsets.first().map_or(0, |at| at.as_usize()),
        offsets.last().map_or(0, |at| at.as_usize()),
    );
    let used = elements.slice(start, end - start);
    let lengths = offsets.windows(2).map(|pair| match pair {
        [from, to] => (from.as_usize() - start, (*to - *from).as_usize()),
        _ => (0, 0),
    });
    spans(&used, lengths)
}

fn list_view<O: OffsetSizeTrait>(lists: &GenericListViewArray<O>) -> Hashes {
    let spans_of = lists.value_offsets().iter().zip(lists.value_sizes());
    spans(
        lists.values(),
        spans_of.map(|(from, length)| (from.as_usize(), length.as_usize())),
    )
}

/// Hashes lists from where each starts among the elements, and its length.
fn spans(elements: &ArrayRef, spans: impl Iterator<Item = (usize, usize)>) -> Hashes {
    let elements = value_hashes(elements.as_ref())?;
    let hash = |(start, length): (usize, usize)| {
        let list = elements.iter().skip(start).take(length);
        list.fold(hash_key(&(length as u64).to_le_bytes()), |hash, element| {
            combine(hash, *element)
        })
    };
    Ok(spans.map(hash).collect())
}

fn union(array: &UnionArray) -> Hashes {
    let children: Vec<Option<Vec<u64>>> = (0..=i8::MAX)
        .map(|id| {
            array
                .fields()
                .iter()
                .any(|(known, _)| known == id)
                .then(|| value_hashes(array.child(id).as_ref()))
                .transpose()
        })
        .collect::<Result<_, _>>()?;
    let hash = |row| {
        let id = array.type_id(row);
        let child = usize::try_from(id)
            .ok()
            .and_then(|id| children.get(id)?.as_ref());
        let value = child.and_then(|hashes| hashes.get(array.value_offset(row)));
        combine(hash_key(&id.to_le_bytes()), value.copied().unwrap_or(NULL))
    };
    Ok((0..array.len()).map(hash).collect())
}

/// A number whose equal values have the same bytes, once in canonical form.
trait Canonical: Copy {
    fn hash(self) -> u64;
}

macro_rules! canonical_integers {
    ($($native:ty)*) => {
        $(impl Canonical for $native {
            #[inline]
            fn hash(self) -> u64 {
                hash_key(&self.to_le_bytes())
            }
        })*
    };
}

canonical_integers!(i8 i16 i128 i256 u8 u16);

macro_rules! canonical_words {
    ($($native:ty: $hash:ident($bits:expr))*) => {
        $(impl Canonical for $native {
            #[inline]
            fn hash(self) -> u64 {
                $hash($bits(self))
            }
        })*
    };
}

canonical_words!(
    i32: hash_key_of_4(i32::cast_unsigned)
    u32: hash_key_of_4(u32::from)
    i64: hash_key_of_8(i64::cast_unsigned)
    u64: hash_key_of_8(u64::from)
);

macro_rules! canonical_floats {
    ($($native:ty: $nan:literal $hash:expr,)*) => {
        $(impl Canonical for $native {
            #[inline]
            fn hash(self) -> u64 {
                let bits = match self {
                    value if value.is_nan() => $nan,
                    value if value == <$native>::default() => 0,
                    value => value.to_bits(),
                };
                $hash(bits)
            }
        })*
    };
}

canonical_floats!(
    f16: 0x7e00 |bits: u16| hash_key(&bits.to_le_bytes()),
    f32: 0x7fc0_0000 hash_key_of_4,
    f64: 0x7ff8_0000_0000_0000 hash_key_of_8,
);

impl Canonical for IntervalDayTime {
    fn hash(self) -> u64 {
        let low = u64::from(self.days.cast_unsigned());
        let high = u64::from(self.milliseconds.cast_unsigned());
        hash_key_of_8(low | high << 32)
    }
}

impl Canonical for IntervalMonthDayNano {
    fn hash(self) -> u64 {
        let months = u128::from(self.months.cast_unsigned());
        let days = u128::from(self.days.cast_unsigned());
        let nanoseconds = u128::from(self.nanoseconds.cast_unsigned());
        hash_key(&(months | days << 32 | nanoseconds << 64).to_le_bytes())
    }
}
