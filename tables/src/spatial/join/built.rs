//! The indexed side of a spatial join, in memory.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::interleave;
use arrow::datatypes::UInt32Type;
use arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use geo::Rect;
use geo_index::rtree::sort::STRSort;
use geo_index::rtree::{RTree, RTreeBuilder, RTreeIndex};

use crate::spatial::Error;
use crate::spatial::geometry::geometries;
use crate::spatial::subject::Subject;

/// Bytes that the trees take for each row: a box and an index, and inner nodes.
const TREE_BYTES_PER_ROW: usize = 64;

/// The rows of a side whose geometries can match anything, with a tree of their boxes for each cell.
#[derive(Debug)]
pub(super) struct Built {
    batches: Vec<RecordBatch>,
    rows: Vec<BuiltRow>,
    cells: BTreeMap<u32, CellTree>,
    _memory: MemoryReservation,
}

#[derive(Debug)]
pub(super) struct BuiltRow {
    pub(super) subject: Subject,
    batch: usize,
    row: usize,
}

/// The rows of one cell; a tree cannot be of nothing, and it numbers its items from 0.
#[derive(Debug)]
struct CellTree {
    tree: RTree<f64>,
    rows: Vec<u32>,
}

impl Built {
    /// Reads and indexes a side; `cell` is the column of its cells, all rows being in cell 0 without it.
    ///
    /// # Errors
    /// When memory does not suffice, or a geometry cannot be read.
    pub(super) async fn collect(
        mut input: SendableRecordBatchStream,
        geometry: usize,
        cell: Option<usize>,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let (mut batches, mut rows) = (Vec::new(), Vec::new());
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        while let Some(batch) = input.try_next().await? {
            memory.try_grow(batch.get_array_memory_size())?;
            let first = rows.len();
            read_rows(&batch, batches.len(), geometry, &mut rows)?;
            let added = rows.get(first..).unwrap_or_default();
            let bytes = added
                .iter()
                .map(|row| row.subject.bytes() + TREE_BYTES_PER_ROW)
                .sum();
            memory.try_grow(bytes)?;
            let cells = cell.map(|cell| batch.column(cell).as_primitive::<UInt32Type>());
            for (number, row) in (first..).zip(added) {
                let cell = cells.map_or(0, |cells| cells.value(row.row));
                let number = u32::try_from(number).map_err(|_| Error::TooManyRows)?;
                members.entry(cell).or_default().push(number);
            }
            batches.push(batch);
        }
        let cells = members
            .into_iter()
            .map(|(cell, members)| (cell, tree(&rows, members)));
        Ok(Self {
            cells: cells.collect(),
            batches,
            rows,
            _memory: memory,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the numbers of the rows of a cell whose boxes meet a box, from the least.
    pub(super) fn near(&self, cell: u32, bounds: &Rect) -> Vec<u32> {
        let Some(CellTree { tree, rows }) = self.cells.get(&cell) else {
            return Vec::new();
        };
        let found = tree.search_rect(bounds).into_iter();
        let mut found: Vec<u32> = found
            .filter_map(|item| rows.get(item as usize).copied())
            .collect();
        found.sort_unstable();
        found
    }

    pub(super) fn row(&self, number: u32) -> Option<&BuiltRow> {
        self.rows.get(number as usize)
    }

    /// Gathers a column of rows by their numbers.
    pub(super) fn column(&self, column: usize, numbers: &[u32]) -> Result<ArrayRef> {
        let of_batches: Vec<_> = self
            .batches
            .iter()
            .map(|batch| batch.column(column).as_ref())
            .collect();
        let places = numbers.iter().filter_map(|number| self.row(*number));
        let places: Vec<_> = places.map(|row| (row.batch, row.row)).collect();
        Ok(interleave(&of_batches, &places)?)
    }
}

fn read_rows(
    batch: &RecordBatch,
    number: usize,
    geometry: usize,
    rows: &mut Vec<BuiltRow>,
) -> Result<()> {
    let found = geometries(batch.column(geometry), batch.schema_ref().field(geometry))?;
    let subjects = found
        .into_iter()
        .map(|geometry| geometry.and_then(Subject::new));
    let read = subjects.enumerate().filter_map(|(row, subject)| {
        Some(BuiltRow {
            subject: subject?,
            batch: number,
            row,
        })
    });
    rows.extend(read);
    Ok(())
}

fn tree(rows: &[BuiltRow], members: Vec<u32>) -> CellTree {
    let members: Vec<(u32, &BuiltRow)> = members
        .into_iter()
        .filter_map(|number| Some((number, rows.get(number as usize)?)))
        .collect();
    // A cell has no more members than there are rows, which `u32` counts.
    let mut builder = RTreeBuilder::<f64>::new(u32::try_from(members.len()).unwrap_or(u32::MAX));
    for (_, row) in &members {
        builder.add_rect(row.subject.bounds());
    }
    let rows = members.into_iter().map(|(number, _)| number).collect();
    CellTree {
        tree: builder.finish::<STRSort>(),
        rows,
    }
}
