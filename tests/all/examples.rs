//! The examples do what they say.

#[path = "../../examples/custom_operation.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod custom_operation;
#[path = "../../examples/ndvi.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod ndvi;
#[path = "../../examples/shuffle.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod shuffle;
#[path = "../../examples/worker.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;
use swath::Client;
use swath::broker::{NatsBroker, NatsConfig};
use swath::testing::nats_server::NatsServer;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn the_ndvi_example_commits_a_raster() {
    let dir = tempfile::tempdir().unwrap();
    let output = ndvi::run(dir.path(), 700).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(
        output.metadata().unwrap().len() > 100_000,
        "NDVI of 700 x 700 cells"
    );
    assert!(names.is_empty(), "left behind: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_custom_operation_example_collects_every_result() {
    let results = custom_operation::run(5000).await.unwrap();
    assert_eq!(results.len(), 5000);
    for (number, (task, result)) in results.iter().enumerate() {
        assert_eq!((*task as usize, result.from), (number, number as u64 + 1));
    }
    // 27 takes 111 steps: OEIS A006577.
    assert_eq!(results[26].1.steps, 111);
}

#[test]
fn the_shuffle_example_deals_out_a_thousand_rows() {
    let shuffled = shuffle::run().unwrap();
    let mut rows_of = BTreeMap::new();
    for (partition, batches) in shuffled.by_station.iter().enumerate() {
        for station in batches
            .iter()
            .flat_map(|batch| batch["station"].as_string::<i32>())
        {
            *rows_of.entry((station.unwrap(), partition)).or_insert(0) += 1;
        }
    }
    // 1,000 rows of 20 stations, each in one partition.
    assert_eq!(rows_of.into_values().collect::<Vec<_>>(), [50; 20]);
    let warmth = |batch: &RecordBatch| {
        batch["celsius"]
            .as_primitive::<Float64Type>()
            .values()
            .to_vec()
    };
    let celsius: Vec<f64> = shuffled
        .warmest_first
        .iter()
        .flatten()
        .flat_map(warmth)
        .collect();
    // 7919 and 1000 share no divisor: each of 0 to 999 twentieths of a degree once, from -10 up.
    assert!(
        celsius
            .into_iter()
            .eq((0..1000).rev().map(|step| f64::from(step) / 20.0 - 10.0))
    );
    let rows =
        |batches: &Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert!(
        shuffled
            .warmest_first
            .iter()
            .all(|batches| rows(batches).abs_diff(250) < 25)
    );
    assert_eq!(
        shuffled.to_each.iter().map(rows).collect::<Vec<_>>(),
        [1000; 3]
    );
    assert_eq!(shuffled.byte_ranges, [0..333, 333..666, 666..1000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_example_joins_a_cluster_and_leaves_it() {
    let server = NatsServer::start().unwrap();
    let client = Client::new(
        NatsBroker::connect(NatsConfig::for_url(server.url()))
            .await
            .unwrap(),
    );
    let drain = CancellationToken::new();
    let url = server.url();
    let running = worker::run(&url, drain.clone());
    let seen = async {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while client.workers().await.unwrap().is_empty() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "no worker after 10 s"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drain.cancel();
    };
    let (ran, ()) = tokio::join!(running, seen);
    ran.unwrap();
    assert!(
        client.workers().await.unwrap().is_empty(),
        "the worker withdrew its record"
    );
}
