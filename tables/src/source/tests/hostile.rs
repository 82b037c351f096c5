//! Damaged and malicious files: an error or rows, without panic, within 512 MiB and 10 s each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

const MEMORY_MAX_KIB: u64 = 512 << 10;
const TIME_MAX: Duration = Duration::from_secs(10);
const CHILD_FILES: &str = "SWATH_HOSTILE_FILES";

/// Runs in a process of its own, started by `hostile_files_give_errors_in_bounded_time_and_memory`.
#[test]
#[ignore = "reads the files that its parent names; the parent test runs it"]
fn child_reads_files() {
    let files = std::env::var(CHILD_FILES).expect("the parent names files");
    std::panic::set_hook(Box::new(|_| {}));
    for path in files.split('\n') {
        let format = if path.contains("/parquet") {
            Format::Parquet
        } else {
            Format::Arrow
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let start = Instant::now();
        let paths = [path.to_owned()];
        // A task's runner catches panics of the decoders that DataFusion drives; here it is this one.
        let read = || {
            runtime.block_on(async {
                let sources = SourceContext::new();
                read(&paths, Some(format), "SELECT * FROM t", 2, &sources).await
            })
        };
        let verdict = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
            Ok(Ok(read)) => format!("read {} rows", read.rows()),
            Ok(Err(error)) => {
                assert!(
                    error.0.len() < 3000,
                    "an error message of {} bytes",
                    error.0.len()
                );
                format!("refused: {}", error.0)
            }
            Err(panic) => format!(
                "caught: {}",
                super::super::guard::panic_text(panic.as_ref())
            ),
        };
        let verdict = verdict.replace('\n', " ");
        let (memory, ms) = (peak_memory_kib(), start.elapsed().as_millis());
        println!("VERDICT\t{path}\t{memory}\t{ms}\t{verdict}");
    }
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads files in a child process with 4 GiB of address space; returns its verdicts.
fn read_in_child(files: &[PathBuf]) -> Vec<String> {
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let exe = std::env::current_exe().unwrap();
    let run = "ulimit -v 4194304; exec \"$0\" \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", run])
        .arg(exe)
        .args([
            "source::tests::hostile::child_reads_files",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_FILES, names.join("\n"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(stdout)
            .lines()
            .map_while(std::result::Result::ok)
        {
            if let Some(at) = line.find("VERDICT\t") {
                let _ = send.send(line[at..].to_owned());
            }
        }
    });
    let mut verdicts = Vec::new();
    for name in &names {
        match receive.recv_timeout(TIME_MAX) {
            Ok(verdict) => verdicts.push(verdict),
            Err(error) => {
                let _ = child.kill();
                let output = child.wait_with_output().unwrap();
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                panic!("{name}: {error} ({:?}) {stderr}", output.status);
            }
        }
    }
    assert!(child.wait().unwrap().success());
    verdicts
}

#[test]
fn hostile_files_give_errors_in_bounded_time_and_memory() {
    let Some(root) = shared_data() else { return };
    let (mut refused, mut caught, mut read) = (0, 0, 0);
    for folder in [
        "parquet",
        "parquet_encoding",
        "arrow_ipc_file",
        "arrow_ipc_stream",
        "arrow_ipc_tensor",
    ] {
        let files = files_of(&root.join("hostile").join(folder));
        assert!(!files.is_empty());
        for verdict in read_in_child(&files) {
            println!("{verdict}");
            let words: Vec<&str> = verdict.split('\t').collect();
            let memory: u64 = words[2].parse().unwrap();
            assert!(memory < MEMORY_MAX_KIB, "{verdict}");
            match words[4].split([' ', ':']).next().unwrap() {
                "refused" => refused += 1,
                "caught" => caught += 1,
                _ => read += 1,
            }
        }
    }
    println!("{refused} refused, {caught} caught, {read} read");
    assert!(
        refused + caught > 90,
        "{refused} refused, {caught} caught, {read} read"
    );
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
