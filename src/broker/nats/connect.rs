//! Opens the connection, and says plainly why it cannot be used.

use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use rand::Rng;
use tokio::sync::watch;

use super::NatsConfig;
use super::link::Link;
use super::tls::install_crypto_provider;
use crate::broker::Error;

/// Longest pause between two attempts to connect again.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Connects, and checks that the server has what Swath needs.
pub(super) async fn connect(config: &NatsConfig) -> Result<Link, Error> {
    let link = open(config).await?;
    check_server(&link, config).await?;
    Ok(link)
}

/// Connects to whatever server there is.
pub(super) async fn open(config: &NatsConfig) -> Result<Link, Error> {
    config.validate()?;
    install_crypto_provider();
    let unreachable = |source| Error::Unreachable {
        url: config.shown_url(),
        source,
    };
    let servers = servers(config)?;
    let (connections, _) = watch::channel(0);
    let options = options(config, &servers, connections.clone()).await?;
    let client = tokio::time::timeout(config.connect_timeout, options.connect(&servers[..]))
        .await
        .map_err(|elapsed| unreachable(elapsed.into()))?
        .map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Error::Unsuitable {
                    url: config.shown_url(),
                    reason: "it refuses the credentials; put user:password@ or token@ before the \
                             host, or give a credentials file"
                        .into(),
                }
            }
            _ => unreachable(error.into()),
        })?;
    Ok(Link::new(client, connections, config))
}

fn servers(config: &NatsConfig) -> Result<Vec<ServerAddr>, Error> {
    let parsed = config.url.split(',').map(|url| url.trim().parse());
    parsed
        .collect::<Result<Vec<ServerAddr>, _>>()
        .map_err(|source| Error::Unreachable {
            url: config.shown_url(),
            source: source.into(),
        })
}

async fn options(
    config: &NatsConfig,
    servers: &[ServerAddr],
    connections: watch::Sender<u64>,
) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name(&config.name)
        .connection_timeout(config.connect_timeout)
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_pause)
        .event_callback(move |event| {
            note(&event, &connections);
            std::future::ready(())
        });
    // The client leaves the user of a URL unused.
    if let Some(server) = servers.iter().find(|server| server.has_user_pass()) {
        let user = decode(server.username().unwrap_or_default());
        options = match server.password() {
            Some(password) => options.user_and_password(user, decode(password)),
            None => options.token(user),
        };
    }
    if let Some(path) = &config.creds {
        options = options
            .credentials_file(path)
            .await
            .map_err(|source| Error::Unsuitable {
                url: config.shown_url(),
                reason: format!("credentials file {}: {source}", path.display()),
            })?;
    }
    if let Some(ca) = &config.tls_ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) {
        options = options
            .add_client_certificate(cert.clone(), key.clone())
            .require_tls(true);
    }
    if config.tls_first {
        options = options.tls_first();
    }
    Ok(options)
}

/// Waits longer after each failure, and not as long as the other clients of a server that went.
fn reconnect_pause(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = Duration::from_millis(20).saturating_mul(2_u32.saturating_pow(exponent.min(10)));
    pause
        .min(RECONNECT_PAUSE_MAX)
        .mul_f64(rand::rng().random_range(0.5..1.0))
}

fn note(event: &Event, connections: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            tracing::info!("connected to nats");
            connections.send_modify(|count| *count += 1);
        }
        Event::Disconnected => tracing::warn!("lost the connection to nats; connecting again"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "nats messages dropped: a reader is slow");
        }
        Event::ServerError(error) => tracing::warn!(%error, "nats server error"),
        Event::ClientError(error) => tracing::debug!(%error, "nats client error"),
        Event::LameDuckMode | Event::Draining | Event::Closed => tracing::debug!(%event, "nats"),
    }
}

async fn check_server(link: &Link, config: &NatsConfig) -> Result<(), Error> {
    let unsuitable = |reason| Error::Unsuitable {
        url: config.shown_url(),
        reason,
    };
    if !link.client.is_server_compatible(2, 12, 0) {
        let found = link.client.server_info().version;
        return Err(unsuitable(format!(
            "nats-server {found} is too old; install 2.12 or later (2.14 recommended)"
        )));
    }
    if !link.has_jetstream().await? {
        return Err(unsuitable(
            "JetStream is off; start the server as 'nats-server -js'".into(),
        ));
    }
    Ok(())
}

/// Undoes percent-encoding; what is not valid stays as it is.
fn decode(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_percent_decoded() {
        for (encoded, expected) in [
            ("p%40ss", "p@ss"),
            ("100%", "100%"),
            ("a%2", "a%2"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(decode(encoded), expected);
        }
    }

    #[test]
    fn reconnect_pauses_are_bounded() {
        for attempts in [0, 1, 5, 40, usize::MAX] {
            assert!(reconnect_pause(attempts) <= RECONNECT_PAUSE_MAX);
        }
    }
}
