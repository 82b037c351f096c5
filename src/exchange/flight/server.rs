//! The Flight server before a store: connections, and the stream of a partition.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::{FlightData, Ticket};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Server;
use tracing::{debug, warn};

use super::HTTP2_FRAME_BYTES;
use super::service::{Front, Service};
use super::socket::Socket;
use crate::exchange::frame::{Note, Piece, Trailer};
use crate::exchange::store::PartitionStore;
use crate::exchange::{Error, PartitionKey, ResultDirectory};
use crate::job::failure::chain;
use crate::wire;

/// The path of the method that streams a partition.
pub(super) const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";

/// Says how partitions are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightConfig {
    /// Connections served at once; default 1,024. Others wait to be accepted.
    pub connections_max: usize,
    /// Streams served at once on one connection; default 64.
    pub streams_per_connection: u32,
    /// How long running streams may go on after shutdown was asked for; default 5 s. Then their connections
    /// are ended.
    pub grace: Duration,
    /// A peer that does not answer a ping within this time is gone; default 20 s.
    pub keepalive: Duration,
}

impl Default for FlightConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            streams_per_connection: 64,
            grace: Duration::from_secs(5),
            keepalive: Duration::from_secs(20),
        }
    }
}

/// Serves the partitions of a store to peers.
#[derive(Debug, Clone, Copy)]
pub struct FlightServer;

impl FlightServer {
    /// Serves until `shutdown`, then up to [`FlightConfig::grace`] longer; returns when all connections ended.
    ///
    /// With `results` it says of a job where its result is, so that any Flight client can read it.
    ///
    /// # Errors
    /// [`Error::Serve`] when the server cannot go on.
    pub async fn serve(
        listener: TcpListener,
        store: Arc<PartitionStore>,
        results: Option<Arc<dyn ResultDirectory>>,
        shutdown: CancellationToken,
        config: FlightConfig,
    ) -> Result<(), Error> {
        let usage_store = Arc::clone(&store);
        let service = Service::new(
            move |ticket| open(&store, ticket),
            move || serde_json::to_vec(&usage_store.usage()).unwrap_or_default(),
            results,
        );
        serve(listener, service, shutdown, config).await
    }
}

/// Messages of one `DoGet`.
pub(in crate::exchange) type DataStream = BoxStream<'static, Result<FlightData, Status>>;

fn open(store: &PartitionStore, ticket: &Ticket) -> Result<DataStream, Status> {
    let key: PartitionKey = wire::decode(&ticket.ticket)
        .map_err(|error| Status::invalid_argument(format!("ticket: {}", chain(&error))))?;
    let partition = store
        .get(&key)
        .ok_or_else(|| Status::not_found(format!("partition {key} is not here")))?;
    debug!(%key, "partition served");
    let pieces = partition.pieces();
    Ok(pieces.map(move |piece| data_of(piece, &key)).boxed())
}

pub(super) fn data_of(
    piece: Result<Piece, Error>,
    key: &PartitionKey,
) -> Result<FlightData, Status> {
    let piece = piece.and_then(|piece| match piece {
        Piece::Frame(frame) => Ok(FlightData {
            data_header: frame.header,
            data_body: frame.body,
            ..FlightData::default()
        }),
        Piece::Trailer(trailer) => trailer_data(&trailer),
    });
    piece.map_err(|error| {
        let reason = chain(&error);
        warn!(%key, reason, "stored partition cannot be read");
        Status::data_loss(reason)
    })
}

pub(in crate::exchange) fn trailer_data(trailer: &Trailer) -> Result<FlightData, Error> {
    let source = wire::encode(&Note::Trailer(*trailer));
    Ok(FlightData {
        app_metadata: source.map_err(|error| Error::Serve {
            source: Box::new(error),
        })?,
        ..FlightData::default()
    })
}

/// Serves a service until `shutdown`; see [`FlightServer::serve`].
pub(in crate::exchange) async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: CancellationToken,
    config: FlightConfig,
) -> Result<(), Error> {
    let severed = CancellationToken::new();
    let incoming = accept(listener, severed.clone(), config.connections_max);
    let serving = Server::builder()
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_concurrent_streams(config.streams_per_connection)
        .http2_keepalive_interval(Some(config.keepalive))
        .http2_keepalive_timeout(Some(config.keepalive))
        .add_service(Front::new(service))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let sever = async {
        shutdown.cancelled().await;
        tokio::time::sleep(config.grace).await;
        severed.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served.map_err(|error| Error::Serve { source: Box::new(error) }),
        () = sever => Ok(()),
    }
}

/// Accepts connections, as many at a time as there are places.
fn accept(
    listener: TcpListener,
    severed: CancellationToken,
    places: usize,
) -> impl Stream<Item = std::io::Result<Socket>> {
    let places = Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
    stream::unfold((listener, severed), move |(listener, severed)| {
        let places = Arc::clone(&places);
        async move {
            let place = places.acquire_owned().await.ok()?;
            let socket = listener.accept().await.map(|(stream, _)| {
                // Without it small messages wait for acknowledgements; it is no reason to refuse a peer.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "nodelay not set");
                }
                Socket::new(stream, severed.clone().cancelled_owned(), place)
            });
            Some((socket, (listener, severed)))
        }
    })
}
