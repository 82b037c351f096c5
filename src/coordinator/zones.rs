//! What the planner must know of the polygons of zonal statistics: one pass over them.

use crate::job::Failure;
use crate::plan::Catalog;
use crate::plan::catalog::ZoneFacts;
use crate::spec::JobSpec;
#[cfg(feature = "tables")]
use crate::spec::TaskOperation;
use crate::tables::Tables;

/// Without the relational engine nothing is known, and the planner says what is missing.
#[cfg(not(feature = "tables"))]
pub(super) async fn survey(
    _: &JobSpec,
    _: &Catalog,
    _: &Tables,
) -> Result<Option<ZoneFacts>, Failure> {
    Ok(None)
}

/// Counts the zones, and the windows of the raster that they touch; other operations have none.
#[cfg(feature = "tables")]
pub(super) async fn survey(
    spec: &JobSpec,
    catalog: &Catalog,
    tables: &Tables,
) -> Result<Option<ZoneFacts>, Failure> {
    let (TaskOperation::ZonalStats(asked), Some(output)) = (&spec.operation, &spec.output) else {
        return Ok(None);
    };
    let Some(facts) = catalog.rasters.get(&asked.raster) else {
        return Ok(None);
    };
    let geometry = match output {
        crate::spec::Output::Table(table) => crate::plan::zonal::keeps_geometry(asked, table),
        crate::spec::Output::Raster(_) => false,
    };
    let (asked, facts, tables) = (asked.clone(), facts.clone(), tables.clone());
    let counted =
        tokio::task::spawn_blocking(move || count::zones(&asked, &facts, &tables, geometry));
    match counted.await {
        Ok(Ok(facts)) => Ok(Some(facts)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure {
            class: crate::job::FailureClass::Retry { after_ms: None },
            code: "panic".to_owned(),
            message: "the reader of the zones panicked; that is a bug: report it".to_owned(),
        }),
    }
}

#[cfg(feature = "tables")]
mod count {
    use arrow::record_batch::RecordBatch;

    use crate::grid::profile::RasterFacts;
    use crate::job::{Failure, FailureClass};
    use crate::ops::zonal::{Placement, ReferenceError};
    use crate::plan::catalog::ZoneFacts;
    use crate::plan::zonal::window_grid;
    use crate::spec::ZonalStats;
    use crate::tables::{self, Tables, TakeZones, ZoneTable};

    #[derive(Debug, thiserror::Error)]
    pub(super) enum Error {
        #[error(transparent)]
        Tables(#[from] tables::Error),
        #[error(transparent)]
        Reference(#[from] ReferenceError),
    }

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            let (class, code) = match &error {
                Error::Tables(error) => (error.class(), error.code()),
                Error::Reference(_) => (FailureClass::Fatal, "zones-crs"),
            };
            Self::of(class, code, &error)
        }
    }

    /// Reads all zones once.
    pub(super) fn zones(
        asked: &ZonalStats,
        facts: &RasterFacts,
        tables: &Tables,
        geometry: bool,
    ) -> Result<ZoneFacts, Error> {
        let mut counting = Counting {
            asked,
            facts,
            geometry,
            placement: None,
            found: ZoneFacts {
                zones: 0,
                windows: 0,
                side_bytes: 0,
                columns: Vec::new(),
            },
        };
        tables.read_zones(asked, &mut counting)?;
        Ok(counting.found)
    }

    struct Counting<'a> {
        asked: &'a ZonalStats,
        facts: &'a RasterFacts,
        geometry: bool,
        placement: Option<Placement>,
        found: ZoneFacts,
    }

    impl TakeZones<Error> for Counting<'_> {
        fn begin(&mut self, table: ZoneTable) -> Result<(), Error> {
            let fields = table.schema.fields().iter().enumerate();
            let kept = fields.filter(|(at, _)| self.geometry || *at != table.geometry);
            self.found.columns = kept.map(|(_, field)| field.name().clone()).collect();
            let asked = self.asked.zones_crs.as_deref();
            let grid = window_grid(self.facts);
            let profile = &self.facts.profile;
            let placement = Placement::new(table.crs.as_deref(), asked, profile, grid)?;
            self.placement = Some(placement);
            Ok(())
        }

        fn rows(
            &mut self,
            _: RecordBatch,
            polygons: Vec<Vec<Vec<Vec<[f64; 2]>>>>,
        ) -> Result<(), Error> {
            let Some(placement) = &mut self.placement else {
                return Ok(());
            };
            for polygons in polygons {
                let outline = placement.place(self.found.zones, polygons)?;
                let windows = placement.windows(&outline).len() as u64;
                let sides: usize = outline.polygons.iter().flatten().map(Vec::len).sum();
                // A window has the sides at its rows; that those of all are as many as there are is a guess.
                self.found.side_bytes += 32 * sides as u64 + 64 * windows;
                self.found.zones += 1;
            }
            self.found.windows = placement.count();
            Ok(())
        }
    }
}
