//! The folder of one life of a store, and the removal of those whose store died.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::Error;

const PREFIX: &str = "partitions-";
const LOCK: &str = "lock";

/// A folder that no other store uses; removed when dropped.
///
/// It holds a file that is locked as long as the store lives. The system takes the lock away when the process
/// dies, however it dies; that is how the next store tells a leftover.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn create(parent: &Path) -> Result<Self, Error> {
        fs::create_dir_all(parent).map_err(failed(parent))?;
        // Held while folders are made and removed, so that nobody removes one that is not locked yet.
        let (_gate, gated) = lock(&parent.join(LOCK))?;
        if gated {
            remove_leftovers(parent);
        }
        let name = format!("{PREFIX}{}", uuid::Uuid::now_v7().simple());
        let path = parent.join(name);
        fs::create_dir(&path).map_err(failed(&path))?;
        let (lock, _) = lock(&path.join(LOCK))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many bytes are free on its disk, for users without privileges.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            warn!(path = %self.path.display(), %error, "partition folder not removed");
        }
    }
}

/// Opens a file and locks it; says whether this file system has locks.
fn lock(path: &Path) -> Result<(File, bool), Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed(path))?;
    match file.lock() {
        Ok(()) => Ok((file, true)),
        // Some network file systems have none; then leftovers cannot be told, and stay.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            warn!(path = %path.display(), "no file locks here: leftovers of dead workers stay");
            Ok((file, false))
        }
        Err(error) => Err(failed(path)(error)),
    }
}

/// Removes the folders whose lock is free. What fails is left to the next start.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !ours || !is_dead(&path) {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => info!(path = %path.display(), "partitions of a dead worker removed"),
            Err(error) => warn!(path = %path.display(), %error, "leftover not removed"),
        }
    }
}

fn is_dead(folder: &Path) -> bool {
    match File::options().write(true).open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        // Made and never locked: its maker died between the two, for it held the gate.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Names the file that failed.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull {
            folder: path.parent().unwrap_or(path).to_owned(),
            source,
        },
        _ => Error::File {
            path: path.to_owned(),
            source,
        },
    }
}
