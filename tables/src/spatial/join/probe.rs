//! Looking up the partners of rows in the indexed side.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{SchemaRef, UInt32Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use geo::Coord;

use super::built::Built;
use super::strategy::Side;
use crate::spatial::geometry::geometries;
use crate::spatial::subject::Subject;
use crate::spatial::{Cells, Relation};

/// What of a join both sides' columns and rows are put together by.
#[derive(Debug, Clone)]
pub(super) struct Pairing {
    /// How the indexed side stands to the other.
    pub(super) relation: Relation,
    /// The cells, when both sides have a column of them; it is the last.
    pub(super) cells: Option<Arc<Cells>>,
    /// The side that is not indexed, and its column of geometries.
    pub(super) probe: Side,
    pub(super) probe_geometry: usize,
    /// The columns of the result, each of a side, and its number there.
    pub(super) columns: Vec<(Side, usize)>,
    pub(super) schema: SchemaRef,
    pub(super) batch_rows: usize,
}

/// The rows of the other side against the indexed one, a batch of pairs at a time.
pub(super) struct Probe {
    pairing: Pairing,
    built: Arc<Built>,
    input: SendableRecordBatchStream,
    current: Option<Current>,
}

/// A batch whose rows before `next` have been looked up; `found` are pairs (its row, row of the indexed side) not yet given out.
struct Current {
    batch: RecordBatch,
    subjects: Vec<Option<Subject>>,
    cells: Option<UInt32Array>,
    next: usize,
    found: VecDeque<(u32, u32)>,
}

impl Probe {
    pub(super) fn new(
        pairing: Pairing,
        built: Arc<Built>,
        input: SendableRecordBatchStream,
    ) -> Self {
        Self {
            pairing,
            built,
            input,
            current: None,
        }
    }

    /// Returns the next pairs, or `None` after the last; pairs are in the order of the rows of the other side.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.built.is_empty() {
            return Ok(None);
        }
        loop {
            if let Some(current) = &mut self.current {
                let pairs = current.pairs(&self.pairing, &self.built);
                if !pairs.is_empty() {
                    return assemble(&self.pairing, &current.batch, &self.built, &pairs).map(Some);
                }
                self.current = None;
            }
            match self.input.try_next().await? {
                Some(batch) => self.current = Some(Current::new(batch, &self.pairing)?),
                None => return Ok(None),
            }
        }
    }
}

impl Current {
    fn new(batch: RecordBatch, pairing: &Pairing) -> Result<Self> {
        let column = pairing.probe_geometry;
        let found = geometries(batch.column(column), batch.schema_ref().field(column))?;
        let subjects = found
            .into_iter()
            .map(|geometry| geometry.and_then(Subject::new))
            .collect();
        let cells = pairing.cells.as_ref().and_then(|_| batch.columns().last());
        let cells = cells.map(|cells| cells.as_primitive::<UInt32Type>().clone());
        Ok(Self {
            batch,
            subjects,
            cells,
            next: 0,
            found: VecDeque::new(),
        })
    }

    /// Returns at most `batch_rows` pairs; none after the last.
    fn pairs(&mut self, pairing: &Pairing, built: &Built) -> Vec<(u32, u32)> {
        while self.found.len() < pairing.batch_rows && self.next < self.subjects.len() {
            self.look_up(pairing, built);
        }
        self.found
            .drain(..self.found.len().min(pairing.batch_rows))
            .collect()
    }

    /// Looks up rows until there are enough candidates, and keeps those that are pairs.
    fn look_up(&mut self, pairing: &Pairing, built: &Built) {
        let mut candidates: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut count = 0;
        while count < pairing.batch_rows && self.next < self.subjects.len() {
            let row = self.next;
            self.next += 1;
            let Some(Some(subject)) = self.subjects.get(row) else {
                continue;
            };
            let cell = self.cells.as_ref().map_or(0, |cells| cells.value(row));
            let near = built.near(cell, subject.bounds()).into_iter();
            for number in near.filter(|number| is_here(pairing, built, *number, subject, cell)) {
                // A batch has fewer rows than `u32` counts.
                candidates.entry(number).or_default().push(row as u32);
                count += 1;
            }
        }
        let mut found: Vec<(u32, u32)> = Vec::new();
        for (number, rows) in candidates {
            let Some(indexed) = built.row(number) else {
                continue;
            };
            let others: Vec<&Subject> = rows
                .iter()
                .filter_map(|row| self.subjects.get(*row as usize)?.as_ref())
                .collect();
            let answers = indexed.subject.relates(pairing.relation, &others);
            let pairs = rows.into_iter().zip(answers).filter(|(_, answer)| *answer);
            found.extend(pairs.map(|(row, _)| (row, number)));
        }
        found.sort_unstable();
        self.found.extend(found);
    }
}

/// Of all cells in which two rows meet, one counts: that of the lower left corner of what their boxes share.
fn is_here(pairing: &Pairing, built: &Built, number: u32, subject: &Subject, cell: u32) -> bool {
    let (Some(cells), Some(row)) = (&pairing.cells, built.row(number)) else {
        return true;
    };
    let (a, b) = (row.subject.bounds().min(), subject.bounds().min());
    cells.holding(Coord {
        x: a.x.max(b.x),
        y: a.y.max(b.y),
    }) == cell
}

fn assemble(
    pairing: &Pairing,
    batch: &RecordBatch,
    built: &Built,
    pairs: &[(u32, u32)],
) -> Result<RecordBatch> {
    let rows: UInt32Array = pairs.iter().map(|(row, _)| *row).collect();
    let numbers: Vec<u32> = pairs.iter().map(|(_, number)| *number).collect();
    let column = |(side, column): &(Side, usize)| -> Result<ArrayRef> {
        if *side == pairing.probe {
            Ok(take(batch.column(*column), &rows, None)?)
        } else {
            built.column(*column, &numbers)
        }
    };
    let columns = pairing
        .columns
        .iter()
        .map(column)
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(&pairing.schema),
        columns,
        &options,
    )?)
}
