//! TPC-H's queries, cut into stages, against DataFusion in one piece.

use std::path::Path;

use super::support::{Trial, same, sql};

#[path = "../../examples/tpch/data.rs"]
mod data;

/// The tests of `swath-worker` do the same at scale 0.1 on worker processes.
const SCALE: f64 = 0.01;

async fn tables(folder: &Path, partitions: u32) -> Trial {
    let trial = Trial::new(partitions);
    for name in data::TABLES {
        let path = data::file(folder, name);
        let statement = format!(
            "create external table {name} stored as parquet location '{}'",
            path.display()
        );
        trial.session.sql(&statement).await.unwrap();
    }
    trial
}

#[tokio::test]
async fn the_22_queries_give_the_answers_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    // The texts come from a small pool, because the specification's takes minutes to make in a debug build.
    data::generate(folder.path(), SCALE, 1 << 20).unwrap();
    let mut trial = tables(folder.path(), 3).await;
    let mut empty = Vec::new();
    for (number, statement) in (1..).zip(data::queries()) {
        // Small tables are broadcast in every other query.
        trial.settings.broadcast_bytes = if number % 2 == 0 { 100_000 } else { 0 };
        let plan = trial.plan(&sql(statement)).await;
        assert!(plan.stages.len() > 1, "q{number} is distributed");
        let alone = trial.alone(statement).await;
        same(&trial.sql(statement).await, &alone, &format!("q{number}"));
        if alone.is_empty() {
            empty.push(number);
        }
    }
    assert!(empty.len() <= 3, "queries without rows: {empty:?}");
}
