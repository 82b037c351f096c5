//! Finding the cluster.

use std::sync::Arc;

use swath::Client;
use swath::broker::{Broker, NatsBroker, NatsConfig};

use crate::arguments::Global;
use crate::failure::CliError;

impl Global {
    /// Returns the URL of the NATS server, where one was named.
    pub(crate) fn nats_url(&self) -> Option<String> {
        let from = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
        self.nats
            .clone()
            .or_else(|| from("SWATH_NATS"))
            .or_else(|| from("NATS_URL"))
    }

    /// Returns where the cluster is and what it is called.
    pub(crate) fn nats_config(&self) -> Result<NatsConfig, CliError> {
        let url = self.nats_url().ok_or_else(|| {
            let message = "no broker: give --nats URL, or set SWATH_NATS";
            CliError::asked("no-broker", message.to_owned())
        })?;
        Ok(NatsConfig {
            prefix: self.prefix.clone(),
            replicas: self.replicas,
            creds: self.creds.clone(),
            tls_ca: self.tls_ca.clone(),
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            ..NatsConfig::for_url(url)
        })
    }

    /// Connects to the cluster that was named.
    pub(crate) async fn connect(&self) -> Result<Client, CliError> {
        let broker: Arc<dyn Broker> = NatsBroker::connect(self.nats_config()?).await?;
        Ok(Client::new(broker))
    }
}
