//! TPC-H for `scripts/tpch.sh`: makes the tables, and runs the queries by DataFusion alone, in one process.
//!
//! `tpch generate FOLDER SCALE` writes the tables as Parquet. `tpch queries FOLDER` writes the queries as files `1.sql` to `22.sql`.
//! `tpch alone FOLDER THREADS OUTPUT` runs the queries, writes each result as `OUTPUT/N.csv`, and prints a line `N SECONDS ROWS` for each.

mod data;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

/// The size of the text in the specification.
const TEXT_BYTES: i32 = 300 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["generate", folder, scale] => {
            std::fs::create_dir_all(folder)?;
            data::generate(Path::new(folder), scale.parse()?, TEXT_BYTES)
        }
        ["queries", folder] => {
            std::fs::create_dir_all(folder)?;
            for (number, query) in (1..).zip(data::queries()) {
                std::fs::write(Path::new(folder).join(format!("{number}.sql")), query)?;
            }
            Ok(())
        }
        ["alone", folder, threads, output] => {
            std::fs::create_dir_all(output)?;
            let threads = threads.parse()?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build()?;
            runtime.block_on(alone(Path::new(folder), threads, Path::new(output)))
        }
        _ => Err(
            "usage: tpch generate FOLDER SCALE | queries FOLDER | alone FOLDER THREADS OUTPUT"
                .into(),
        ),
    }
}

async fn alone(folder: &Path, threads: usize, output: &Path) -> Result<(), Box<dyn Error>> {
    let config = SessionConfig::new().with_target_partitions(threads);
    let session = SessionContext::new_with_config(config);
    for table in data::TABLES {
        let path = data::file(folder, table);
        let path = path.to_str().ok_or("a folder's name that is no UTF-8")?;
        session
            .register_parquet(table, path, ParquetReadOptions::default())
            .await?;
    }
    for (number, query) in (1..).zip(data::queries()) {
        let started = Instant::now();
        let frame = session.sql(query).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await?;
        let file = std::fs::File::create(output.join(format!("{number}.csv")))?;
        let mut writer = WriterBuilder::new().with_header(true).build(file);
        // The header, also when there is no row.
        writer.write(&RecordBatch::new_empty(schema))?;
        for batch in &batches {
            writer.write(batch)?;
        }
        drop(writer);
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        println!("{number} {:.3} {rows}", started.elapsed().as_secs_f64());
    }
    Ok(())
}
