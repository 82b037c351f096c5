//! The exchange: partitions of this worker from its store, those of others over Flight.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::{FlightData, Ticket};
use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tracing::{debug, trace};

use super::governor::{Governor, Permit};
use super::pool::{Lease, Pool};
use crate::exchange::decode::Corrupt;
use crate::exchange::frame::{Frame, Piece};
use crate::exchange::read::{PieceStream, batches, lost};
use crate::exchange::store::PartitionStore;
use crate::exchange::{BatchStream, Error, Exchange, PartitionAddress};
use crate::ids::WorkerRef;
use crate::job::failure::chain;
use crate::wire;

/// The wait before a connection that was refused or broken is tried once more.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

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
        }
    }
}

/// Reads partitions from the local store, or from the worker that has them.
#[derive(Debug)]
pub struct FlightExchange {
    local: Arc<PartitionStore>,
    me: WorkerRef,
    idle_timeout: Duration,
    governor: Arc<Governor>,
    pool: Arc<Pool>,
}

impl FlightExchange {
    /// Makes the exchange of the worker `me`, whose partitions are in `local`.
    #[must_use]
    pub fn new(local: Arc<PartitionStore>, me: WorkerRef, config: FetchConfig) -> Arc<Self> {
        let charge = u64::from(config.stream_window_bytes);
        Arc::new(Self {
            local,
            me,
            idle_timeout: config.idle_timeout,
            governor: Governor::new(config.bytes_in_flight, config.requests_per_peer, charge),
            pool: Pool::new(&config),
        })
    }

    fn fetch_local(&self, address: &PartitionAddress) -> Result<BatchStream, Error> {
        let partition = self
            .local
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

    async fn open(&self, peer: &Arc<str>, ticket: &bytes::Bytes) -> Result<Open, Refused> {
        let mut lease = self.pool.lease(peer).await?;
        let ticket = Ticket {
            ticket: ticket.clone(),
        };
        match timeout(self.idle_timeout, lease.client.do_get(ticket)).await {
            Ok(Ok(response)) => Ok(Open {
                messages: response.into_inner(),
                lease,
            }),
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
}

#[async_trait]
impl Exchange for FlightExchange {
    async fn fetch(&self, address: &PartitionAddress) -> Result<BatchStream, Error> {
        let worker = &address.worker;
        if worker.id == self.me.id && worker.incarnation == self.me.incarnation {
            return self.fetch_local(address);
        }
        self.fetch_peer(address).await
    }
}

/// Says why a peer gave no stream, or ended it.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Connect(#[from] super::pool::ConnectError),
    #[error("{}", said(.0))]
    Status(Status),
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
fn said(status: &Status) -> String {
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
    messages: Streaming<FlightData>,
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
        let message = timeout(self.idle_timeout, open.messages.message()).await;
        self.permit.moves();
        let message = match message {
            Ok(Ok(message)) => message,
            Ok(Err(status)) => {
                open.lease.discard();
                return Err(lost(&self.address, said(&status)));
            }
            Err(_) => {
                open.lease.discard();
                return Err(lost(
                    &self.address,
                    chain(&Refused::Silent(self.idle_timeout)),
                ));
            }
        };
        let piece = message.map(piece_of).transpose();
        piece.map_err(|why| lost(&self.address, chain(&why)))
    }
}

fn piece_of(message: FlightData) -> Result<Piece, Corrupt> {
    if message.app_metadata.is_empty() {
        return Ok(Piece::Frame(Frame {
            header: message.data_header,
            body: message.data_body,
        }));
    }
    wire::decode(&message.app_metadata)
        .map(Piece::Trailer)
        .map_err(Corrupt::Trailer)
}
