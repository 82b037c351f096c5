//! A rectangle of one band of a source, in its own type.

use crate::for_samples;
use crate::grid::{Block, Samples, Window};

/// One band of the part of a source that is in memory.
#[derive(Debug, Clone, Copy)]
pub struct SourceBand<'a> {
    /// Which part of the source it is.
    pub window: Window,
    /// Columns and rows of the whole source.
    pub size: (u32, u32),
    /// The samples of the window, row by row.
    pub samples: &'a Samples,
    /// Which of them are data; all when `None`.
    pub valid: Option<&'a [bool]>,
    /// Whether the whole source closes around the globe: its last column is next to its first.
    pub around: bool,
}

/// Says which cells of a band are data: neither masked, nor the no-data value, nor NaN; `None` when all are.
#[must_use]
pub fn validity(block: &Block, band: &Samples) -> Option<Vec<bool>> {
    let nodata = block.nodata.filter(|value| !value.is_nan());
    let mask = block.mask.as_deref();
    if !band.dtype().is_float() && nodata.is_none() {
        return mask.map(<[bool]>::to_vec);
    }
    let mut valid: Vec<bool> = match band {
        Samples::Float32(v) => {
            // What a writer meant by a double is what the float nearest to it says.
            let nodata = nodata.map(|value| value as f32);
            v.iter()
                .map(|s| !s.is_nan() && Some(*s) != nodata)
                .collect()
        }
        other => for_samples!(other, v => known(v, nodata)),
    };
    if let Some(mask) = mask {
        valid.iter_mut().zip(mask).for_each(|(v, m)| *v &= *m);
    }
    (!valid.iter().all(|v| *v)).then_some(valid)
}

fn known<T: Sample>(samples: &[T], nodata: Option<f64>) -> Vec<bool> {
    let is_known = |sample: &T| !sample.get().is_nan() && Some(sample.get()) != nodata;
    // Samples of up to 16 bits are compared with each other, eight at a time, where the no-data value is one of them.
    match nodata.and_then(T::exactly) {
        Some(nodata) if size_of::<T>() <= 2 => samples.iter().map(|s| *s != nodata).collect(),
        _ => samples.iter().map(is_known).collect(),
    }
}

/// A sample as a double; integers of 64 bit beyond 2^53 are rounded.
pub(super) trait Sample: Copy + Default + PartialEq {
    fn get(self) -> f64;

    /// Returns the sample that has a value, if there is one.
    fn exactly(value: f64) -> Option<Self>;
}

macro_rules! sample {
    ($($type:ty),*) => {
        $(impl Sample for $type {
            #[inline(always)]
            fn get(self) -> f64 {
                self as f64
            }

            fn exactly(value: f64) -> Option<Self> {
                // A cast saturates: what is out of range comes back as another value.
                let sample = value as Self;
                (sample.get() == value).then_some(sample)
            }
        })*
    };
}

sample!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// A [`SourceBand`] with its type known.
#[derive(Clone, Copy)]
pub(super) struct View<'a, T> {
    pub(super) cells: &'a [T],
    pub(super) valid: Option<&'a [bool]>,
    col: i64,
    row: i64,
    pub(super) cols: usize,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) around: bool,
}

impl<'a, T: Sample> View<'a, T> {
    pub(super) fn new(source: &SourceBand<'a>, cells: &'a [T]) -> Self {
        Self {
            cells,
            valid: source.valid,
            col: i64::from(source.window.col),
            row: i64::from(source.window.row),
            cols: source.window.cols as usize,
            width: i64::from(source.size.0),
            height: i64::from(source.size.1),
            around: source.around,
        }
    }

    /// Returns where a cell of the source lies in the rectangle; the caller keeps to cells of it.
    #[inline(always)]
    pub(super) fn index(&self, col: i64, row: i64) -> usize {
        // Cells left of or above the rectangle would wrap to a huge index, at which there is no sample.
        (row - self.row) as usize * self.cols + (col - self.col) as usize
    }

    /// Does so for whole numbers in doubles.
    #[inline(always)]
    pub(super) fn index_of_whole(&self, col: f64, row: f64) -> usize {
        // The bits of a double behind this one count from it; of one before it they wrap as above.
        const WHOLE: f64 = (1_u64 << 52) as f64;
        let index = (row - self.row as f64) * self.cols as f64 + (col - self.col as f64);
        (index + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits()) as usize
    }

    /// Returns where cells side by side lie in the rectangle, when all do.
    pub(super) fn run(&self, col: i64, row: i64, cells: usize) -> Option<std::ops::Range<usize>> {
        let left = usize::try_from(col - self.col).ok()?;
        let down = usize::try_from(row - self.row).ok()?;
        let start = down.checked_mul(self.cols)?.checked_add(left)?;
        (left.checked_add(cells)? <= self.cols).then_some(start..start + cells)
    }

    /// Returns the value of a cell, if it has one.
    #[inline(always)]
    pub(super) fn value(&self, col: i64, row: i64) -> Option<f64> {
        let at = self.index(col, row);
        match self.valid {
            Some(valid) if !valid.get(at).copied().unwrap_or(false) => None,
            _ => self.cells.get(at).map(|cell| cell.get()),
        }
    }

    /// Tells whether a position lies in the source.
    #[inline(always)]
    pub(super) fn holds(&self, x: f64, y: f64) -> bool {
        // A NaN is not within anything. The slack is GDAL's.
        x >= 0.0 && y >= 0.0 && x + SLACK <= self.width as f64 && y + SLACK <= self.height as f64
    }

    /// Returns the cell that a position lies in.
    #[inline(always)]
    pub(super) fn cell_at(&self, x: f64, y: f64) -> (i64, i64) {
        // Positions are not negative: a cast rounds down.
        let col = ((x + SLACK) as i64).min(self.width - 1);
        let row = ((y + SLACK) as i64).min(self.height - 1);
        (col, row)
    }

    /// Tells whether a position lies in a cell without a value: then it has none either, whatever lies around it.
    #[inline(always)]
    pub(super) fn is_hole(&self, x: f64, y: f64) -> bool {
        self.valid.is_some_and(|valid| {
            let (col, row) = self.cell_at(x, y);
            !valid.get(self.index(col, row)).copied().unwrap_or(false)
        })
    }
}

/// Positions that miss an edge by less than this are on it.
pub(super) const SLACK: f64 = 1e-10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_data_unless_they_are_the_no_data_value() {
        let check = |samples: Samples, nodata: Option<f64>, expected: Option<[bool; 3]>| {
            let block = Block {
                cols: 3,
                rows: 1,
                bands: vec![samples],
                nodata,
                mask: None,
            };
            let valid = validity(&block, &block.bands[0]);
            assert_eq!(valid, expected.map(|valid| valid.to_vec()), "{block:?}");
        };
        let bytes = || Samples::UInt8(vec![0, 44, 255]);
        check(bytes(), Some(0.0), Some([false, true, true]));
        check(bytes(), Some(255.0), Some([true, true, false]));
        // No byte is 300, 44.5 or -1.
        for nodata in [300.0, 44.5, -1.0, f64::NAN] {
            check(bytes(), Some(nodata), None);
        }
        let shorts = Samples::Int16(vec![-32768, 0, 7]);
        check(shorts, Some(-32768.0), Some([false, true, true]));
        let words = Samples::Int32(vec![-9999, 0, 7]);
        check(words, Some(-9999.0), Some([false, true, true]));
        let doubles = Samples::Float64(vec![f64::NAN, -9999.0, 7.0]);
        check(doubles, Some(-9999.0), Some([false, false, true]));
    }
}
