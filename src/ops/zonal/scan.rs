//! Gathering the cells of a zone from blocks.

use super::bins::Bins;
use super::partial::{Needs, Partial};
use super::samples::Sample;
use super::span::Span;
use super::values::key;
use crate::for_samples;
use crate::grid::{Block, Window};
use crate::spec::Pixels;

/// What was gathered of a zone.
#[derive(Debug, Default)]
pub struct ZoneCells {
    /// Sums and extremes.
    pub partial: Partial,
    /// Every different value (see [`super::key`]) with its weight, rising; empty unless needed.
    pub values: Vec<(u64, u64)>,
}

/// Gathers cells of zones; one serves any number of them, one after the other.
#[derive(Debug)]
pub struct Scan {
    needs: Needs,
    fractional: bool,
    sums: Bins,
    squares: Bins,
}

impl Scan {
    /// Makes it.
    #[must_use]
    pub fn new(needs: Needs, pixels: Pixels) -> Self {
        Self {
            needs,
            fractional: pixels == Pixels::Fractional,
            sums: Bins::new(),
            squares: Bins::new(),
        }
    }

    /// Gathers what blocks hold of a zone.
    ///
    /// - `spans`: the zone's cells, by row and column, each once.
    /// - `blocks`: one band each, at their places in the raster; they do not overlap. Cells outside of all are not seen.
    pub fn zone(&mut self, spans: &[Span], blocks: &[(Window, Block)]) -> ZoneCells {
        let mut cells = ZoneCells::default();
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
            return cells;
        };
        for (window, block) in blocks {
            if window.row > last.row || window.row_end() <= first.row {
                continue;
            }
            let Some(band) = block.bands.first() else {
                continue;
            };
            let mask = block.mask.as_deref();
            let start = spans.partition_point(|span| span.row < window.row);
            let spans = spans.get(start..).unwrap_or_default();
            for_samples!(band, samples => self.block(spans, window, samples, (block.nodata, mask), &mut cells));
        }
        self.sums.drain_into(&mut cells.partial.sum);
        self.squares.drain_into(&mut cells.partial.squares);
        cells.values.sort_unstable_by_key(|(key, _)| *key);
        cells.values.dedup_by(|(key, weight), (kept, sum)| {
            let same = key == kept;
            if same {
                *sum += *weight;
            }
            same
        });
        cells
    }

    fn block<T: Sample>(
        &mut self,
        spans: &[Span],
        window: &Window,
        samples: &[T],
        (nodata, mask): (Option<f64>, Option<&[bool]>),
        cells: &mut ZoneCells,
    ) {
        let nodata = nodata.and_then(T::of);
        let mut run = Run::default();
        for span in spans.iter().take_while(|span| span.row < window.row_end()) {
            let from = span.from.max(window.col);
            let to = span.to.min(window.col_end());
            if from >= to {
                continue;
            }
            let row = (span.row - window.row) as usize * window.cols as usize;
            let place = row + (from - window.col) as usize..row + (to - window.col) as usize;
            let Some(values) = samples.get(place.clone()) else {
                continue;
            };
            let mask = mask.and_then(|mask| mask.get(place));
            let weight = if self.fractional { span.weight } else { 1 };
            let valid = |number: usize, value: T| {
                !value.is_nan()
                    && Some(value) != nodata
                    && mask.is_none_or(|mask| mask.get(number).is_some_and(|valid| *valid))
            };
            let seen = match T::SMALL_WHOLE {
                true => run.whole(values, valid, weight, self.needs),
                false => self.real(values, valid, weight, &mut run),
            };
            run.weight += u128::from(seen) * u128::from(weight);
            run.nodata += (values.len() as u128 - u128::from(seen)) * u128::from(weight);
            if self.needs.values {
                let valid = values
                    .iter()
                    .enumerate()
                    .filter(|(n, value)| valid(*n, **value));
                let entries = valid.map(|(_, value)| (key(value.double()), u64::from(weight)));
                cells.values.extend(entries);
            }
        }
        run.add_to(&mut cells.partial);
    }

    fn real<T: Sample>(
        &mut self,
        values: &[T],
        valid: impl Fn(usize, T) -> bool,
        weight: u32,
        run: &mut Run,
    ) -> u64 {
        let mut seen = 0;
        for (number, value) in values.iter().enumerate() {
            if !valid(number, *value) {
                continue;
            }
            seen += 1;
            let value = value.double();
            run.low = run.low.min(value);
            run.high = run.high.max(value);
            if value.is_infinite() {
                run.infinite[usize::from(value < 0.0)] = true;
                continue;
            }
            if self.needs.sum {
                self.sums.add(value, weight);
            }
            if self.needs.squares {
                let square = value * value;
                if square.is_infinite() {
                    run.infinite_squares = true;
                    continue;
                }
                self.squares.add(square, weight);
                // What rounding took: nothing, when the samples are of 32 bits.
                self.squares.add(value.mul_add(value, -square), weight);
            }
        }
        seen
    }
}

/// What was gathered of one block, in plain numbers.
#[derive(Debug)]
struct Run {
    weight: u128,
    nodata: u128,
    low: f64,
    high: f64,
    sum: i128,
    squares: i128,
    infinite: [bool; 2],
    infinite_squares: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            weight: 0,
            nodata: 0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            sum: 0,
            squares: 0,
            infinite: [false; 2],
            infinite_squares: false,
        }
    }
}

/// Samples of 32 bits whose sum is sure to fit into 64.
const FITS: usize = 1 << 30;

impl Run {
    fn whole<T: Sample>(
        &mut self,
        values: &[T],
        valid: impl Fn(usize, T) -> bool,
        weight: u32,
        needs: Needs,
    ) -> u64 {
        let mut seen = 0;
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for (start, part) in (0..).step_by(FITS).zip(values.chunks(FITS)) {
            let (mut sum, mut squares) = (0_i64, 0_i128);
            for (number, value) in part.iter().enumerate() {
                if valid(start + number, *value) {
                    let value = value.whole();
                    seen += 1;
                    sum += value;
                    low = low.min(value);
                    high = high.max(value);
                }
            }
            if needs.squares {
                let valid = part
                    .iter()
                    .enumerate()
                    .filter(|(n, v)| valid(start + n, **v));
                squares = valid
                    .map(|(_, v)| i128::from(v.whole()) * i128::from(v.whole()))
                    .sum();
            }
            self.sum += i128::from(sum) * i128::from(weight);
            self.squares += squares * i128::from(weight);
        }
        if seen > 0 {
            self.low = self.low.min(low as f64);
            self.high = self.high.max(high as f64);
        }
        seen
    }

    fn add_to(self, partial: &mut Partial) {
        partial.weight += self.weight;
        partial.nodata += self.nodata;
        if self.weight > 0 {
            partial.widen(self.low, self.high);
        }
        partial.sum.add(self.sum, 0);
        partial.squares.add(self.squares, 0);
        for (negative, seen) in [false, true].into_iter().zip(self.infinite) {
            if seen {
                partial.sum.add_infinity(negative);
                partial.squares.add_infinity(false);
            }
        }
        if self.infinite_squares {
            partial.squares.add_infinity(false);
        }
    }
}
