//! The promises of a shuffle, against naive oracles that look at one value at a time.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{SortOptions, cast, concat_batches};
use arrow::datatypes::*;
use proptest::prelude::*;

use super::*;

mod arrays;
mod types;

/// A key of the tests' rows: a float, a number and a word, each may be null.
type Row = (Option<f64>, Option<i32>, Option<String>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let float = prop_oneof![
        Just(f64::NAN),
        Just(-f64::NAN),
        Just(f64::from_bits(0x7ff0_0000_0000_0001)),
        Just(0.0),
        Just(-0.0),
        Just(f64::NEG_INFINITY),
        (-3..3).prop_map(f64::from),
    ];
    let row = (
        prop::option::of(float),
        prop::option::of(-3..3),
        prop::option::of("[ab]{0,14}"),
    );
    let few = prop::collection::vec(row.clone(), 0..2);
    prop_oneof![1 => few, 3 => prop::collection::vec(row, 0..60)]
}

/// Makes batches of the rows, cut at random places, with a number for each row.
fn batches(rows: &[Row], cuts: &[usize]) -> Vec<RecordBatch> {
    let numbers = Int64Array::from_iter_values(0..rows.len() as i64);
    let floats = Float64Array::from_iter(rows.iter().map(|row| row.0));
    let ints = Int32Array::from_iter(rows.iter().map(|row| row.1));
    let words = StringArray::from_iter(rows.iter().map(|row| row.2.clone()));
    let dictionary = cast(
        &words,
        &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    )
    .unwrap();
    let nested: ArrayRef = Arc::new(StructArray::from(vec![(
        Arc::new(Field::new("word", DataType::Utf8, true)),
        Arc::new(words.clone()) as ArrayRef,
    )]));
    let schema = Schema::new(vec![
        Field::new("row", DataType::Int64, false),
        Field::new("float", DataType::Float64, true),
        Field::new("int", DataType::Int32, true),
        Field::new("word", DataType::Utf8, true),
        Field::new("dictionary", dictionary.data_type().clone(), true),
        Field::new("nested", nested.data_type().clone(), true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(numbers),
        Arc::new(floats),
        Arc::new(ints),
        Arc::new(words),
        dictionary,
        nested,
    ];
    let whole = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| cut % (rows.len() + 1))
        .chain([0, rows.len()])
        .collect();
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|cut| whole.slice(cut[0], cut[1] - cut[0]))
        .collect()
}

fn numbers(batches: &[RecordBatch]) -> Vec<usize> {
    let numbers = |batch: &RecordBatch| batch["row"].as_primitive::<Int64Type>().values().to_vec();
    batches
        .iter()
        .flat_map(numbers)
        .map(|number| usize::try_from(number).unwrap())
        .collect()
}

/// What the issue calls equal: NaNs are, and zeros are.
fn canonical(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        (value + 0.0).to_bits()
    }
}

/// Checks that the rows of partitions are those that went in, whole, once, in order within a partition.
fn check_rows(whole: &RecordBatch, partitions: &[Vec<RecordBatch>], in_order: bool) {
    let mut seen: Vec<usize> = Vec::new();
    for batches in partitions {
        assert!(!batches.is_empty());
        let own = numbers(batches);
        assert!(!in_order || own.is_sorted());
        let joined = concat_batches(&whole.schema(), batches).unwrap();
        assert_eq!(joined.schema(), whole.schema());
        for (at, row) in own.iter().enumerate() {
            assert_eq!(joined.slice(at, 1), whole.slice(*row, 1));
        }
        seen.extend(own);
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..whole.num_rows()));
}

proptest! {
    #[test]
    fn every_row_is_in_one_partition_and_equal_keys_are_together(
        rows in rows(), cuts in prop::collection::vec(any::<usize>(), 0..5), partitions in 1_u32..9, held in 1_usize..4000,
    ) {
        let batches = batches(&rows, &cuts);
        let schema = batches[0].schema();
        let whole = concat_batches(&schema, &batches).unwrap();
        for columns in [vec!["float"], vec!["int"], vec!["word"], vec!["float", "int", "word"]] {
            let shuffle = HashShuffle::new(columns.clone(), partitions).unwrap();
            let out = shuffle.shuffle_all(&schema, &batches).unwrap();
            prop_assert_eq!(out.len(), partitions as usize);
            check_rows(&whole, &out, true);
            let mut home = BTreeMap::new();
            for (partition, batches) in out.iter().enumerate() {
                for row in numbers(batches) {
                    let (float, int, word) = rows[row].clone();
                    let named = |name| columns.contains(&name);
                    let key = (float.map(canonical).filter(|_| named("float")), int.filter(|_| named("int")), word.filter(|_| named("word")));
                    let first = *home.entry(key).or_insert(partition);
                    prop_assert_eq!(first, partition);
                }
            }
            // However little is held back, the rows of each partition are the same, in the same order.
            let limits = WriterLimits { batch_rows: 1 + held % 7, held_bytes_max: held };
            let mut writer = ShuffleWriter::new(&shuffle, schema.clone(), limits);
            let mut pieces = Vec::new();
            for batch in &batches {
                pieces.extend(writer.push(batch).unwrap());
            }
            pieces.extend(writer.finish().unwrap());
            for (partition, whole) in (0..partitions).zip(&out) {
                let own: Vec<_> = pieces.iter().filter(|(of, _)| *of == partition).map(|(_, batch)| batch.clone()).collect();
                prop_assert_eq!(numbers(&own), numbers(whole));
            }
        }
    }

    #[test]
    fn words_go_to_the_same_partition_however_they_are_stored(rows in rows(), partitions in 1_u32..9) {
        let batch = concat_batches(&batches(&rows, &[])[0].schema(), &batches(&rows, &[])).unwrap();
        let ids = |name| HashShuffle::new([name], partitions).unwrap().partition_ids(&batch).unwrap();
        prop_assert_eq!(ids("dictionary"), ids("word"));
    }

    #[test]
    fn ranges_are_in_order_and_sorted_ones_are_a_stable_sort(
        rows in rows(), cuts in prop::collection::vec(any::<usize>(), 0..5), partitions in 1_u32..6,
        descending: [bool; 3], nulls_first: [bool; 3], which in 0_usize..5,
    ) {
        let batches = batches(&rows, &cuts);
        let schema = batches[0].schema();
        let whole = concat_batches(&schema, &batches).unwrap();
        let all = [("float", 0), ("int", 1), ("word", 2)];
        let named = [&all[..1], &all[1..2], &all[2..], &all[..2], &all][which];
        let keys: Vec<SortKey> = named
            .iter()
            .map(|(name, at)| SortKey {
                column: if *name == "word" && nulls_first[0] { "dictionary".to_owned() } else { (*name).to_owned() },
                options: SortOptions { descending: descending[*at], nulls_first: nulls_first[*at] },
            })
            .collect();
        let compare = |a: &usize, b: &usize| {
            let (a, b) = (&rows[*a], &rows[*b]);
            named.iter().fold(Ordering::Equal, |so_far, (_, at)| so_far.then_with(|| match at {
                0 => one(&a.0.map(Float), &b.0.map(Float), descending[0], nulls_first[0]),
                1 => one(&a.1, &b.1, descending[1], nulls_first[1]),
                _ => one(&a.2, &b.2, descending[2], nulls_first[2]),
            }))
        };
        let shuffle = RangeShuffle::from_sample(keys, partitions, &whole).unwrap();
        let out = shuffle.shuffle_all(&schema, &batches).unwrap();
        prop_assert_eq!(out.len(), partitions as usize);
        check_rows(&whole, &out, true);
        let parts: Vec<Vec<usize>> = out.iter().map(|batches| numbers(batches)).collect();
        let filled: Vec<&Vec<usize>> = parts.iter().filter(|part| !part.is_empty()).collect();
        for pair in filled.windows(2) {
            let last = pair[0].iter().max_by(|a, b| compare(a, b)).unwrap();
            let first = pair[1].iter().min_by(|a, b| compare(a, b)).unwrap();
            prop_assert!(compare(last, first).is_lt());
        }
        let sorted = shuffle.sorted().shuffle_all(&schema, &batches).unwrap();
        check_rows(&whole, &sorted, false);
        let mut expected: Vec<usize> = (0..rows.len()).collect();
        expected.sort_by(compare);
        prop_assert_eq!(sorted.iter().flat_map(|batches| numbers(batches)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_sample_of_all_rows_splits_different_keys_evenly(count in 0_usize..500, partitions in 1_u32..20) {
        let keys = Int64Array::from_iter_values((0..count as i64).map(|row| row * 7919 % 104_729));
        let batch = RecordBatch::try_from_iter([("row", Arc::new(keys) as ArrayRef)]).unwrap();
        let out = RangeShuffle::from_sample(["row"], partitions, &batch).unwrap().shuffle(&batch).unwrap();
        let even = count / partitions as usize;
        for part in out {
            prop_assert!(part.num_rows() == even || part.num_rows() == even + 1, "{} of {}", part.num_rows(), even);
        }
    }
}

/// A float in the order of the shuffle: NaN after all, zeros equal.
#[derive(PartialEq, Clone, Copy)]
struct Float(f64);

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(match (self.0.is_nan(), other.0.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.0.partial_cmp(&other.0).unwrap(),
        })
    }
}

fn one<T: PartialOrd>(
    a: &Option<T>,
    b: &Option<T>,
    descending: bool,
    nulls_first: bool,
) -> Ordering {
    let null = if nulls_first {
        Ordering::Less
    } else {
        Ordering::Greater
    };
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => null,
        (Some(_), None) => null.reverse(),
        (Some(a), Some(b)) => {
            let order = a.partial_cmp(b).unwrap();
            if descending { order.reverse() } else { order }
        }
    }
}

fn one_column(name: &str, column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap()
}

#[test]
fn explicit_boundaries_begin_their_partitions() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(749.9),
        None,
        Some(750.0),
        Some(-1.0),
        Some(f64::NAN),
        Some(250.0),
    ]));
    let boundaries: ArrayRef = Arc::new(Float64Array::from(vec![250.0, 500.0, 750.0]));
    let batch = one_column("value", values);
    let ids = |key: SortKey, boundaries| {
        RangeShuffle::new(key, boundaries)
            .unwrap()
            .partition_ids(&batch)
            .unwrap()
    };
    assert_eq!(ids("value".into(), &boundaries), [2, 3, 3, 0, 3, 1]);
    assert_eq!(
        ids(SortKey::new("value").nulls_first(), &boundaries),
        [2, 0, 3, 0, 3, 1]
    );
    let falling: ArrayRef = Arc::new(Float64Array::from(vec![750.0, 500.0, 250.0]));
    assert_eq!(
        ids(SortKey::new("value").descending(), &falling),
        [1, 3, 1, 3, 0, 3]
    );
    let with_null: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(0.0)]));
    assert_eq!(
        ids(SortKey::new("value").nulls_first(), &with_null),
        [2, 1, 2, 1, 2, 2]
    );
    let none: ArrayRef = Arc::new(Float64Array::from(Vec::<f64>::new()));
    assert_eq!(ids("value".into(), &none), [0; 6]);
}

#[test]
fn several_keys_have_boundaries_of_several_columns() {
    let batch = RecordBatch::try_from_iter([
        (
            "town",
            Arc::new(StringArray::from(vec!["b", "a", "b", "c"])) as ArrayRef,
        ),
        (
            "year",
            Arc::new(Int32Array::from(vec![2001, 1999, 1999, 1900])),
        ),
    ])
    .unwrap();
    let boundaries: [ArrayRef; 2] = [
        Arc::new(StringArray::from(vec!["b", "b"])),
        Arc::new(Int32Array::from(vec![2001, 2000])),
    ];
    // Towns ascend, years descend: a 1999 | b 2001 | b 1999, c 1900.
    let keys = [SortKey::new("town"), SortKey::new("year").descending()];
    let ids = RangeShuffle::by_keys(keys, &boundaries)
        .unwrap()
        .partition_ids(&batch)
        .unwrap();
    assert_eq!(ids, [1, 0, 2, 2]);
}

#[test]
fn a_heavy_key_leaves_the_other_ranges_to_the_others() {
    let keys: ArrayRef = Arc::new(Int32Array::from(vec![1, 1, 1, 1, 1, 1, 2, 3]));
    let batch = one_column("key", keys);
    let out = RangeShuffle::from_sample(["key"], 4, &batch)
        .unwrap()
        .shuffle(&batch)
        .unwrap();
    assert_eq!(
        out.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(),
        [6, 1, 1, 0]
    );
}

#[test]
fn a_sample_is_evenly_drawn_and_the_same_each_time() {
    let batches: Vec<RecordBatch> = (0..10)
        .map(|batch| {
            one_column(
                "row",
                Arc::new(Int64Array::from_iter_values(batch * 100..(batch + 1) * 100)),
            )
        })
        .collect();
    let schema = batches[0].schema();
    let drawn = sample(&schema, &batches, 50).unwrap();
    assert_eq!(drawn, sample(&schema, &batches, 50).unwrap());
    let runs: Vec<i64> = drawn["row"]
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .map(|row| row / 20)
        .collect();
    assert!(runs.into_iter().eq(0..50));
    assert_eq!(sample(&schema, &[], 50).unwrap().num_rows(), 0);
}

#[test]
fn a_broadcast_copies_nothing() {
    let batch = one_column("row", Arc::new(Int64Array::from_iter_values(0..9)));
    let out = BroadcastShuffle::new(3)
        .unwrap()
        .shuffle_all(std::slice::from_ref(&batch));
    let address = |batch: &RecordBatch| {
        batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .as_ptr()
    };
    assert_eq!(out.len(), 3);
    assert!(
        out.iter()
            .all(|part| part[0] == batch && address(&part[0]) == address(&batch))
    );
}

#[test]
fn rows_that_lie_together_are_not_copied() {
    let batch = one_column("row", Arc::new(Int64Array::from_iter_values(0..9)));
    let boundaries: ArrayRef = Arc::new(Int64Array::from(vec![4]));
    let out = RangeShuffle::new("row", &boundaries)
        .unwrap()
        .shuffle(&batch)
        .unwrap();
    let address = |batch: &RecordBatch| {
        batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .as_ptr()
    };
    assert_eq!(address(&out[0]), address(&batch));
    assert_eq!(
        out.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(),
        [4, 5]
    );
}

#[test]
fn many_small_batches_come_out_as_few_large_ones() {
    let batches: Vec<RecordBatch> = (0..400)
        .map(|batch| {
            one_column(
                "row",
                Arc::new(Int64Array::from_iter_values(
                    batch * 1000..(batch + 1) * 1000,
                )),
            )
        })
        .collect();
    let out = HashShuffle::new(["row"], 200)
        .unwrap()
        .shuffle_all(&batches[0].schema(), &batches)
        .unwrap();
    // 2,000 rows a partition, in batches of 1,000 rows that each give it 5.
    assert!(
        out.iter()
            .all(|part| part.len() == 1 && part[0].num_rows() > 1500)
    );
}

#[test]
fn a_partition_of_views_holds_only_its_own_strings() {
    let long = |row: usize| format!("{row:100}");
    let words: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..1000).map(long)));
    let out = HashShuffle::new(["word"], 10)
        .unwrap()
        .shuffle(&one_column("word", words))
        .unwrap();
    for part in out {
        let held: usize = part
            .column(0)
            .as_string_view()
            .data_buffers()
            .iter()
            .map(|buffer| buffer.len())
            .sum();
        assert_eq!(held, part.num_rows() * 100);
    }
}

#[test]
fn dictionaries_too_many_for_their_keys_are_cut_one_by_one() {
    // Each batch has 100 values, a key of 8 bits names 128. Booleans in a dictionary take another path in Arrow than strings do.
    let words = |batch: i32| -> ArrayRef {
        let values =
            StringViewArray::from_iter_values((0..100).map(|value| format!("{batch} {value}")));
        Arc::new(DictionaryArray::<Int8Type>::new(
            Int8Array::from_iter_values(0..100),
            Arc::new(values),
        ))
    };
    let batches = [one_column("word", words(1)), one_column("word", words(2))];
    let shuffle = HashShuffle::new(["word"], 4).unwrap();
    let out = shuffle.shuffle_all(&batches[0].schema(), &batches).unwrap();
    let alone = batches
        .each_ref()
        .map(|batch| shuffle.shuffle(batch).unwrap());
    for (partition, parts) in out.iter().enumerate() {
        assert_eq!(
            parts,
            &[alone[0][partition].clone(), alone[1][partition].clone()]
        );
    }
    let sorting = RangeShuffle::from_sample(["word"], 2, &batches[0])
        .unwrap()
        .sorted();
    let error = sorting
        .shuffle_all(&batches[0].schema(), &batches)
        .unwrap_err();
    assert!(
        matches!(error, Error::Arrow { doing: "sort", .. }),
        "{error}"
    );
    // The same dictionary in both fits.
    let shared = [batches[0].clone(), batches[0].clone()];
    assert!(dictionaries::can_join(&shared) && !dictionaries::can_join(&batches));
}

#[test]
fn errors_name_what_is_wrong_and_what_there_is() {
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a"]))),
    ])
    .unwrap();
    let unknown = HashShuffle::new(["nmae"], 4)
        .unwrap()
        .shuffle(&batch)
        .unwrap_err();
    assert_eq!(unknown.to_string(), "no column 'nmae'; there are: id, name");
    assert!(matches!(
        HashShuffle::new(["id"], 0),
        Err(Error::NoPartitions)
    ));
    assert!(matches!(
        HashShuffle::new(Vec::<String>::new(), 1),
        Err(Error::NoKeys)
    ));
    assert!(matches!(BroadcastShuffle::new(0), Err(Error::NoPartitions)));
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 0.0]));
    assert!(matches!(
        RangeShuffle::new("id", &doubles),
        Err(Error::BoundariesUnordered { at: 1 })
    ));
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, 0.0]));
    assert!(matches!(
        RangeShuffle::new("id", &zeros),
        Err(Error::BoundariesUnordered { at: 1 })
    ));
    let wrong = RangeShuffle::new("id", &doubles.slice(0, 1))
        .unwrap()
        .shuffle(&batch)
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "column 'id' is Int32, its boundaries are Float64; cast one to the other"
    );
    assert!(matches!(
        RangeShuffle::by_keys(["id", "name"], &[doubles]),
        Err(Error::BoundaryColumns {
            keys: 2,
            columns: 1,
            ..
        })
    ));
    let mut writer = ShuffleWriter::new(
        HashShuffle::new(["id"], 4).unwrap(),
        Arc::new(Schema::empty()),
        WriterLimits::default(),
    );
    assert!(matches!(writer.push(&batch), Err(Error::Schema { .. })));
}

#[test]
fn a_shuffle_of_ones_own_is_held_to_its_word() {
    struct Wrong(Vec<u32>);
    impl Shuffle for Wrong {
        fn partitions(&self) -> u32 {
            2
        }
        fn partition_ids(&self, _: &RecordBatch) -> Result<Vec<u32>, Error> {
            Ok(self.0.clone())
        }
    }
    let batch = one_column("row", Arc::new(Int64Array::from_iter_values(0..2)));
    assert!(matches!(
        partition_batch(&Wrong(vec![0, 2]), &batch),
        Err(Error::Ids { largest: 2, .. })
    ));
    assert!(matches!(
        partition_batch(&Wrong(vec![0]), &batch),
        Err(Error::Ids {
            ids: 1,
            rows: 2,
            ..
        })
    ));
    assert_eq!(
        partition_batch(&Wrong(vec![1, 1]), &batch).unwrap(),
        [(1, batch)]
    );
}
