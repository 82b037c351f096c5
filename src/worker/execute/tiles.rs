//! Encoded tiles and patches as Arrow partitions.
//!
//! A task of a group of levels stores one partition for each level of the group, its encoded tiles, and one
//! for the *patch*: its window at the next level, unencoded, for the group above.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryBuilder, UInt32Array, UInt32Builder};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::{Done, Error, check_cancelled};
use crate::exchange::{PartitionAddress, PartitionWriter};
use crate::for_samples;
use crate::grid::pyramid::Group;
use crate::grid::{Block, Samples, Window};
use crate::io::raster::encode::{TileEncoder, TileFormat, halve, halve_under_alpha};
use crate::ops::TaskContext;
use crate::plan::stage::RasterStage;

/// Bytes of a tile that one row of a partition holds; a larger tile takes several rows, so that no row
/// is too large for a message.
const ROW_BYTES: usize = 1 << 20;
/// Bytes of tiles after which a batch is written.
const BATCH_BYTES: usize = 1 << 20;

impl TileFormat {
    /// Returns how the tiles of a raster are stored.
    pub(super) fn of(raster: &RasterStage) -> Self {
        Self {
            tile: raster.layout.tile,
            dtype: raster.output.dtype,
            bands: raster.output.bands,
            compression: raster.compression,
            nodata: raster.output.nodata,
        }
    }
}

/// The columns of encoded tiles: column and row in the level's grid of tiles, which part of the tile
/// (`parts` in all), its bytes.
fn tile_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("col", ArrowType::UInt32, false),
        Field::new("row", ArrowType::UInt32, false),
        Field::new("parts_left", ArrowType::UInt32, false),
        Field::new("bytes", ArrowType::Binary, false),
    ]))
}

/// The columns of a patch: a row of cells (all bands one after the other), little-endian.
fn patch_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("row", ArrowType::UInt32, false),
        Field::new("samples", ArrowType::Binary, false),
    ]))
}

/// Encodes and stores a window at every level of its group, and its patch where a group follows.
pub(super) fn store_levels(
    raster: &RasterStage,
    group: &Group,
    mut block: Block,
    context: &TaskContext,
) -> Result<Done, Error> {
    let layout = &raster.layout;
    let window = layout.window(group, context.task.index).ok_or(Error::Bug {
        what: "a task beyond the raster",
    })?;
    let mut encoder = TileEncoder::new(TileFormat::of(raster));
    let alpha = raster.alpha();
    let mut stored_bytes = 0;
    for level in group.first..=group.last {
        let partition = level - group.first;
        let at = layout.at_level(group, &window, level);
        let mut writer = TileWriter::new(context, partition)?;
        for row in (0..at.rows).step_by(layout.tile as usize) {
            for col in (0..at.cols).step_by(layout.tile as usize) {
                check_cancelled(context)?;
                let encoded = encoder.encode(&block, col, row)?;
                let (col, row) = ((at.col + col) / layout.tile, (at.row + row) / layout.tile);
                writer.push(col, row, &encoded)?;
            }
        }
        stored_bytes += writer.finish()?;
        if level + 1 < layout.levels {
            block = match alpha {
                Some(alpha) => halve_under_alpha(&block, alpha),
                None => halve(&block, raster.resampling),
            };
        }
    }
    if group.last + 1 < layout.levels {
        stored_bytes += store_patch(&block, group.last + 1 - group.first, context)?;
    }
    Ok(Done {
        stored_bytes,
        result: None,
    })
}

/// Writes encoded tiles into a partition, batch by batch.
struct TileWriter {
    writer: PartitionWriter,
    schema: SchemaRef,
    cols: UInt32Builder,
    rows: UInt32Builder,
    parts_left: UInt32Builder,
    bytes: BinaryBuilder,
    held_bytes: usize,
}

impl TileWriter {
    fn new(context: &TaskContext, partition: u32) -> Result<Self, Error> {
        let schema = tile_schema();
        let writer = context
            .store
            .writer(context.partition_key(partition), Arc::clone(&schema))?;
        Ok(Self {
            writer,
            schema,
            cols: UInt32Builder::new(),
            rows: UInt32Builder::new(),
            parts_left: UInt32Builder::new(),
            bytes: BinaryBuilder::new(),
            held_bytes: 0,
        })
    }

    fn push(&mut self, col: u32, row: u32, encoded: &[u8]) -> Result<(), Error> {
        let parts = encoded.len().div_ceil(ROW_BYTES);
        for (number, part) in encoded.chunks(ROW_BYTES).enumerate() {
            self.cols.append_value(col);
            self.rows.append_value(row);
            self.parts_left
                .append_value(u32::try_from(parts - 1 - number).unwrap_or(u32::MAX));
            self.bytes.append_value(part);
            self.held_bytes += part.len();
            if self.held_bytes >= BATCH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let batch = RecordBatch::try_new(
            Arc::clone(&self.schema),
            vec![
                Arc::new(self.cols.finish()),
                Arc::new(self.rows.finish()),
                Arc::new(self.parts_left.finish()),
                Arc::new(self.bytes.finish()),
            ],
        )?;
        self.held_bytes = 0;
        Ok(self.writer.write(&batch)?)
    }

    fn finish(mut self) -> Result<u64, Error> {
        if self.held_bytes > 0 {
            self.flush()?;
        }
        Ok(self.writer.finish()?.bytes)
    }
}

/// Puts the rows of encoded tiles together again.
#[derive(Default)]
pub(super) struct TileReader {
    /// Parts of a tile whose other parts are still to come.
    parts: Vec<u8>,
}

impl TileReader {
    /// Calls `tile` with column, row and bytes of every tile that a batch completes.
    pub(super) fn read(
        &mut self,
        batch: &RecordBatch,
        from: &PartitionAddress,
        mut tile: impl FnMut(u32, u32, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let wrong = |what| Error::Partition {
            address: Box::new(from.clone()),
            what,
        };
        let number = |at: usize| batch.column(at).as_any().downcast_ref::<UInt32Array>();
        let bytes = batch
            .columns()
            .get(3)
            .and_then(|column| column.as_any().downcast_ref::<BinaryArray>());
        if batch.num_columns() != 4 {
            return Err(wrong("another number of columns"));
        }
        let (Some(cols), Some(rows), Some(left), Some(bytes)) =
            (number(0), number(1), number(2), bytes)
        else {
            return Err(wrong("columns of another type"));
        };
        for (((col, row), left), part) in cols
            .values()
            .iter()
            .zip(rows.values())
            .zip(left.values())
            .zip(bytes.iter())
        {
            let part = part.ok_or_else(|| wrong("a tile without bytes"))?;
            match (*left, self.parts.is_empty()) {
                (0, true) => tile(*col, *row, part)?,
                (0, false) => {
                    self.parts.extend_from_slice(part);
                    tile(*col, *row, &self.parts)?;
                    self.parts.clear();
                }
                _ => self.parts.extend_from_slice(part),
            }
        }
        Ok(())
    }
}

fn store_patch(block: &Block, partition: u32, context: &TaskContext) -> Result<u64, Error> {
    let schema = patch_schema();
    let mut writer = context
        .store
        .writer(context.partition_key(partition), Arc::clone(&schema))?;
    let cols = block.cols as usize;
    let mut numbers = UInt32Builder::new();
    let mut samples = BinaryBuilder::new();
    let mut line = Vec::new();
    let mut held_bytes = 0;
    for row in 0..block.rows {
        line.clear();
        let cells = row as usize * cols..(row as usize + 1) * cols;
        for band in &block.bands {
            for_samples!(band, v => {
                let cells = v.get(cells.clone()).ok_or(Error::Bug { what: "a short block" })?;
                line.extend(cells.iter().flat_map(|sample| sample.to_le_bytes()));
            });
        }
        numbers.append_value(row);
        samples.append_value(&line);
        held_bytes += line.len();
        if held_bytes >= BATCH_BYTES || row + 1 == block.rows {
            held_bytes = 0;
            let columns: Vec<Arc<dyn Array>> =
                vec![Arc::new(numbers.finish()), Arc::new(samples.finish())];
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
    }
    Ok(writer.finish()?.bytes)
}

/// Puts the patches of the group below together into a window of the group above.
pub(super) fn assemble(
    raster: &RasterStage,
    below: &Group,
    window: Window,
    patches: &[(u32, PartitionAddress, Vec<RecordBatch>)],
) -> Result<Block, Error> {
    let layout = &raster.layout;
    let (cols, cells) = (
        window.cols as usize,
        window.cols as usize * window.rows as usize,
    );
    let dtype = raster.output.dtype;
    let mut bands = vec![Samples::zeros(dtype, cells); usize::from(raster.output.bands)];
    for (task, address, batches) in patches {
        let wrong = |what| Error::Partition {
            address: Box::new(address.clone()),
            what,
        };
        let whole = layout.window(below, *task).ok_or(Error::Bug {
            what: "a patch beyond the raster",
        })?;
        let patch = layout.at_level(below, &whole, below.last + 1);
        let shared = patch.intersection(&window).ok_or(Error::Bug {
            what: "a patch outside its window",
        })?;
        // The part of a line that the window wants; a patch may be wider than the window.
        let skipped = (shared.col - patch.col) as usize * dtype.bytes();
        let wanted = skipped..skipped + shared.cols as usize * dtype.bytes();
        let line_bytes = patch.cols as usize * dtype.bytes();
        let mut rows_seen = 0;
        for batch in batches {
            let rows = batch.column(0).as_any().downcast_ref::<UInt32Array>();
            let lines = batch
                .columns()
                .get(1)
                .and_then(|lines| lines.as_any().downcast_ref::<BinaryArray>());
            let (Some(rows), Some(lines)) = (rows, lines) else {
                return Err(wrong("columns of another type"));
            };
            for (row, line) in rows.values().iter().zip(lines.iter()) {
                let line = line.ok_or_else(|| wrong("a row without samples"))?;
                if *row >= patch.rows || line.len() != line_bytes * bands.len() {
                    return Err(wrong("rows of another size"));
                }
                rows_seen += 1;
                let Some(down) = (patch.row + row).checked_sub(window.row) else {
                    continue;
                };
                if down >= window.rows {
                    continue;
                }
                let start = down as usize * cols + (shared.col - window.col) as usize;
                for (band, bytes) in bands.iter_mut().zip(line.chunks_exact(line_bytes.max(1))) {
                    bytes
                        .get(wanted.clone())
                        .and_then(|bytes| copy_line(band, start, bytes))
                        .ok_or_else(|| wrong("cells beyond the window"))?;
                }
            }
        }
        if rows_seen != patch.rows {
            return Err(wrong("another number of rows"));
        }
    }
    Ok(Block {
        cols: window.cols,
        rows: window.rows,
        bands,
        nodata: raster.output.nodata,
        mask: None,
    })
}

/// Copies little-endian samples into a band from a cell on.
fn copy_line(band: &mut Samples, start: usize, bytes: &[u8]) -> Option<()> {
    macro_rules! copy {
        ($v:expr, $t:ty) => {{
            const SIZE: usize = size_of::<$t>();
            let cells = $v.get_mut(start..start + bytes.len() / SIZE)?;
            for (cell, sample) in cells.iter_mut().zip(bytes.chunks_exact(SIZE)) {
                *cell = <$t>::from_le_bytes(sample.try_into().ok()?);
            }
        }};
    }
    match band {
        Samples::UInt8(v) => copy!(v, u8),
        Samples::Int8(v) => copy!(v, i8),
        Samples::UInt16(v) => copy!(v, u16),
        Samples::Int16(v) => copy!(v, i16),
        Samples::UInt32(v) => copy!(v, u32),
        Samples::Int32(v) => copy!(v, i32),
        Samples::UInt64(v) => copy!(v, u64),
        Samples::Int64(v) => copy!(v, i64),
        Samples::Float32(v) => copy!(v, f32),
        Samples::Float64(v) => copy!(v, f64),
    }
    Some(())
}

/// Brings a block to the no-data value of its output: masked cells and cells of the old value get the new one.
pub(super) fn with_nodata(mut block: Block, nodata: Option<f64>) -> Block {
    let mask = block.mask.take();
    let Some(dtype) = block.bands.first().map(Samples::dtype) else {
        return block;
    };
    // A value that the type cannot hold marks no cell.
    let (low, high) = dtype.range();
    let holds =
        |value: &f64| dtype.is_float() || (low..=high).contains(value) && value.fract() == 0.0;
    let from = std::mem::replace(&mut block.nodata, nodata).filter(holds);
    let to = nodata.or_else(|| dtype.is_float().then_some(f64::NAN));
    let Some(to) = to else { return block };
    let same = from.is_some_and(|from| from == to || from.is_nan() && to.is_nan());
    if mask.is_none() && (from.is_none() || same) {
        return block;
    }
    for band in &mut block.bands {
        replace_nodata(band, from.filter(|_| !same), mask.as_deref(), to);
    }
    block
}

fn replace_nodata(band: &mut Samples, from: Option<f64>, mask: Option<&[bool]>, to: f64) {
    macro_rules! replace {
        ($v:expr, $t:ty, $exact:expr) => {{
            let to: $t = $exact(to);
            let from: Option<$t> = from.map($exact);
            for (number, cell) in $v.iter_mut().enumerate() {
                let masked = mask
                    .and_then(|mask| mask.get(number))
                    .is_some_and(|valid| !valid);
                if masked || from == Some(*cell) {
                    *cell = to;
                }
            }
        }};
    }
    // `as` saturates, and the planner has checked that the value fits the type.
    match band {
        Samples::UInt8(v) => replace!(v, u8, |n: f64| n as u8),
        Samples::Int8(v) => replace!(v, i8, |n: f64| n as i8),
        Samples::UInt16(v) => replace!(v, u16, |n: f64| n as u16),
        Samples::Int16(v) => replace!(v, i16, |n: f64| n as i16),
        Samples::UInt32(v) => replace!(v, u32, |n: f64| n as u32),
        Samples::Int32(v) => replace!(v, i32, |n: f64| n as i32),
        Samples::UInt64(v) => replace!(v, u64, |n: f64| n as u64),
        Samples::Int64(v) => replace!(v, i64, |n: f64| n as i64),
        Samples::Float32(v) => replace!(v, f32, |n: f64| n as f32),
        Samples::Float64(v) => replace!(v, f64, |n: f64| n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_cells_and_old_no_data_become_the_new_no_data() {
        let block = Block {
            cols: 4,
            rows: 1,
            bands: vec![Samples::UInt8(vec![1, 2, 3, 9])],
            nodata: Some(9.0),
            mask: Some(vec![true, false, true, true]),
        };
        let out = with_nodata(block, Some(255.0));
        assert_eq!(out.bands, [Samples::UInt8(vec![1, 255, 3, 255])]);
        assert_eq!((out.nodata, out.mask), (Some(255.0), None));
    }

    #[test]
    fn a_raster_without_no_data_is_copied_as_it_is() {
        let block = Block {
            cols: 2,
            rows: 1,
            bands: vec![Samples::Int16(vec![1, 2])],
            nodata: None,
            mask: None,
        };
        assert_eq!(with_nodata(block.clone(), None), block);
    }

    #[test]
    fn a_no_data_value_beyond_the_type_marks_no_cell() {
        let block = Block {
            cols: 2,
            rows: 1,
            bands: vec![Samples::UInt8(vec![0, 1])],
            nodata: Some(-9999.0),
            mask: None,
        };
        assert_eq!(
            with_nodata(block, Some(255.0)).bands,
            [Samples::UInt8(vec![0, 1])]
        );
    }
}
