//! What `cargo xtask chaos` says to arguments that it cannot run with, before it starts anything.

use std::process::Command;

#[test]
fn what_it_cannot_run_with_is_refused() {
    for (option, value, part) in [
        ("--workers", "2", "two left in peace"),
        ("--only", "earthquake", "worker-killed"),
        ("--bin", "/nowhere", "cargo build"),
    ] {
        let said = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["chaos", option, value])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success(), "{option} {value} went well");
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}
