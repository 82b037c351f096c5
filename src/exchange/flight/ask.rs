//! What is asked of a worker by whoever is none: where the table of a job is, and whether it is there at all.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightDescriptor, FlightEndpoint};
use tonic::Code;

use super::client::{FetchConfig, said};
use super::pool::Pool;
use crate::exchange::{Error, PartitionAddress, StoreUsage, TableResult};
use crate::ids::{JobId, WorkerRef};
use crate::wire;

/// The longest answer taken: schemas are small, but a table may have many parts.
const ANSWER_BYTES_MAX: usize = 64 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks a worker for the table that a job committed; the worker reads its files first, which takes as long as it takes.
///
/// - Returns where its parts are, or nothing when the job has no table to fetch.
///
/// # Errors
/// [`Error::Serve`] when the worker cannot be reached, cannot read the files, or answers with something else.
pub async fn find_result(worker: &WorkerRef, job: &JobId) -> Result<Option<TableResult>, Error> {
    ask(worker, job)
        .await
        .map_err(|source| Error::Serve { source })
}

/// Asks a worker what its store holds, over Flight: who answers can be fetched from.
///
/// # Errors
/// [`Error::Serve`] when the worker cannot be reached within `patience`, or answers with something else.
pub async fn health(worker: &WorkerRef, patience: Duration) -> Result<StoreUsage, Error> {
    let asked = tokio::time::timeout(patience, ask_health(worker)).await;
    asked
        .unwrap_or_else(|_| Err(format!("no answer within {patience:?}").into()))
        .map_err(|source| Error::Serve { source })
}

async fn ask_health(worker: &WorkerRef) -> Result<StoreUsage, BoxError> {
    let peer: Arc<str> = worker.flight.as_str().into();
    let lease = Pool::new(&FetchConfig::default()).lease(&peer).await?;
    let mut client = FlightServiceClient::new(lease.channel.clone());
    let asked = client.do_action(Action::new("health", "")).await;
    let mut answers = asked.map_err(|status| said(&status))?.into_inner();
    let answer = answers.message().await.map_err(|status| said(&status))?;
    Ok(serde_json::from_slice(&answer.ok_or("no answer")?.body)?)
}

async fn ask(worker: &WorkerRef, job: &JobId) -> Result<Option<TableResult>, BoxError> {
    let config = FetchConfig::default();
    let peer: Arc<str> = worker.flight.as_str().into();
    let lease = Pool::new(&config).lease(&peer).await?;
    let mut client =
        FlightServiceClient::new(lease.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
    let descriptor = FlightDescriptor::new_path(vec![job.to_string()]);
    let info = match client.get_flight_info(descriptor).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(format!("worker {worker}: {}", said(&status)).into()),
    };
    let parts = info.endpoint.iter().map(|endpoint| part(endpoint, worker));
    let parts = parts.collect::<Result<_, _>>()?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Some(TableResult {
        parts,
        rows: count(info.total_records),
        bytes: count(info.total_bytes),
        schema: Arc::new(info.try_decode_schema()?),
    }))
}

/// Reads which partition an endpoint means; without a location it is with the worker that was asked.
fn part(endpoint: &FlightEndpoint, asked: &WorkerRef) -> Result<PartitionAddress, BoxError> {
    let ticket = endpoint
        .ticket
        .as_ref()
        .ok_or("an endpoint without a ticket")?;
    let flight = match endpoint.location.first() {
        None => asked.flight.clone(),
        Some(location) => {
            let address = location.uri.strip_prefix("grpc://");
            address.ok_or("a location that is not grpc://")?.to_owned()
        }
    };
    Ok(PartitionAddress {
        key: wire::decode(&ticket.ticket)?,
        worker: WorkerRef {
            flight,
            ..asked.clone()
        },
    })
}
