//! From a job's spec to a question for the engine, and from its answer to stages.

use swath_tables::{Operation, PlanSettings, Query, StageOutput, TableStage};

use crate::plan::catalog::{Capacity, QueryStage};
use crate::plan::stage::FragmentRows;
use crate::spec::{
    JoinKind, NamedTable, SpatialPredicate, TableFormat, TableInput, TableSettings, TaskOperation,
};

/// Returns the question that an operation on tables asks, or [`None`] for any other operation.
pub(super) fn query(
    operation: &TaskOperation,
    capacity: Capacity,
) -> Option<(Query, PlanSettings)> {
    let (tables, operation, settings) = match operation {
        TaskOperation::GroupBy {
            input,
            by,
            aggregates,
            settings,
        } => (
            vec![table("input", input)],
            Operation::GroupBy {
                by: by.clone(),
                aggregates: aggregates.clone(),
            },
            settings,
        ),
        TaskOperation::Sort {
            input,
            by,
            settings,
        } => (
            vec![table("input", input)],
            Operation::Sort { by: by.clone() },
            settings,
        ),
        TaskOperation::Join {
            left,
            right,
            on,
            how,
            broadcast,
            settings,
        } => (
            vec![table("left", left), table("right", right)],
            Operation::Join {
                on: on.clone(),
                how: kind(*how),
                broadcast: *broadcast,
            },
            settings,
        ),
        TaskOperation::Sql {
            statement,
            tables,
            settings,
        } => (
            tables.iter().map(named).collect(),
            Operation::Sql {
                statement: statement.clone(),
            },
            settings,
        ),
        TaskOperation::SpatialJoin {
            left,
            right,
            predicate,
            settings,
        } => (
            vec![table("left", left), table("right", right)],
            Operation::SpatialJoin {
                predicate: relation(*predicate),
            },
            settings,
        ),
        TaskOperation::Index { .. }
        | TaskOperation::Calc { .. }
        | TaskOperation::Convert { .. }
        | TaskOperation::Terrain(_)
        | TaskOperation::Focal(_)
        | TaskOperation::Convolve(_)
        | TaskOperation::Reproject(_)
        | TaskOperation::Composite(_)
        | TaskOperation::Custom { .. } => return None,
    };
    Some((
        Query { tables, operation },
        plan_settings(settings, capacity),
    ))
}

/// Rows take a few times more memory than as stored: a partition that fits is so much smaller than a task's memory.
const PARTITION_SHARE: u64 = 4;
/// A table that goes whole to every task is held beside all else that the task holds.
const BROADCAST_SHARE: u64 = 8;

fn plan_settings(settings: &TableSettings, capacity: Capacity) -> PlanSettings {
    let default = PlanSettings::default();
    let fitting = |share: u64, most: u64| {
        let fits = capacity.task_bytes.map_or(most, |bytes| bytes / share);
        fits.clamp(1 << 20, most)
    };
    let partition_bytes = fitting(PARTITION_SHARE, default.partition_bytes);
    let broadcast_bytes = fitting(BROADCAST_SHARE, default.broadcast_bytes);
    PlanSettings {
        partitions: settings.partitions,
        partition_bytes: settings.partition_bytes.unwrap_or(partition_bytes),
        broadcast_bytes: settings.broadcast_bytes.unwrap_or(broadcast_bytes),
        slots: capacity.slots,
    }
}

fn named(table: &NamedTable) -> swath_tables::NamedTable {
    self::table(&table.name, &table.input)
}

fn table(name: &str, input: &TableInput) -> swath_tables::NamedTable {
    swath_tables::NamedTable {
        name: name.to_owned(),
        paths: input.paths.clone(),
        format: input.format.map(format),
    }
}

/// Names a format as the engine does.
pub(super) const fn format(format: TableFormat) -> swath_tables::Format {
    match format {
        TableFormat::Parquet => swath_tables::Format::Parquet,
        TableFormat::Csv => swath_tables::Format::Csv,
        TableFormat::Ndjson => swath_tables::Format::Ndjson,
        TableFormat::Geojson => swath_tables::Format::Geojson,
        TableFormat::Arrow => swath_tables::Format::Arrow,
    }
}

const fn kind(how: JoinKind) -> swath_tables::JoinKind {
    match how {
        JoinKind::Inner => swath_tables::JoinKind::Inner,
        JoinKind::Left => swath_tables::JoinKind::Left,
        JoinKind::Right => swath_tables::JoinKind::Right,
        JoinKind::Full => swath_tables::JoinKind::Full,
        JoinKind::Semi => swath_tables::JoinKind::Semi,
        JoinKind::Anti => swath_tables::JoinKind::Anti,
    }
}

const fn relation(predicate: SpatialPredicate) -> swath_tables::Predicate {
    match predicate {
        SpatialPredicate::Intersects => swath_tables::Predicate::Intersects,
        SpatialPredicate::Within => swath_tables::Predicate::Within,
        SpatialPredicate::Contains => swath_tables::Predicate::Contains,
    }
}

/// Returns a stage of the engine as the planner knows it.
pub(super) fn stage(stage: TableStage) -> QueryStage {
    let rows = match stage.output {
        StageOutput::Hash { partitions, .. } => Some(FragmentRows::Hash(partitions)),
        StageOutput::Sorted { .. } => Some(FragmentRows::Sorted),
        StageOutput::Whole { .. } => Some(FragmentRows::Whole),
        StageOutput::Result => None,
    };
    QueryStage {
        name: stage.name,
        tasks: stage.tasks,
        inputs: stage.inputs,
        fragment: stage.fragment,
        rows,
        output_bytes: stage.output_bytes,
        details: stage.display,
    }
}
