//! The jobs of a run: rasters, tables and a queue, over inputs that are made for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::cluster::Swath;
use super::random::Random;
use super::source::Source;

/// The queue that not every worker serves.
pub(super) const SIDE_QUEUE: &str = "side";
/// Work that changes nothing: the job must last until it has been disturbed.
const SLOW_NDVI: &str = "(N - R) / (N + R) + 0 * (sin(N) + cos(R) + exp(N / 10000) + sin(R) + cos(N) \
    + exp(R / 10000) + log(R + 1) + log(N + 1) + sin(N * R) + cos(N * R) + atan2(N, R) + atan2(R, N))";

/// How large the inputs are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Cells along each edge of the scene.
    pub(super) cells: u32,
    pub(super) rows: u64,
    /// Tasks of the queue.
    pub(super) tasks: u32,
}

/// A kind of job; a run has many jobs of each.
#[derive(Debug, Clone)]
pub(super) struct LoadKind {
    pub(super) name: &'static str,
    /// What follows `swath submit`, without the output.
    arguments: Vec<String>,
    /// Whether it reads from the run's [`Source`].
    pub(super) by_http: bool,
    /// The ending of the output's name; `None` where there is no output but what tasks return.
    pub(super) ending: Option<&'static str>,
}

impl LoadKind {
    /// Returns the arguments of `swath` that submit a job of this kind.
    pub(super) fn submit(&self, id: &str, output: Option<&Path>) -> Vec<String> {
        let mut all = vec!["submit".to_owned(), "--id".to_owned(), id.to_owned()];
        all.extend(self.arguments.iter().cloned());
        if let Some(output) = output {
            // A name that ends in / is a folder of parts.
            let slash = if self.ending == Some("/") { "/" } else { "" };
            all.extend(["-o".to_owned(), format!("{}{slash}", output.display())]);
        }
        all
    }

    /// Where a job of this kind writes.
    pub(super) fn output(&self, folder: &Path, id: &str) -> Option<PathBuf> {
        let ending = self.ending?.trim_end_matches('/');
        Some(folder.join(format!("{id}{ending}")))
    }
}

/// Makes the inputs in a folder.
pub(super) fn make(swath: &Swath, folder: &Path, sizes: Sizes) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let scene = folder.join("scene");
    let made = swath.start(&[
        "sample".to_owned(),
        scene.display().to_string(),
        "--size".to_owned(),
        sizes.cells.to_string(),
    ])?;
    let made = made.answer(std::time::Duration::from_secs(600))?;
    ensure!(made.code == Some(0), "swath sample: {}", made.stderr);
    write_tables(folder, sizes.rows)?;
    let queue: String = (0..sizes.tasks).map(|_| "{\"ms\":100}\n").collect();
    std::fs::write(folder.join("tasks.ndjson"), queue)?;
    Ok(())
}

/// Lists the jobs over the inputs in a folder, which a source serves too.
pub(super) fn kinds(folder: &Path, source: &Source) -> Vec<LoadKind> {
    let input = |name: &str| folder.join(name).display().to_string();
    let (red, nir, dem) = (
        input("scene/red.tif"),
        input("scene/nir.tif"),
        input("scene/dem.tif"),
    );
    let (table, keys) = (input("table.csv"), input("keys.csv"));
    // Without these two the plan follows from how many workers are up, and the order of rows with it.
    let cut = ["--partitions", "4", "--partition-size", "2MiB"];
    let kind = |name, ending, arguments: &[&str]| LoadKind {
        name,
        arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        by_http: arguments.iter().any(|text| text.contains("http://")),
        ending,
    };
    let table_kind =
        |name, ending, arguments: &[&str]| kind(name, ending, &[arguments, &cut[..]].concat());
    let tasks = input("tasks.ndjson");
    let queue = ["tasks", "--operation", "sleep", "--params", &tasks];
    let (n, r) = (format!("N={nir}"), format!("R={red}"));
    let zones = input("scene/zones.parquet");
    vec![
        kind(
            "ndvi",
            Some(".tif"),
            &["ndvi", "--red", &red, "--nir", &nir],
        ),
        kind(
            "calc",
            Some(".tif"),
            &["calc", "-i", &n, "-i", &r, "--calc", SLOW_NDVI],
        ),
        kind("hillshade", Some(".tif"), &["hillshade", &dem]),
        kind(
            "focal",
            Some(".tif"),
            &["focal", "median", &red, "--size", "5"],
        ),
        kind(
            "reproject",
            Some(".tif"),
            &[
                "reproject",
                &red,
                "--dst-crs",
                "EPSG:3857",
                "--resampling",
                "cubic",
            ],
        ),
        kind(
            "zonal",
            Some(".csv"),
            &[
                "zonal-stats",
                "-i",
                &red,
                "--zones",
                &zones,
                "--stats",
                "mean,median,count",
            ],
        ),
        table_kind(
            "group-by",
            Some(".csv"),
            &[
                "group-by",
                "--by",
                "key",
                "--agg",
                "count(*) as n, sum(value) as total",
                &table,
            ],
        ),
        table_kind(
            "sort",
            Some("/"),
            &["sort", "--by", "value desc, id", &table],
        ),
        table_kind(
            "join",
            Some(".parquet"),
            &[
                "join",
                "--left",
                &table,
                "--right",
                &keys,
                "--on",
                "key",
                "--broadcast-below",
                "1",
            ],
        ),
        kind(
            "ndvi-by-http",
            Some(".tif"),
            &[
                "ndvi",
                "--red",
                &source.url("scene/red.tif"),
                "--nir",
                &source.url("scene/nir.tif"),
            ],
        ),
        kind(
            "slope-by-http",
            Some(".tif"),
            &["slope", &source.url("scene/dem.tif")],
        ),
        table_kind(
            "sort-by-http",
            Some(".csv"),
            &["sort", "--by", "key, id", &source.url("table.csv")],
        ),
        kind("queue", None, &queue),
        kind(
            "side-queue",
            None,
            &[&queue[..], &["--queue", SIDE_QUEUE]].concat(),
        ),
    ]
}

/// A table of rows with keys, and one of the keys' names.
fn write_tables(folder: &Path, rows: u64) -> Result<()> {
    let keys = (rows / 10).max(1);
    let mut random = Random::new(1);
    let mut text = String::from("id,key,value,text\n");
    for id in 0..rows {
        let (key, value) = (random.between(1, keys), random.between(0, 1_000_000));
        writeln!(text, "{id},{key},{value},row {id} has {value} of {key}")?;
    }
    std::fs::write(folder.join("table.csv"), &text).context("cannot write table.csv")?;
    text.clear();
    text.push_str("key,name\n");
    for key in 1..=keys {
        writeln!(text, "{key},the key of number {key}")?;
    }
    std::fs::write(folder.join("keys.csv"), &text).context("cannot write keys.csv")
}

/// An output and the job that made it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) job: &'a str,
    pub(super) path: &'a Path,
}

impl Made<'_> {
    /// Reads a file of the output; the manifest of a folder names the job, which is taken out.
    fn read(&self, name: &str, file: &Path) -> Result<Vec<u8>> {
        let bytes = std::fs::read(file)?;
        if name != "_SUCCESS" {
            return Ok(bytes);
        }
        Ok(String::from_utf8(bytes)?
            .replace(self.job, "JOB")
            .into_bytes())
    }
}

/// Says how two outputs differ, files or folders of files; `None` when they are the same to the byte.
pub(super) fn difference(undisturbed: Made<'_>, disturbed: Made<'_>) -> Result<Option<String>> {
    let (expected, found) = (files(undisturbed.path)?, files(disturbed.path)?);
    let names = |files: &[(String, PathBuf)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    if names(&expected) != names(&found) {
        return Ok(Some(format!(
            "files {:?} instead of {:?}",
            names(&found),
            names(&expected)
        )));
    }
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        let (expected, found) = (
            undisturbed.read(name, expected)?,
            disturbed.read(name, found)?,
        );
        if expected != found {
            let at = expected
                .iter()
                .zip(&found)
                .take_while(|(a, b)| a == b)
                .count();
            return Ok(Some(format!(
                "file '{name}' has {} bytes instead of {}, the first other one at {at}",
                found.len(),
                expected.len()
            )));
        }
    }
    Ok(None)
}

/// Lists the files of a folder with their names in it, in order; a file alone has no name.
fn files(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            all.push((
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            ));
        }
        all.sort();
    } else {
        ensure!(path.is_file(), "{} is not there", path.display());
        all.push((String::new(), path.to_owned()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_byte_is_a_difference_and_so_is_a_missing_part() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for (dir, part, text) in [
            ("a", "0", "abc"),
            ("b", "0", "abc"),
            ("c", "0", "abd"),
            ("d", "1", "abc"),
        ] {
            std::fs::create_dir_all(path(dir))?;
            std::fs::write(path(dir).join(part), text)?;
        }
        let a_and = |name: &str| {
            let (a, other) = (path("a"), path(name));
            difference(
                Made { job: "1", path: &a },
                Made {
                    job: "2",
                    path: &other,
                },
            )
        };
        assert_eq!(a_and("b")?, None);
        assert!(a_and("c")?.is_some_and(|text| text.contains("at 2")));
        assert!(a_and("d")?.is_some_and(|text| text.contains("instead of")));
        assert!(a_and("nothing").is_err());
        std::fs::write(path("a").join("_SUCCESS"), "made by 1")?;
        std::fs::write(path("b").join("_SUCCESS"), "made by 2")?;
        assert_eq!(a_and("b")?, None);
        std::fs::write(path("b").join("_SUCCESS"), "made by 3")?;
        assert!(a_and("b")?.is_some());
        Ok(())
    }
}
