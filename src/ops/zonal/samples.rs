//! Samples of every type as the statistics see them.

/// A sample of a raster.
pub(super) trait Sample: Copy + PartialEq + PartialOrd {
    /// Whether it is a whole number of at most 32 bits: its sums are plain whole numbers.
    const SMALL_WHOLE: bool;
    /// Returns it as a double; whole numbers beyond 2⁵³ are rounded.
    fn double(self) -> f64;
    /// Returns a whole number of at most 32 bits; 0 for others.
    fn whole(self) -> i64;
    /// Returns the sample that a value is, where the type has it.
    fn of(value: f64) -> Option<Self>;
    /// Tells whether it is not a number.
    fn is_nan(self) -> bool;
}

macro_rules! whole {
    ($small:literal, $($t:ty),*) => {$(
        impl Sample for $t {
            const SMALL_WHOLE: bool = $small;
            fn double(self) -> f64 {
                self as f64
            }
            fn whole(self) -> i64 {
                if $small { self as i64 } else { 0 }
            }
            fn of(value: f64) -> Option<Self> {
                // `as` saturates: what comes back the same was there.
                let sample = value as Self;
                (sample as f64 == value).then_some(sample)
            }
            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}

macro_rules! real {
    ($($t:ty),*) => {$(
        impl Sample for $t {
            const SMALL_WHOLE: bool = false;
            fn double(self) -> f64 {
                f64::from(self)
            }
            fn whole(self) -> i64 {
                0
            }
            fn of(value: f64) -> Option<Self> {
                Some(value as Self)
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
    )*};
}

whole!(true, u8, i8, u16, i16, u32, i32);
whole!(false, u64, i64);
real!(f32, f64);
