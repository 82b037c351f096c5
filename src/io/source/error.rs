//! What can go wrong with bytes, and what should be done about it.

use std::time::Duration;

use crate::job::FailureClass;

/// Says why bytes of a file or URL could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named in the messages")]
pub enum Error {
    /// There is no such file or URL.
    #[error("'{path}' does not exist")]
    NotFound { path: String },
    /// The file or URL may not be read.
    #[error("'{path}' may not be read: permission denied")]
    Denied { path: String },
    /// The path is a directory, a pipe or a device.
    #[error("'{path}' is not a regular file")]
    NotAFile { path: String },
    /// The URL's scheme is none of ours.
    #[error(
        "'{path}' cannot be opened: scheme '{scheme}' is not known; use a path, http://, https:// or s3:// (gs:// buckets answer as s3:// with AWS_ENDPOINT_URL=https://storage.googleapis.com and an HMAC key; of az:// give an https:// URL with a SAS token)"
    )]
    Scheme { path: String, scheme: String },
    /// The text after `s3://` is no object, or the environment's settings are wrong.
    #[error("'{path}' cannot be asked for: {problem}")]
    Bucket { path: String, problem: String },
    /// The disk failed.
    #[error("'{path}' could not be read")]
    Io {
        path: String,
        source: std::io::Error,
    },
    /// The runtime was shut down while it read.
    #[error("reading '{path}' was interrupted")]
    Interrupted {
        path: String,
        source: tokio::task::JoinError,
    },
    /// The file is not the one that was opened.
    #[error("'{path}' changed while it was read; run the job again when it is complete")]
    Changed { path: String },
    /// More was asked for than there is.
    #[error("bytes {start} to {end} of '{path}' do not exist: it has {len}")]
    OutOfRange {
        path: String,
        start: u64,
        end: u64,
        len: u64,
    },
    /// The settings for HTTP contradict each other.
    #[error("the HTTP policy cannot be followed: {problem}")]
    Policy { problem: String },
    /// No HTTP client could be made.
    #[error("no HTTP client could be made")]
    Client { source: reqwest::Error },
    /// TLS cannot be set up.
    #[error("TLS could not be set up")]
    Tls { source: rustls::Error },
    /// The text after `http://` is not a URL.
    #[error("'{path}' is not a URL that can be asked for")]
    Url {
        path: String,
        source: reqwest::Error,
    },
    /// The server could not be reached, or the connection broke, at every try.
    #[error("'{path}' could not be fetched in {tries} tries")]
    Request {
        path: String,
        tries: u32,
        source: reqwest::Error,
    },
    /// The server answered with an error, at every try.
    #[error("the server of '{path}' answered {status}")]
    Status {
        path: String,
        status: u16,
        after: Option<Duration>,
    },
    /// The server sends whole files only.
    #[error(
        "the server of '{path}' does not serve ranges of it; download the file, or use a server that answers Range requests with 206"
    )]
    RangeIgnored { path: String },
    /// The server answered another range than asked for, or none that can be understood.
    #[error("the server of '{path}' answered range '{got}' where '{asked}' was asked for")]
    WrongRange {
        path: String,
        asked: String,
        got: String,
    },
    /// The server sent fewer or more bytes than it said, at every try.
    #[error("the server of '{path}' sent {got} bytes where {wanted} were asked for")]
    WrongLength { path: String, got: u64, wanted: u64 },
}

impl Error {
    /// Says what should be done. No `_` arm: a new variant must say it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Io { .. }
            | Self::Interrupted { .. }
            | Self::Request { .. }
            | Self::WrongLength { .. } => FailureClass::Retry { after_ms: None },
            Self::Status { status, after, .. } if is_transient(*status) => FailureClass::Retry {
                after_ms: after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::NotAFile { .. }
            | Self::Scheme { .. }
            | Self::Bucket { .. }
            | Self::Changed { .. }
            | Self::OutOfRange { .. }
            | Self::Policy { .. }
            | Self::Client { .. }
            | Self::Tls { .. }
            | Self::Url { .. }
            | Self::Status { .. }
            | Self::RangeIgnored { .. }
            | Self::WrongRange { .. } => FailureClass::Fatal,
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "source-not-found",
            Self::Denied { .. } => "source-denied",
            Self::NotAFile { .. } => "source-not-a-file",
            Self::Scheme { .. } | Self::Url { .. } | Self::Bucket { .. } => "source-bad-address",
            Self::Io { .. } | Self::Interrupted { .. } => "source-io",
            Self::Changed { .. } => "source-changed",
            Self::OutOfRange { .. } => "source-too-short",
            Self::Policy { .. } | Self::Client { .. } | Self::Tls { .. } => "http-setup",
            Self::Request { .. } => "http-unreachable",
            Self::Status { .. } => "http-status",
            Self::RangeIgnored { .. } | Self::WrongRange { .. } => "http-no-ranges",
            Self::WrongLength { .. } => "http-truncated",
        }
    }
}

/// Tells whether a status may pass with time.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}
