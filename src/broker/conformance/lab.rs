//! A fresh broker for each case.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{
    Broker, Delivery, EmbeddedBroker, EmbeddedConfig, Error, Lane, Message, NatsBroker, NatsConfig,
    Queue,
};
use crate::ids::{JobId, QueueName};
use crate::spec::Priority;
use crate::testing::nats_server::NatsServer;

/// The lease of both queues in a case.
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// Longer than anything should take.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// Opens clients of one broker.
pub(super) enum Lab {
    Embedded(Arc<EmbeddedBroker>),
    Nats(NatsServer),
}

impl Lab {
    pub(super) fn embedded() -> Self {
        Self::Embedded(EmbeddedBroker::new(embedded_config()))
    }

    pub(super) fn nats() -> Self {
        Self::Nats(NatsServer::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Returns a client of the broker, a new one where that makes a difference.
    pub(super) async fn client(&self) -> Arc<dyn Broker> {
        match self {
            Self::Embedded(broker) => broker.clone(),
            Self::Nats(server) => NatsBroker::connect(nats_config(server)).await.unwrap(),
        }
    }

    /// Returns a client of a broker whose queues hold at most `max` messages.
    pub(super) async fn client_of_small_queues(&self, max: u64) -> Arc<dyn Broker> {
        let queue_messages_max = Some(max);
        match self {
            Self::Embedded(_) => EmbeddedBroker::new(EmbeddedConfig {
                queue_messages_max,
                ..embedded_config()
            }),
            Self::Nats(server) => NatsBroker::connect(NatsConfig {
                queue_messages_max,
                ..nats_config(server)
            })
            .await
            .unwrap(),
        }
    }
}

fn embedded_config() -> EmbeddedConfig {
    EmbeddedConfig {
        jobs_lease: LEASE,
        tasks_lease: LEASE,
        ..EmbeddedConfig::default()
    }
}

pub(super) fn nats_config(server: &NatsServer) -> NatsConfig {
    NatsConfig {
        jobs_lease: LEASE,
        tasks_lease: LEASE,
        ..NatsConfig::for_url(server.url())
    }
}

pub(super) fn message(id: &str, priority: Priority) -> Message {
    Message {
        id: id.to_owned(),
        payload: Bytes::copy_from_slice(id.as_bytes()),
        queue: QueueName::default(),
        priority,
        lane: Lane::First,
    }
}

/// Publishes one task of normal priority whose payload is its id.
pub(super) async fn publish(broker: &dyn Broker, id: &str) {
    let messages = vec![message(id, Priority::Normal)];
    broker.publish(Queue::Tasks, messages).await.unwrap();
}

pub(super) async fn pull(broker: &dyn Broker, max: usize, wait: Duration) -> Vec<Delivery> {
    pull_from(broker, Queue::Tasks, max, wait).await.unwrap()
}

/// Pulls from the default queue.
pub(super) async fn pull_from(
    broker: &dyn Broker,
    queue: Queue,
    max: usize,
    wait: Duration,
) -> Result<Vec<Delivery>, Error> {
    broker
        .pull(queue, &QueueName::only_default(), max, wait)
        .await
}

/// Pulls the one message there is.
pub(super) async fn pull_one(broker: &dyn Broker) -> Delivery {
    let mut found = pull(broker, 1, LONG).await;
    assert_eq!(found.len(), 1, "no message came within {LONG:?}");
    found.remove(0)
}

pub(super) fn text(payload: &Bytes) -> String {
    String::from_utf8(payload.to_vec()).unwrap()
}

pub(super) fn texts(found: &[Delivery]) -> Vec<String> {
    found
        .iter()
        .map(|delivery| text(&delivery.payload))
        .collect()
}

pub(super) fn job(name: &str) -> JobId {
    JobId::new(name).unwrap()
}
