//! Rows of stored bytes to samples: byte order, interleaving and predictors, one typed loop each.

use crate::io::raster::tiff::ByteOrder;

/// A sample type that rows of bytes are turned into.
pub(super) trait Cell: Copy {
    /// Returns the type's value nearest to `value`, as a fill for what a file leaves out.
    fn nearest(value: f64) -> Self;

    /// Reads `out.len()` samples, each `step` bytes behind the one before.
    fn plain(lane: &[u8], step: usize, order: ByteOrder, out: &mut [Self]);

    /// As [`Cell::plain`], where each sample is stored as the difference to the one before; `skip` samples before the
    /// first wanted one only add up.
    fn differences(lane: &[u8], step: usize, order: ByteOrder, skip: usize, out: &mut [Self]);

    /// Reads samples whose bytes lie in planes, the most significant first: sample `i` is at `first + i × step` of each.
    fn planes(row: &[u8], first: usize, step: usize, out: &mut [Self]);
}

/// Puts each group of `N` bytes, `step` apart, through `read`.
#[inline(always)]
fn each<const N: usize, T>(
    lane: &[u8],
    step: usize,
    out: &mut [T],
    mut read: impl FnMut([u8; N]) -> T,
) {
    if step == N {
        // Samples side by side: this loop is a copy, or a byte swap of whole registers.
        let (samples, _) = lane.as_chunks::<N>();
        for (cell, bytes) in out.iter_mut().zip(samples) {
            *cell = read(*bytes);
        }
        return;
    }
    for (cell, bytes) in out.iter_mut().zip(lane.chunks(step)) {
        if let Some(bytes) = bytes.first_chunk::<N>() {
            *cell = read(*bytes);
        }
    }
}

#[inline(always)]
fn add_up<const N: usize, B: Default, T>(
    lane: &[u8],
    step: usize,
    skip: usize,
    out: &mut [T],
    read: impl Fn([u8; N]) -> B,
    add: impl Fn(&mut B, B) -> T,
) {
    let mut sum = B::default();
    for bytes in lane.chunks(step).take(skip) {
        if let Some(bytes) = bytes.first_chunk::<N>() {
            add(&mut sum, read(*bytes));
        }
    }
    let rest = lane.get(skip.saturating_mul(step)..).unwrap_or_default();
    each(rest, step, out, |bytes| add(&mut sum, read(bytes)));
}

macro_rules! cell {
    ($type:ty, $bits:ty, $n:literal) => {
        impl Cell for $type {
            fn nearest(value: f64) -> Self {
                // A cast saturates, and so is the nearest value.
                value as Self
            }

            fn plain(lane: &[u8], step: usize, order: ByteOrder, out: &mut [Self]) {
                match order {
                    ByteOrder::Little => each(lane, step, out, <$type>::from_le_bytes),
                    ByteOrder::Big => each(lane, step, out, <$type>::from_be_bytes),
                }
            }

            fn differences(
                lane: &[u8],
                step: usize,
                order: ByteOrder,
                skip: usize,
                out: &mut [Self],
            ) {
                let add = |sum: &mut $bits, next: $bits| {
                    *sum = sum.wrapping_add(next);
                    <$type>::from_ne_bytes(sum.to_ne_bytes())
                };
                match order {
                    ByteOrder::Little => {
                        add_up::<$n, $bits, _>(lane, step, skip, out, <$bits>::from_le_bytes, add)
                    }
                    ByteOrder::Big => {
                        add_up::<$n, $bits, _>(lane, step, skip, out, <$bits>::from_be_bytes, add)
                    }
                }
            }

            fn planes(row: &[u8], first: usize, step: usize, out: &mut [Self]) {
                let plane = row.len() / $n;
                let planes: [&[u8]; $n] = std::array::from_fn(|k| {
                    row.get(k * plane + first..(k + 1) * plane)
                        .unwrap_or_default()
                });
                for (i, cell) in out.iter_mut().enumerate() {
                    let bytes = planes.map(|plane| plane.get(i * step).copied().unwrap_or(0));
                    *cell = <$type>::from_be_bytes(bytes);
                }
            }
        }
    };
}

cell!(u8, u8, 1);
cell!(i8, u8, 1);
cell!(u16, u16, 2);
cell!(i16, u16, 2);
cell!(u32, u32, 4);
cell!(i32, u32, 4);
cell!(u64, u64, 8);
cell!(i64, u64, 8);
cell!(f32, u32, 4);
cell!(f64, u64, 8);

/// Undoes the byte differences of a row under the float predictor, `step` bytes apart, in place.
pub(super) fn add_up_bytes(row: &mut [u8], step: usize) {
    if step == 1 {
        let mut sum = 0u8;
        for byte in row {
            sum = sum.wrapping_add(*byte);
            *byte = sum;
        }
        return;
    }
    let mut before = row.chunks_mut(step.max(1));
    let Some(mut left) = before.next() else {
        return;
    };
    for right in before {
        for (byte, before) in right.iter_mut().zip(left.iter()) {
            *byte = byte.wrapping_add(*before);
        }
        left = right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_in_either_order_and_apart() {
        let mut out = [0u16; 2];
        u16::plain(&[1, 2, 3, 4, 5, 6], 2, ByteOrder::Little, &mut out);
        assert_eq!(out, [0x0201, 0x0403]);
        u16::plain(&[1, 2, 3, 4, 5, 6], 4, ByteOrder::Big, &mut out);
        assert_eq!(out, [0x0102, 0x0506]);
    }

    #[test]
    fn differences_add_up_past_the_skipped_and_wrap() {
        let mut out = [0i16; 2];
        // 10, then -20, then +32767: by hand 10, -10, 32757.
        let row: Vec<u8> = [10i16, -20, 32767]
            .iter()
            .flat_map(|v| v.to_be_bytes())
            .collect();
        i16::differences(&row, 2, ByteOrder::Big, 1, &mut out);
        assert_eq!(out, [-10, 32757]);
    }

    #[test]
    fn planes_of_floats_are_put_together() {
        // 1.0 is 3F80_0000 and -2.5 is C020_0000 (IEEE 754).
        let row = [0x3F, 0xC0, 0x80, 0x20, 0, 0, 0, 0];
        let mut out = [0f32; 2];
        f32::planes(&row, 0, 1, &mut out);
        assert_eq!(out, [1.0, -2.5]);
        let mut second = [0f32; 1];
        f32::planes(&row, 1, 2, &mut second);
        assert_eq!(second, [-2.5]);
    }

    #[test]
    fn byte_differences_add_up_at_their_distance() {
        let mut row = [1, 2, 3, 4, 250, 10];
        add_up_bytes(&mut row, 2);
        assert_eq!(row, [1, 2, 4, 6, 254, 16]);
        let mut row = [1, 2, 253, 1];
        add_up_bytes(&mut row, 1);
        assert_eq!(row, [1, 3, 0, 1]);
    }
}
