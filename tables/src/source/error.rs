//! Why a table cannot be read.

use datafusion::error::DataFusionError;

use crate::ports::BoxError;

/// Says why the files of a table cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file or folder.
    #[error("{path} does not exist")]
    NotFound {
        /// The path as given.
        path: String,
    },
    /// Nothing matches a pattern, or a folder is empty.
    #[error("no file matches {pattern}")]
    NoMatch {
        /// The pattern or folder.
        pattern: String,
    },
    /// A folder of a bucket without the manifest that its job writes last.
    #[error(
        "{path} has parts and no _SUCCESS: the job that writes it has not ended, or died while it did; wait, run that job again, or name the parts with a pattern ({path}/part-*) to read what is there"
    )]
    Unfinished {
        /// The folder.
        path: String,
    },
    /// A table without paths.
    #[error("the table has no paths; name a file, a folder or a pattern")]
    NoPaths,
    /// A pattern with a mistake.
    #[error("the pattern {pattern} cannot be read")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Where the mistake is.
        source: glob::PatternError,
    },
    /// A URL with a mistake.
    #[error("the URL {path} cannot be read")]
    Url {
        /// The URL.
        path: String,
        /// What is wrong with it.
        source: BoxError,
    },
    /// A kind of URL that we do not read.
    #[error(
        "{path}: {scheme}:// cannot be read; copy it to a disk, to S3, or give a signed https:// URL of it"
    )]
    Scheme {
        /// The URL.
        path: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// The name of a file does not tell its format.
    #[error(
        "the format of {path} is not known by its name; say --format parquet, csv, ndjson, geojson or arrow"
    )]
    UnknownFormat {
        /// The file.
        path: String,
    },
    /// Files of one table in different formats.
    #[error("{first} and {second} are of different formats; a table has files of one format")]
    MixedFormats {
        /// A file.
        first: String,
        /// A file of another format.
        second: String,
    },
    /// Files of one table in different places.
    #[error(
        "{first} and {second} are in different places; a table has all its files on one disk, host or bucket"
    )]
    MixedPlaces {
        /// A file.
        first: String,
        /// A file elsewhere.
        second: String,
    },
    /// A file of no bytes, which no format allows.
    #[error("{path} is empty")]
    Empty {
        /// The file.
        path: String,
    },
    /// A column that is of different types in different files.
    #[error("column {column} is {first_type} in {first} and {second_type} in {second}")]
    Types {
        /// The column.
        column: String,
        /// A file.
        first: String,
        /// Its type there.
        first_type: String,
        /// Another file.
        second: String,
        /// Its type there.
        second_type: String,
    },
    /// CSV files with different headers.
    #[error(
        "the headers of {first} and {second} differ; the CSV files of a table have the same columns in the same order"
    )]
    Headers {
        /// A file.
        first: String,
        /// A file with another header.
        second: String,
    },
    /// Folders of a hive-partitioned table that do not go by the same names.
    #[error(
        "the folders of {first} and {second} (name=value) have different names; every file of a table has the same ones"
    )]
    Hive {
        /// A file.
        first: String,
        /// A file below other names.
        second: String,
    },
    /// A name that two columns have.
    #[error("{path} has two columns {column}")]
    Duplicate {
        /// The file.
        path: String,
        /// The name.
        column: String,
    },
    /// A file that breaks the rules of its format.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// The file.
        path: String,
        /// The broken rule.
        problem: String,
    },
    /// A file that the decoder of its format refuses.
    #[error("{path} cannot be read")]
    Decode {
        /// The file.
        path: String,
        /// What the decoder says.
        source: BoxError,
    },
    /// A disk or server that does not give the bytes.
    #[error("{path} cannot be fetched")]
    Fetch {
        /// The file.
        path: String,
        /// What it says.
        source: Box<object_store::Error>,
    },
    /// DataFusion does not take the table.
    #[error("the table cannot be registered")]
    Register {
        /// What it says.
        source: Box<DataFusionError>,
    },
}

impl Error {
    /// Tells whether the same may succeed when it is tried again later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => !matches!(
                **source,
                object_store::Error::NotFound { .. }
                    | object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
                    | object_store::Error::NotSupported { .. }
                    | object_store::Error::NotImplemented { .. }
            ),
            Self::NotFound { .. }
            | Self::NoMatch { .. }
            | Self::Unfinished { .. }
            | Self::NoPaths
            | Self::Pattern { .. }
            | Self::Url { .. }
            | Self::Scheme { .. }
            | Self::UnknownFormat { .. }
            | Self::MixedFormats { .. }
            | Self::MixedPlaces { .. }
            | Self::Empty { .. }
            | Self::Types { .. }
            | Self::Headers { .. }
            | Self::Hive { .. }
            | Self::Duplicate { .. }
            | Self::Damaged { .. }
            | Self::Decode { .. }
            | Self::Register { .. } => false,
        }
    }
}
