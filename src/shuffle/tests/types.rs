//! The promises again, for columns of every type and encoding, each batch encoded by itself.

use arrow::array::types::{IntervalDayTime, IntervalMonthDayNano};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};

use super::*;

/// A small number, or null; every type has a value for each number, which ascends with it.
type Value = Option<i8>;

fn values() -> impl Strategy<Value = Vec<Value>> {
    let value = prop::option::weighted(0.85, 0_i8..12);
    let few = prop::collection::vec(value.clone(), 0..2);
    prop_oneof![1 => few, 3 => prop::collection::vec(value, 0..50)]
}

/// Stores values.
type Encode = Box<dyn Fn(&[Value]) -> ArrayRef>;

/// A way to store values.
struct Encoding {
    name: String,
    /// Encodings of one family hold the same keys, so that a row goes to the same partition from each.
    family: &'static str,
    encode: Encode,
}

fn encoding(
    name: impl Into<String>,
    family: &'static str,
    encode: impl Fn(&[Value]) -> ArrayRef + 'static,
) -> Encoding {
    Encoding {
        name: name.into(),
        family,
        encode: Box::new(encode),
    }
}

fn ints(values: &[Value]) -> ArrayRef {
    Arc::new(Int8Array::from(values.to_vec()))
}

/// Words of one length, some of which do not fit into a view.
fn words(values: &[Value]) -> ArrayRef {
    let word = |value: &Value| value.map(|value| format!("a word of more than twelve {value:02}"));
    Arc::new(StringArray::from_iter(values.iter().map(word)))
}

/// By Arrow's own casts, from numbers or words.
fn by_cast(family: &'static str, first: fn(&[Value]) -> ArrayRef, to: DataType) -> Encoding {
    encoding(to.to_string(), family, move |values| {
        // Arrow casts whole numbers to dates and times of their own width only.
        let first = first(values);
        let wide = match to.primitive_width() {
            Some(8) if first.data_type() == &DataType::Int8 => cast(&first, &DataType::Int64),
            Some(4) if first.data_type() == &DataType::Int8 => cast(&first, &DataType::Int32),
            _ => Ok(first),
        };
        cast(&wide.unwrap(), &to).unwrap()
    })
}

fn dictionary(key: DataType, value: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(value))
}

fn nulls(values: &[Value]) -> Option<NullBuffer> {
    Some(values.iter().map(Option::is_some).collect())
}

fn runs(column: &ArrayRef) -> ArrayRef {
    let ends: Int32Array = (1..=column.len() as i32).collect();
    Arc::new(RunArray::try_new(&ends, column).unwrap())
}

fn numbers_and_times() -> Vec<Encoding> {
    let unit = TimeUnit::Microsecond;
    let types: [(&'static str, DataType); 24] = [
        ("i8", DataType::Int8),
        ("i16", DataType::Int16),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("u8", DataType::UInt8),
        ("u16", DataType::UInt16),
        ("u32", DataType::UInt32),
        ("u64", DataType::UInt64),
        ("f16", DataType::Float16),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
        ("d32", DataType::Decimal32(5, 1)),
        ("d64", DataType::Decimal64(5, 1)),
        ("d128", DataType::Decimal128(5, 1)),
        ("d256", DataType::Decimal256(5, 1)),
        ("date32", DataType::Date32),
        ("date64", DataType::Date64),
        ("time32", DataType::Time32(TimeUnit::Second)),
        ("time64", DataType::Time64(unit)),
        ("instant", DataType::Timestamp(unit, None)),
        ("zoned", DataType::Timestamp(unit, Some("UTC".into()))),
        ("duration", DataType::Duration(unit)),
        ("i32", dictionary(DataType::Int8, DataType::Int32)),
        ("f64", dictionary(DataType::UInt64, DataType::Float64)),
    ];
    let mut all: Vec<Encoding> = types
        .into_iter()
        .map(|(family, to)| by_cast(family, ints, to))
        .collect();
    all.push(encoding("runs of Int32", "i32", |values| {
        runs(&cast(&ints(values), &DataType::Int32).unwrap())
    }));
    all.push(encoding("Interval(YearMonth)", "months", |values| {
        let months = values.iter().map(|value| value.map(i32::from));
        Arc::new(IntervalYearMonthArray::from_iter(months))
    }));
    all.push(encoding("Interval(DayTime)", "days", |values| {
        let day = |value: &Value| value.map(|value| IntervalDayTime::new(value.into(), 5));
        Arc::new(IntervalDayTimeArray::from_iter(values.iter().map(day)))
    }));
    all.push(encoding("Interval(MonthDayNano)", "nanos", |values| {
        let month =
            |value: &Value| value.map(|value| IntervalMonthDayNano::new(1, value.into(), 5));
        Arc::new(IntervalMonthDayNanoArray::from_iter(
            values.iter().map(month),
        ))
    }));
    all
}

fn texts_and_bytes() -> Vec<Encoding> {
    let mut types = vec![
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
    ];
    for key in [
        DataType::Int8,
        DataType::UInt8,
        DataType::Int16,
        DataType::UInt16,
        DataType::Int32,
        DataType::UInt32,
        DataType::Int64,
        DataType::UInt64,
    ] {
        types.push(dictionary(key.clone(), DataType::Utf8));
        types.push(dictionary(key.clone(), DataType::LargeUtf8));
        types.push(dictionary(key, DataType::Utf8View));
    }
    let cast = types.into_iter().map(|to| by_cast("words", words, to));
    let mut all: Vec<Encoding> = cast.collect();
    all.push(encoding("runs of Utf8", "words", |values| {
        runs(&words(values))
    }));
    all.push(encoding("FixedSizeBinary", "words", |values| {
        let words = words(values);
        let bytes = words
            .as_string::<i32>()
            .iter()
            .map(|word| word.map(str::as_bytes));
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 29).unwrap())
    }));
    all
}

/// Lists of one value each, structures, and what holds them.
fn nested() -> Vec<Encoding> {
    let item = || Arc::new(Field::new("item", DataType::Utf8, true));
    let fields = || Fields::from(vec![Field::new("word", DataType::Utf8, true)]);
    vec![
        encoding("List", "lists", move |values| {
            let offsets = OffsetBuffer::from_repeated_length(1, values.len());
            Arc::new(ListArray::new(
                item(),
                offsets,
                words(values),
                nulls(values),
            ))
        }),
        encoding("LargeList", "lists", move |values| {
            let offsets = OffsetBuffer::from_repeated_length(1, values.len());
            Arc::new(LargeListArray::new(
                item(),
                offsets,
                words(values),
                nulls(values),
            ))
        }),
        encoding("FixedSizeList", "lists", move |values| {
            Arc::new(FixedSizeListArray::new(
                item(),
                1,
                words(values),
                nulls(values),
            ))
        }),
        encoding("ListView", "lists", move |values| {
            let starts: ScalarBuffer<i32> = (0..values.len() as i32).collect();
            let sizes: ScalarBuffer<i32> = vec![1; values.len()].into();
            Arc::new(ListViewArray::new(
                item(),
                starts,
                sizes,
                words(values),
                nulls(values),
            ))
        }),
        encoding("Struct", "structs", move |values| {
            let columns = vec![words(values)];
            let array =
                StructArray::try_new_with_length(fields(), columns, nulls(values), values.len());
            Arc::new(array.unwrap())
        }),
        encoding("Map", "maps", |values| {
            let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
            for value in values {
                if let Some(value) = value {
                    maps.keys().append_value("a");
                    maps.values().append_value(i32::from(*value));
                }
                maps.append(value.is_some()).unwrap();
            }
            Arc::new(maps.finish())
        }),
    ]
}

fn encodings() -> Vec<Encoding> {
    let all = [numbers_and_times(), texts_and_bytes(), nested()];
    all.into_iter().flatten().collect()
}

/// Makes batches of rows, each encoded by itself: their dictionaries differ, in order or in content.
fn encoded(encoding: &Encoding, values: &[Value], cuts: &[usize]) -> Vec<RecordBatch> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (values.len() + 1)).collect();
    cuts.extend([0, values.len()]);
    cuts.sort_unstable();
    let batch = |cut: &[usize]| {
        let rows = Int64Array::from_iter_values(cut[0] as i64..cut[1] as i64);
        let key = (encoding.encode)(&values[cut[0]..cut[1]]);
        RecordBatch::try_from_iter_with_nullable([
            ("row", Arc::new(rows) as ArrayRef, false),
            ("key", key, true),
        ])
        .unwrap()
    };
    cuts.windows(2).map(batch).collect()
}

/// Checks that each row is in one partition, in order, with the key it came with; returns the rows of each partition.
fn check_each(batches: &[RecordBatch], out: &[Vec<RecordBatch>], name: &str) -> Vec<Vec<usize>> {
    let came: Vec<RecordBatch> = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1)))
        .collect();
    let mut seen = Vec::new();
    for partition in out {
        assert!(!partition.is_empty(), "{name}");
        for batch in partition {
            assert_eq!(batch.schema(), batches[0].schema(), "{name}");
            for (at, row) in numbers(std::slice::from_ref(batch)).into_iter().enumerate() {
                assert_eq!(batch.slice(at, 1), came[row], "{name}");
            }
        }
        let own = numbers(partition);
        assert!(own.is_sorted(), "{name}");
        seen.push(own);
    }
    let mut all = seen.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..came.len()), "{name}");
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn equal_keys_of_any_type_are_together_in_every_batch_and_encoding(
        values in values(), cuts in prop::collection::vec(any::<usize>(), 0..4), partitions in 1_u32..9,
    ) {
        let shuffle = HashShuffle::new(["key"], partitions).unwrap();
        let mut families = BTreeMap::new();
        for encoding in encodings() {
            let name = &encoding.name;
            let batches = encoded(&encoding, &values, &cuts);
            let out = shuffle.shuffle_all(&batches[0].schema(), &batches).unwrap();
            prop_assert_eq!(out.len(), partitions as usize);
            let parts = check_each(&batches, &out, name);
            let home: &mut BTreeMap<Value, usize> = families.entry(encoding.family).or_default();
            for (partition, rows) in parts.iter().enumerate() {
                for row in rows {
                    let first = *home.entry(values[*row]).or_insert(partition);
                    prop_assert_eq!(first, partition, "{}", name);
                }
            }
        }
    }

    #[test]
    fn ranges_of_any_type_are_in_order(
        values in values(), cuts in prop::collection::vec(any::<usize>(), 0..4), partitions in 1_u32..6, descending: bool,
    ) {
        for encoding in encodings() {
            let name = &encoding.name;
            let batches = encoded(&encoding, &values, &cuts);
            let sample = encoded(&encoding, &values, &[]).remove(0);
            let key = SortKey::new("key");
            let key = if descending { key.descending() } else { key };
            let shuffle = match RangeShuffle::from_sample([key], partitions, &sample) {
                Ok(shuffle) => shuffle,
                // Maps have no order in Arrow.
                Err(error) => {
                    let no_order = matches!(error, Error::NoOrder { .. });
                    prop_assert!(no_order && name == "Map", "{}: {}", name, error);
                    continue;
                }
            };
            let out = shuffle.shuffle_all(&batches[0].schema(), &batches).unwrap();
            prop_assert_eq!(out.len(), partitions as usize);
            let parts = check_each(&batches, &out, name);
            // Nulls are last in both directions.
            let rank = |row: &usize| values[*row].map_or(i8::MAX, |value| if descending { -value } else { value });
            let filled: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
            for pair in filled.windows(2) {
                let (last, first) = (pair[0].iter().map(rank).max(), pair[1].iter().map(rank).min());
                prop_assert!(last < first, "{}: {:?} and {:?}", name, last, first);
            }
        }
    }

    #[test]
    fn a_broadcast_gives_every_row_to_each_partition_in_order(
        values in values(), cuts in prop::collection::vec(any::<usize>(), 0..4), partitions in 1_u32..6,
    ) {
        let shuffle = BroadcastShuffle::new(partitions).unwrap();
        for encoding in encodings() {
            let batches = encoded(&encoding, &values, &cuts);
            let out = shuffle.shuffle_all(&batches);
            prop_assert_eq!(out.len(), partitions as usize);
            for part in &out {
                prop_assert_eq!(part, &batches);
                prop_assert!(numbers(part).into_iter().eq(0..values.len()));
            }
            for batch in &batches {
                prop_assert_eq!(shuffle.shuffle(batch), vec![batch.clone(); partitions as usize]);
            }
        }
    }
}

#[test]
fn no_row_and_one_row_of_any_type_have_their_partitions() {
    for encoding in encodings() {
        for values in [vec![], vec![None], vec![Some(3)]] {
            let batches = encoded(&encoding, &values, &[]);
            let schema = batches[0].schema();
            let hash = HashShuffle::new(["key"], 4).unwrap();
            for batches in [&batches[..], &batches[..0]] {
                let out = hash.shuffle_all(&schema, batches).unwrap();
                assert_eq!(out.len(), 4);
                assert!(
                    out.iter()
                        .all(|part| part.iter().all(|b| b.schema() == schema))
                );
                let rows = out
                    .iter()
                    .flatten()
                    .map(RecordBatch::num_rows)
                    .sum::<usize>();
                let came: usize = batches.iter().map(RecordBatch::num_rows).sum();
                assert_eq!(rows, came, "{}", encoding.name);
                assert!(out.iter().all(|part| !part.is_empty()), "a schema for each");
            }
        }
    }
}
