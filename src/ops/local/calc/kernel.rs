//! Band math over blocks of any sample type.

use super::cell::{self, Cell};
use super::compile::compile;
use super::error::Error;
use super::lanes::Lane;
use super::program::{CHUNK_CELLS, Program, Scratch};
use crate::for_samples;
use crate::grid::{Block, DataType, Samples};

/// Computes one band from the bands of some blocks, cell by cell.
#[derive(Debug, Clone, PartialEq)]
pub struct CalcKernel {
    program: Program,
    scale: f64,
    offset: f64,
}

/// One band of one block.
#[derive(Clone, Copy)]
struct Source<'a> {
    samples: &'a Samples,
    nodata: Option<f64>,
    mask: Option<&'a [bool]>,
}

impl CalcKernel {
    /// Compiles an expression over bands with these names; each sample is first multiplied by `scale`, then `offset` is added.
    ///
    /// # Errors
    /// As [`compile`], or when scale or offset is not finite.
    pub fn new(
        expression: &str,
        names: &[impl AsRef<str>],
        scale: f64,
        offset: f64,
    ) -> Result<Self, Error> {
        if !scale.is_finite() || !offset.is_finite() {
            return Err(Error::Scale { scale, offset });
        }
        Ok(Self {
            program: compile(expression, names)?,
            scale,
            offset,
        })
    }

    /// Returns the numbers of the bands that the result depends on, ascending.
    #[must_use]
    pub fn inputs_used(&self) -> &[usize] {
        self.program.inputs_used()
    }

    /// Checks that an output of this type can say "no data", so that a job can be refused before it runs.
    ///
    /// # Errors
    /// When the type is an integer and `nodata` is `None`, or the type does not have the value.
    pub fn check_output(dtype: DataType, nodata: Option<f64>) -> Result<(), Error> {
        for_samples!(&Samples::zeros(dtype, 0), cells => nodata_like(cells, dtype, nodata).map(drop))
    }

    /// Computes one band.
    ///
    /// - `blocks`: all `cols × rows`; their bands, block after block, are the inputs in the order of the names.
    ///   A cell is NoData when its block's mask says so, when it equals the block's `nodata` in the sample's own type
    ///   (a value outside the type never matches), or when it is NaN.
    /// - Returns one band of `dtype`. Math is in doubles; the result is rounded once: to the nearest float, or to the nearest
    ///   integer with halves away from zero, clamped to the range. NoData, and what is not finite in `dtype`, becomes `nodata`,
    ///   or NaN in a float band without one. A valid result that equals `nodata` is left as it is.
    ///
    /// # Errors
    /// When the bands are not as many as the names, shapes differ, or [`CalcKernel::check_output`] fails.
    pub fn run(
        &self,
        blocks: &[Block],
        dtype: DataType,
        nodata: Option<f64>,
    ) -> Result<Block, Error> {
        self.run_while(blocks, dtype, nodata, &mut || true)
    }

    /// The same; `go_on` is asked before each few hundred cells.
    ///
    /// # Errors
    /// As [`CalcKernel::run`]; [`Error::Stopped`] when `go_on` says no.
    pub fn run_while(
        &self,
        blocks: &[Block],
        dtype: DataType,
        nodata: Option<f64>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Block, Error> {
        let (cols, rows, cells) = shape(blocks)?;
        let sources = self.sources(blocks, cells)?;
        let mut band = Samples::zeros(dtype, cells);
        for_samples!(&mut band, out => {
            let nodata = nodata_like(out, dtype, nodata)?;
            self.fill(&sources, nodata, out, go_on)?;
        });
        Ok(Block {
            cols,
            rows,
            bands: vec![band],
            nodata,
            mask: None,
        })
    }

    /// Lists the bands of all blocks; each that is used has its samples.
    fn sources<'a>(&self, blocks: &'a [Block], cells: usize) -> Result<Vec<Source<'a>>, Error> {
        let of_block = |block: &'a Block| {
            block.bands.iter().map(|samples| Source {
                samples,
                nodata: block.nodata,
                mask: block.mask.as_deref(),
            })
        };
        let sources: Vec<Source<'a>> = blocks.iter().flat_map(of_block).collect();
        if sources.len() != self.program.input_count() {
            return Err(Error::InputCount {
                expected: self.program.input_count(),
                given: sources.len(),
            });
        }
        let wrong = |(_, source): &(usize, &Source<'_>)| source.samples.len() != cells;
        match sources.iter().enumerate().find(wrong) {
            None => Ok(sources),
            Some((input, source)) => Err(Error::InputCells {
                input,
                given: source.samples.len(),
                expected: cells,
            }),
        }
    }

    fn fill<T: Cell>(
        &self,
        sources: &[Source<'_>],
        nodata: T,
        out: &mut [T],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let mut scratch = Scratch::new();
        let mut inputs = vec![Vec::new(); sources.len()];
        for &input in self.inputs_used() {
            if let Some(cells) = inputs.get_mut(input) {
                *cells = vec![0.0; CHUNK_CELLS];
            }
        }
        for (number, out) in out.chunks_mut(CHUNK_CELLS).enumerate() {
            if !go_on() {
                return Err(Error::Stopped);
            }
            let cells = out.len();
            for (source, into) in sources.iter().zip(&mut inputs) {
                // Empty for a band that is not used.
                let into = into.get_mut(..cells).unwrap_or_default();
                self.load(*source, number * CHUNK_CELLS, into);
            }
            let input = |number: usize| -> &[f64] {
                let cells = inputs.get(number).and_then(|input| input.get(..cells));
                cells.unwrap_or_default()
            };
            match self.program.eval_chunk(input, cells, &mut scratch) {
                Lane::Scalar(value) => out.fill(T::from_f64(value).unwrap_or(nodata)),
                Lane::Slice(values) => cell::store(values, nodata, out),
            }
        }
        Ok(())
    }

    /// Turns the cells of a source from `from` on into doubles, NaN where NoData, scaled.
    fn load(&self, source: Source<'_>, from: usize, into: &mut [f64]) {
        let range = from..from + into.len();
        for_samples!(source.samples, cells => {
            let cells = cells.get(range.clone()).unwrap_or_default();
            cell::load(cells, source.nodata, into);
        });
        if let Some(mask) = source.mask.and_then(|mask| mask.get(range)) {
            let masked = into.iter_mut().zip(mask).filter(|(_, valid)| !**valid);
            masked.for_each(|(cell, _)| *cell = f64::NAN);
        }
        if self.scale != 1.0 || self.offset != 0.0 {
            let (scale, offset) = (self.scale, self.offset);
            into.iter_mut()
                .for_each(|cell| *cell = *cell * scale + offset);
        }
    }
}

/// Returns the columns, rows and cells that all blocks share.
fn shape(blocks: &[Block]) -> Result<(u32, u32, usize), Error> {
    let first = blocks.first().ok_or(Error::NoBlocks)?;
    let cells = u64::from(first.cols) * u64::from(first.rows);
    // More cells than memory can address: no band has them, which the next check says.
    let cells = usize::try_from(cells).unwrap_or(usize::MAX);
    for (number, block) in blocks.iter().enumerate() {
        if (block.cols, block.rows) != (first.cols, first.rows) {
            return Err(Error::BlockShape {
                block: number,
                cols: block.cols,
                rows: block.rows,
                first_cols: first.cols,
                first_rows: first.rows,
            });
        }
        let masked = block.mask.as_ref().map_or(cells, Vec::len);
        if masked != cells {
            return Err(Error::MaskCells {
                block: number,
                given: masked,
                expected: cells,
            });
        }
    }
    Ok((first.cols, first.rows, cells))
}

/// Returns the "no data" value in the type of the cells.
fn nodata_like<T: Cell>(_: &[T], dtype: DataType, nodata: Option<f64>) -> Result<T, Error> {
    match nodata {
        Some(value) => T::nodata(value).ok_or(Error::NodataNotStorable {
            nodata: value,
            dtype,
        }),
        None => T::nodata(f64::NAN).ok_or(Error::NodataMissing { dtype }),
    }
}
