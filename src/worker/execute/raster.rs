//! A window of a raster: read, compute, encode, halve, store.

use std::sync::Arc;

use super::{Done, Error, Executor, check_cancelled, group, tiles};
use crate::grid::Block;
use crate::io::raster::read::{EncodedWindow, RasterFile};
use crate::ops::TaskContext;
use crate::ops::local::calc::CalcKernel;
use crate::ops::local::convert;
use crate::plan::stage::{KernelSpec, RasterStage};

impl Executor {
    pub(super) async fn run_raster(
        &self,
        raster: Arc<RasterStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let first = *group(&raster, 0)?;
        let window = raster
            .layout
            .window(&first, context.task.index)
            .ok_or(Error::Bug {
                what: "a task beyond the raster",
            })?;
        let mut encoded = Vec::with_capacity(raster.sources.len());
        for source in &raster.sources {
            let file = RasterFile::open(&self.ports.sources, &source.path).await?;
            encoded.push(file.fetch(&source.bands, window).await?);
        }
        self.cpu
            .run(move || {
                let block = compute(&raster, encoded, &context)?;
                tiles::store_levels(&raster, &first, block, &context)
            })
            .await?
    }
}

/// Decodes the inputs and runs the kernel.
fn compute(
    raster: &RasterStage,
    encoded: Vec<EncodedWindow>,
    context: &TaskContext,
) -> Result<Block, Error> {
    let mut blocks = Vec::with_capacity(encoded.len());
    for window in encoded {
        check_cancelled(context)?;
        blocks.push(window.decode()?);
    }
    check_cancelled(context)?;
    let output = &raster.output;
    match &raster.kernel {
        KernelSpec::Calc {
            expression,
            names,
            scale,
            offset,
        } => {
            let kernel = CalcKernel::new(expression, names, *scale, *offset)?;
            Ok(kernel.run(&blocks, output.dtype, output.nodata)?)
        }
        KernelSpec::Copy => {
            let block = blocks.pop().ok_or(Error::Bug {
                what: "a copy of nothing",
            })?;
            Ok(tiles::with_nodata(block, output.nodata))
        }
        KernelSpec::Convert(conversion) => {
            let block = blocks.pop().ok_or(Error::Bug {
                what: "a conversion of nothing",
            })?;
            let block = match conversion.mask_to_alpha {
                true => convert::mask_to_alpha(block),
                false => block,
            };
            if block.bands.iter().all(|band| band.dtype() == output.dtype) {
                return Ok(tiles::with_nodata(block, output.nodata));
            }
            Ok(convert::convert(block, output.dtype, output.nodata))
        }
    }
}
