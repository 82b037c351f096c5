//! Versioned bytes of everything that crosses a process: MessagePack behind one version byte.
//!
//! A reader that meets a version it does not know says so with [`Error::Version`] and leaves the message to
//! others; it never guesses.

#[cfg(test)]
mod examples;
pub mod message;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use message::{
    InputStage, JobMessage, LogEntry, Running, StoreDisk, StoredRun, TaskMessage, TaskMessageId,
    WorkerState,
};

/// The version that this build writes; it reads this one and every earlier one.
pub const WIRE_VERSION: u8 = 1;

/// Says why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is not even a version.
    #[error("an empty message")]
    Empty,
    /// Another, later version of Swath wrote it.
    #[error("a message of version {found}; this build reads up to {WIRE_VERSION}: update it")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The bytes do not decode.
    #[error("a message that does not decode as {what}")]
    Decode {
        /// The type wanted.
        what: &'static str,
        /// Where it went wrong.
        source: rmp_serde::decode::Error,
    },
    /// The value does not encode.
    #[error("a {what} that does not encode")]
    Encode {
        /// The type.
        what: &'static str,
        /// What went wrong.
        source: rmp_serde::encode::Error,
    },
}

/// Encodes a value behind the version byte.
///
/// # Errors
/// When the value has a form that MessagePack cannot hold.
pub fn encode<T: Serialize>(value: &T) -> Result<bytes::Bytes, Error> {
    let mut out = vec![WIRE_VERSION];
    rmp_serde::encode::write_named(&mut out, value).map_err(|source| Error::Encode {
        what: std::any::type_name::<T>(),
        source,
    })?;
    Ok(out.into())
}

/// Decodes a value from behind the version byte.
///
/// # Errors
/// When the version is unknown, or the bytes are not such a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (version, body) = bytes.split_first().ok_or(Error::Empty)?;
    if *version == 0 || *version > WIRE_VERSION {
        return Err(Error::Version { found: *version });
    }
    rmp_serde::from_slice(body).map_err(|source| Error::Decode {
        what: std::any::type_name::<T>(),
        source,
    })
}
