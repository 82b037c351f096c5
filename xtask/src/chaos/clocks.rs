//! Wall clocks of workers that can be set: libfaketime, where it is installed. Monotonic clocks go on, as those of a machine do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::isolation;

/// Where Debian puts the libraries of an architecture.
const LIBRARIES: &str = "/usr/lib";
const LIBFAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// Returns where the library is, if it is there.
pub(super) fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir(LIBRARIES).ok()?;
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join(LIBFAKETIME)))
        .find(|path| path.is_file())
}

/// Has a program take its wall clock from the machine's and a file that [`set`] writes.
pub(super) fn attach(command: &mut Command, library: &Path, file: &Path) {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_CACHE_DURATION", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// Gives the library a place of this run's own for what it shares: of a program that is killed that would stay.
pub(super) fn make_place() -> Result<()> {
    isolation::run("mount", &["-t", "tmpfs", "faketime", "/dev/shm"])
}

/// Sets a clock so many seconds ahead of the machine's.
pub(super) fn set(file: &Path, ahead_s: i64) -> Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{ahead_s:+}s\n"))
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
