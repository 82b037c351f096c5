//! What a TIFF can be blamed for.

use crate::io::source;

/// Says why a TIFF cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named in the messages")]
pub enum Error {
    /// The bytes behind it could not be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The file does not begin as a TIFF does.
    #[error("it is not a TIFF: its first bytes are neither 'II' nor 'MM' with 42 or 43")]
    NotATiff,
    /// A structure reaches behind the end of the file.
    #[error(
        "its {what} at byte {at} reaches behind the end of the file ({len} bytes): it is cut off or damaged"
    )]
    CutOff {
        what: &'static str,
        at: u64,
        len: u64,
    },
    /// The directories form a circle.
    #[error("its directory at byte {at} comes twice: the chain of directories loops")]
    Loop { at: u64 },
    /// There are more directories than any raster has.
    #[error(
        "it has more than {limit} images; take one out with 'gdal_translate GTIFF_DIR:1:FILE OUT.tif'"
    )]
    TooManyDirectories { limit: usize },
    /// A directory has an impossible number of entries.
    #[error("its directory at byte {at} claims {entries} tags")]
    DirectorySize { at: u64, entries: u64 },
    /// A tag that must be there is not.
    #[error("tag {tag} ({name}) is missing")]
    Missing { tag: u16, name: &'static str },
    /// A tag holds what it must not hold.
    #[error("tag {tag} ({name}) is wrong: {problem}")]
    Wrong {
        tag: u16,
        name: &'static str,
        problem: String,
    },
    /// The file is right, and uses what Swath does not read.
    #[error("{feature} cannot be read; {way_out}")]
    Unsupported { feature: String, way_out: String },
}

impl Error {
    /// Makes an [`Error::Unsupported`].
    pub(super) fn unsupported(feature: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::Unsupported {
            feature: feature.into(),
            way_out: way_out.into(),
        }
    }
}
