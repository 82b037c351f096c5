//! Makes a finished file appear under its name, once: on a disk, or as an object of a bucket of S3.
//!
//! [`staged`] is the file while it is written, [`folder`] a folder of files; `publish` gives it its name by one step that
//! either happens or does not; `object` does so in a bucket, `prefix` for a folder there; `behind` lets the disk begin early; [`check_output`] refuses early
//! what could not be committed later.

mod behind;
pub mod folder;
mod object;
mod prefix;
mod publish;
pub mod staged;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use behind::WriteBehind;
pub use staged::{Staged, sweep};

use crate::io::source;
use crate::job::FailureClass;
use crate::spec::Output;

/// Says why a file does not appear under its name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is such a file, with other bytes.
    #[error("'{}' exists; give another name, or --overwrite to replace it", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The path names a folder.
    #[error("'{}' is a folder; name a file in it", path.display())]
    IsFolder {
        /// The output.
        path: PathBuf,
    },
    /// The path of a folder names a file.
    #[error("'{}' is a file and the output a folder of parts; give another name", path.display())]
    IsFile {
        /// The output.
        path: PathBuf,
    },
    /// The path has no file name.
    #[error("'{}' does not name a file", path.display())]
    NoFileName {
        /// The output.
        path: PathBuf,
    },
    /// The folder of the output does not exist.
    #[error("the folder '{}' does not exist; make it first", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Nothing can be written into the folder of the output.
    #[error("nothing can be written into the folder '{}'", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The URL of an output has a scheme that cannot be written.
    #[error(
        "'{}' cannot be written: outputs are paths or s3:// URLs, not {scheme}:// (gs:// buckets answer as s3:// with AWS_ENDPOINT_URL=https://storage.googleapis.com and an HMAC key)", path.display()
    )]
    Scheme {
        /// The output.
        path: PathBuf,
        /// Its scheme.
        scheme: String,
    },
    /// A server did not do its part.
    #[error("'{}' could not be uploaded", path.display())]
    Remote {
        /// The output.
        path: PathBuf,
        /// What happened.
        source: source::Error,
    },
    /// The temporary file is gone before it was committed.
    #[error("the temporary file '{}' was removed before '{}' was committed", temporary.display(), path.display())]
    StagedLost {
        /// The temporary file.
        temporary: PathBuf,
        /// The output.
        path: PathBuf,
    },
    /// The system refused a step.
    #[error("'{}' could not be {step}", path.display())]
    Step {
        /// What should have been done, such as `created`.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Says what should be done.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Exists { .. }
            | Self::IsFolder { .. }
            | Self::IsFile { .. }
            | Self::NoFileName { .. }
            | Self::Scheme { .. }
            | Self::NoFolder { .. } => FailureClass::Fatal,
            // A full disk, say, may be mended.
            Self::NotWritable { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::NotFound => FailureClass::Fatal,
                _ => FailureClass::Retry { after_ms: None },
            },
            Self::Remote { source, .. } => source.class(),
            Self::StagedLost { .. } | Self::Step { .. } => FailureClass::Retry { after_ms: None },
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "output-exists",
            Self::IsFolder { .. } => "output-is-folder",
            Self::IsFile { .. } => "output-is-file",
            Self::NoFileName { .. } => "output-without-name",
            Self::NoFolder { .. } => "output-folder-missing",
            Self::NotWritable { .. } => "output-not-writable",
            Self::Scheme { .. } => "output-scheme",
            Self::Remote { source, .. } => source.code(),
            Self::StagedLost { .. } => "staged-file-lost",
            Self::Step { .. } => "output-write",
        }
    }
}

/// Refuses, before any work, an output that could not be committed.
///
/// # Errors
/// See [`check_file`] and [`folder::check_folder`].
pub fn check_output(output: &Output) -> Result<(), Error> {
    match output {
        Output::Raster(raster) => check_file(Path::new(&raster.path), raster.overwrite),
        Output::Table(table) => {
            let path = Path::new(&table.path);
            match table.layout() {
                (_, true) => folder::check_folder(path, table.overwrite),
                (_, false) => check_file(path, table.overwrite),
            }
        }
    }
}

/// Refuses, before any work, an output in a bucket that exists and may not be replaced. It asks the server; an output on a disk
/// passes.
///
/// # Errors
/// When the object exists, or objects below the folder do, or the server cannot be asked.
pub async fn check_remote(output: &Output) -> Result<(), Error> {
    let (path, overwrite) = (Path::new(output.path()), output.overwrite());
    match (output, object::url_of(path)) {
        (Output::Table(table), Some(("s3", url))) if table.layout().1 => {
            prefix::check(url, overwrite).await
        }
        _ => object::check_object(path, overwrite).await,
    }
}

/// Refuses, before any work, a file that could not be committed.
///
/// # Errors
/// When the output exists and may not be replaced, is a folder, or its folder is missing or not writable.
pub fn check_file(path: &Path, overwrite: bool) -> Result<(), Error> {
    // Of an object, only its server knows more.
    if let Some((scheme, _)) = object::url_of(path) {
        return object::check_scheme(scheme, path);
    }
    let folder = staged::folder_of(path)?;
    check_around(&folder)?;
    let path = path.to_owned();
    // A link that leads nowhere exists too.
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => return Err(Error::IsFolder { path }),
        Ok(_) if !overwrite => return Err(Error::Exists { path }),
        Ok(_) | Err(_) => {}
    }
    check_writable(folder)
}

/// Checks that the folder around an output is there.
fn check_around(folder: &Path) -> Result<(), Error> {
    let folder = folder.to_owned();
    match std::fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::NoFolder { folder }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Error::NoFolder { folder })
        }
        Err(source) => Err(Error::NotWritable { folder, source }),
    }
}

fn check_writable(folder: PathBuf) -> Result<(), Error> {
    match tempfile::tempfile_in(&folder) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::NotWritable { folder, source }),
    }
}

#[cfg(test)]
mod tests;
