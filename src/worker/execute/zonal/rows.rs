//! What the tasks of zonal statistics hand each other, as rows.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, UInt32Array,
    UInt32Builder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;

use super::super::Error;
use crate::ops::zonal::{Edge, EdgeRing, Partial, Polygon};

/// Sides in one row: a larger ring takes several, so that no row is too large for a message.
const ROW_SIDES: usize = 1 << 14;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The sides of zones in a window: zone, number of the window in the raster, polygon and ring within the zone, whether the
/// ring is a hole, sides.
pub(super) fn sides_schema() -> SchemaRef {
    schema(&[
        ("zone", DataType::UInt32),
        ("window", DataType::UInt64),
        ("polygon", DataType::UInt32),
        ("ring", DataType::UInt32),
        ("hole", DataType::Boolean),
        ("sides", DataType::Binary),
    ])
}

/// Sums and extremes of a zone.
pub(super) fn partial_schema() -> SchemaRef {
    schema(&[("zone", DataType::UInt32), ("partial", DataType::Binary)])
}

/// A value of a zone (by [`crate::ops::zonal::key`]) and its weight.
pub(super) fn value_schema() -> SchemaRef {
    schema(&[
        ("zone", DataType::UInt32),
        ("value", DataType::UInt64),
        ("weight", DataType::UInt64),
    ])
}

/// Builds rows of sides.
#[derive(Debug, Default)]
pub(super) struct SideRows {
    zone: UInt32Builder,
    window: UInt64Builder,
    polygon: UInt32Builder,
    ring: UInt32Builder,
    hole: BooleanBuilder,
    sides: BinaryBuilder,
}

impl SideRows {
    pub(super) fn push(&mut self, zone: u32, window: u64, polygons: &[Polygon]) {
        let mut bytes = Vec::new();
        for (polygon, Polygon { rings }) in (0..).zip(polygons) {
            for (number, ring) in (0..).zip(rings) {
                for sides in ring.edges.chunks(ROW_SIDES) {
                    bytes.clear();
                    EdgeRing::encode(sides, &mut bytes);
                    self.zone.append_value(zone);
                    self.window.append_value(window);
                    self.polygon.append_value(polygon);
                    self.ring.append_value(number);
                    self.hole.append_value(ring.hole);
                    self.sides.append_value(&bytes);
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<RecordBatch, Error> {
        Ok(RecordBatch::try_new(
            sides_schema(),
            vec![
                Arc::new(self.zone.finish()),
                Arc::new(self.window.finish()),
                Arc::new(self.polygon.finish()),
                Arc::new(self.ring.finish()),
                Arc::new(self.hole.finish()),
                Arc::new(self.sides.finish()),
            ],
        )?)
    }
}

/// The zones of a window, put together again.
#[derive(Debug, Default)]
pub(super) struct WindowZones {
    /// The number of the window in the raster; nothing when no zone touches it.
    pub(super) window: Option<u64>,
    /// Each zone and what the window needs of it, by number.
    pub(super) zones: Vec<(u32, Vec<Polygon>)>,
    /// The last ring: polygon and ring within the zone.
    last: (u32, u32),
}

const BROKEN: Error = Error::Bug {
    what: "rows of zonal statistics that are not what was written",
};

fn u32s(batch: &RecordBatch, at: usize) -> Result<&UInt32Array, Error> {
    let column = batch.columns().get(at);
    column
        .and_then(|c| c.as_primitive_opt::<UInt32Type>())
        .ok_or(BROKEN)
}

fn u64s(batch: &RecordBatch, at: usize) -> Result<&UInt64Array, Error> {
    let column = batch.columns().get(at);
    column
        .and_then(|c| c.as_primitive_opt::<UInt64Type>())
        .ok_or(BROKEN)
}

fn binaries(batch: &RecordBatch, at: usize) -> Result<&BinaryArray, Error> {
    let column = batch.columns().get(at);
    column.and_then(|c| c.as_binary_opt::<i32>()).ok_or(BROKEN)
}

impl WindowZones {
    pub(super) fn read(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let (zones, windows) = (u32s(batch, 0)?, u64s(batch, 1)?);
        let (polygons, rings, sides) = (u32s(batch, 2)?, u32s(batch, 3)?, binaries(batch, 5)?);
        let holes: &BooleanArray = batch
            .columns()
            .get(4)
            .and_then(|column| column.as_boolean_opt())
            .ok_or(BROKEN)?;
        for row in 0..batch.num_rows() {
            let window = windows.value(row);
            if *self.window.get_or_insert(window) != window {
                return Err(BROKEN);
            }
            let (zone, at) = (zones.value(row), (polygons.value(row), rings.value(row)));
            let ring = self.ring(zone, at, holes.value(row)).ok_or(BROKEN)?;
            ring.decode(sides.value(row)).ok_or(BROKEN)?;
        }
        Ok(())
    }

    /// Returns the ring that sides belong to: the last, or a new one.
    fn ring(&mut self, zone: u32, at: (u32, u32), hole: bool) -> Option<&mut EdgeRing> {
        let known = self.zones.last().is_some_and(|(last, _)| *last == zone);
        if !known {
            self.zones.push((zone, Vec::new()));
        }
        let (_, polygons) = self.zones.last_mut()?;
        if !known || self.last.0 != at.0 {
            polygons.push(Polygon::default());
        }
        let rings = &mut polygons.last_mut()?.rings;
        if !known || self.last != at {
            rings.push(EdgeRing {
                hole,
                edges: Vec::<Edge>::new(),
            });
        }
        self.last = at;
        rings.last_mut()
    }
}

/// Makes a row of partial statistics.
pub(super) fn partial_batch(zones: &[u32], partials: &[Vec<u8>]) -> Result<RecordBatch, Error> {
    let zones = UInt32Array::from_iter_values(zones.iter().copied());
    let partials = BinaryArray::from_iter_values(partials);
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(zones), Arc::new(partials)];
    Ok(RecordBatch::try_new(partial_schema(), columns)?)
}

/// Reads rows of partial statistics.
pub(super) fn read_partials(
    batch: &RecordBatch,
    mut take: impl FnMut(u32, Partial) -> Result<(), Error>,
) -> Result<(), Error> {
    let (zones, partials) = (u32s(batch, 0)?, binaries(batch, 1)?);
    for row in 0..batch.num_rows() {
        let partial = Partial::decode(partials.value(row)).map_err(|_| BROKEN)?;
        take(zones.value(row), partial)?;
    }
    Ok(())
}

/// Makes rows of the values of one zone.
pub(super) fn value_batch(zone: u32, values: &[(u64, u64)]) -> Result<RecordBatch, Error> {
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(UInt32Array::from_iter_values(values.iter().map(|_| zone))),
        Arc::new(UInt64Array::from_iter_values(
            values.iter().map(|(key, _)| *key),
        )),
        Arc::new(UInt64Array::from_iter_values(
            values.iter().map(|(_, weight)| *weight),
        )),
    ];
    Ok(RecordBatch::try_new(value_schema(), columns)?)
}

/// Reads rows of values.
pub(super) fn read_values(
    batch: &RecordBatch,
    mut take: impl FnMut(u32, u64, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let (zones, keys, weights) = (u32s(batch, 0)?, u64s(batch, 1)?, u64s(batch, 2)?);
    let rows = zones
        .values()
        .iter()
        .zip(keys.values())
        .zip(weights.values());
    for ((zone, key), weight) in rows {
        take(*zone, *key, *weight)?;
    }
    Ok(())
}
