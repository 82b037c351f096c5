//! What is asked, as DataFusion's logical plan.

use std::collections::HashSet;

use datafusion::common::{Column, JoinType, TableReference, plan_err};
use datafusion::error::Result;
use datafusion::execution::context::SQLOptions;
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};
use datafusion::prelude::{DataFrame, SessionContext};

use crate::spatial::join_tables;
use crate::{JoinKind, Operation};

/// Builds the plan of an operation over registered tables.
pub(super) async fn build(
    session: &SessionContext,
    tables: &[String],
    operation: &Operation,
) -> Result<LogicalPlan> {
    let frame = match operation {
        Operation::Sql { statement } => query(session, statement).await?,
        Operation::GroupBy { by, aggregates } => {
            group(table(session, tables, 0).await?, by, aggregates)?
        }
        Operation::Sort { by } => sort(table(session, tables, 0).await?, by)?,
        Operation::Join { on, how, broadcast } => {
            let left = table(session, tables, 0).await?;
            join(left, table(session, tables, 1).await?, on, *how, *broadcast)?
        }
        Operation::SpatialJoin { predicate } => {
            let (left, right) = (name(tables, 0)?, name(tables, 1)?);
            let left = (
                left,
                table(session, tables, 0).await?.into_unoptimized_plan(),
            );
            let right = (
                right,
                table(session, tables, 1).await?.into_unoptimized_plan(),
            );
            return join_tables(left, right, *predicate);
        }
    };
    Ok(frame.into_unoptimized_plan())
}

async fn query(session: &SessionContext, statement: &str) -> Result<DataFrame> {
    let only_queries = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    session.sql_with_options(statement, only_queries).await
}

async fn table(session: &SessionContext, tables: &[String], at: usize) -> Result<DataFrame> {
    session.table(TableReference::bare(name(tables, at)?)).await
}

fn name(tables: &[String], at: usize) -> Result<&str> {
    match tables.get(at) {
        Some(name) => Ok(name),
        None => plan_err!(
            "the operation wants {} tables, {} are given",
            at + 1,
            tables.len()
        ),
    }
}

/// An aggregate without a name is called as it was written.
fn group(frame: DataFrame, by: &[String], aggregates: &[String]) -> Result<DataFrame> {
    let keys = by
        .iter()
        .map(|name| column(&frame, name))
        .collect::<Result<_>>()?;
    let aggregates = aggregates
        .iter()
        .map(|text| {
            Ok(match expression(&frame, text)? {
                named @ Expr::Alias(_) => named,
                bare => bare.alias(text.trim()),
            })
        })
        .collect::<Result<_>>()?;
    frame.aggregate(keys, aggregates)
}

fn sort(frame: DataFrame, by: &[String]) -> Result<DataFrame> {
    let keys = by
        .iter()
        .map(|text| sort_key(&frame, text))
        .collect::<Result<_>>()?;
    frame.sort(keys)
}

/// Reads `name [asc|desc] [nulls first|last]`; nulls are greater than all else unless said otherwise, as in PostgreSQL.
fn sort_key(frame: &DataFrame, text: &str) -> Result<SortExpr> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let mut rest: Vec<&str> = text.split_whitespace().collect();
    let mut nulls_first = None;
    if let [.., nulls, place] = words.as_slice()
        && nulls == "nulls"
        && (place == "first" || place == "last")
    {
        nulls_first = Some(place == "first");
        rest.truncate(rest.len() - 2);
    }
    let mut ascending = true;
    if let Some(last) = rest.last().map(|word| word.to_lowercase())
        && (last == "asc" || last == "desc")
    {
        ascending = last == "asc";
        rest.pop();
    }
    let key = expression(frame, &rest.join(" "))?;
    Ok(key.sort(ascending, nulls_first.unwrap_or(!ascending)))
}

/// Reads an expression; a column's name is taken as it is, and needs no quotes.
fn expression(frame: &DataFrame, text: &str) -> Result<Expr> {
    match column(frame, text.trim()) {
        Ok(column) => Ok(column),
        Err(_) => frame.parse_sql_expr(text),
    }
}

fn column(frame: &DataFrame, name: &str) -> Result<Expr> {
    let (qualifier, field) = frame.schema().qualified_field_with_unqualified_name(name)?;
    Ok(Expr::Column(Column::from((qualifier, field))))
}

/// Columns of the first table, then of the second. Keys of one name become one column; another name that both have
/// ends with `_right` in the second.
fn join(
    left: DataFrame,
    right: DataFrame,
    on: &[(String, String)],
    how: JoinKind,
    broadcast: bool,
) -> Result<DataFrame> {
    let (left, right) = (left.alias("left")?, right.alias("right")?);
    let output = joined_columns(&left, &right, on, how)?;
    let (left_keys, right_keys): (Vec<String>, Vec<String>) = on
        .iter()
        .map(|(l, r)| (quoted("left", l), quoted("right", r)))
        .unzip();
    let left_keys: Vec<&str> = left_keys.iter().map(String::as_str).collect();
    let right_keys: Vec<&str> = right_keys.iter().map(String::as_str).collect();
    let kind = kind(how);
    let joined = if broadcast {
        right.join(left, kind.swap(), &right_keys, &left_keys, None)?
    } else {
        left.join(right, kind, &left_keys, &right_keys, None)?
    };
    joined.select(output)
}

fn kind(how: JoinKind) -> JoinType {
    match how {
        JoinKind::Inner => JoinType::Inner,
        JoinKind::Left => JoinType::Left,
        JoinKind::Right => JoinType::Right,
        JoinKind::Full => JoinType::Full,
        JoinKind::Semi => JoinType::LeftSemi,
        JoinKind::Anti => JoinType::LeftAnti,
    }
}

fn quoted(table: &str, column: &str) -> String {
    format!("\"{table}\".\"{}\"", column.replace('"', "\"\""))
}

fn joined_columns(
    left: &DataFrame,
    right: &DataFrame,
    on: &[(String, String)],
    how: JoinKind,
) -> Result<Vec<Expr>> {
    let shared_key = |name: &str| on.iter().any(|(l, r)| l == name && r == name);
    let mut taken = HashSet::new();
    let mut output = Vec::new();
    for field in left.schema().fields() {
        let name = field.name();
        let own = of("left", name);
        output.push(match how {
            JoinKind::Right if shared_key(name) => of("right", name).alias(name),
            JoinKind::Full if shared_key(name) => {
                coalesce(vec![own, of("right", name)]).alias(name)
            }
            _ => own.alias(name),
        });
        taken.insert(name.clone());
    }
    if matches!(how, JoinKind::Semi | JoinKind::Anti) {
        return Ok(output);
    }
    for field in right.schema().fields() {
        let name = field.name();
        if shared_key(name) {
            continue;
        }
        let mut unique = name.clone();
        while !taken.insert(unique.clone()) {
            unique.push_str("_right");
        }
        output.push(of("right", name).alias(unique));
    }
    Ok(output)
}

fn of(table: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(table), name))
}
