//! What `cargo xtask chaos` says to arguments that it cannot run with, before it starts anything.

use std::process::Command;

fn refused(arguments: &[&str], part: &str) {
    let said = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("chaos")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success(), "{arguments:?} went well");
    assert!(text.contains(part), "'{part}' is not in: {text}");
}

#[test]
fn what_it_cannot_run_with_is_refused() {
    refused(&["--workers", "2"], "two left in peace");
    refused(&["--only", "earthquake"], "worker-killed");
    refused(&["--bin", "/nowhere"], "cargo build");
}
