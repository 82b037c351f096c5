//! What reading files needs: the stores behind their URLs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use super::net::Net;
use super::remote::{Place, Remote};
use super::s3::Bucket;

/// Opens files wherever they are: local ones, `http(s)://`, `s3://`. Cloning shares connections.
///
/// It is a registry of object stores that makes each store when its URL is first seen, so that a worker needs no list
/// of them: build the `RuntimeEnv` of a task with [`SourceContext::registry`].
#[derive(Debug, Clone, Default)]
pub struct SourceContext {
    stores: Arc<Stores>,
}

#[derive(Debug, Default)]
struct Stores {
    net: Arc<Net>,
    /// In place of the environment.
    settings: Option<HashMap<String, String>>,
    made: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl SourceContext {
    /// Makes a context whose requests run where they are awaited.
    ///
    /// Its connections do not outlive the runtime that made them: for tasks with runtimes of their own use
    /// [`SourceContext::on`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a context whose requests run on a runtime that outlives all tasks.
    ///
    /// For `https://`, the process has a rustls provider installed.
    #[must_use]
    pub fn on(runtime: tokio::runtime::Handle) -> Self {
        let stores = Stores {
            net: Arc::new(Net::on(runtime)),
            ..Stores::default()
        };
        Self {
            stores: Arc::new(stores),
        }
    }

    /// Makes a context that takes `AWS_…` settings from here, and none from the environment.
    pub fn with_settings<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let stores = Stores {
            settings: Some(settings.into_iter().map(own).collect()),
            ..Stores::default()
        };
        Self {
            stores: Arc::new(stores),
        }
    }

    /// Returns the registry to build a `RuntimeEnv` with.
    #[must_use]
    pub fn registry(&self) -> Arc<dyn ObjectStoreRegistry> {
        Arc::clone(&self.stores) as Arc<dyn ObjectStoreRegistry>
    }

    pub(super) fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, DataFusionError> {
        self.stores.get_store(url)
    }
}

/// Returns what tells one store from another: scheme, host and port.
fn key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_owned()
}

impl ObjectStoreRegistry for Stores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(key(url), store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, DataFusionError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = made.get(&key(url)) {
            return Ok(Arc::clone(store));
        }
        let remote = |place| Remote {
            place,
            net: Arc::clone(&self.net),
        };
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "file" => Arc::new(LocalFileSystem::new()),
            "http" | "https" => Arc::new(remote(Place::Http(url.clone()))),
            "s3" => {
                let setting = |key: &str| match &self.settings {
                    Some(settings) => settings.get(key).cloned(),
                    None => std::env::var(key).ok(),
                };
                let name = url.host_str().unwrap_or_default();
                let bucket = Bucket::new(name, |key| setting(key).filter(|v| !v.is_empty()));
                let bucket = bucket.map_err(DataFusionError::External)?;
                Arc::new(remote(Place::S3(Arc::new(bucket))))
            }
            scheme => {
                let text = format!("{scheme}:// cannot be read");
                return Err(DataFusionError::Execution(text));
            }
        };
        made.insert(key(url), Arc::clone(&store));
        Ok(store)
    }
}
