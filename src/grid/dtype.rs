//! The sample types of a raster.

use serde::{Deserialize, Serialize};

/// Names the type of a sample, as rasterio spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Unsigned 8 bit.
    UInt8,
    /// Signed 8 bit.
    Int8,
    /// Unsigned 16 bit.
    UInt16,
    /// Signed 16 bit.
    Int16,
    /// Unsigned 32 bit.
    UInt32,
    /// Signed 32 bit.
    Int32,
    /// Unsigned 64 bit.
    UInt64,
    /// Signed 64 bit.
    Int64,
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
}

impl DataType {
    /// Every type, narrowest first.
    pub const ALL: [Self; 10] = [
        Self::UInt8,
        Self::Int8,
        Self::UInt16,
        Self::Int16,
        Self::UInt32,
        Self::Int32,
        Self::UInt64,
        Self::Int64,
        Self::Float32,
        Self::Float64,
    ];

    /// Returns the size of a sample in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::UInt8 | Self::Int8 => 1,
            Self::UInt16 | Self::Int16 => 2,
            Self::UInt32 | Self::Int32 | Self::Float32 => 4,
            Self::UInt64 | Self::Int64 | Self::Float64 => 8,
        }
    }

    /// Tells whether the type is a float.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    /// Returns the name as rasterio spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UInt8 => "uint8",
            Self::Int8 => "int8",
            Self::UInt16 => "uint16",
            Self::Int16 => "int16",
            Self::UInt32 => "uint32",
            Self::Int32 => "int32",
            Self::UInt64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Returns the smallest and largest finite value as doubles (rounded for 64-bit integers).
    #[must_use]
    pub fn range(self) -> (f64, f64) {
        match self {
            Self::UInt8 => (0.0, f64::from(u8::MAX)),
            Self::Int8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
            Self::UInt16 => (0.0, f64::from(u16::MAX)),
            Self::Int16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
            Self::UInt32 => (0.0, f64::from(u32::MAX)),
            Self::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            Self::UInt64 => (0.0, 18_446_744_073_709_551_615.0),
            Self::Int64 => (-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_807.0),
            Self::Float32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
            Self::Float64 => (f64::MIN, f64::MAX),
        }
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for DataType {
    type Err = UnknownDataType;
    fn from_str(name: &str) -> Result<Self, UnknownDataType> {
        let lower = name.to_ascii_lowercase();
        let name_of_gdal = |t: Self| match t {
            Self::UInt8 => "byte",
            other => other.name(),
        };
        Self::ALL
            .into_iter()
            .find(|t| t.name() == lower || name_of_gdal(*t) == lower)
            .ok_or_else(|| UnknownDataType {
                name: name.to_owned(),
            })
    }
}

/// Says that a name is not a sample type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is not a data type; use uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32 or float64"
)]
pub struct UnknownDataType {
    name: String,
}
