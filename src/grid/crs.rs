//! A coordinate reference system, as a GeoTIFF states it.

use serde::{Deserialize, Serialize};

/// A coordinate reference system as the GeoKeys of a GeoTIFF, kept to the last bit.
///
/// Here it is copied from input to output and compared; the room `crs` says what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Crs {
    /// The EPSG code, where the keys name one.
    pub epsg: Option<u32>,
    /// Tag 34735, the key directory.
    pub key_directory: Vec<u16>,
    /// Tag 34736, parameters that are doubles.
    pub double_params: Vec<f64>,
    /// Tag 34737, parameters that are text (WKT strings of Esri among them).
    pub ascii_params: String,
}

impl Crs {
    /// Tells whether nothing is known of the CRS.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.epsg.is_none() && self.key_directory.is_empty()
    }

    /// Tells whether both are the same CRS: by EPSG code where both have one, else by all keys.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self.epsg, other.epsg) {
            (Some(a), Some(b)) => a == b,
            _ => {
                self.key_directory == other.key_directory
                    && self.double_params == other.double_params
                    && self.ascii_params == other.ascii_params
            }
        }
    }
}

impl std::fmt::Display for Crs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.epsg {
            Some(code) => write!(f, "EPSG:{code}"),
            None if self.is_unknown() => f.write_str("unknown CRS"),
            None => write!(
                f,
                "CRS '{}'",
                self.ascii_params.trim_end_matches(['|', '\0'])
            ),
        }
    }
}
