//! What a part tells of itself, besides its bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Error;
use super::geo::GeometryFacts;

/// What whoever assembles a file must know of a part; small, whatever the part's size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartFooter {
    /// Rows in the part.
    pub rows: u64,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// What is in each geometry column, in the order of the columns.
    pub(super) geometry: Vec<GeometryFacts>,
    /// Of Parquet: the footer of a file that is this part alone.
    #[serde(with = "serde_bytes")]
    pub(super) parquet: Vec<u8>,
}

impl PartFooter {
    /// Encodes it.
    ///
    /// # Errors
    /// Never, in practice: plain values are encoded into memory.
    pub fn to_bytes(&self) -> Result<Bytes, Error> {
        let bytes = rmp_serde::to_vec_named(self).map_err(|error| Error::Part {
            problem: error.to_string(),
        })?;
        Ok(bytes.into())
    }

    /// Decodes it.
    ///
    /// # Errors
    /// When the bytes are not those of a footer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        rmp_serde::from_slice(bytes).map_err(|error| Error::Part {
            problem: error.to_string(),
        })
    }
}
