//! The next overview level of a block.

use crate::grid::{Block, Samples};
use crate::spec::Resampling;

/// Halves a block: each cell of the result covers a square of 2 × 2, fewer at the right and lower edges.
///
/// - The size is `⌈n / 2⌉` each way. A cell depends on its square alone, so that windows which begin at even
///   cells give the same cells as the whole, level after level.
/// - [`Resampling::Average`]: the mean of the valid cells. Of integers the sum is exact, and the mean is
///   rounded to the nearest, half away from zero; of floats sum (upper left, upper right, lower left, lower
///   right) and division are made in `f64`, and the mean is rounded to the type of the samples.
/// - [`Resampling::Nearest`]: the upper left cell, as it is.
/// - NoData: a cell is invalid when the mask says so, when it equals `nodata` (compared in the type of the
///   samples) or when it is NaN. Where none of the square is valid the mean is `nodata`, or else NaN for floats and 0 for
///   integers. A mean of valid cells which happens to equal `nodata` is moved to the next greater value
///   (the next smaller if `nodata` is the greatest), because it is valid. Opposite infinities have no mean: NaN.
/// - The mask of a mean is valid where any cell of its square is.
///
/// A band with too few samples, which no room makes, is read as if the missing ones were invalid.
#[must_use]
pub fn halve(block: &Block, resampling: Resampling) -> Block {
    let shape = Shape::of(block);
    let mask = block.mask.as_deref();
    let halved = |band: &Samples| halve_band(band, shape, resampling, (block.nodata, mask));
    Block {
        cols: block.cols.div_ceil(2),
        rows: block.rows.div_ceil(2),
        bands: block.bands.iter().map(halved).collect(),
        nodata: block.nodata,
        mask: mask.map(|mask| match resampling {
            Resampling::Average => squares(mask, shape)
                .map(|square| square.into_iter().flatten().any(|valid| valid))
                .collect(),
            Resampling::Nearest => upper_left(mask, shape, false),
        }),
    }
}

/// As [`halve`] by means, where the band `alpha` (from 0) is an opacity: cells without any do not count in the means of the
/// other bands, so that colours nobody sees do not run into those beside them. The opacity itself is the mean of all cells.
#[must_use]
pub fn halve_under_alpha(block: &Block, alpha: usize) -> Block {
    let shape = Shape::of(block);
    let opaque: Option<Vec<bool>> = block
        .bands
        .get(alpha)
        .map(|band| crate::for_samples!(band, v => v.iter().map(is_opaque).collect()));
    let halved = |(number, band): (usize, &Samples)| {
        let mask = opaque.as_deref().filter(|_| number != alpha);
        halve_band(band, shape, Resampling::Average, (block.nodata, mask))
    };
    Block {
        cols: block.cols.div_ceil(2),
        rows: block.rows.div_ceil(2),
        bands: block.bands.iter().enumerate().map(halved).collect(),
        nodata: block.nodata,
        mask: None,
    }
}

fn is_opaque<T: Default + PartialEq>(opacity: &T) -> bool {
    *opacity != T::default()
}

fn halve_band(
    band: &Samples,
    shape: Shape,
    resampling: Resampling,
    (nodata, mask): (Option<f64>, Option<&[bool]>),
) -> Samples {
    macro_rules! each {
        ($($variant:ident)*) => {
            match band {
                $(Samples::$variant(samples) => Samples::$variant(match resampling {
                    Resampling::Average => averages(samples, shape, Mean::value(nodata), mask),
                    Resampling::Nearest => upper_left(samples, shape, Mean::MISSING),
                }),)*
            }
        };
    }
    each!(UInt8 Int8 UInt16 Int16 UInt32 Int32 UInt64 Int64 Float32 Float64)
}

/// Columns and rows of what is halved.
#[derive(Clone, Copy)]
struct Shape {
    cols: usize,
    rows: usize,
}

impl Shape {
    const fn of(block: &Block) -> Self {
        Self {
            cols: block.cols as usize,
            rows: block.rows as usize,
        }
    }
}

/// What a mean needs of a sample type.
trait Mean: Copy + PartialEq {
    /// Stands for a cell without value where there is no `nodata`.
    const MISSING: Self;
    /// Returns `nodata` in this type, or `None` when no sample can equal it.
    fn value(nodata: Option<f64>) -> Option<Self>;
    /// Tells whether the sample is no number.
    fn is_nan(self) -> bool;
    /// Returns the mean of one to four valid samples.
    fn mean(square: &[Self]) -> Self;
    /// Returns the mean of four valid samples.
    fn mean_of_4(square: [Self; 4]) -> Self;
    /// Returns the nearest other value.
    fn neighbour(self) -> Self;
}

/// `$wide` has a sign and holds eight times any sample.
macro_rules! integer {
    ($type:ty, $wide:ty) => {
        impl Mean for $type {
            const MISSING: Self = 0;

            fn value(nodata: Option<f64>) -> Option<Self> {
                // The bounds of 64 bits are no doubles: the double next to them stands for them.
                let (low, high) = (Self::MIN as f64, Self::MAX as f64);
                nodata
                    .filter(|value| value.fract() == 0.0 && (low..=high).contains(value))
                    .map(|value| value as Self)
            }

            fn is_nan(self) -> bool {
                false
            }

            fn mean(square: &[Self]) -> Self {
                let count = square.len().max(1) as $wide;
                let sum: $wide = square.iter().map(|sample| <$wide>::from(*sample)).sum();
                // Division truncates towards zero, so half of the divisor is added away from zero.
                let half = if sum < 0 { -count } else { count };
                ((2 * sum + half) / (2 * count)) as Self
            }

            fn mean_of_4([a, b, c, d]: [Self; 4]) -> Self {
                let wide = <$wide>::from;
                let sum = wide(a) + wide(b) + wide(c) + wide(d);
                // The shift rounds down: + 2 rounds halves up, + 1 (for sums below zero) down.
                let half = 2 - <$wide>::from(sum < 0);
                ((sum + half) >> 2) as Self
            }

            fn neighbour(self) -> Self {
                self.checked_add(1).unwrap_or(Self::MAX - 1)
            }
        }
    };
}

integer!(u8, i32);
integer!(i8, i32);
integer!(u16, i32);
integer!(i16, i32);
integer!(u32, i64);
integer!(i32, i64);
integer!(u64, i128);
integer!(i64, i128);

macro_rules! float {
    ($type:ty) => {
        impl Mean for $type {
            const MISSING: Self = Self::NAN;

            fn value(nodata: Option<f64>) -> Option<Self> {
                // A finite value too great for the type equals no sample; an infinity does.
                nodata
                    .map(|value| (value, value as Self))
                    .filter(|(wide, value)| value.is_finite() == wide.is_finite())
                    .map(|(_, value)| value)
            }

            fn is_nan(self) -> bool {
                Self::is_nan(self)
            }

            fn mean(square: &[Self]) -> Self {
                let count = square.len().max(1) as f64;
                let sum: f64 = square.iter().map(|sample| f64::from(*sample)).sum();
                if sum.is_finite() {
                    return (sum / count) as Self;
                }
                // The sum of doubles may be too great where their mean is not.
                square
                    .iter()
                    .map(|sample| f64::from(*sample) / count)
                    .sum::<f64>() as Self
            }

            fn mean_of_4(square: [Self; 4]) -> Self {
                let [a, b, c, d] = square.map(f64::from);
                let sum = a + b + c + d;
                if sum.is_finite() {
                    (sum * 0.25) as Self
                } else {
                    Self::mean(&square)
                }
            }

            fn neighbour(self) -> Self {
                if self == Self::MAX || self == Self::INFINITY {
                    self.next_down()
                } else {
                    self.next_up()
                }
            }
        }
    };
}

float!(f32);
float!(f64);

/// Lists the squares of a grid, row by row: upper left, upper right, lower left, lower right; `None` beyond
/// the edges.
fn squares<T: Copy>(cells: &[T], shape: Shape) -> impl Iterator<Item = [Option<T>; 4]> {
    row_pairs(cells, shape).flat_map(move |(upper, lower)| {
        (0..shape.cols.div_ceil(2)).map(move |at| {
            let pick = |row: &[T], right: usize| row.get(2 * at + right).copied();
            [
                pick(upper, 0),
                pick(upper, 1),
                pick(lower, 0),
                pick(lower, 1),
            ]
        })
    })
}

/// Lists the rows of a grid by twos; the second of an odd last row is empty.
fn row_pairs<T>(cells: &[T], shape: Shape) -> impl Iterator<Item = (&[T], &[T])> {
    let row = move |at: usize| {
        let row = cells.get(at * shape.cols..).unwrap_or_default();
        let missing = at >= shape.rows;
        row.get(..if missing { 0 } else { shape.cols })
            .unwrap_or(row)
    };
    (0..shape.rows.div_ceil(2)).map(move |at| (row(2 * at), row(2 * at + 1)))
}

fn upper_left<T: Copy>(cells: &[T], shape: Shape, missing: T) -> Vec<T> {
    let mut out = Vec::with_capacity(shape.cols.div_ceil(2) * shape.rows.div_ceil(2));
    for (at, (upper, _)) in row_pairs(cells, shape).enumerate() {
        out.extend(upper.iter().step_by(2));
        out.resize((at + 1) * shape.cols.div_ceil(2), missing);
    }
    out
}

fn averages<T: Mean>(
    cells: &[T],
    shape: Shape,
    nodata: Option<T>,
    mask: Option<&[bool]>,
) -> Vec<T> {
    let half_cols = shape.cols.div_ceil(2);
    let mut out = Vec::with_capacity(half_cols * shape.rows.div_ceil(2));
    let is_valid = |sample: &T| !(sample.is_nan() | (Some(*sample) == nodata));
    let moved = |mean: T| {
        if Some(mean) == nodata {
            mean.neighbour()
        } else {
            mean
        }
    };
    let missing = nodata.unwrap_or(T::MISSING);
    for (at, (upper, lower)) in row_pairs(cells, shape).enumerate() {
        // `fold` and not `all`: without an early end it vectorises.
        let whole = |row: &[T]| row.iter().fold(true, |all, sample| all & is_valid(sample));
        if mask.is_none() && lower.len() == upper.len() && whole(upper) && whole(lower) {
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            out.extend(pairs.map(|(upper, lower)| match (upper, lower) {
                ([a, b], [c, d]) => moved(T::mean_of_4([*a, *b, *c, *d])),
                _ => missing,
            }));
        }
        // The last column of an odd width, or all of a row pair with invalid cells.
        for col in out.len() - at * half_cols..half_cols {
            let place = |row: &[T], first: usize, right: usize| {
                let at = 2 * col + right;
                let seen = mask.is_none_or(|mask| {
                    at < shape.cols && mask.get(first * shape.cols + at).copied().unwrap_or(false)
                });
                row.get(at)
                    .copied()
                    .filter(|sample| seen && is_valid(sample))
            };
            let mut valid = [T::MISSING; 4];
            let mut count = 0;
            for sample in [
                place(upper, 2 * at, 0),
                place(upper, 2 * at, 1),
                place(lower, 2 * at + 1, 0),
                place(lower, 2 * at + 1, 1),
            ]
            .into_iter()
            .flatten()
            {
                if let Some(place) = valid.get_mut(count) {
                    *place = sample;
                    count += 1;
                }
            }
            let valid = valid.get(..count).unwrap_or_default();
            out.push(if valid.is_empty() {
                missing
            } else {
                moved(T::mean(valid))
            });
        }
    }
    out
}

#[cfg(test)]
mod tests;
