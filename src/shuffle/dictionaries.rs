//! Whether the dictionaries of several batches fit into one.

use arrow::array::{Array, ArrayData};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

/// Tells whether batches can be joined: Arrow panics where the joined dictionaries have more values than keys can name.
pub(super) fn can_join(batches: &[RecordBatch]) -> bool {
    let Some((first, rest)) = batches.split_first() else {
        return true;
    };
    rest.is_empty()
        || (0..first.num_columns()).all(|at| {
            let columns: Vec<ArrayData> = batches
                .iter()
                .filter_map(|batch| batch.columns().get(at))
                .map(|column| column.to_data())
                .collect();
            fits(&columns.iter().collect::<Vec<_>>())
        })
}

fn fits(arrays: &[&ArrayData]) -> bool {
    let Some(first) = arrays.first() else {
        return true;
    };
    let children = |at: usize| {
        arrays
            .iter()
            .filter_map(|array| array.child_data().get(at))
            .collect::<Vec<_>>()
    };
    if let DataType::Dictionary(keys, _) = first.data_type() {
        let values = children(0);
        let shared = values
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.ptr_eq(b)));
        let count: usize = values.iter().map(|values| values.len()).sum();
        if !shared && count > keys_of(keys) {
            return false;
        }
    }
    (0..first.child_data().len()).all(|at| fits(&children(at)))
}

/// Returns how many values keys of a type can name.
fn keys_of(keys: &DataType) -> usize {
    match keys {
        DataType::Int8 => 1 << 7,
        DataType::UInt8 => 1 << 8,
        DataType::Int16 => 1 << 15,
        DataType::UInt16 => 1 << 16,
        _ => i32::MAX as usize,
    }
}
