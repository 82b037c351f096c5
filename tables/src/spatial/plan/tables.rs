//! The join of two tables by their main geometries, as a logical plan.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::columns::main_geometry;
use super::node::SpatialJoinNode;
use crate::Predicate;
use crate::spatial::Error;

/// Plans [`crate::Operation::SpatialJoin`]: all columns of the left, then of the right; of the right, a name that the left has, too,
/// gets the ending `_right`.
///
/// Each side comes with its table's name.
///
/// # Errors
/// When a table has no geometry column, or the CRS of both differ.
pub fn join_tables(
    (left_name, left): (&str, LogicalPlan),
    (right_name, right): (&str, LogicalPlan),
    predicate: Predicate,
) -> Result<LogicalPlan> {
    let left = (aliased(left, "__left")?, left_name);
    let right = (aliased(right, "__right")?, right_name);
    let (left_geometry, right_geometry) = (geometry_of(&left)?, geometry_of(&right)?);
    let (left, right) = ((left.0, left_geometry), (right.0, right_geometry));
    let node = SpatialJoinNode::try_new(left, right, predicate.into())?.into_plan();
    let mut taken = HashSet::new();
    let columns: Vec<Expr> = node
        .schema()
        .columns()
        .into_iter()
        .map(|column| {
            let mut name = column.name.clone();
            while !taken.insert(name.clone()) {
                name.push_str("_right");
            }
            Expr::Column(column).alias(name)
        })
        .collect();
    LogicalPlanBuilder::from(node).project(columns)?.build()
}

/// Both sides may be the same table.
fn aliased(plan: LogicalPlan, name: &str) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).alias(name)?.build()
}

fn geometry_of((plan, table): &(LogicalPlan, &str)) -> Result<Column, Error> {
    let schema = plan.schema();
    let found = main_geometry(schema.as_arrow()).map(|at| Column::from(schema.qualified_field(at)));
    found.ok_or_else(|| Error::NoGeometryColumn {
        table: (*table).to_owned(),
        columns: schema
            .field_names()
            .join(", ")
            .replace("__left.", "")
            .replace("__right.", ""),
    })
}
