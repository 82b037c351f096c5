//! Reads the inputs' headers and plans.

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::io::raster::read::RasterFile;
use crate::io::source::Sources;
use crate::job::Failure;
use crate::plan::catalog::{Capacity, raster_paths};
use crate::plan::{Catalog, Plan, plan};
use crate::spec::JobSpec;
use crate::tables::Tables;

/// Headers read at once.
const HEADERS_AT_ONCE: usize = 16;

/// Reads what the planner must know and plans.
///
/// # Errors
/// When an input cannot be read, or the job cannot be planned: the failure that ends the job.
pub async fn make_plan(
    spec: &JobSpec,
    sources: &Sources,
    tables: &Tables,
    capacity: Capacity,
) -> Result<Plan, Failure> {
    let mut catalog = read_catalog(spec, sources).await?;
    catalog.query = tables.cut(spec, capacity).await?;
    catalog.zones = super::zones::survey(spec, &catalog, tables).await?;
    plan(spec, &catalog).map_err(|error| Failure::of(error.class(), error.code(), &error))
}

/// Reads the facts about all inputs of a job.
///
/// # Errors
/// When an input cannot be read.
pub(crate) async fn read_catalog(spec: &JobSpec, sources: &Sources) -> Result<Catalog, Failure> {
    let rasters = stream::iter(raster_paths(spec).into_iter().map(str::to_owned))
        .map(|path| async move {
            // What was read for an earlier job is not what this one is planned for.
            sources.forget(&path);
            let file = RasterFile::open(sources, &path)
                .await
                .map_err(|error| Failure::of(error.class(), error.code(), &error))?;
            Ok::<_, Failure>((path, file.facts().clone()))
        })
        .buffered(HEADERS_AT_ONCE)
        .try_collect()
        .await?;
    let mut catalog = Catalog {
        rasters,
        query: None,
        zones: None,
    };
    catalog.add_stated(spec);
    Ok(catalog)
}
