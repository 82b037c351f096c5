//! What can go wrong with a raster, and what should be done about it.

use crate::grid::Window;
use crate::io::raster::{codec, tiff};
use crate::io::source;
use crate::job::FailureClass;

/// Says why a raster could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named in the messages")]
pub enum Error {
    /// The bytes could not be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The header cannot be understood, or holds what Swath does not read.
    #[error("'{path}' cannot be read as a raster")]
    Header { path: String, source: tiff::Error },
    /// The band does not exist.
    #[error("'{path}' has no band {band}: its bands are 1 to {bands}")]
    NoSuchBand { path: String, band: u16, bands: u16 },
    /// The window is empty or reaches over the edge.
    #[error(
        "window {window} of '{path}' is empty or reaches over its {width} columns and {height} rows"
    )]
    WindowOutside {
        path: String,
        window: Window,
        width: u32,
        height: u32,
    },
    /// The window takes more memory than a task may have.
    #[error(
        "window {window} of '{path}' takes {bytes} bytes, more than the limit of {limit}; read it in smaller windows"
    )]
    WindowTooLarge {
        path: String,
        window: Window,
        bytes: u64,
        limit: u64,
    },
    /// A chunk lies behind the end of the file.
    #[error(
        "tile or strip {index} of '{path}' begins at byte {offset}, behind the end of the file ({len} bytes): it is cut off or damaged"
    )]
    ChunkOutside {
        path: String,
        index: u64,
        offset: u64,
        len: u64,
    },
    /// A chunk cannot be decompressed.
    #[error("tile or strip {index} of '{path}' cannot be decoded")]
    Chunk {
        path: String,
        index: u64,
        source: codec::Error,
    },
}

impl Error {
    /// Says what should be done. No `_` arm: a new variant must say it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Source(source)
            | Self::Header {
                source: tiff::Error::Source(source),
                ..
            } => source.class(),
            Self::Header { .. }
            | Self::NoSuchBand { .. }
            | Self::WindowOutside { .. }
            | Self::WindowTooLarge { .. }
            | Self::ChunkOutside { .. }
            | Self::Chunk { .. } => FailureClass::Fatal,
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(source)
            | Self::Header {
                source: tiff::Error::Source(source),
                ..
            } => source.code(),
            Self::Header {
                source: tiff::Error::Unsupported { .. },
                ..
            } => "raster-unsupported",
            Self::Header { .. } => "raster-damaged-header",
            Self::NoSuchBand { .. } => "raster-no-such-band",
            Self::WindowOutside { .. } => "raster-window-outside",
            Self::WindowTooLarge { .. } => "raster-window-too-large",
            Self::ChunkOutside { .. } | Self::Chunk { .. } => "raster-damaged-chunk",
        }
    }
}
