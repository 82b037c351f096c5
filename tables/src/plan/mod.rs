//! A query becomes stages of fragments.
//!
//! `logical` builds the question, DataFusion plans it with `session`'s rules, `cut` takes the physical plan apart at its
//! exchanges. What cannot be distributed becomes one stage of one task. Start with `cut`.
//!
//! How many tasks: `partitions` of [`crate::PlanSettings`], or from the bytes of the input, see [`session::partitions`].

mod cut;
mod describe;
mod joins;
mod logical;
pub(crate) mod session;

pub use session::planning_session;

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use crate::source::{self, SourceContext};
use crate::{Error, Operation, PlanSettings, Query, TablePlan};

/// Plans a query over files.
///
/// DataFusion's planner is recursive: let it run on a thread with a large stack, so that no statement is too long.
///
/// # Errors
/// [`Error::Table`] when a table's files are missing or no tables; [`Error::Query`] when the statement, or a name in it, is wrong.
pub async fn plan(
    query: &Query,
    settings: &PlanSettings,
    sources: &SourceContext,
) -> Result<TablePlan, Error> {
    let session = planning_session(settings, sources.registry())?;
    let facts = source::register(&session, &query.tables, sources).await?;
    let bytes = facts.iter().map(|facts| facts.bytes).sum();
    let tables: Vec<String> = query
        .tables
        .iter()
        .map(|table| table.name.clone())
        .collect();
    plan_registered(&session, &tables, &query.operation, bytes, settings).await
}

/// Plans an operation over tables that are registered in the session already.
///
/// - `tables`: their names, in the query's order.
/// - `session`: from [`planning_session`].
/// - `bytes`: what the tables hold, as stored.
///
/// # Errors
/// [`Error::Query`] when the statement, or a name in it, is wrong.
pub async fn plan_registered(
    session: &SessionContext,
    tables: &[String],
    operation: &Operation,
    bytes: u64,
    settings: &PlanSettings,
) -> Result<TablePlan, Error> {
    let partitions = session::partitions(bytes, settings);
    session::size(session, partitions, operation, settings);
    let logical = logical::build(session, tables, operation)
        .await
        .map_err(query)?;
    let physical = physical(session, &logical).await.map_err(query)?;
    match cut::stages(physical, partitions) {
        Ok(plan) => Ok(plan),
        Err(error) => {
            tracing::debug!(%error, "the plan cannot be cut: one task runs it");
            session::size(session, 1, operation, settings);
            let physical = self::physical(session, &logical).await.map_err(query)?;
            cut::whole(physical).map_err(query)
        }
    }
}

async fn physical(
    session: &SessionContext,
    logical: &datafusion::logical_expr::LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    session.state().create_physical_plan(logical).await
}

pub(crate) fn query(source: DataFusionError) -> Error {
    Error::Query {
        source: Box::new(source),
    }
}
