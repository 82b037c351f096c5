//! The predictors of TIFF: what makes neighbouring samples compress well.
//!
//! Source: *TIFF 6.0*, section 14 (horizontal differencing); *Adobe Photoshop TIFF Technical Note 3*
//! (floating point predictor).

/// A sample type, with what the predictor that suits it makes of a row.
///
/// `row` holds whole cells of `bands` samples each; `out` has exactly its bytes.
pub trait Predict: Copy + Default + Send + Sync {
    /// Writes the row as it is, little-endian.
    fn plain(row: &[Self], out: &mut [u8]);

    /// Writes the row as its predictor wants it: predictor 2 for integers, 3 for floats.
    fn predicted(row: &[Self], bands: usize, scratch: &mut Vec<u8>, out: &mut [u8]);
}

macro_rules! plain {
    ($type:ty) => {
        fn plain(row: &[Self], out: &mut [u8]) {
            for (bytes, sample) in out.chunks_exact_mut(size_of::<$type>()).zip(row) {
                bytes.copy_from_slice(&sample.to_le_bytes());
            }
        }
    };
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Predict for $type {
            plain!($type);

            /// Each sample becomes its difference to the same band of the cell on its left, wrapping.
            fn predicted(row: &[Self], bands: usize, _: &mut Vec<u8>, out: &mut [u8]) {
                let bands = bands.min(row.len());
                let (first, rest) = row.split_at(bands);
                let (out_first, out_rest) = out.split_at_mut((bands * size_of::<$type>()).min(out.len()));
                Self::plain(first, out_first);
                let pairs = rest.iter().zip(row);
                for (bytes, (sample, left)) in out_rest.chunks_exact_mut(size_of::<$type>()).zip(pairs) {
                    bytes.copy_from_slice(&sample.wrapping_sub(*left).to_le_bytes());
                }
            }
        }
    )*};
}

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Predict for $type {
            plain!($type);

            /// The bytes of the row are put in planes, the most significant of all samples first; then
            /// each byte becomes its difference to the byte `bands` before it, wrapping.
            fn predicted(row: &[Self], bands: usize, scratch: &mut Vec<u8>, out: &mut [u8]) {
                const BYTES: usize = size_of::<$type>();
                scratch.resize(row.len() * BYTES, 0);
                for (plane, bytes) in scratch.chunks_exact_mut(row.len().max(1)).enumerate() {
                    // The plane is a shift and not an index into bytes: this is what vectorises.
                    let shift = 8 * (BYTES - 1 - plane);
                    for (byte, sample) in bytes.iter_mut().zip(row) {
                        let [low, ..] = (sample.to_bits() >> shift).to_le_bytes();
                        *byte = low;
                    }
                }
                let bands = bands.min(scratch.len());
                let (first, rest) = scratch.split_at(bands);
                let (out_first, out_rest) = out.split_at_mut(bands.min(out.len()));
                out_first.copy_from_slice(first);
                let pairs = rest.iter().zip(scratch.iter());
                for (out, (byte, left)) in out_rest.iter_mut().zip(pairs) {
                    *out = byte.wrapping_sub(*left);
                }
            }
        }
    )*};
}

integer!(u8, i8, u16, i16, u32, i32, u64, i64);
float!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Predict>(row: &[T], bands: usize, expected: &[u8]) {
        let mut out = vec![0xee; size_of_val(row)];
        T::predicted(row, bands, &mut vec![7; 3], &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn integers_become_differences_to_the_cell_on_their_left() {
        check(&[10_u8, 12, 11, 11], 1, &[10, 2, 255, 0]);
        check(&[-1_i8, 1, -128], 1, &[255, 2, 127]);
        // 300 = 0x012c, 298 - 300 = -2 = 0xfffe, 0 - 298 = 0xfed6: wrapping, little-endian.
        check(&[300_u16, 298, 0], 1, &[0x2c, 0x01, 0xfe, 0xff, 0xd6, 0xfe]);
        check(
            &[1_i64, 0],
            1,
            &[[1, 0, 0, 0, 0, 0, 0, 0], [255; 8]].concat(),
        );
    }

    #[test]
    fn bands_of_a_cell_are_not_mixed() {
        check(&[10_u8, 100, 13, 90, 13, 91], 2, &[10, 100, 3, 246, 0, 1]);
        check(&[10_u8, 100, 200], 3, &[10, 100, 200]);
        check::<u8>(&[], 2, &[]);
    }

    #[test]
    fn floats_become_differences_in_planes_of_bytes() {
        // 1.0 = 3f 80 00 00, 2.0 = 40 00 00 00; planes 3f 40 | 80 00 | 00 00 | 00 00, then differences
        // along the whole row of bytes.
        check(&[1.0_f32, 2.0], 1, &[0x3f, 0x01, 0x40, 0x80, 0, 0, 0, 0]);
        // With two bands the distance is two bytes: 3f 40 | 80-3f 00-40 | 00-80 00-00 | 0 0.
        check(&[1.0_f32, 2.0], 2, &[0x3f, 0x40, 0x41, 0xc0, 0x80, 0, 0, 0]);
        // 1.0 = 3f f0 and six zeros.
        check(&[1.0_f64], 1, &[0x3f, 0xb1, 0x10, 0, 0, 0, 0, 0]);
        check::<f32>(&[], 1, &[]);
    }
}
