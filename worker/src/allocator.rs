//! Sets glibc's allocator up for a process whose resident memory is limited.
//!
//! glibc makes an arena for every few threads, and keeps in each what was freed there; and once a large block has
//! been freed it stops giving large blocks back to the system. For a worker, whose threads hand megabytes to each
//! other, that is memory of nobody: compare `GLIBC_TUNABLES= scripts/memory_trial.sh`. Its settings are read only when
//! a process starts, so the worker starts itself once more with them, under the same process id.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where glibc finds its settings, and since long before that, one of them.
const TUNABLES: &str = "GLIBC_TUNABLES";
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Blocks of 128 KiB and more come from the system and go back to it; two arenas for all else.
const SETTINGS: &str = "glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=1048576";

/// Starts this program anew with the settings, unless somebody chose others; returns when that is not possible.
pub(crate) fn set_up() {
    let chosen = [TUNABLES, ARENAS]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if chosen || !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .unwrap_or_else(|| OsString::from("swath-worker"));
    // It comes back only when it failed; then the worker runs as it is.
    let error = Command::new(program)
        .arg0(name)
        .args(arguments)
        .env(TUNABLES, SETTINGS)
        .exec();
    eprintln!("swath-worker: the allocator cannot be set up: {error}");
}
