//! A window of higher overview levels: assembled from the patches of the stage below, then encoded and
//! halved like any other window.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Done, Error, Executor, addresses, group, tiles};
use crate::ops::TaskContext;
use crate::plan::stage::RasterStage;
use crate::wire::InputStage;

/// Patches fetched at once.
const FETCHES_AT_ONCE: usize = 8;

impl Executor {
    pub(super) async fn run_overviews(
        &self,
        raster: Arc<RasterStage>,
        number: u32,
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let below_number = (number as usize).checked_sub(1).ok_or(Error::Bug {
            what: "overviews of nothing",
        })?;
        let this = *group(&raster, number as usize)?;
        let below = *group(&raster, below_number)?;
        let window = raster
            .layout
            .window(&this, context.task.index)
            .ok_or(Error::Bug {
                what: "a task beyond the raster",
            })?;
        let input = inputs.first().ok_or(Error::Bug {
            what: "overviews without inputs",
        })?;
        let patch_number = below.last + 1 - below.first;
        let exchange = &self.ports.exchange;
        let patches: Vec<_> = stream::iter(addresses(&context.job, input, patch_number)?)
            .map(|(task, address)| async move {
                let batches: Vec<_> = exchange.fetch(&address).await?.try_collect().await?;
                Ok::<_, Error>((task, address, batches))
            })
            .buffered(FETCHES_AT_ONCE)
            .try_collect()
            .await?;
        self.cpu
            .run(move || {
                let block = tiles::assemble(&raster, &below, window, &patches)?;
                drop(patches);
                tiles::store_levels(&raster, &this, block, &context)
            })
            .await?
    }
}
