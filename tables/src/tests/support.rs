//! Runs a query cut into stages, and the same query in one piece.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::object_store::DefaultObjectStoreRegistry;
use datafusion::prelude::{CsvReadOptions, SessionContext};

use crate::local::{LocalSettings, run_plan};
use crate::plan::{plan_registered, session};
use crate::{Operation, PlanSettings, RunStats, TablePlan, WholeDisk};

/// Says whether the shared data is not there, and says so plainly.
pub(crate) fn left_out() -> bool {
    let missing = !data().join("expected").is_dir();
    if missing {
        let path = data();
        eprintln!(
            "LEFT OUT: no shared data in '{}'; set SWATH_TEST_DATA",
            path.display()
        );
    }
    missing
}

pub(crate) fn data() -> PathBuf {
    let from_env = std::env::var_os("SWATH_TEST_DATA").map(PathBuf::from);
    from_env.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"))
}

/// A query's surroundings: tables, how it is cut, what its tasks may use.
pub(super) struct Trial {
    pub(super) session: SessionContext,
    pub(super) tables: Vec<String>,
    pub(super) settings: PlanSettings,
    pub(super) local: LocalSettings,
    _spill: tempfile::TempDir,
}

impl Trial {
    pub(super) fn new(partitions: u32) -> Self {
        let spill = tempfile::tempdir().unwrap();
        let mut config = session::config(1024);
        // Small files are cut into as many scans as there are partitions.
        config.options_mut().optimizer.repartition_file_min_size = 1;
        let settings = PlanSettings {
            partitions: Some(partitions),
            broadcast_bytes: 0,
            ..PlanSettings::default()
        };
        Self {
            session: session::session(config, Default::default(), &settings),
            tables: Vec::new(),
            settings,
            local: LocalSettings {
                stores: Arc::new(DefaultObjectStoreRegistry::new()),
                memory_bytes: 256 << 20,
                spill_dir: spill.path().to_owned(),
                spill_room: Arc::new(WholeDisk),
                batch_rows: 1024,
            },
            _spill: spill,
        }
    }

    pub(super) async fn csv(mut self, name: &str, path: &str) -> Self {
        let options = CsvReadOptions::new().schema_infer_max_records(100_000);
        let path = data().join(path);
        self.session
            .register_csv(name, path.to_str().unwrap(), options)
            .await
            .unwrap();
        self.tables.push(name.to_owned());
        self
    }

    pub(super) async fn plan(&self, operation: &Operation) -> TablePlan {
        let planned = plan_registered(&self.session, &self.tables, operation, 0, &self.settings);
        planned.await.unwrap()
    }

    pub(super) async fn run(&self, operation: &Operation) -> (Vec<Vec<RecordBatch>>, RunStats) {
        let plan = self.plan(operation).await;
        run_plan(&plan, &self.local)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", explained(&plan)))
    }

    /// Returns the rows of a statement, as text, in the order of the result.
    pub(super) async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        let (tasks, _) = self.run(&sql(statement)).await;
        rows(tasks.iter().flatten())
    }

    /// Returns the rows that DataFusion alone gives.
    pub(super) async fn alone(&self, statement: &str) -> Vec<Vec<String>> {
        session::size(&self.session, 1, &sql(statement), &self.settings);
        let frame = self.session.sql(statement).await.unwrap();
        rows(&frame.collect().await.unwrap())
    }
}

pub(super) fn sql(statement: &str) -> Operation {
    Operation::Sql {
        statement: statement.to_owned(),
    }
}

pub(super) fn explained(plan: &TablePlan) -> String {
    let stages = plan.stages.iter().enumerate().map(|(number, stage)| {
        let head = format!(
            "{number}: {} × {} reads {:?} writes {:?}",
            stage.tasks, stage.name, stage.inputs, stage.output
        );
        format!("{head}\n  {}", stage.display.join("\n  "))
    });
    stages.collect::<Vec<_>>().join("\n")
}

pub(super) fn rows<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
        }));
    }
    rows
}

pub(super) fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

/// Compares rows; numbers may differ in their last digits, because sums of parts are rounded elsewhere.
#[track_caller]
pub(super) fn same(actual: &[Vec<String>], expected: &[Vec<String>], of: &str) {
    let beginning = |rows: &[Vec<String>]| rows.iter().take(5).cloned().collect::<Vec<_>>();
    let beginnings = (beginning(actual), beginning(expected));
    assert_eq!(actual.len(), expected.len(), "rows of {of}: {beginnings:?}");
    for (actual, expected) in actual.iter().zip(expected) {
        let close =
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| alike(a, e));
        assert!(close, "{of}: {actual:?} is not {expected:?}");
    }
}

fn alike(actual: &str, expected: &str) -> bool {
    if actual == expected {
        return true;
    }
    match (actual.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(actual), Ok(expected)) => (actual - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        _ => false,
    }
}

/// Reads an expected table without its head.
pub(super) fn expected(name: &str) -> Vec<Vec<String>> {
    let path = data().join("expected").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().skip(1).map(fields).collect()
}

/// Splits a line of CSV; a quoted field may have commas.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}
