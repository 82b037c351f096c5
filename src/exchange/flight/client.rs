//! The exchange: partitions of this worker from its store, those of others over Flight.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::{FlightData, Ticket};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http_body_util::Full;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, header};
use tonic::{Code, Status};
use tracing::{debug, trace};

use super::governor::{Governor, Permit};
use super::messages::{Broken, Messages, expect_ok};
use super::pool::{Lease, Pool};
use super::server::DO_GET;
use super::{body, lz4};
use crate::exchange::decode::Corrupt;
use crate::exchange::frame::{Frame, Note, Piece};
use crate::exchange::read::{PieceStream, batches, lost};
use crate::exchange::store::PartitionStore;
use crate::exchange::{BatchStream, Error, Exchange, PartitionAddress};
use crate::ids::WorkerRef;
use crate::job::failure::chain;
use crate::wire;

/// The wait before a connection that was refused or broken is tried once more.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// A smaller window would make every message wait for its reader.
const STREAM_WINDOW_MIN: u32 = 1 << 20;

/// Says how partitions of peers are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchConfig {
    /// Bytes that all fetches together may have in flight; default 256 MiB. Each open stream counts as
    /// [`Self::stream_window_bytes`], and one stream may always be open.
    pub bytes_in_flight: u64,
    /// Streams open to one peer at once; default 8.
    pub requests_per_peer: usize,
    /// The longest that a connection may take to open; default 5 s.
    pub connect_timeout: Duration,
    /// The longest that a reader waits for the next message; default 30 s. After it the partition is lost.
    pub idle_timeout: Duration,
    /// A peer that does not answer a ping within this time is gone; default 5 s. Pings are sent as often.
    pub keepalive: Duration,
    /// Bytes that a peer may send ahead of the reader on one stream; default 16 MiB.
    pub stream_window_bytes: u32,
    /// Bytes that a peer may send ahead on one connection; default 64 MiB. It carries as many streams as
    /// windows fit.
    pub connection_window_bytes: u32,
    /// Which peers are asked to compress; default those of other hosts.
    pub compress: Compress,
}

/// Says which peers are asked to send bodies compressed with LZ4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// None: right where the network is faster than LZ4, which does about half a GiB a second on one core.
    Never,
    /// Those whose address is neither a loopback one nor on the reader's own host.
    #[default]
    BetweenHosts,
    /// All.
    Always,
}

impl Compress {
    fn asks(self, peer: &str, me: &str) -> bool {
        match self {
            Self::Never => false,
            Self::BetweenHosts => !is_loopback(host(peer)) && host(peer) != host(me),
            Self::Always => true,
        }
    }
}

fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            bytes_in_flight: 256 << 20,
            requests_per_peer: 8,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(5),
            stream_window_bytes: 16 << 20,
            connection_window_bytes: 64 << 20,
            compress: Compress::default(),
        }
    }
}

/// Reads partitions from the local store, or from the worker that has them.
#[derive(Debug)]
pub struct FlightExchange {
    /// The worker's own store; a reader that is no worker has none.
    local: Option<Arc<PartitionStore>>,
    me: WorkerRef,
    idle_timeout: Duration,
    compress: Compress,
    governor: Arc<Governor>,
    pool: Arc<Pool>,
}

impl FetchConfig {
    /// Windows of streams and connections that let no more than this be in flight.
    #[must_use]
    pub fn within(bytes_in_flight: u64) -> Self {
        let default = Self::default();
        let part = |of: u64, most: u32| {
            let bytes = (bytes_in_flight / of).clamp(u64::from(STREAM_WINDOW_MIN), u64::from(most));
            u32::try_from(bytes).unwrap_or(most)
        };
        Self {
            bytes_in_flight: bytes_in_flight.min(default.bytes_in_flight),
            stream_window_bytes: part(8, default.stream_window_bytes),
            connection_window_bytes: part(2, default.connection_window_bytes),
            ..default
        }
    }
}

impl FlightExchange {
    /// Makes the exchange of the worker `me`, whose partitions are in `local`.
    #[must_use]
    pub fn new(local: Arc<PartitionStore>, me: WorkerRef, config: FetchConfig) -> Arc<Self> {
        Self::with(Some(local), me, config)
    }

    /// Makes the exchange of somebody who is no worker, and reads what workers have; `near` is one of them.
    #[must_use]
    pub fn of_reader(near: WorkerRef, config: FetchConfig) -> Arc<Self> {
        Self::with(None, near, config)
    }

    fn with(local: Option<Arc<PartitionStore>>, me: WorkerRef, config: FetchConfig) -> Arc<Self> {
        let charge = u64::from(config.stream_window_bytes);
        Arc::new(Self {
            local,
            me,
            idle_timeout: config.idle_timeout,
            compress: config.compress,
            governor: Governor::new(config.bytes_in_flight, config.requests_per_peer, charge),
            pool: Pool::new(&config),
        })
    }

    fn fetch_local(
        store: &PartitionStore,
        address: &PartitionAddress,
    ) -> Result<BatchStream, Error> {
        let partition = store
            .get(&address.key)
            .ok_or_else(|| lost(address, "it is not in this worker's store"))?;
        // What never left memory is what was written; what was on a disk is summed again.
        let summed = partition.is_on_disk();
        Ok(batches(address.clone(), partition.pieces(), summed))
    }

    async fn fetch_peer(&self, address: &PartitionAddress) -> Result<BatchStream, Error> {
        let peer: Arc<str> = address.worker.flight.as_str().into();
        if peer.is_empty() {
            let reason = "its worker serves only its own process, and this is another";
            return Err(lost(address, reason));
        }
        let ticket = wire::encode(&address.key).map_err(|error| lost(address, chain(&error)))?;
        let permit = self.governor.enter(&peer).await;
        let mut stream = PeerStream {
            address: address.clone(),
            idle_timeout: self.idle_timeout,
            permit,
            open: None,
        };
        stream.permit.waits();
        let open = match self.open(&peer, &ticket).await {
            // A worker that restarts, or a pooled connection whose other end is gone.
            Err(why) if why.may_pass() => {
                debug!(%address, reason = chain(&why), "peer tried once more");
                tokio::time::sleep(RECONNECT_AFTER).await;
                self.open(&peer, &ticket).await
            }
            opened => opened,
        };
        stream.open = Some(open.map_err(|why| lost(address, chain(&why)))?);
        stream.permit.stops_waiting();
        trace!(%address, "fetching");
        Ok(batches(address.clone(), stream.pieces(), true))
    }

    async fn open(&self, peer: &Arc<str>, ticket: &Bytes) -> Result<Open, Refused> {
        let mut lease = self.pool.lease(peer).await?;
        let request = self.request(peer, ticket.clone());
        match timeout(self.idle_timeout, ask(&mut lease, request)).await {
            Ok(Ok(messages)) => Ok(Open { messages, lease }),
            Ok(Err(status)) => {
                if is_broken(&status) {
                    lease.discard();
                }
                Err(Refused::Status(status))
            }
            Err(_) => {
                lease.discard();
                Err(Refused::Silent(self.idle_timeout))
            }
        }
    }

    fn request(&self, peer: &str, ticket: Bytes) -> Request<Body> {
        let message = body::small(&Ticket { ticket });
        let mut request = Request::post(DO_GET)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers");
        if self.compress.asks(peer, &self.me.flight) {
            request = request.header(lz4::ACCEPT, lz4::LZ4);
        }
        // All parts of it are constants, so it cannot fail; an empty request would be refused by the peer.
        request
            .body(Body::new(Full::new(message)))
            .unwrap_or_default()
    }
}

/// Sends a request; returns the stream that answers it.
async fn ask(lease: &mut Lease, request: Request<Body>) -> Result<Messages<Body>, Box<Status>> {
    let failed = |error: tonic::transport::Error| Box::new(Status::from_error(Box::new(error)));
    std::future::poll_fn(|cx| lease.channel.poll_ready(cx))
        .await
        .map_err(failed)?;
    let (head, body) = lease
        .channel
        .call(request)
        .await
        .map_err(failed)?
        .into_parts();
    if !head.status.is_success() {
        let said = format!("HTTP {}", head.status);
        return Err(Box::new(Status::unavailable(said)));
    }
    expect_ok(head.headers)?;
    Ok(Messages::new(body))
}

#[async_trait]
impl Exchange for FlightExchange {
    async fn fetch(&self, address: &PartitionAddress) -> Result<BatchStream, Error> {
        let worker = &address.worker;
        match &self.local {
            Some(store) if worker.id == self.me.id && worker.incarnation == self.me.incarnation => {
                Self::fetch_local(store, address)
            }
            _ => self.fetch_peer(address).await,
        }
    }
}

/// Says why a peer gave no stream, or ended it.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Connect(#[from] super::pool::ConnectError),
    #[error("{}", said(.0))]
    Status(Box<Status>),
    #[error("the peer said nothing for {0:?}")]
    Silent(Duration),
}

impl Refused {
    /// Tells whether another try may go better: the connection failed, not the request.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Status(status) => is_broken(status),
            Self::Silent(_) => false,
        }
    }
}

/// Tells whether a status comes from a broken connection and not from an answer.
fn is_broken(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
    )
}

/// What a peer said, cut to a length fit for a log.
pub(super) fn said(status: &Status) -> String {
    let message: String = status.message().chars().take(300).collect();
    match std::error::Error::source(status) {
        Some(source) => format!("{:?}: {message}: {}", status.code(), chain(source)),
        None => format!("{:?}: {message}", status.code()),
    }
}

/// A stream that a peer sends, and what it holds while it is open.
struct PeerStream {
    address: PartitionAddress,
    idle_timeout: Duration,
    permit: Permit,
    open: Option<Open>,
}

struct Open {
    messages: Messages<Body>,
    lease: Lease,
}

impl PeerStream {
    fn pieces(self) -> PieceStream {
        stream::try_unfold(self, |mut stream| async move {
            let piece = stream.next().await?;
            Ok(piece.map(|piece| (piece, stream)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Piece>, Error> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        self.permit.waits();
        let message = timeout(self.idle_timeout, open.messages.next()).await;
        self.permit.moves();
        let reason = match message {
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(message))) => match piece_of(message).await {
                Ok(piece) => return Ok(Some(piece)),
                Err(why) => chain(&why),
            },
            Ok(Err(Broken::Corrupt(why))) => chain(&why),
            Ok(Err(Broken::Status(status))) => said(&status),
            Err(_) => chain(&Refused::Silent(self.idle_timeout)),
        };
        // What a peer that sends such things sends next is of no use either.
        open.lease.discard();
        Err(lost(&self.address, reason))
    }
}

pub(super) async fn piece_of(message: FlightData) -> Result<Piece, Corrupt> {
    let (header, body) = (message.data_header, message.data_body);
    if message.app_metadata.is_empty() {
        return Ok(Piece::Frame(Frame { header, body }));
    }
    match wire::decode(&message.app_metadata).map_err(Corrupt::Trailer)? {
        Note::Trailer(trailer) if header.is_empty() && body.is_empty() => {
            Ok(Piece::Trailer(trailer))
        }
        Note::Trailer(_) => Err(Corrupt::Message),
        Note::Lz4 { body_bytes } => {
            let whole = tokio::task::spawn_blocking(move || lz4::decompress(&body, body_bytes));
            let body = whole.await.map_err(|_| Corrupt::Panicked)??;
            Ok(Piece::Frame(Frame { header, body }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_peers_of_other_hosts_are_asked_to_compress() {
        let me = "10.0.0.5:4000";
        for (peer, asked) in [
            ("127.0.0.1:4000", false),
            ("127.8.0.1:4000", false),
            ("[::1]:4000", false),
            ("localhost:1", false),
            ("10.0.0.5:4001", false),
            ("10.0.0.6:4000", true),
            ("[fe80::1]:4000", true),
            ("worker-2.cluster:4000", true),
        ] {
            assert_eq!(Compress::BetweenHosts.asks(peer, me), asked, "{peer}");
        }
        assert!(!Compress::Never.asks("10.0.0.6:4000", me));
        assert!(Compress::Always.asks("127.0.0.1:4000", me));
    }
}
