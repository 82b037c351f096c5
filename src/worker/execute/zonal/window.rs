//! A window's task: reads the chunks that zones touch, and gathers what each zone has of them.

use std::sync::Arc;

use futures::TryStreamExt;

use super::super::{Done, Error, Executor, addresses, check_cancelled};
use super::rows::{WindowZones, partial_batch, partial_schema, value_batch, value_schema};
use crate::grid::{Block, Window};
use crate::io::raster::read::{EncodedWindow, RasterFile};
use crate::ops::TaskContext;
use crate::ops::zonal::{Needs, Scan, WindowGrid, chunk_rectangles, spans};
use crate::plan::stage::ZonalStage;
use crate::wire::InputStage;

/// Zones whose partial statistics make a batch.
const BATCH_ZONES: usize = 1024;
/// Values that make a batch.
const BATCH_VALUES: usize = 1 << 16;

/// A rectangle of the raster, as the file stores it.
type Fetched = (Window, EncodedWindow);

impl Executor {
    pub(super) async fn run_window(
        &self,
        stage: Arc<ZonalStage>,
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let zones = inputs.first().ok_or(Error::Bug {
            what: "a window without zones",
        })?;
        let mut window = WindowZones::default();
        for (_, address) in addresses(&context.job, zones, context.task.index)? {
            let mut batches = self.ports.exchange.fetch(&address).await?;
            while let Some(batch) = batches.try_next().await? {
                window.read(&batch)?;
            }
        }
        let file = RasterFile::open_version(&self.ports.sources, &stage.spec.raster, stage.version)
            .await?;
        let grid = WindowGrid {
            raster: (file.facts().profile.width, file.facts().profile.height),
            size: stage.window,
        };
        let place = window.window.and_then(|number| grid.window(number));
        let chunk = file.facts().chunk;
        // Which chunks are wanted is computed where computing is allowed.
        let (window, rectangles) = self
            .cpu
            .run(move || {
                let polygons = window.zones.iter().map(|(_, polygons)| polygons.as_slice());
                let rectangles = match &place {
                    Some(place) => chunk_rectangles(polygons, chunk, place),
                    None => Vec::new(),
                };
                (window, rectangles)
            })
            .await?;
        let mut fetched: Vec<Fetched> = Vec::with_capacity(rectangles.len());
        for rectangle in rectangles {
            let encoded = file.fetch(&[stage.spec.band], rectangle).await?;
            fetched.push((rectangle, encoded));
        }
        self.cpu
            .run(move || gather(&stage, place, &window, fetched, &context))
            .await?
    }
}

fn gather(
    stage: &ZonalStage,
    place: Option<Window>,
    window: &WindowZones,
    fetched: Vec<Fetched>,
    context: &TaskContext,
) -> Result<Done, Error> {
    let mut blocks: Vec<(Window, Block)> = Vec::with_capacity(fetched.len());
    for (rectangle, encoded) in fetched {
        check_cancelled(context)?;
        blocks.push((rectangle, encoded.decode()?));
    }
    let spec = &stage.spec;
    let needs = Needs::of(&spec.statistics);
    let mut scan = Scan::new(needs, spec.pixels);
    let mut out = Dealt::new(stage, needs, context)?;
    if let Some(place) = place {
        for (zone, polygons) in &window.zones {
            check_cancelled(context)?;
            let spans = spans(polygons, spec.pixels, &place);
            let mut cells = scan.zone(&spans, &blocks);
            if !cells.partial.is_empty() {
                out.push(*zone, cells.partial.encode(), &cells.values)?;
            }
        }
    }
    out.finish()
}

/// Deals partial statistics out by zone.
struct Dealt {
    per_range: u32,
    partials: crate::exchange::ShuffleWriter,
    values: Option<crate::exchange::ShuffleWriter>,
    /// Partial statistics of zones of one range that make no batch yet.
    waiting: (u32, Vec<u32>, Vec<Vec<u8>>),
}

impl Dealt {
    fn new(stage: &ZonalStage, needs: Needs, context: &TaskContext) -> Result<Self, Error> {
        let writer = |first, schema| {
            let first = context.partition_key(first);
            context.store.shuffle_writer(first, schema, stage.ranges)
        };
        let values = needs.values.then(|| writer(stage.ranges, value_schema()));
        Ok(Self {
            per_range: stage.zones_per_range.max(1),
            partials: writer(0, partial_schema())?,
            values: values.transpose()?,
            waiting: (0, Vec::new(), Vec::new()),
        })
    }

    fn push(&mut self, zone: u32, partial: Vec<u8>, values: &[(u64, u64)]) -> Result<(), Error> {
        let range = zone / self.per_range;
        if range != self.waiting.0 || self.waiting.1.len() >= BATCH_ZONES {
            self.flush()?;
            self.waiting.0 = range;
        }
        self.waiting.1.push(zone);
        self.waiting.2.push(partial);
        if let Some(writer) = &mut self.values {
            for values in values.chunks(BATCH_VALUES) {
                writer.write(range, &value_batch(zone, values)?)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let (range, zones, partials) = &mut self.waiting;
        if !zones.is_empty() {
            self.partials
                .write(*range, &partial_batch(zones, partials)?)?;
        }
        zones.clear();
        partials.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Done, Error> {
        self.flush()?;
        let values = self.values.map(|writer| writer.finish()).transpose()?;
        let partials = self.partials.finish()?;
        let stored = values.iter().flatten().chain(&partials);
        Ok(Done {
            stored_bytes: stored.map(|partition| partition.bytes).sum(),
            result: None,
        })
    }
}
