//! A window of a raster: read, compute, encode, halve, store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Done, Error, Executor, check_cancelled, group, tiles};
use crate::grid::{Block, HaloBlock, RasterProfile, Window};
use crate::io::raster::read::{EncodedWindow, RasterFile};
use crate::ops::TaskContext;
use crate::ops::focal;
use crate::ops::local::calc::{self, CalcKernel};
use crate::ops::local::convert;
use crate::plan::stage::{KernelSpec, RasterStage};

impl Executor {
    pub(super) async fn run_raster(
        &self,
        raster: Arc<RasterStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        if let KernelSpec::Warp(kernel) = &raster.kernel {
            let kernel = Arc::clone(kernel);
            return self.run_warp(raster, kernel, context).await;
        }
        let first = *group(&raster, 0)?;
        let window = raster
            .layout
            .window(&first, context.task.index)
            .ok_or(Error::Bug {
                what: "a task beyond the raster",
            })?;
        let whole = Window::whole(raster.output.width, raster.output.height);
        let read = window.with_halo(raster.kernel.halo(), &whole);
        let mut encoded = Vec::with_capacity(raster.sources.len());
        for source in &raster.sources {
            let file =
                RasterFile::open_version(&self.ports.sources, &source.path, source.version).await?;
            encoded.push(file.fetch(&source.bands, read).await?);
        }
        self.cpu
            .run(move || {
                let blocks = decode(encoded, &context)?;
                let cut = |block| HaloBlock::cut(block, read, window, whole);
                let blocks = blocks.into_iter().map(cut).collect();
                let block = compute(&raster.kernel, &raster.output, blocks, &context.cancelled)?;
                tiles::store_levels(&raster, &first, block, &context)
            })
            .await?
    }
}

/// Decodes the inputs.
fn decode(encoded: Vec<EncodedWindow>, context: &TaskContext) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::with_capacity(encoded.len());
    for window in encoded {
        check_cancelled(context)?;
        blocks.push(window.decode()?);
    }
    check_cancelled(context)?;
    Ok(blocks)
}

/// Runs the kernel over blocks of one place, as many as there are sources, each with the kernel's halo.
pub(super) fn compute(
    kernel: &KernelSpec,
    output: &RasterProfile,
    mut blocks: Vec<HaloBlock>,
    cancelled: &AtomicBool,
) -> Result<Block, Error> {
    let go_on = &mut || !cancelled.load(Ordering::Relaxed);
    match kernel {
        KernelSpec::Calc {
            expressions,
            names,
            scale,
            offset,
            ..
        } => {
            let blocks: Vec<Block> = blocks.into_iter().map(|cut| cut.block).collect();
            let mut made: Option<Block> = None;
            for expression in expressions {
                let kernel = CalcKernel::new(expression, names, *scale, *offset)?;
                let ran = kernel.run_while(&blocks, output.dtype, output.nodata, go_on);
                let block = match ran {
                    Err(calc::Error::Stopped) => return Err(Error::Cancelled),
                    ran => ran?,
                };
                match &mut made {
                    None => made = Some(block),
                    Some(made) => made.bands.extend(block.bands),
                }
            }
            made.ok_or(Error::Bug {
                what: "band math without an expression",
            })
        }
        KernelSpec::Focal(kernel) => {
            let block = blocks.pop().ok_or(Error::Bug {
                what: "a neighbourhood of nothing",
            })?;
            match kernel.run(&block, output.dtype, output.nodata, go_on) {
                Err(focal::Error::Stopped) => Err(Error::Cancelled),
                ran => Ok(ran?),
            }
        }
        KernelSpec::Warp(_) => Err(Error::Bug {
            what: "a warp has no sources",
        }),
        KernelSpec::Copy => {
            let block = blocks.pop().ok_or(Error::Bug {
                what: "a copy of nothing",
            })?;
            Ok(tiles::with_nodata(block.block, output.nodata))
        }
        KernelSpec::Convert(conversion) => {
            let HaloBlock { block, .. } = blocks.pop().ok_or(Error::Bug {
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
