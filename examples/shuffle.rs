//! Deals rows out to partitions in this process, without a cluster: by hash, by sorted ranges, whole to each; and shares out a file.
//!
//! `cargo run --example shuffle`

use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;
use swath::partition::LoadBalancedPartitioner;
use swath::shuffle::{BroadcastShuffle, HashShuffle, RangeShuffle, SortKey, sample};

fn main() -> Result<(), Box<dyn Error>> {
    let shuffled = run()?;
    let rows = |partition: &Vec<RecordBatch>| -> usize {
        partition.iter().map(RecordBatch::num_rows).sum()
    };
    println!(
        "by station: {:?} rows",
        shuffled.by_station.iter().map(rows).collect::<Vec<_>>()
    );
    println!(
        "warmest first: {:?} rows",
        shuffled.warmest_first.iter().map(rows).collect::<Vec<_>>()
    );
    println!(
        "to each: {:?} rows",
        shuffled.to_each.iter().map(rows).collect::<Vec<_>>()
    );
    println!("bytes: {:?}", shuffled.byte_ranges);
    Ok(())
}

/// The batches of each partition, by three shuffles, and the shares of a file.
pub(crate) struct Shuffled {
    pub(crate) by_station: Vec<Vec<RecordBatch>>,
    pub(crate) warmest_first: Vec<Vec<RecordBatch>>,
    pub(crate) to_each: Vec<Vec<RecordBatch>>,
    pub(crate) byte_ranges: Vec<std::ops::Range<u64>>,
}

/// Shuffles ten batches of a hundred measurements.
pub(crate) fn run() -> Result<Shuffled, Box<dyn Error>> {
    let batches: Vec<RecordBatch> = (0..10).map(measurements).collect::<Result<_, _>>()?;
    let schema = batches.first().ok_or("no batch")?.schema();

    let by_station = HashShuffle::new(["station"], 4)?.shuffle_all(&schema, &batches)?;
    let warmest_first = RangeShuffle::from_sample(
        [SortKey::new("celsius").descending()],
        4,
        &sample(&schema, &batches, 500)?,
    )?
    .sorted()
    .shuffle_all(&schema, &batches)?;
    let to_each = BroadcastShuffle::new(3)?.shuffle_all(&batches);
    let byte_ranges = LoadBalancedPartitioner::new(3)?.byte_ranges(1000).collect();
    Ok(Shuffled {
        by_station,
        warmest_first,
        to_each,
        byte_ranges,
    })
}

/// Makes a hundred measurements of twenty stations.
fn measurements(batch: u32) -> Result<RecordBatch, Box<dyn Error>> {
    let rows = || batch * 100..(batch + 1) * 100;
    let stations = StringArray::from_iter_values(rows().map(|row| format!("station {}", row % 20)));
    let celsius = Float64Array::from_iter_values(
        rows().map(|row| f64::from(row * 7919 % 1000) / 20.0 - 10.0),
    );
    let columns: [(&str, ArrayRef); 2] = [
        ("station", Arc::new(stations)),
        ("celsius", Arc::new(celsius)),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}
