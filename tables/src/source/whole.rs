//! A file, all of it, for formats that are no tables of their own.

use bytes::Bytes;
use object_store::ObjectStoreExt;

use super::locate::{fetch_failed, locate};
use super::{Error, SourceContext};

/// Reads a whole file from wherever it is.
///
/// # Errors
/// When it does not exist, or cannot be read.
pub(crate) async fn whole_file(path: &str, sources: &SourceContext) -> Result<Bytes, Error> {
    let found = locate(&[path.to_owned()], sources).await?;
    let (Some(file), None) = (found.first(), found.get(1)) else {
        return Err(Error::NoMatch {
            pattern: path.to_owned(),
        });
    };
    let url: &url::Url = file.store.as_ref();
    let store = sources.store(url).map_err(|source| Error::Register {
        source: Box::new(source),
    })?;
    let fetched = store.get(&file.meta.location).await;
    let fetched = fetched.map_err(|source| fetch_failed(&file.shown, source))?;
    let bytes = fetched.bytes().await;
    bytes.map_err(|source| fetch_failed(&file.shown, source))
}
