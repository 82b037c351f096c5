//! Gives a finished file its name.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use super::Error;

/// Bytes compared at a time.
const COMPARE_BYTES: usize = 1 << 20;

/// Gives a finished file, open as `file`, the name of the output.
pub(super) fn publish(
    file: &mut File,
    temporary: &Path,
    output: &Path,
    overwrite: bool,
) -> Result<(), Error> {
    let path = output.to_owned();
    if output.is_dir() {
        return Err(Error::IsFolder { path });
    }
    let done = if overwrite {
        std::fs::rename(temporary, output)
    } else {
        put_if_absent(temporary, output)
    };
    let Err(source) = done else {
        return Ok(());
    };
    // Another execution of the job may have committed, and swept our name away, while we still hold the bytes.
    match source.kind() {
        ErrorKind::AlreadyExists if same_bytes(file, output) => Ok(()),
        ErrorKind::AlreadyExists => Err(Error::Exists { path }),
        ErrorKind::NotFound if same_bytes(file, output) => Ok(()),
        ErrorKind::NotFound => Err(Error::StagedLost {
            temporary: temporary.to_owned(),
            path,
        }),
        _ => Err(Error::Step {
            step: "committed",
            path,
            source,
        }),
    }
}

/// Gives the file its name if nothing has it, in one step of the file system.
///
/// A hard link does that nearly everywhere. Where there are none (FAT, some network and user-space file
/// systems), a rename that refuses to replace does; where there is not even that, a look and then a rename: there another
/// *job* that commits the same name in between is replaced.
fn put_if_absent(temporary: &Path, output: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(temporary, output) {
        Ok(()) => {
            // Dropping the staged file tries again; the output is there in either case.
            let _ = std::fs::remove_file(temporary);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
            Err(error)
        }
        Err(_) => rename_if_absent(temporary, output),
    }
}

/// Renames, unless something has the name; where the system cannot do that in one step, a look and then a rename.
pub(super) fn rename_if_absent(temporary: &Path, output: &Path) -> std::io::Result<()> {
    match rename_without_replacing(temporary, output) {
        Err(error) if is_unsupported(&error) => {
            if std::fs::symlink_metadata(output).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(temporary, output)
        }
        done => done,
    }
}

fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported | ErrorKind::InvalidInput
    )
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_without_replacing(from: &Path, to: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(Into::into)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_without_replacing(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Tells whether a file and the one under a name hold the same bytes; what cannot be read does not.
fn same_bytes(file: &mut File, path: &Path) -> bool {
    let compare = || -> std::io::Result<bool> {
        let other = File::open(path)?;
        if file.metadata()?.len() != other.metadata()?.len() {
            return Ok(false);
        }
        file.rewind()?;
        let mut other = BufReader::with_capacity(COMPARE_BYTES, other);
        let (mut ours, mut theirs) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
        loop {
            let count = file.read(&mut ours)?;
            let (ours, theirs) = (ours.get(..count), theirs.get_mut(..count));
            let (Some(ours), Some(theirs)) = (ours, theirs) else {
                return Ok(false);
            };
            other.read_exact(theirs)?;
            if ours != theirs {
                return Ok(false);
            }
            if count == 0 {
                return Ok(true);
            }
        }
    };
    let mut compare = compare;
    compare().unwrap_or(false)
}

/// Puts the folder's new entry on disk. A file system that cannot do that for folders does it with the file.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced
        .or_else(|error| {
            if is_unsupported(&error) {
                Ok(())
            } else {
                Err(error)
            }
        })
        .map_err(|source| Error::Step {
            step: "written to disk",
            path: folder.to_owned(),
            source,
        })
}

/// Folders cannot be opened here; the system writes their entries by itself.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_hard_links_still_refuses_to_replace() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        let error = rename_if_absent(&from, &to).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&to).unwrap(), b"old");
        std::fs::remove_file(&to).unwrap();
        rename_if_absent(&from, &to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
    }
}
