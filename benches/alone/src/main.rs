//! DataFusion by itself: one statement over Parquet files, into one Parquet file.
//!
//! What `scripts/bench_tables.sh` compares a cluster with: the same build of DataFusion, and the settings of its files that Swath
//! writes with (Snappy, statistics of chunks); all else as DataFusion has it.
//!
//! `datafusion-alone THREADS OUT.parquet 'SELECT …' NAME=PATH…`

use std::error::Error;

use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, output, statement, tables @ ..] = arguments.as_slice() else {
        return Err("THREADS OUT.parquet 'SELECT …' NAME=PATH…".into());
    };
    let threads: usize = threads.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(query(threads, output, statement, tables))
}

async fn query(
    threads: usize,
    output: &str,
    statement: &str,
    tables: &[String],
) -> Result<(), Box<dyn Error>> {
    let mut config = SessionConfig::new().with_target_partitions(threads);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.compression = Some("snappy".to_owned());
    parquet.statistics_enabled = Some("chunk".to_owned());
    let session = SessionContext::new_with_config(config);
    for table in tables {
        let (name, path) = table.split_once('=').ok_or("a table is NAME=PATH")?;
        session
            .register_parquet(name, path, ParquetReadOptions::default())
            .await?;
    }
    let rows = session.sql(statement).await?;
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    rows.write_parquet(output, options, None).await?;
    Ok(())
}
