//! Where the shared data is.

use std::path::{Path, PathBuf};

/// Returns the folder of shared data, or says plainly that what needs it is left out.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let named = std::env::var_os("SWATH_TEST_DATA").map(PathBuf::from);
    // Beside the workspace, whichever of its crates asks.
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("shared/data"));
    let candidates: Vec<PathBuf> = match named {
        Some(named) => vec![named],
        None => beside.collect(),
    };
    let found = candidates
        .iter()
        .find(|root| root.join("expected/tiff.json").is_file());
    if found.is_none() {
        eprintln!("LEFT OUT: no shared data in {candidates:?}; set SWATH_TEST_DATA");
    }
    found.cloned()
}
