use std::io::Write;
use std::time::Duration;

use super::staged::sweep_older;
use super::*;
use crate::ids::{ExecutionId, JobId};

fn job(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

fn staged(output: &Path, job_name: &str, execution: u64, bytes: &str) -> Staged {
    let mut staged = Staged::create(output, &job(job_name), ExecutionId(execution)).unwrap();
    staged.file().write_all(bytes.as_bytes()).unwrap();
    staged
}

/// Lists what is in a folder, hidden files too.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_under_its_name_when_committed_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.tif");
    let staged = staged(&output, "a", 0xbeef, "pixels");
    assert_eq!(
        names(folder.path()),
        [".out.tif.swath-a-000000000000beef.tmp"]
    );
    staged.commit(false).unwrap();
    assert_eq!(names(folder.path()), ["out.tif"]);
    assert_eq!(std::fs::read(&output).unwrap(), b"pixels");
}

#[test]
fn a_file_that_is_not_committed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(staged(&folder.path().join("out.tif"), "a", 1, "pixels"));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_existing_file_is_replaced_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.tif");
    std::fs::write(&output, "other!").unwrap();
    let error = staged(&output, "a", 1, "pixels").commit(false).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert!(error.to_string().contains("--overwrite"), "{error}");
    assert_eq!(error.class(), FailureClass::Fatal);
    assert_eq!(std::fs::read(&output).unwrap(), b"other!");
    staged(&output, "a", 2, "pixels").commit(true).unwrap();
    assert_eq!(std::fs::read(&output).unwrap(), b"pixels");
    assert_eq!(names(folder.path()), ["out.tif"]);
}

#[test]
fn a_second_execution_with_the_same_bytes_has_succeeded() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.tif");
    let second = staged(&output, "a", 2, "pixels");
    staged(&output, "a", 1, "pixels").commit(false).unwrap();
    assert_eq!(names(folder.path()), ["out.tif"], "leftovers are swept");
    // Its temporary name is gone, its bytes are not.
    second.commit(false).unwrap();
    staged(&output, "a", 3, "pixels").commit(false).unwrap();
    assert_eq!(names(folder.path()), ["out.tif"]);
}

#[test]
fn an_execution_whose_file_was_taken_away_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.tif");
    let lost = staged(&output, "a", 1, "pixels");
    sweep(&output, &job("a"));
    let error = lost.commit(true).unwrap_err();
    assert!(matches!(error, Error::StagedLost { .. }), "{error}");
    assert_eq!(error.class(), FailureClass::Retry { after_ms: None });
    assert!(names(folder.path()).is_empty());
}

#[test]
fn only_leftovers_of_the_same_job_and_output_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.tif");
    let swept = ".out.tif.swath-a-0123456789abcdef.tmp";
    let kept = [
        ".other.tif.swath-a-0123456789abcdef.tmp",
        ".out.tif.swath-a-0123456789abcdef-0123456789abcdef.tmp",
        ".out.tif.swath-a-b-0123456789abcdef.tmp",
        ".out.tif.swath-a-mine.tmp",
        "out.tif.swath-a-0123456789abcdef.tmp",
    ];
    for name in kept.iter().chain([&swept]) {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    sweep(&output, &job("a"));
    assert_eq!(names(folder.path()), kept);
}

#[test]
fn what_forgotten_jobs_left_in_the_folder_long_ago_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.tif");
    let left = [
        ".other.tif.swath-b-0123456789abcdef.tmp",
        ".out.tif.swath-a-b-0123456789abcdef.tmp",
    ];
    let kept = [
        ".mine.tmp",
        ".other.tif.swath-b-0123456789abcde.tmp",
        ".other.tif.swath-b-0123456789abcdef",
        ".swath-b-0123456789abcdef.tmp",
        "other.tif.swath-b-0123456789abcdef.tmp",
    ];
    for name in kept.iter().chain(&left) {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    sweep(&output, &job("a"));
    assert_eq!(names(folder.path()).len(), 7, "none is a week old");
    sweep_older(&output, &job("a"), Duration::ZERO);
    assert_eq!(names(folder.path()), kept);
}

#[test]
fn an_output_that_could_not_be_committed_is_refused_early() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &Path, overwrite, code| {
        let error = check_file(path, overwrite).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    let output = folder.path().join("out.tif");
    check_file(&output, false).unwrap();
    std::fs::write(&output, "").unwrap();
    check(&output, false, "output-exists");
    check_file(&output, true).unwrap();
    check(folder.path(), true, "output-is-folder");
    check(
        &folder.path().join("none/out.tif"),
        true,
        "output-folder-missing",
    );
    check(&output.join("out.tif"), true, "output-folder-missing");
    check(Path::new(".."), true, "output-without-name");
    check(Path::new("/"), true, "output-without-name");
    assert!(
        names(folder.path()) == ["out.tif"],
        "the probe leaves nothing"
    );
}
