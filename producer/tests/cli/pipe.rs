//! Output that nobody reads.

use std::path::Path;
use std::process::{Output, Stdio};

use super::{NDVI, command, sample};

/// Runs a command whose standard output has no reader; asserts that it ends well.
fn unread(dir: &Path, words: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(dir, words);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {shown}");
    assert!(!shown.contains("panicked"), "{words:?}: {shown}");
    output
}

#[test]
fn a_command_ends_quietly_when_its_reader_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        "operations",
        "operations --json",
        "operations EVI",
        "completions bash",
        "--help",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(unread(dir.path(), &words).stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn a_job_is_done_though_nobody_reads_how_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    unread(dir.path(), &[&NDVI[..], &["--json"]].concat());
    assert!(dir.path().join("out.tif").exists());
    // Nor what went wrong.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(dir.path(), &NDVI).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
