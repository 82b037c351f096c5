//! The folder of one life of a store, and what becomes of those whose store died: the files of the same owner are taken
//! over, others are removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::Error;
use super::disk::{EXTENSION, path_of};
use crate::exchange::frame::u64_of;
use crate::ids::WorkerId;

const PREFIX: &str = "partitions-";
/// Ends the name of the owner in that of its folder; no name has it.
const OWNER_END: char = '.';
const LOCK: &str = "lock";
/// How long what a worker left is kept for its return, after its last file was begun.
const RETURN_MAX: Duration = Duration::from_secs(60 * 60);

/// A folder that no other store uses; removed when dropped.
///
/// It holds a file that is locked as long as the store lives. The system takes the lock away when the process
/// dies, however it dies; that is how the next store tells a leftover. Its name names its owner, if it has one.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes a folder below `parent`; returns the files of runs that dead stores of the same owner left, which lie in it now.
    pub(super) fn create(
        parent: &Path,
        owner: Option<&WorkerId>,
    ) -> Result<(Self, Vec<PathBuf>), Error> {
        fs::create_dir_all(parent).map_err(failed(parent))?;
        // Held while folders are made and removed, so that nobody removes one that is not locked yet.
        let (_gate, gated) = lock(&parent.join(LOCK))?;
        let left = if gated { leftovers(parent) } else { Vec::new() };
        let own = owner.map_or_else(String::new, |owner| format!("{owner}{OWNER_END}"));
        let path = parent.join(format!("{PREFIX}{own}{}", uuid::Uuid::now_v7().simple()));
        let folder = Self::make(path.clone()).or_else(|_| {
            // A full disk: what was left is worth less than a store.
            left.iter().for_each(|left| remove(left));
            Self::make(path)
        })?;
        let mut found = Vec::new();
        for left in left.iter().filter(|left| left.exists()) {
            folder.settle(left, owner, &mut found);
        }
        Ok((folder, found))
    }

    fn make(path: PathBuf) -> Result<Self, Error> {
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&path)(error));
            }
            _ => {}
        }
        let (lock, _) = lock(&path.join(LOCK))?;
        Ok(Self { path, _lock: lock })
    }

    /// Takes over what the dead store of a folder left, leaves it to its owner's return, or removes it. What fails is left
    /// to the next start.
    fn settle(&self, left: &Path, owner: Option<&WorkerId>, found: &mut Vec<PathBuf>) {
        let name = left.file_name().unwrap_or_default().to_string_lossy();
        match owner_of(&name) {
            Some(of) if owner.is_some_and(|owner| owner.as_str() == of) => {
                for file in files(left) {
                    let path = path_of(&self.path, u64_of(found.len()));
                    match fs::rename(&file, &path) {
                        Ok(()) => found.push(path),
                        Err(error) => {
                            warn!(path = %file.display(), %error, "partition file not taken over");
                        }
                    }
                }
            }
            Some(_) if is_recent(left) => return,
            _ => {}
        }
        remove(left);
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

fn remove(left: &Path) {
    match fs::remove_dir_all(left) {
        Ok(()) => info!(path = %left.display(), "folder of a dead worker removed"),
        Err(error) => warn!(path = %left.display(), %error, "leftover not removed"),
    }
}

/// Lists the folders whose lock is free.
fn leftovers(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path())
        .filter(|path| is_dead(path))
        .collect()
}

/// Lists the files of runs, in the order in which they were begun.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == EXTENSION));
    files.sort();
    files
}

/// Returns whose folder it is, as its name tells.
fn owner_of(name: &str) -> Option<&str> {
    let (owner, _) = name.strip_prefix(PREFIX)?.split_once(OWNER_END)?;
    Some(owner)
}

/// Tells whether the owner of a folder may come back for it.
fn is_recent(folder: &Path) -> bool {
    let changed = fs::metadata(folder).and_then(|folder| folder.modified());
    // A clock that was set back makes it recent for longer.
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < RETURN_MAX) || at > SystemTime::now())
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
