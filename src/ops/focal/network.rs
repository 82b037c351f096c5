//! The median of 9 or 25 cells by comparisons that are the same for all cells, so that a loop over them is vectorised.
//!
//! The columns are sorted first, each once for all windows that it is in. What is left of a sorting network by rows and
//! diagonals after that was found by `scripts/median_network.py`, which takes away every comparison that no column-sorted
//! window of zeros and ones needs; by the zero-one principle it then is right for any values. A test tries them all.

use super::panel::Real;

/// Puts the smaller of two cells first.
macro_rules! sort {
    ($p:ident, $($a:literal $b:literal),* $(,)?) => {
        $({
            let (a, b) = ($p[$a], $p[$b]);
            $p[$a] = if b < a { b } else { a };
            $p[$b] = if b < a { a } else { b };
        })*
    };
}

/// Sorts three cells.
#[inline(always)]
pub(super) fn sort3<T: Real>(mut p: [T; 3]) -> [T; 3] {
    sort!(p, 0 2, 0 1, 1 2);
    p
}

/// Sorts five cells.
#[inline(always)]
pub(super) fn sort5<T: Real>(mut p: [T; 5]) -> [T; 5] {
    sort!(p, 0 3, 1 4, 0 2, 1 3, 0 1, 2 4, 1 2, 3 4, 2 3);
    p
}

/// Returns the median of three rows of three, of which each column is sorted.
#[inline(always)]
pub(super) fn median9<T: Real>(mut p: [T; 9]) -> T {
    sort!(p, 0 2, 1 2, 3 5, 3 4, 4 5, 6 8, 6 7, 2 4, 2 6, 4 6);
    p[4]
}

/// Returns the median of five rows of five, of which each column is sorted.
#[inline(always)]
pub(super) fn median25<T: Real>(mut p: [T; 25]) -> T {
    sort!(
        p,
        0 3, 1 4, 0 2, 1 3, 2 4, 3 4, 2 3,
        5 8, 6 9, 5 7, 6 8, 5 6, 7 9, 6 7, 7 8,
        10 13, 11 14, 10 12, 11 13, 10 11, 12 14, 11 12, 13 14, 12 13,
        15 18, 16 19, 15 17, 16 18, 15 16, 17 19, 16 17, 17 18,
        20 23, 21 24, 20 22, 21 23, 20 21, 22 24, 21 22,
        3 7, 11 15, 4 8, 12 16, 20 9, 13 17, 7 15, 4 12, 8 16, 20 13, 8 12, 15 8, 13 21, 15 4,
        8 12, 9 13, 4 20, 8 9, 12 20, 8 12,
    );
    p[12]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `check` with every window of sorted columns of zeros and ones, and the number of ones in it.
    fn zeros_and_ones<const N: usize>(size: usize, mut check: impl FnMut([f32; N], usize)) {
        for code in 0..(size + 1).pow(u32::try_from(size).unwrap()) {
            let zeros =
                |col: usize| code / (size + 1).pow(u32::try_from(col).unwrap()) % (size + 1);
            let cell = |n: usize| {
                if n / size >= zeros(n % size) {
                    1.0
                } else {
                    0.0
                }
            };
            let ones = (0..size).map(|col| size - zeros(col)).sum();
            check(std::array::from_fn(cell), ones);
        }
    }

    #[test]
    fn networks_find_the_median_of_every_window_of_zeros_and_ones() {
        let median = |ones: usize, cells: usize| if ones > cells / 2 { 1.0 } else { 0.0 };
        zeros_and_ones(3, |p: [f32; 9], ones| {
            assert_eq!(median9(p), median(ones, 9))
        });
        zeros_and_ones(5, |p: [f32; 25], ones| {
            assert_eq!(median25(p), median(ones, 25));
        });
        for code in 0..32u32 {
            let bit = |n: usize| if code >> n & 1 == 1 { 1.0 } else { 0.0 };
            let sorted = |cells: &[f32]| cells.is_sorted();
            assert!(sorted(&sort5(std::array::from_fn::<f32, 5, _>(bit))));
            assert!(sorted(&sort3(std::array::from_fn::<f32, 3, _>(bit))));
        }
    }
}
