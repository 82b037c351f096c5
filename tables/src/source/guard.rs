//! Decoders that panic on damaged files: the panic becomes an error here.

use std::panic::AssertUnwindSafe;

use futures::{Future, FutureExt};

use super::Error;
use crate::ports::BoxError;

/// Runs a decoder; returns its error, or a panic, as that of a file.
pub(super) async fn guarded<T>(
    path: &str,
    work: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, Error> {
    // What a decoder leaves behind when it panics is dropped with it.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(classify(path, source)),
        Err(panic) => Err(Error::Damaged {
            path: path.to_owned(),
            problem: panic_text(panic.as_ref()),
        }),
    }
}

/// Tells errors of a disk or server, which may pass, from those of a file.
fn classify(path: &str, source: BoxError) -> Error {
    let path = path.to_owned();
    let source = match source.downcast::<object_store::Error>() {
        Ok(source) => return Error::Fetch { path, source },
        Err(source) => source,
    };
    use datafusion::error::DataFusionError::ObjectStore;
    match source.downcast::<datafusion::error::DataFusionError>() {
        Ok(error) => match *error {
            ObjectStore(source) => Error::Fetch { path, source },
            other => Error::Decode {
                path,
                source: Box::new(other),
            },
        },
        Err(source) => Error::Decode { path, source },
    }
}

/// Returns what a panic says.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "its decoder panics ({})",
        text.unwrap_or("it does not say why")
    )
}
