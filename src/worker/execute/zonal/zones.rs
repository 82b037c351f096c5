//! The polygons' task: sides to the windows that they touch, attributes to the merges.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::super::{Done, Error as TaskError, Executor, check_cancelled};
use super::Error;
use super::rows::{SideRows, sides_schema};
use crate::exchange::ShuffleWriter;
use crate::grid::profile::RasterFacts;
use crate::io::raster::read::RasterFile;
use crate::ops::TaskContext;
use crate::ops::zonal::{Placement, WindowGrid};
use crate::plan::stage::ZonalStage;
use crate::plan::zonal::keeps_geometry;
use crate::tables::{TakeZones, ZoneTable};

impl Executor {
    pub(super) async fn run_zones(
        &self,
        stage: Arc<ZonalStage>,
        context: TaskContext,
    ) -> Result<Done, TaskError> {
        let file = RasterFile::open_version(&self.ports.sources, &stage.spec.raster, stage.version)
            .await?;
        let facts = file.facts().clone();
        let tables = self.ports.tables.clone();
        self.cpu
            .run(move || {
                let mut dealing = Dealing::new(&stage, &facts, &context)?;
                tables.read_zones(&stage.spec, &mut dealing)?;
                dealing.finish()
            })
            .await?
    }
}

/// Deals zones out as they come.
struct Dealing<'a> {
    stage: &'a ZonalStage,
    facts: &'a RasterFacts,
    grid: WindowGrid,
    context: &'a TaskContext,
    sides: ShuffleWriter,
    placed: Option<Placed>,
    /// Zones so far.
    zones: u32,
}

struct Placed {
    placement: Placement,
    /// The columns that the merges get.
    columns: Vec<usize>,
    schema: SchemaRef,
    attributes: ShuffleWriter,
}

impl<'a> Dealing<'a> {
    fn new(
        stage: &'a ZonalStage,
        facts: &'a RasterFacts,
        context: &'a TaskContext,
    ) -> Result<Self, TaskError> {
        let first = context.partition_key(0);
        Ok(Self {
            stage,
            facts,
            grid: WindowGrid {
                raster: (facts.profile.width, facts.profile.height),
                size: stage.window,
            },
            context,
            sides: context
                .store
                .shuffle_writer(first, sides_schema(), stage.windows)?,
            placed: None,
            zones: 0,
        })
    }

    fn finish(self) -> Result<Done, TaskError> {
        let changed = |what| TaskError::from(Error::Changed { what });
        if self.zones != self.stage.zones {
            return Err(changed("another number of zones"));
        }
        let placed = self.placed.ok_or_else(|| changed("no columns"))?;
        let attributes = placed.attributes.finish()?;
        let sides = self.sides.finish()?;
        Ok(Done {
            stored_bytes: attributes
                .iter()
                .chain(&sides)
                .map(|partition| partition.bytes)
                .sum(),
            result: None,
        })
    }
}

impl TakeZones<TaskError> for Dealing<'_> {
    fn begin(&mut self, table: ZoneTable) -> Result<(), TaskError> {
        let spec = &self.stage.spec;
        let kept = keeps_geometry(spec, &self.stage.output);
        let columns = (0..table.schema.fields().len()).filter(|at| kept || *at != table.geometry);
        let columns: Vec<usize> = columns.collect();
        // What a file says of itself as a whole, its bounds and the like, is not true of what is made of it.
        let schema = table.schema.project(&columns)?;
        let schema = Arc::new(Schema::new(schema.fields));
        let first = self.context.partition_key(self.stage.windows);
        let ranges = self.stage.ranges;
        let asked = spec.zones_crs.as_deref();
        self.placed = Some(Placed {
            placement: Placement::new(table.crs.as_deref(), asked, &self.facts.profile, self.grid)
                .map_err(Error::from)?,
            columns,
            attributes: self
                .context
                .store
                .shuffle_writer(first, Arc::clone(&schema), ranges)?,
            schema,
        });
        Ok(())
    }

    fn rows(
        &mut self,
        rows: RecordBatch,
        polygons: Vec<Vec<Vec<Vec<[f64; 2]>>>>,
    ) -> Result<(), TaskError> {
        check_cancelled(self.context)?;
        let Some(placed) = &mut self.placed else {
            return Ok(());
        };
        let first = self.zones;
        let mut sides: BTreeMap<u32, SideRows> = BTreeMap::new();
        for polygons in polygons {
            let outline = placed
                .placement
                .place(self.zones.into(), polygons)
                .map_err(Error::from)?;
            for (number, window) in placed.placement.windows(&outline) {
                let place = self.grid.window(window).ok_or(TaskError::Bug {
                    what: "a window beyond the raster",
                })?;
                let polygons = outline.clip(&place);
                sides
                    .entry(number)
                    .or_default()
                    .push(self.zones, window, &polygons);
            }
            self.zones = self.zones.saturating_add(1);
        }
        if self.zones > self.stage.zones || placed.placement.count() > self.stage.windows {
            let what = "more zones, or in other places";
            return Err(Error::Changed { what }.into());
        }
        for (number, rows) in sides {
            self.sides.write(number, &rows.finish()?)?;
        }
        let columns = rows.project(&placed.columns)?.columns().to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::clone(&placed.schema);
        let attributes = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let per_range = self.stage.zones_per_range.max(1);
        let mut at = first;
        while at < self.zones {
            let range = at / per_range;
            let end = range
                .saturating_add(1)
                .saturating_mul(per_range)
                .min(self.zones);
            let slice = attributes.slice((at - first) as usize, (end - at) as usize);
            placed.attributes.write(range, &slice)?;
            at = end;
        }
        Ok(())
    }
}
