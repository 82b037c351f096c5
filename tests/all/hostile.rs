//! Damaged and malicious TIFFs: an error or pixels, without panic, within 512 MiB and 10 s each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use swath::grid::Window;
use swath::io::raster::read::{Error, RasterFile};
use swath::io::source::Sources;

use crate::shared::shared_data;

const MEMORY_MAX_KIB: u64 = 512 << 10;
const TIME_MAX: Duration = Duration::from_secs(10);
const CHILD_FILE: &str = "SWATH_HOSTILE_FILE";

/// Reads a file as tasks would: whole when small, else windows at its corners and in its middle.
async fn read_as_tasks_do(path: &str) -> Result<(), Error> {
    let file = RasterFile::open(&Sources::new()?, path).await?;
    let profile = &file.facts().profile;
    let bands: Vec<u16> = (1..=profile.bands.min(8)).collect();
    let (width, height) = (profile.width, profile.height);
    let cell_bytes = bands.len() as u64 * profile.dtype.bytes() as u64;
    let whole = Window::whole(width, height);
    if whole.cells().saturating_mul(cell_bytes) <= 64 << 20 {
        file.fetch(&bands, whole).await?.decode()?;
        return Ok(());
    }
    let (cols, rows) = (width.min(1024), height.min(1024));
    for (col, row) in [
        (0, 0),
        ((width - cols) / 2, (height - rows) / 2),
        (width - cols, height - rows),
    ] {
        let window = Window {
            col,
            row,
            cols,
            rows,
        };
        file.fetch(&bands, window).await?.decode()?;
    }
    Ok(())
}

/// Runs in a process of its own, started by `hostile_tiffs_give_errors_in_bounded_time_and_memory`.
#[test]
#[ignore = "reads the one file that its parent names; the parent test runs it"]
fn child_reads_one_file() {
    let path = std::env::var(CHILD_FILE).expect("the parent names a file");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let verdict = match runtime.block_on(read_as_tasks_do(&path)) {
        Ok(()) => "decoded".to_owned(),
        Err(error) => {
            let text = swath::job::failure::chain(&error);
            assert!(
                text.len() < 2000,
                "an error message of {} bytes",
                text.len()
            );
            format!("{}: {text}", error.code())
        }
    };
    println!(
        "VERDICT {} {}",
        peak_memory_kib(),
        verdict.replace('\n', " ")
    );
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads a file in a child process; returns its peak memory in KiB, its time and its verdict.
fn read_in_child(path: &Path) -> (u64, Duration, String) {
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "hostile::child_reads_one_file",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > TIME_MAX {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{} takes more than {TIME_MAX:?}", path.display());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}: {stdout}{}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let at = stdout.find("VERDICT ").expect("the child gives a verdict");
    let line = stdout[at..].lines().next().unwrap();
    let mut words = line.splitn(3, ' ').skip(1);
    let memory = words.next().unwrap().parse().unwrap();
    (memory, start.elapsed(), words.next().unwrap().to_owned())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn hostile_tiffs_give_errors_in_bounded_time_and_memory() {
    let Some(root) = shared_data() else { return };
    let files = files_below(&root.join("hostile/tiff"));
    assert!(files.len() >= 100, "only {} hostile files", files.len());
    let unpacked = tempfile::tempdir().unwrap();
    for packed in files {
        let path = unpack(&packed, unpacked.path());
        let (memory, time, verdict) = read_in_child(&path);
        let name = packed.strip_prefix(&root).unwrap().display();
        println!(
            "| {name} | {memory} KiB | {} ms | {verdict} |",
            time.as_millis()
        );
        assert!(memory < MEMORY_MAX_KIB, "{name} takes {memory} KiB");
    }
}

/// Unpacks a file whose name ends in `.gz`; returns others as they are.
fn unpack(path: &Path, into: &Path) -> PathBuf {
    if path.extension().is_none_or(|e| e != "gz") {
        return path.to_owned();
    }
    let plain = into.join(path.file_stem().unwrap());
    let mut reader = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    std::io::copy(&mut reader, &mut std::fs::File::create(&plain).unwrap()).unwrap();
    plain
}

/// Damages good files in many places: whatever comes of it, no panic.
#[tokio::test]
async fn a_damaged_file_never_panics() {
    let Some(root) = shared_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.tif");
    let path = path.to_str().unwrap();
    let mut rng = StdRng::seed_from_u64(20_261_123);
    let (mut refused, mut decoded) = (0, 0);
    let files = ["zoo", "zoo_multi"].map(|f| files_below(&root.join(f)));
    for file in files.iter().flatten() {
        let good = std::fs::read(file).unwrap();
        if good.len() > 50_000 || good.is_empty() {
            continue;
        }
        for _ in 0..12 {
            let mut bad = good.clone();
            for _ in 0..rng.random_range(1..=6) {
                // Headers sit at either end.
                let at = match rng.random_range(0..3) {
                    0 => rng.random_range(0..bad.len().min(400)),
                    1 => bad.len() - 1 - rng.random_range(0..bad.len().min(400)),
                    _ => rng.random_range(0..bad.len()),
                };
                bad[at] = rng.random();
            }
            if rng.random_ratio(1, 5) {
                bad.truncate(rng.random_range(0..bad.len()));
            }
            std::fs::write(path, &bad).unwrap();
            match read_as_tasks_do(path).await {
                Ok(()) => decoded += 1,
                Err(_) => refused += 1,
            }
        }
    }
    println!("damaged files: {refused} refused, {decoded} decoded");
    assert!(
        refused > 100 && decoded > 100,
        "{refused} refused, {decoded} decoded"
    );
}
