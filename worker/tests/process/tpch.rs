//! TPC-H's queries at scale 0.1 on three worker processes, against DataFusion alone in this one.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use swath::TaskOperation;
use swath::spec::{NamedTable, TableInput, TableSettings};

use crate::cluster::{end, submit};
use crate::shared::tables::{alike, read_csv};
use crate::tables::{Cluster, spec};

#[path = "../../../tables/examples/tpch/data.rs"]
mod data;

const SCALE: f64 = 0.1;

/// DataFusion alone, two partitions at once.
async fn alone(folder: &Path) -> SessionContext {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    for table in data::TABLES {
        let path = data::file(folder, table);
        let options = ParquetReadOptions::default();
        session
            .register_parquet(table, path.to_str().unwrap(), options)
            .await
            .unwrap();
    }
    session
}

fn write_csv(path: &Path, schema: SchemaRef, batches: &[RecordBatch]) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = WriterBuilder::new().with_header(true).build(file);
    // The header, also when there is no row.
    writer.write(&RecordBatch::new_empty(schema)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
}

fn query(folder: &Path, statement: &str, broadcast: bool) -> TaskOperation {
    let table = |name: &&str| NamedTable {
        name: (*name).to_owned(),
        input: TableInput {
            paths: vec![data::file(folder, name).display().to_string()],
            format: None,
        },
    };
    TaskOperation::Sql {
        statement: statement.to_owned(),
        tables: data::TABLES.iter().map(table).collect(),
        settings: TableSettings {
            partitions: Some(3),
            partition_bytes: Some(4 << 20),
            broadcast_bytes: Some(if broadcast { 1 << 20 } else { 1 }),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_22_queries_give_the_answers_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    // The texts come from a small pool, because the specification's takes minutes to make in a debug build.
    data::generate(dir.path(), SCALE, 1 << 20).unwrap();
    eprintln!("tables made in {:.1?}", started.elapsed());
    let session = alone(dir.path()).await;
    let cluster = Cluster::start(&["a", "b", "c"]).await;
    let mut empty = Vec::new();
    for (number, statement) in (1..).zip(data::queries()) {
        let [ours, theirs] =
            ["ours", "theirs"].map(|name| dir.path().join(format!("{name}-{number}.csv")));
        let started = Instant::now();
        let frame = session.sql(statement).await.unwrap();
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.unwrap();
        write_csv(&theirs, schema, &batches);
        let in_one = started.elapsed();
        // Small tables are broadcast in every other query.
        let operation = query(dir.path(), statement, number % 2 == 0);
        let job = submit(&cluster.client, &spec(&operation, &ours)).await;
        let ended = end(&cluster.client, &job).await;
        eprintln!(
            "q{number}: alone {in_one:.1?}, on workers {:.1?}",
            started.elapsed() - in_one
        );
        assert!(ended.progress.stages.len() > 2, "q{number} is distributed");
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            empty.push(number);
        }
        assert_same(&ours, &theirs, number);
    }
    assert!(empty.len() <= 1, "queries without rows: {empty:?}");
}

/// Asserts that two files have the same rows in the same order, numbers within 1e-9 of each other: sums of parts round elsewhere.
fn assert_same(ours: &Path, theirs: &Path, number: i32) {
    let ((header, rows), (expected_header, expected)) = (read_csv(ours), read_csv(theirs));
    assert_eq!(header, expected_header, "q{number}");
    assert_eq!(rows.len(), expected.len(), "q{number}");
    for (row, expected) in rows.iter().zip(&expected) {
        let same =
            row.len() == expected.len() && row.iter().zip(expected).all(|(a, b)| alike(a, b));
        assert!(same, "q{number}: {row:?} is not {expected:?}");
    }
}
