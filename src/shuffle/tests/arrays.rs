//! Hashes of values of every type, from python-xxhash 3: `xxh3_64_intdigest(bytes, int.from_bytes(b"swathkey", "little"))`, put together
//! as `value` says.

use arrow::array::types::{IntervalDayTime, IntervalMonthDayNano};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use half::f16;

use super::super::value::row_hashes;
use super::*;

const INT32_1: u64 = 0xbe46_694d_c806_56b2;
const ABC: u64 = 0x69b4_a7a7_ae82_434b;
const TRUE: u64 = 0xb2ba_1846_d58d_0619;
const F64_NAN: u64 = 0x5dc1_9fb7_7a2e_96b8;
const F64_ZERO: u64 = 0xf19d_1566_09f8_9012;
const LIST_1_NULL: u64 = 0x7c3b_7cf7_891b_d69e;
/// A length of 0 has the bytes of the double 0.
const LIST_EMPTY: u64 = F64_ZERO;

#[track_caller]
fn check(array: impl Array + 'static, expected: &[u64]) {
    let array: ArrayRef = Arc::new(array);
    assert_eq!(
        row_hashes(std::slice::from_ref(&array)).unwrap(),
        expected,
        "{}",
        array.data_type()
    );
    // A slice hashes as its rows do.
    for start in 0..array.len() {
        assert_eq!(
            row_hashes(&[array.slice(start, array.len() - start)]).unwrap(),
            expected[start..],
            "{}",
            array.data_type()
        );
    }
    let none = array.slice(0, 0);
    assert!(row_hashes(&[none]).unwrap().is_empty());
}

#[test]
fn numbers_hash_as_their_bytes() {
    check(Int8Array::from(vec![Some(1), None]), &[TRUE, 0]);
    check(Int16Array::from(vec![-2]), &[0x3642_6b1c_1b19_37a6]);
    check(Int32Array::from(vec![None, Some(1)]), &[0, INT32_1]);
    check(Date32Array::from(vec![1]), &[INT32_1]);
    check(Time32SecondArray::from(vec![1]), &[INT32_1]);
    check(IntervalYearMonthArray::from(vec![1]), &[INT32_1]);
    check(Decimal32Array::from(vec![1]), &[INT32_1]);
    check(Int64Array::from(vec![1]), &[0x1080_d950_101b_0d41]);
    check(
        TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC"),
        &[0x1080_d950_101b_0d41],
    );
    check(
        DurationNanosecondArray::from(vec![1]),
        &[0x1080_d950_101b_0d41],
    );
    check(UInt8Array::from(vec![255]), &[0x1478_d783_9ee8_ba8f]);
    check(BooleanArray::from(vec![Some(true), None]), &[TRUE, 0]);
    check(Decimal128Array::from(vec![-5]), &[0x4816_ff8c_8ee3_1947]);
    check(
        Decimal256Array::from(vec![i256::from(-5)]),
        &[0xccc9_eea4_d04b_31e9],
    );
    check(
        IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -2)]),
        &[0x1159_9525_a002_5b1c],
    );
    check(
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, -2, 3)]),
        &[0x53c3_4fd7_4364_dd3b],
    );
    check(NullArray::new(2), &[0, 0]);
}

#[test]
fn nans_are_one_value_and_zeros_are_one() {
    let halves = [f16::from_f32(1.5), f16::NAN, -f16::NAN];
    check(
        Float16Array::from_iter_values(halves),
        &[
            0xa86b_3bd9_170f_de88,
            0xba02_ec21_c73a_1cf2,
            0xba02_ec21_c73a_1cf2,
        ],
    );
    check(
        Float32Array::from(vec![1.5, f32::NAN, -f32::NAN]),
        &[
            0xf28f_d013_33e2_d732,
            0x5733_65f9_5bd7_4af5,
            0x5733_65f9_5bd7_4af5,
        ],
    );
    let doubles = vec![
        1.5,
        0.0,
        -0.0,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
    ];
    check(
        Float64Array::from(doubles),
        &[
            0xce6e_2f73_dabb_2b54,
            F64_ZERO,
            F64_ZERO,
            F64_NAN,
            F64_NAN,
            F64_NAN,
        ],
    );
}

#[test]
fn strings_and_bytes_hash_as_their_bytes_in_any_layout() {
    let words = [Some("abc"), None];
    let bytes = [Some(b"abc".as_slice()), None];
    check(StringArray::from_iter(words), &[ABC, 0]);
    check(LargeStringArray::from_iter(words), &[ABC, 0]);
    check(StringViewArray::from_iter(words), &[ABC, 0]);
    check(BinaryArray::from_iter(bytes), &[ABC, 0]);
    check(LargeBinaryArray::from_iter(bytes), &[ABC, 0]);
    check(BinaryViewArray::from_iter(bytes), &[ABC, 0]);
    check(
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes.into_iter(), 3).unwrap(),
        &[ABC, 0],
    );
}

#[test]
fn encoded_columns_hash_as_their_values() {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None]));
    let keys = UInt8Array::from(vec![Some(0), None, Some(1), Some(0)]);
    check(
        DictionaryArray::new(keys, values.clone()),
        &[ABC, 0, 0, ABC],
    );
    // More values than rows.
    let words = StringArray::from(vec![Some("x"), None, Some("abc"), Some("y")]);
    let keys = Int8Array::from(vec![Some(2), None, Some(1)]);
    check(DictionaryArray::new(keys, Arc::new(words)), &[ABC, 0, 0]);
    let no_values: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    check(
        DictionaryArray::new(Int64Array::from(vec![None, None]), no_values),
        &[0, 0],
    );
    check(
        RunArray::try_new(&Int16Array::from(vec![2, 3]), &values).unwrap(),
        &[ABC, ABC, 0],
    );
}

#[test]
fn nested_values_hash_by_what_they_hold() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), Some(1), None, Some(9)]));
    let field = Arc::new(Field::new("item", DataType::Int32, true));
    // What lies under a null list does not count.
    let nulls = || Some(NullBuffer::from(vec![true, true, false]));
    let expected = [LIST_1_NULL, LIST_EMPTY, 0];
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![1, 3, 3, 4]));
    check(
        ListArray::new(field.clone(), offsets, ints.clone(), nulls()),
        &expected,
    );
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![1_i64, 3, 3, 4]));
    check(
        LargeListArray::new(field.clone(), offsets, ints.clone(), nulls()),
        &expected,
    );
    let (starts, sizes) = (
        ScalarBuffer::from(vec![1, 0, 3]),
        ScalarBuffer::from(vec![2, 0, 1]),
    );
    check(
        ListViewArray::new(field.clone(), starts, sizes, ints.clone(), nulls()),
        &expected,
    );
    let pairs = Some(NullBuffer::from(vec![true, false]));
    check(
        FixedSizeListArray::new(
            field.clone(),
            2,
            Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)])),
            pairs,
        ),
        &[LIST_1_NULL, 0],
    );
    let one: ArrayRef = Arc::new(Int32Array::from(vec![1, 1]));
    let abc: ArrayRef = Arc::new(StringArray::from(vec!["abc", "abc"]));
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
    ]);
    let nulls = Some(NullBuffer::from(vec![true, false]));
    check(
        StructArray::new(fields, vec![one.clone(), abc], nulls),
        &[0x1807_e05e_19a0_0a22, 0],
    );
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    maps.keys().append_value("abc");
    maps.values().append_value(1);
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    check(maps.finish(), &[0xca4c_d631_5958_bfef, 0]);
    let fields = UnionFields::try_new([3], [field.as_ref().clone()]).unwrap();
    check(
        UnionArray::try_new(fields, vec![3_i8, 3].into(), None, vec![one]).unwrap(),
        &[0x1c44_49c0_c5ab_56d6; 2],
    );
}

#[test]
fn several_keys_are_combined_in_their_order() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let words: ArrayRef = Arc::new(StringArray::from(vec!["abc", "abc"]));
    let expected = [0x127e_5b88_0bf6_84eb, 0xd0e6_4e19_b6da_bd3b];
    assert_eq!(
        row_hashes(&[ints.clone(), words.clone()]).unwrap(),
        expected
    );
    assert_ne!(row_hashes(&[words, ints]).unwrap(), expected);
}

#[test]
fn nested_floats_and_dictionaries_keep_the_order_of_ranges() {
    let structs = |values: Vec<f64>| -> ArrayRef {
        let field = Arc::new(Field::new("a", DataType::Float64, true));
        Arc::new(StructArray::from(vec![(
            field,
            Arc::new(Float64Array::from(values)) as ArrayRef,
        )]))
    };
    let boundaries = structs(vec![0.0, f64::NAN]);
    let shuffle = RangeShuffle::new("key", &boundaries).unwrap();
    let batch = one_column("key", structs(vec![-0.0, -1.0, -f64::NAN, 0.0]));
    assert_eq!(shuffle.partition_ids(&batch).unwrap(), [1, 0, 2, 1]);
    let words: ArrayRef = Arc::new(StringArray::from(vec!["h", "p"]));
    let runs = RunArray::try_new(
        &Int32Array::from(vec![1, 3]),
        &StringArray::from(vec!["p", "a"]),
    )
    .unwrap();
    let shuffle = RangeShuffle::new("key", &words).unwrap();
    assert_eq!(
        shuffle
            .partition_ids(&one_column("key", Arc::new(runs)))
            .unwrap(),
        [2, 0, 0]
    );
}

#[test]
fn narrow_numbers_and_wide_ones_have_the_same_order() {
    fn ids(values: ArrayRef, to: &DataType) -> Vec<u32> {
        let values = cast(&values, to).unwrap();
        let shuffle = RangeShuffle::new("key", &values.slice(0, 3)).unwrap();
        shuffle.partition_ids(&one_column("key", values)).unwrap()
    }
    let types = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal32(5, 0),
        DataType::Decimal64(5, 0),
        DataType::Decimal128(5, 0),
        DataType::Decimal256(5, 0),
    ];
    let values: ArrayRef = Arc::new(Int8Array::from(vec![
        Some(-100),
        Some(0),
        Some(100),
        Some(-128),
        Some(127),
        Some(-1),
        None,
    ]));
    for to in &types {
        assert_eq!(ids(values.clone(), to), [1, 2, 3, 0, 3, 1, 3], "{to}");
    }
    let naturals: ArrayRef = Arc::new(UInt8Array::from(vec![1, 100, 200, 0, 255, 99]));
    for to in [
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
    ] {
        assert_eq!(ids(naturals.clone(), &to), [1, 2, 3, 0, 3, 1], "{to}");
    }
}
