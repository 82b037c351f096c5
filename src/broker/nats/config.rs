//! Where the server is, and what the cluster's streams are named and limited by.

use std::path::PathBuf;
use std::time::Duration;

use crate::broker::{DUPLICATE_WINDOW, Error, JOBS_LEASE, TASKS_LEASE};

/// Sets up a [`super::NatsBroker`]. All clients of one prefix must agree on prefix, replicas, leases
/// and limits; one which does not is told so by [`Error::Conflict`].
#[derive(Clone)]
pub struct NatsConfig {
    /// One or more servers, separated by commas: `nats://host:port`, or `tls://` to insist on TLS.
    /// `user:password@` or `token@` before the host are the credentials. Default `nats://127.0.0.1:4222`.
    pub url: String,
    /// Starts the name of every stream, bucket and subject, so that clusters can share a server;
    /// 1 to 32 of `A-Z a-z 0-9 _ -`. Default `swath`.
    pub prefix: String,
    /// Copies of each stream, for a cluster of NATS servers: 1, 3 or 5. Default 1.
    pub replicas: usize,
    /// A credentials file of JWT and seed, as `nsc` writes it.
    pub creds: Option<PathBuf>,
    /// PEM file of the certificate authority which signed the server's certificate; default: the system's.
    pub tls_ca: Option<PathBuf>,
    /// PEM file of this client's certificate; needs [`Self::tls_key`].
    pub tls_cert: Option<PathBuf>,
    /// PEM file of this client's key.
    pub tls_key: Option<PathBuf>,
    /// Speaks TLS from the first byte, for servers with `handshake_first`. Default no.
    pub tls_first: bool,
    /// How long a job's delivery is leased when it is not extended. Default 5 s.
    pub jobs_lease: Duration,
    /// How long a task's delivery is leased when it is not extended. Default 10 s.
    pub tasks_lease: Duration,
    /// How long ids of messages are remembered. Default 2 minutes.
    pub duplicate_window: Duration,
    /// How long records of logs, blobs and dead letters are kept; longer than the longest job, which is forgotten with its
    /// first record. Where it is given, the streams that there are are set to it, and the last who connects has the say;
    /// default: as they are, and 7 days when they are made.
    pub log_max_age: Option<Duration>,
    /// The most messages that a queue holds; more are refused with [`Error::Full`]. Default: no limit.
    pub queue_messages_max: Option<u64>,
    /// Shown in the server's list of connections. Default `swath`.
    pub name: String,
    /// How long the first connection may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a request is sent again, while the server is away, before it fails. Default 60 s.
    pub patience: Duration,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            prefix: "swath".to_owned(),
            replicas: 1,
            creds: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            tls_first: false,
            jobs_lease: JOBS_LEASE,
            tasks_lease: TASKS_LEASE,
            duplicate_window: DUPLICATE_WINDOW,
            log_max_age: None,
            queue_messages_max: None,
            name: "swath".to_owned(),
            connect_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(60),
        }
    }
}

/// Keeps credentials out of logs.
impl std::fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig")
            .field("url", &self.shown_url())
            .field("prefix", &self.prefix)
            .field("replicas", &self.replicas)
            .field("jobs_lease", &self.jobs_lease)
            .field("tasks_lease", &self.tasks_lease)
            .finish_non_exhaustive()
    }
}

impl NatsConfig {
    /// Makes the default configuration for the servers of `url`.
    #[must_use]
    pub fn for_url(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// Checks the fields, alone and against each other.
    ///
    /// # Errors
    /// [`Error::Unsuitable`], with both values and the way out.
    pub fn validate(&self) -> Result<(), Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.prefix.is_empty() || self.prefix.len() > 32 || !self.prefix.chars().all(allowed) {
            return self.refuse(format!(
                "prefix '{}' must be 1 to 32 of A-Z a-z 0-9 _ -",
                self.prefix
            ));
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            let replicas = self.replicas;
            return self.refuse(format!("replicas must be 1, 3 or 5, not {replicas}"));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return self.refuse("a client certificate and its key go together; give both".into());
        }
        let least = Duration::from_millis(100);
        for (name, value) in [
            ("jobs lease", self.jobs_lease),
            ("tasks lease", self.tasks_lease),
            ("duplicate window", self.duplicate_window),
        ] {
            if value < least {
                return self.refuse(format!("{name} {value:?} must be at least {least:?}"));
            }
        }
        if let Some(age) = self.log_max_age.filter(|age| *age < self.duplicate_window) {
            return self.refuse(format!(
                "log max age {age:?} must not be below the duplicate window {:?}",
                self.duplicate_window
            ));
        }
        Ok(())
    }

    fn refuse(&self, reason: String) -> Result<(), Error> {
        Err(Error::Unsuitable {
            url: self.shown_url(),
            reason,
        })
    }

    /// Returns the address without the credentials in it.
    pub(super) fn shown_url(&self) -> String {
        let shown = self.url.split(',').map(|url| {
            let (scheme, rest) = url
                .trim()
                .split_once("://")
                .unwrap_or_else(|| ("nats", url.trim()));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let config = NatsConfig::for_url("nats://me:secret@a:4222,tls://token@b");
        assert_eq!(config.shown_url(), "nats://a:4222,tls://b");
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn a_prefix_that_could_change_a_subject_is_refused() {
        for prefix in ["", "a.b", "a>", "a b", "*", &"x".repeat(33)] {
            let prefix = prefix.to_owned();
            let config = NatsConfig {
                prefix,
                ..NatsConfig::default()
            };
            assert!(config.validate().is_err(), "{config:?} was accepted");
        }
        assert!(NatsConfig::default().validate().is_ok());
    }
}
