//! A fence around decoders of other people: a panic on hostile bytes becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Error;

/// Runs a decoder whose state is dropped when it panics.
pub(super) fn guarded<T>(
    codec: &'static str,
    decode: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(Error::Damaged {
        codec,
        source: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damaged_data() {
        let error = guarded::<()>("JPEG", || panic!("index out of bounds")).unwrap_err();
        assert!(matches!(error, Error::Damaged { codec: "JPEG", .. }));
    }
}
