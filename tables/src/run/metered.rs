//! Files read by a task count as its memory.
//!
//! A scan of Parquet holds the columns of a row group, as stored, while it decodes them; row groups may be large, and
//! DataFusion's pool does not know of them. Here what a store hands out is charged to the pool until it is dropped, so
//! that the operators have less in the meantime, and spill earlier.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

/// Smaller pieces are not counted.
const COUNTED_BYTES_MIN: usize = 64 << 10;

/// Opens the stores of another registry, and charges what they read to a pool.
#[derive(Debug)]
pub(super) struct MeteredStores {
    pub(super) stores: Arc<dyn ObjectStoreRegistry>,
    pub(super) pool: Arc<dyn MemoryPool>,
}

impl ObjectStoreRegistry for MeteredStores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        self.stores.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> std::result::Result<Arc<dyn ObjectStore>, DataFusionError> {
        Ok(Arc::new(Metered {
            store: self.stores.get_store(url)?,
            pool: Arc::clone(&self.pool),
        }))
    }
}

#[derive(Debug)]
struct Metered {
    store: Arc<dyn ObjectStore>,
    pool: Arc<dyn MemoryPool>,
}

/// Bytes, and what they are charged.
struct Charged {
    bytes: Bytes,
    _charge: MemoryReservation,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Metered {
    /// What is read is there already: it is charged whether it fits or not.
    fn charged(&self, bytes: Bytes) -> Bytes {
        if bytes.len() < COUNTED_BYTES_MIN {
            return bytes;
        }
        let charge = MemoryConsumer::new("bytes of files").register(&self.pool);
        charge.grow(bytes.len());
        Bytes::from_owner(Charged {
            bytes,
            _charge: charge,
        })
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Metered {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = self.store.get_ranges(location, ranges).await?;
        Ok(read.into_iter().map(|bytes| self.charged(bytes)).collect())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
