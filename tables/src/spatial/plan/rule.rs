//! Finds joins by a relation of geometries.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::node::SpatialJoinNode;
use crate::spatial::Relation;

/// Turns an inner join without equal keys, whose condition holds `ST_Intersects(of the left, of the right)` or another relation but
/// `ST_Disjoint`, into a spatial join. What else the condition asks is filtered after it.
#[derive(Debug)]
pub struct SpatialJoinRule;

impl OptimizerRule for SpatialJoinRule {
    fn name(&self) -> &'static str {
        "spatial_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(join) = plan else {
            return Ok(Transformed::no(plan));
        };
        match Found::in_join(&join) {
            Some(found) => Ok(Transformed::yes(found.plan(join)?)),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        }
    }
}

/// The relation that a join is by: geometries of its left and its right, and the rest of its condition.
struct Found {
    relation: Relation,
    left: Expr,
    right: Expr,
    rest: Vec<Expr>,
}

impl Found {
    fn in_join(join: &Join) -> Option<Self> {
        if join.join_type != JoinType::Inner || !join.on.is_empty() {
            return None;
        }
        let mut rest = split_conjunction_owned(join.filter.clone()?);
        let (left, right) = (join.left.schema(), join.right.schema());
        let sided = rest.iter().map(|condition| related(condition, left, right));
        let (at, (relation, left, right)) = sided
            .enumerate()
            .find_map(|(at, found)| Some((at, found?)))?;
        rest.remove(at);
        Some(Self {
            relation,
            left,
            right,
            rest,
        })
    }

    fn plan(self, join: Join) -> Result<LogicalPlan> {
        let columns: Vec<Expr> = join
            .schema
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let left = with_column(join.left.as_ref().clone(), self.left, "__left_geometry")?;
        let right = with_column(join.right.as_ref().clone(), self.right, "__right_geometry")?;
        let node = SpatialJoinNode::try_new(left, right, self.relation)?.into_plan();
        let has_more = node.schema().fields().len() > columns.len();
        let mut plan = LogicalPlanBuilder::from(node);
        if let Some(rest) = conjunction(self.rest) {
            plan = plan.filter(rest)?;
        }
        if has_more {
            plan = plan.project(columns)?;
        }
        plan.build()
    }
}

/// Reads a condition as a relation of an expression of the left to one of the right.
fn related(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Relation, Expr, Expr)> {
    let Expr::ScalarFunction(call) = condition else {
        return None;
    };
    let relation = Relation::ALL
        .into_iter()
        .find(|of| of.function() == call.name())?;
    let [first, second] = call.args.as_slice() else {
        return None;
    };
    if relation == Relation::Disjoint || condition.is_volatile() {
        return None;
    }
    if is_of(first, left) && is_of(second, right) {
        Some((relation, first.clone(), second.clone()))
    } else if is_of(first, right) && is_of(second, left) {
        Some((relation.flipped(), second.clone(), first.clone()))
    } else {
        None
    }
}

fn is_of(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| schema.has_column(column))
}

/// Returns a plan with the value of an expression as a column, and that column.
fn with_column(plan: LogicalPlan, expr: Expr, name: &str) -> Result<(LogicalPlan, Column)> {
    if let Expr::Column(column) = expr {
        return Ok((plan, column));
    }
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let columns: Vec<Expr> = columns.chain([expr.alias(name)]).collect();
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok((plan, Column::from_name(name)))
}
