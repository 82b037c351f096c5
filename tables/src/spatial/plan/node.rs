//! A spatial join in a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef, ExprSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, Extension, JoinType, LogicalPlan, UserDefinedLogicalNodeCore, build_join_schema,
};

use super::columns::check_crs;
use crate::spatial::Relation;

/// An inner join of two plans by a geometry column of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpatialJoinNode {
    pub(super) left: LogicalPlan,
    pub(super) left_geometry: Column,
    pub(super) right: LogicalPlan,
    pub(super) right_geometry: Column,
    pub(super) relation: Relation,
    schema: DFSchemaRef,
}

impl SpatialJoinNode {
    /// Fails when the geometries are in different CRS.
    pub(super) fn try_new(
        (left, left_geometry): (LogicalPlan, Column),
        (right, right_geometry): (LogicalPlan, Column),
        relation: Relation,
    ) -> Result<Self> {
        check_crs(
            left.schema().field_from_column(&left_geometry)?,
            right.schema().field_from_column(&right_geometry)?,
        )?;
        let schema = Arc::new(build_join_schema(
            left.schema(),
            right.schema(),
            &JoinType::Inner,
        )?);
        Ok(Self {
            left,
            left_geometry,
            right,
            right_geometry,
            relation,
            schema,
        })
    }

    pub(super) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }
}

impl PartialOrd for SpatialJoinNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| {
            (
                node.left_geometry.clone(),
                node.right_geometry.clone(),
                node.relation,
            )
        };
        let inputs = (&self.left, &self.right).partial_cmp(&(&other.left, &other.right))?;
        Some(inputs.then(key(self).partial_cmp(&key(other))?))
    }
}

impl Hash for SpatialJoinNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.left, &self.left_geometry).hash(state);
        (&self.right, &self.right_geometry, self.relation).hash(state);
    }
}

impl UserDefinedLogicalNodeCore for SpatialJoinNode {
    fn name(&self) -> &'static str {
        "SpatialJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let columns = [&self.left_geometry, &self.right_geometry];
        columns.map(|column| Expr::Column(column.clone())).into()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let function = self.relation.function();
        write!(
            f,
            "SpatialJoin: {function}({}, {})",
            self.left_geometry, self.right_geometry
        )
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (
            <[Expr; 2]>::try_from(exprs),
            <[LogicalPlan; 2]>::try_from(inputs),
        ) {
            (
                Ok([Expr::Column(left_geometry), Expr::Column(right_geometry)]),
                Ok([left, right]),
            ) => Self::try_new(
                (left, left_geometry),
                (right, right_geometry),
                self.relation,
            ),
            _ => plan_err!("a spatial join has two inputs, and a geometry column of each"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left = self.left.schema().fields().len();
        let (of_left, of_right): (Vec<usize>, Vec<usize>) =
            output_columns.iter().partition(|column| **column < left);
        Some(vec![
            of_left,
            of_right.into_iter().map(|column| column - left).collect(),
        ])
    }
}
