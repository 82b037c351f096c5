//! The Flight server before a store: `DoGet` of a partition, and a health action.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming, async_trait};
use tracing::{debug, warn};

use super::HTTP2_FRAME_BYTES;
use super::socket::Socket;
use crate::exchange::frame::{MESSAGE_BYTES_MAX, Piece, Trailer};
use crate::exchange::store::PartitionStore;
use crate::exchange::{Error, PartitionKey};
use crate::job::failure::chain;
use crate::wire;

/// The longest request taken: tickets are under 200 bytes.
const REQUEST_BYTES_MAX: usize = 64 << 10;

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
    /// # Errors
    /// [`Error::Serve`] when the server cannot go on.
    pub async fn serve(
        listener: TcpListener,
        store: Arc<PartitionStore>,
        shutdown: CancellationToken,
        config: FlightConfig,
    ) -> Result<(), Error> {
        let usage_store = Arc::clone(&store);
        let service = Service {
            open: move |ticket: &Ticket| open(&store, ticket),
            health: move || serde_json::to_vec(&usage_store.usage()).unwrap_or_default(),
        };
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

fn data_of(piece: Result<Piece, Error>, key: &PartitionKey) -> Result<FlightData, Status> {
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
    let source = wire::encode(trailer);
    Ok(FlightData {
        app_metadata: source.map_err(|error| Error::Serve {
            source: Box::new(error),
        })?,
        ..FlightData::default()
    })
}

/// Serves a service until `shutdown`; see [`FlightServer::serve`].
pub(in crate::exchange) async fn serve<O: Open, H: Health>(
    listener: TcpListener,
    service: Service<O, H>,
    shutdown: CancellationToken,
    config: FlightConfig,
) -> Result<(), Error> {
    let service = FlightServiceServer::new(service)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let severed = CancellationToken::new();
    let incoming = accept(listener, severed.clone(), config.connections_max);
    let serving = Server::builder()
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_concurrent_streams(config.streams_per_connection)
        .http2_keepalive_interval(Some(config.keepalive))
        .http2_keepalive_timeout(Some(config.keepalive))
        .add_service(service)
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

/// Answers a ticket.
pub(in crate::exchange) trait Open:
    Fn(&Ticket) -> Result<DataStream, Status> + Send + Sync + 'static
{
}

impl<F: Fn(&Ticket) -> Result<DataStream, Status> + Send + Sync + 'static> Open for F {}

/// Answers the health action.
pub(in crate::exchange) trait Health:
    Fn() -> Vec<u8> + Send + Sync + 'static
{
}

impl<F: Fn() -> Vec<u8> + Send + Sync + 'static> Health for F {}

/// The part of Flight that the exchange speaks.
pub(in crate::exchange) struct Service<O, H> {
    pub(in crate::exchange) open: O,
    pub(in crate::exchange) health: H,
}

type Answer<T> = Result<Response<T>, Status>;
type AnswerStream<T> = BoxStream<'static, Result<T, Status>>;

fn not_offered<T>(what: &str) -> Answer<T> {
    Err(Status::unimplemented(format!(
        "a Swath worker does not offer {what}; it offers DoGet of partitions and the action 'health'"
    )))
}

#[async_trait]
impl<O: Open, H: Health> FlightService for Service<O, H> {
    type HandshakeStream = AnswerStream<HandshakeResponse>;
    type ListFlightsStream = AnswerStream<FlightInfo>;
    type DoGetStream = DataStream;
    type DoPutStream = AnswerStream<PutResult>;
    type DoExchangeStream = AnswerStream<FlightData>;
    type DoActionStream = AnswerStream<arrow_flight::Result>;
    type ListActionsStream = AnswerStream<ActionType>;

    async fn do_get(&self, request: Request<Ticket>) -> Answer<DataStream> {
        (self.open)(request.get_ref()).map(Response::new)
    }

    /// Answers `health` with the usage of the store, as JSON.
    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        if request.get_ref().r#type != "health" {
            return not_offered("this action");
        }
        let body = (self.health)().into();
        let answer = Ok(arrow_flight::Result { body });
        Ok(Response::new(stream::iter([answer]).boxed()))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        let health = ActionType {
            r#type: "health".to_owned(),
            description: "what the partition store holds, as JSON".to_owned(),
        };
        Ok(Response::new(stream::iter([Ok(health)]).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        not_offered("Handshake")
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        not_offered("ListFlights")
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        not_offered("GetFlightInfo")
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        not_offered("PollFlightInfo")
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        not_offered("GetSchema")
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        not_offered("DoPut")
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Answer<Self::DoExchangeStream> {
        not_offered("DoExchange")
    }
}
