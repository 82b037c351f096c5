//! The handle of a program's jobs, under the names that users of `oxigdal-distributed` know.

use std::sync::Arc;

use futures::stream::BoxStream;
use serde::de::DeserializeOwned;

use super::{Client, Error, JobProgress, SubmitOptions};
use crate::broker::{Broker, NatsBroker, NatsConfig};
use crate::ids::JobId;
use crate::spec::JobSpec;

/// Where a [`Coordinator`] finds its cluster.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// How to reach NATS.
    pub nats: NatsConfig,
}

impl CoordinatorConfig {
    /// Names the NATS server, such as `nats://localhost:4222`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            nats: NatsConfig::for_url(url),
        }
    }
}

/// A handle of one job of a cluster: submits it, tells its progress, collects its results.
///
/// The work of coordinating is done by whichever worker holds the job; this handle may go away at any time.
#[derive(Debug, Clone)]
pub struct Coordinator {
    client: Client,
    job: JobId,
}

impl Coordinator {
    /// Connects to a cluster and submits a job.
    ///
    /// # Errors
    /// When NATS is not reachable or refuses the job.
    pub async fn submit(config: CoordinatorConfig, spec: &JobSpec) -> Result<Self, Error> {
        let broker: Arc<dyn Broker> = NatsBroker::connect(config.nats).await?;
        Self::submit_on(Client::new(broker), spec).await
    }

    /// Submits a job through a client, of any broker.
    ///
    /// # Errors
    /// When the broker refuses the job.
    pub async fn submit_on(client: Client, spec: &JobSpec) -> Result<Self, Error> {
        let job = client.submit(spec, SubmitOptions::default()).await?;
        Ok(Self { client, job })
    }

    /// Makes the handle of a job that was submitted before.
    #[must_use]
    pub fn attach(client: Client, job: JobId) -> Self {
        Self { client, job }
    }

    /// Returns the job.
    #[must_use]
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// Returns where the job stands.
    ///
    /// # Errors
    /// When the broker fails, or the job was forgotten.
    pub async fn progress(&self) -> Result<JobProgress, Error> {
        self.client.status(&self.job).await
    }

    /// Follows the job until it ends.
    ///
    /// # Errors
    /// When the broker fails, or the job was forgotten.
    pub async fn watch(&self) -> Result<BoxStream<'static, Result<JobProgress, Error>>, Error> {
        self.client.watch(&self.job).await
    }

    /// Tells whether the job has ended.
    ///
    /// # Errors
    /// When the broker fails, or the job was forgotten.
    pub async fn is_complete(&self) -> Result<bool, Error> {
        Ok(self.progress().await?.is_complete())
    }

    /// Waits until the job has ended.
    ///
    /// # Errors
    /// When the broker fails, or the job was forgotten.
    pub async fn wait(&self) -> Result<JobProgress, Error> {
        self.client.wait(&self.job).await
    }

    /// Asks to cancel the job.
    ///
    /// # Errors
    /// When the broker fails, or the job was forgotten.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.client.cancel(&self.job).await
    }

    /// Waits until the job has ended and returns what its tasks returned, by task number. Tasks that returned
    /// nothing are left out.
    ///
    /// # Errors
    /// When the job did not succeed, a result is of another type, or the broker fails.
    pub async fn collect_results<T: DeserializeOwned>(&self) -> Result<Vec<(u32, T)>, Error> {
        self.wait().await?;
        let results = self.client.results(&self.job).await?;
        results
            .into_iter()
            .map(|(task, bytes)| {
                let value = serde_json::from_slice(&bytes);
                value
                    .map(|value| (task, value))
                    .map_err(|source| Error::ResultType { task, source })
            })
            .collect()
    }
}
