//! Registering the tables of a query.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use futures::stream::{StreamExt, TryStreamExt};

use super::facts::{FileFacts, Search};
use super::locate::{Found, locate};
use super::table::FileTable;
use super::{Error, SourceContext};
use crate::query::NamedTable;

/// What is known of a table before it is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// Bytes of its files, as stored.
    pub bytes: u64,
    /// Number of files.
    pub files: usize,
    /// Number of rows, where all files tell.
    pub rows: Option<u64>,
}

/// Files whose facts are fetched at once.
const SIDE_BY_SIDE: usize = 16;

/// Registers tables in a session, each under its name exactly as written, and tells what is known of them.
///
/// # Errors
/// When files are missing, of no known format, damaged, or contradict each other.
pub async fn register(
    context: &SessionContext,
    tables: &[NamedTable],
    sources: &SourceContext,
) -> Result<Vec<SourceFacts>, crate::Error> {
    let mut facts = Vec::with_capacity(tables.len());
    for table in tables {
        let registered = register_one(context, table, sources).await;
        facts.push(registered.map_err(|source| crate::Error::Table {
            name: table.name.clone(),
            source: Box::new(source),
        })?);
    }
    Ok(facts)
}

async fn register_one(
    context: &SessionContext,
    table: &NamedTable,
    sources: &SourceContext,
) -> Result<SourceFacts, Error> {
    let found = locate(&table.paths, sources).await?;
    let format = super::format::common_format(table.format, &found)?;
    let search = Search::new(format, found.len(), context);
    let facts = |found: Found| async move {
        let url: &url::Url = found.store.as_ref();
        let store = sources.store(url).map_err(register_failed)?;
        let facts = search.facts(&found, store).await?;
        Ok::<_, Error>((found, facts))
    };
    let files: Vec<(Found, FileFacts)> = futures::stream::iter(found)
        .map(facts)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    if let Some((first, _)) = files.first() {
        let url: &url::Url = first.store.as_ref();
        let store = sources.store(url).map_err(register_failed)?;
        context.runtime_env().register_object_store(url, store);
    }
    let provider = FileTable::new(format, &files)?;
    context
        .register_table(TableReference::bare(table.name.clone()), Arc::new(provider))
        .map_err(register_failed)?;
    let rows = files.iter().map(|(_, facts)| facts.rows);
    let rows: Option<usize> = rows.sum();
    Ok(SourceFacts {
        bytes: files.iter().map(|(found, _)| found.meta.size).sum(),
        files: files.len(),
        rows: rows.and_then(|rows| u64::try_from(rows).ok()),
    })
}

fn register_failed(source: datafusion::error::DataFusionError) -> Error {
    Error::Register {
        source: Box::new(source),
    }
}
