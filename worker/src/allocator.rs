//! How glibc's allocator is set up, so that memory that was freed is memory that others may use.
//!
//! Left alone, glibc raises the size from which an allocation is a mapping of its own, up to 32 MiB, each time such a one
//! is freed; what is smaller lives in arenas, one for each thread that meets another, and each keeps up to twice that size
//! at its end. Tasks free much at once, on many threads: a worker of 256 MiB kept 50 MiB that nothing used (a group-by of
//! `scripts/memory_trial.sh`: 193 MiB of its own as it comes, 140 with these settings).
//!
//! glibc is told by its environment only, before a program begins. So the worker begins once more.

use std::ffi::OsString;

/// The variable that glibc reads. A value that somebody set holds.
const VARIABLE: &str = "GLIBC_TUNABLES";
/// From 1 MiB on an allocation is a mapping of its own, and goes back when it is freed; an arena keeps 4 MiB at its end.
const TUNABLES: &str = "glibc.malloc.mmap_threshold=1048576:glibc.malloc.trim_threshold=4194304";

/// Replaces the process by the same program with the settings, unless it has some; returns when that is not needed, or
/// cannot be done.
pub(crate) fn settle() {
    if cfg!(all(target_os = "linux", target_env = "gnu")) && std::env::var_os(VARIABLE).is_none() {
        begin_again();
    }
}

#[cfg(unix)]
fn begin_again() {
    use std::os::unix::process::CommandExt;

    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .unwrap_or_else(|| OsString::from("swath-worker"));
    // It returns only when it failed: then the worker runs as it is.
    let _ = std::process::Command::new(program)
        .arg0(name)
        .args(arguments)
        .env(VARIABLE, TUNABLES)
        .exec();
}

#[cfg(not(unix))]
fn begin_again() {}
