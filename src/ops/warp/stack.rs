//! The values of one scene after the other, and what becomes of them.

use super::median::{Order, medians};
use crate::for_samples;
use crate::grid::{Block, DataType, Samples};
use crate::spec::Combine;

/// Takes rows of values, scene after scene, and ends as a block.
#[derive(Debug)]
pub struct Stack {
    cols: usize,
    rows: usize,
    combine: Combine,
    dtype: DataType,
    nodata: Option<f64>,
    nudge: bool,
    bands: Vec<Cells>,
}

#[derive(Debug)]
enum Cells {
    /// One value for each cell, and whether it has one.
    One(Samples, Vec<bool>),
    /// Sums and counts.
    Sums(Vec<f64>, Vec<u32>),
    /// Every scene's values, singles where the output is no finer.
    Singles(Planes<f32>),
    /// The same in doubles.
    Doubles(Planes<f64>),
}

/// The values of every scene, one plane of the block after the other; infinite in cells without one.
#[derive(Debug)]
struct Planes<T> {
    values: Vec<T>,
    /// How many values each cell has.
    counts: Vec<u32>,
    /// How many scenes each row has: a row of the n-th is in the n-th plane.
    scenes: Vec<usize>,
}

/// Describes a [`Stack`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StackShape {
    /// Columns and rows.
    pub size: (u32, u32),
    /// Bands.
    pub bands: u16,
    /// What becomes of the values.
    pub combine: Combine,
    /// The type of the block's samples.
    pub dtype: DataType,
    /// The value of cells without one; without it they are NaN, or 0 in integers.
    pub nodata: Option<f64>,
    /// Whether a value that happens to be the no-data value is moved to its neighbour.
    pub nudge: bool,
    /// The most scenes that are pushed.
    pub scenes: u32,
}

impl StackShape {
    /// Returns the bytes that a stack of this shape takes for each cell, its block included.
    #[must_use]
    pub fn cell_bytes(&self) -> u64 {
        let held = match self.combine {
            Combine::Mean => 12,
            Combine::Median => 4 + u64::from(self.scenes) * if narrow(self.dtype) { 4 } else { 8 },
            _ => 1,
        };
        u64::from(self.bands) * (held + self.dtype.bytes() as u64)
    }
}

/// Tells whether a single holds every value of a type.
fn narrow(dtype: DataType) -> bool {
    dtype == DataType::Float32 || dtype.bytes() <= 2
}

impl Stack {
    /// Makes an empty stack.
    #[must_use]
    pub fn new(shape: &StackShape) -> Self {
        let (cols, rows) = (shape.size.0 as usize, shape.size.1 as usize);
        let cells = cols.saturating_mul(rows);
        let scenes = shape.scenes as usize;
        let band = || match shape.combine {
            Combine::Mean => Cells::Sums(vec![0.0; cells], vec![0; cells]),
            Combine::Median if narrow(shape.dtype) => {
                Cells::Singles(Planes::new(scenes, cells, rows))
            }
            Combine::Median => Cells::Doubles(Planes::new(scenes, cells, rows)),
            _ => Cells::One(Samples::zeros(shape.dtype, cells), vec![false; cells]),
        };
        Self {
            cols,
            rows,
            combine: shape.combine,
            dtype: shape.dtype,
            nodata: shape.nodata,
            nudge: shape.nudge,
            bands: (0..shape.bands).map(|_| band()).collect(),
        }
    }

    /// Takes the values of one scene in one row of one band; those that are not valid do not count.
    pub fn push(&mut self, band: usize, row: usize, values: &[f64], valid: &[bool]) {
        let (start, end) = (row * self.cols, (row + 1) * self.cols);
        let Some(cells) = self.bands.get_mut(band) else {
            debug_assert!(false, "a band that the stack has not");
            return;
        };
        match cells {
            Cells::One(samples, has) => {
                let Some(has) = has.get_mut(start..end) else {
                    return;
                };
                let combine = self.combine;
                for_samples!(samples, v => {
                    let Some(v) = v.get_mut(start..end) else { return };
                    choose(combine, v, has, values, valid);
                });
            }
            Cells::Sums(sums, counts) => {
                let (Some(sums), Some(counts)) =
                    (sums.get_mut(start..end), counts.get_mut(start..end))
                else {
                    return;
                };
                for ((sum, count), (value, valid)) in
                    sums.iter_mut().zip(counts).zip(values.iter().zip(valid))
                {
                    if *valid {
                        *sum += value;
                        *count += 1;
                    }
                }
            }
            // The output is no finer than a single.
            Cells::Singles(planes) => planes.push(row, start..end, values, valid, |v| v as f32),
            Cells::Doubles(planes) => planes.push(row, start..end, values, valid, |v| v),
        }
    }

    /// Tells whether no further scene can change anything: every cell has its first value.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.combine, Combine::First | Combine::Last)
            && self.bands.iter().all(|band| match band {
                Cells::One(_, has) => has.iter().all(|has| *has),
                _ => false,
            })
    }

    /// Makes the block.
    #[must_use]
    pub fn finish(self) -> Block {
        let fill = self
            .nodata
            .unwrap_or_else(|| if self.dtype.is_float() { f64::NAN } else { 0.0 });
        // A value that was computed may happen to be the one that means "none".
        let avoid = self.nodata.filter(|_| self.nudge);
        let dtype = self.dtype;
        let bands = self
            .bands
            .into_iter()
            .map(|band| {
                let (mut samples, has) = match band {
                    Cells::One(samples, has) => (samples, has),
                    Cells::Sums(sums, counts) => means(dtype, &sums, &counts),
                    Cells::Singles(planes) => planes.medians(dtype, self.cols),
                    Cells::Doubles(planes) => planes.medians(dtype, self.cols),
                };
                for_samples!(&mut samples, v => seal(v, &has, fill, avoid));
                samples
            })
            .collect();
        Block {
            cols: u32::try_from(self.cols).unwrap_or(u32::MAX),
            rows: u32::try_from(self.rows).unwrap_or(u32::MAX),
            bands,
            nodata: self.nodata,
            mask: None,
        }
    }
}

impl<T: Order> Planes<T> {
    fn new(scenes: usize, cells: usize, rows: usize) -> Self {
        Self {
            values: vec![T::LAST; cells.saturating_mul(scenes)],
            counts: vec![0; cells],
            scenes: vec![0; rows],
        }
    }

    fn push(
        &mut self,
        row: usize,
        cells: std::ops::Range<usize>,
        values: &[f64],
        valid: &[bool],
        narrow: impl Fn(f64) -> T,
    ) {
        let all = self.counts.len();
        let (Some(scene), Some(counts)) =
            (self.scenes.get_mut(row), self.counts.get_mut(cells.clone()))
        else {
            return;
        };
        let plane = *scene * all;
        let Some(plane) = self.values.get_mut(plane + cells.start..plane + cells.end) else {
            debug_assert!(false, "more scenes than the stack was made for");
            return;
        };
        *scene += 1;
        let cells = plane.iter_mut().zip(counts);
        for ((cell, count), (value, valid)) in cells.zip(values.iter().zip(valid)) {
            // Zeros without sign: which of two that are equal comes first must not show.
            *cell = if *valid {
                narrow(*value + 0.0)
            } else {
                T::LAST
            };
            *count += u32::from(*valid);
        }
    }

    fn medians(self, dtype: DataType, cols: usize) -> (Samples, Vec<bool>) {
        let mut samples = Samples::zeros(dtype, self.counts.len());
        for_samples!(&mut samples, v => {
            let rows = v.chunks_mut(cols.max(1)).zip(self.counts.chunks(cols.max(1)));
            for ((row, (cells, counts)), scenes) in rows.enumerate().zip(&self.scenes) {
                let planes: Vec<&[T]> = self
                    .values
                    .chunks(self.counts.len().max(1))
                    .take(*scenes)
                    .filter_map(|plane| plane.get(row * cols..(row + 1) * cols))
                    .collect();
                medians(&planes, counts, |col, median| {
                    if let Some(cell) = cells.get_mut(col) {
                        *cell = Stored::nearest(median);
                    }
                });
            }
        });
        let has = self.counts.iter().map(|count| *count > 0).collect();
        (samples, has)
    }
}

/// Scenes come in the order in which they win: `last` is pushed from its end.
fn choose<T: Stored>(
    combine: Combine,
    cells: &mut [T],
    has: &mut [bool],
    values: &[f64],
    valid: &[bool],
) {
    // A whole row of first values needs no look at each: several are rounded at once.
    let all = valid.iter().fold(true, |all, valid| all & *valid);
    let none = !has.iter().fold(false, |any, has| any | *has);
    if all && none {
        for (cell, value) in cells.iter_mut().zip(values) {
            *cell = T::nearest(*value);
        }
        return has.fill(true);
    }
    let new = values.iter().zip(valid);
    let cells = cells.iter_mut().zip(has);
    match combine {
        Combine::Min => each(cells, new, |old, new| new < old),
        Combine::Max => each(cells, new, |old, new| new > old),
        _ => each(cells, new, |_, _| false),
    }
}

#[inline(always)]
fn each<'c, T: Stored + 'c>(
    cells: impl Iterator<Item = (&'c mut T, &'c mut bool)>,
    new: impl Iterator<Item = (&'c f64, &'c bool)>,
    better: impl Fn(f64, f64) -> bool,
) {
    for ((cell, has), (value, valid)) in cells.zip(new) {
        if !*valid {
            continue;
        }
        let value = T::nearest(*value);
        if !*has || better(cell.double(), value.double()) {
            *cell = value;
            *has = true;
        }
    }
}

fn means(dtype: DataType, sums: &[f64], counts: &[u32]) -> (Samples, Vec<bool>) {
    let mut samples = Samples::zeros(dtype, sums.len());
    for_samples!(&mut samples, v => {
        for (cell, (sum, count)) in v.iter_mut().zip(sums.iter().zip(counts)) {
            if *count > 0 {
                *cell = Stored::nearest(sum / f64::from(*count));
            }
        }
    });
    (samples, counts.iter().map(|count| *count > 0).collect())
}

/// Gives cells without a value that which means so, and takes it from those with one.
fn seal<T: Stored>(cells: &mut [T], has: &[bool], fill: f64, avoid: Option<f64>) {
    let fill = T::nearest(fill);
    let avoid = avoid.filter(|value| !value.is_nan()).map(T::nearest);
    for (cell, has) in cells.iter_mut().zip(has) {
        if !*has {
            *cell = fill;
        } else if Some(*cell) == avoid {
            *cell = cell.neighbour();
        }
    }
}

/// A type that values are rounded to.
trait Stored: Copy + PartialEq {
    /// The nearest value of the type, halves upwards; beyond its range the end of it.
    fn nearest(value: f64) -> Self;
    fn double(self) -> f64;
    /// The value next to it: below, or above the least.
    fn neighbour(self) -> Self;
}

macro_rules! stored_integer {
    ($($type:ty),*) => {
        $(impl Stored for $type {
            #[inline(always)]
            fn nearest(value: f64) -> Self {
                // A cast cuts towards zero and saturates.
                let up = value + 0.5;
                let cut = up as Self;
                if Self::MIN != 0 && (cut as f64) > up { cut - 1 } else { cut }
            }

            #[inline(always)]
            fn double(self) -> f64 {
                self as f64
            }

            fn neighbour(self) -> Self {
                if self == Self::MIN { self + 1 } else { self - 1 }
            }
        })*
    };
}

stored_integer!(u8, i8, u16, i16, u32, i32, u64, i64);

macro_rules! stored_float {
    ($($type:ty),*) => {
        $(impl Stored for $type {
            #[inline(always)]
            fn nearest(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn double(self) -> f64 {
                f64::from(self)
            }

            fn neighbour(self) -> Self {
                if self == Self::MIN { self.next_up() } else { self.next_down() }
            }
        })*
    };
}

stored_float!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(combine: Combine, dtype: DataType, scenes: &[[Option<f64>; 4]]) -> Samples {
        let mut stack = Stack::new(&StackShape {
            size: (4, 1),
            bands: 1,
            combine,
            dtype,
            nodata: Some(0.0),
            nudge: true,
            scenes: scenes.len() as u32,
        });
        for scene in scenes {
            let values = scene.map(|v| v.unwrap_or(77.0));
            stack.push(0, 0, &values, &scene.map(|v| v.is_some()));
        }
        stack.finish().bands.remove(0)
    }

    #[test]
    fn values_of_scenes_are_combined_as_by_hand() {
        let scenes = [
            [Some(4.0), None, Some(-3.0), None],
            [Some(1.0), Some(2.0), Some(5.0), None],
            [Some(9.0), Some(3.0), Some(-2.0), None],
        ];
        let check = |combine, expected: [f64; 4]| {
            let found = stack(combine, DataType::Float64, &scenes);
            assert_eq!(found, Samples::Float64(expected.to_vec()), "{combine:?}");
        };
        check(Combine::First, [4.0, 2.0, -3.0, 0.0]);
        check(Combine::Min, [1.0, 2.0, -3.0, 0.0]);
        check(Combine::Max, [9.0, 3.0, 5.0, 0.0]);
        check(Combine::Median, [4.0, 2.5, -2.0, 0.0]);
        // A mean of 0 is moved off the no-data value, to the double just below it.
        let next = 0f64.next_down();
        check(Combine::Mean, [14.0 / 3.0, 2.5, next, 0.0]);
    }

    #[test]
    fn rounding_is_half_up_and_stays_in_range() {
        let values = [[Some(2.5), Some(-2.5), Some(-2.6), Some(1e9)]];
        let found = stack(Combine::First, DataType::Int16, &values);
        assert_eq!(found, Samples::Int16(vec![3, -2, -3, i16::MAX]));
        let values = [[Some(0.2), Some(-7.0), Some(254.5), Some(300.0)]];
        // 0 means no data: what rounds to it becomes 1.
        let found = stack(Combine::First, DataType::UInt8, &values);
        assert_eq!(found, Samples::UInt8(vec![1, 1, 255, 255]));
    }
}
