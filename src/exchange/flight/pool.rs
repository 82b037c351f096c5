//! A few connections to each peer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};

use super::HTTP2_FRAME_BYTES;
use super::client::FetchConfig;

/// A connection without a stream is closed after this time.
const IDLE: Duration = Duration::from_secs(60);

/// Says why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("no connection")]
    Transport(#[from] tonic::transport::Error),
}

/// Connections to all peers; opened when needed, closed when idle.
#[derive(Debug)]
pub(super) struct Pool {
    connect_timeout: Duration,
    stream_window: u32,
    connection_window: u32,
    keepalive: Duration,
    streams_per_connection: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    peers: HashMap<Arc<str>, Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    id: u64,
    channel: Channel,
    streams: usize,
    idle_since: Instant,
}

impl Pool {
    pub(super) fn new(config: &FetchConfig) -> Arc<Self> {
        let per_connection = config.connection_window_bytes / config.stream_window_bytes.max(1);
        Arc::new(Self {
            connect_timeout: config.connect_timeout,
            stream_window: config.stream_window_bytes,
            connection_window: config.connection_window_bytes,
            keepalive: config.keepalive,
            streams_per_connection: usize::try_from(per_connection).unwrap_or(1).max(1),
            state: Mutex::default(),
        })
    }

    /// Returns a place on a connection to `peer`, on a new one if the others are full.
    pub(super) async fn lease(self: &Arc<Self>, peer: &Arc<str>) -> Result<Lease, ConnectError> {
        if let Some(lease) = self.lease_open(peer) {
            return Ok(lease);
        }
        let channel = self.connect(peer).await?;
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state
            .peers
            .entry(Arc::clone(peer))
            .or_default()
            .push(Connection {
                id,
                channel: channel.clone(),
                streams: 1,
                idle_since: Instant::now(),
            });
        Ok(self.lease_of(peer, id, channel))
    }

    /// Takes the fullest connection that has a place, so that the others can become idle.
    fn lease_open(self: &Arc<Self>, peer: &Arc<str>) -> Option<Lease> {
        let mut state = self.lock();
        state.close_idle();
        let connection = state
            .peers
            .get_mut(peer)?
            .iter_mut()
            .filter(|connection| connection.streams < self.streams_per_connection)
            .max_by_key(|connection| connection.streams)?;
        connection.streams += 1;
        let (id, channel) = (connection.id, connection.channel.clone());
        drop(state);
        Some(self.lease_of(peer, id, channel))
    }

    fn lease_of(self: &Arc<Self>, peer: &Arc<str>, id: u64, channel: Channel) -> Lease {
        Lease {
            pool: Arc::clone(self),
            peer: Arc::clone(peer),
            id,
            channel,
        }
    }

    async fn connect(&self, peer: &str) -> Result<Channel, ConnectError> {
        let endpoint = Endpoint::from_shared(format!("http://{peer}"))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .http2_keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive);
        match timeout(self.connect_timeout, endpoint.connect()).await {
            Ok(channel) => Ok(channel?),
            Err(_) => Err(ConnectError::Timeout(self.connect_timeout)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_idle(&mut self) {
        let now = Instant::now();
        self.peers.retain(|_, connections| {
            connections.retain(|connection| {
                let idle = now.saturating_duration_since(connection.idle_since);
                connection.streams > 0 || idle < IDLE
            });
            !connections.is_empty()
        });
    }
}

/// A place for one stream on a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    peer: Arc<str>,
    id: u64,
    pub(super) channel: Channel,
}

impl Lease {
    /// Takes the connection out of the pool: nobody opens another stream on it.
    pub(super) fn discard(&self) {
        if let Some(connections) = self.pool.lock().peers.get_mut(&self.peer) {
            connections.retain(|connection| connection.id != self.id);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let connections = state.peers.get_mut(&self.peer).into_iter().flatten();
        for connection in connections.filter(|connection| connection.id == self.id) {
            connection.streams = connection.streams.saturating_sub(1);
            connection.idle_since = Instant::now();
        }
    }
}
