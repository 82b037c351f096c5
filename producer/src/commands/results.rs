//! `swath results`: what a job committed, or what its tasks returned.

use std::io::Write;
use std::path::Path;

use swath::ids::JobId;
use swath::io::commit::check_file;
use swath::spec::Output;
#[cfg(feature = "tables")]
use swath::{
    ids::WorkerRef,
    spec::TableOutput,
    tables::fetch::{self, FetchError},
};

use crate::arguments::Global;
use crate::failure::CliError;
#[cfg(feature = "tables")]
use crate::output::note;
use crate::output::{self, say};

pub(crate) async fn results(
    job: &JobId,
    file: Option<&Path>,
    overwrite: bool,
    global: &Global,
) -> Result<(), CliError> {
    let client = global.connect().await?;
    match (client.output(job).await?, file) {
        (Some(committed), None) => {
            show(&committed, global);
            Ok(())
        }
        (Some(Output::Raster(committed)), Some(_)) => Err(CliError::asked(
            "output",
            format!(
                "job {job} committed a raster as {}; copy it from there",
                committed.path
            ),
        )),
        (Some(Output::Table(_)), Some(file)) => {
            fetch_table(&client, job, (file, overwrite), global).await
        }
        (None, file) => {
            if let Some(file) = file {
                check_file(file, overwrite)
                    .map_err(|error| CliError::arguments(error.code(), &error))?;
            }
            write_returned(&client.results(job).await?, file)
        }
    }
}

/// Prints where an output is.
fn show(committed: &Output, global: &Global) {
    if global.json {
        output::json(committed);
    } else {
        say!("{}", committed.path());
    }
}

/// Writes what the tasks of a queue returned.
fn write_returned(
    results: &[(u32, impl AsRef<[u8]>)],
    file: Option<&Path>,
) -> Result<(), CliError> {
    let mut lines = results.iter().map(|(task, result)| {
        let result = String::from_utf8_lossy(result.as_ref());
        format!("{{\"task\":{task},\"result\":{result}}}")
    });
    let Some(path) = file else {
        lines.for_each(|line| say!("{line}"));
        return Ok(());
    };
    let mut write = || {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        lines.try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    };
    write().map_err(|error: std::io::Error| {
        let path = path.display();
        CliError::asked("output", format!("cannot write {path}: {error}"))
    })
}

#[cfg(not(feature = "tables"))]
async fn fetch_table(
    _: &swath::Client,
    _: &JobId,
    _: (&Path, bool),
    _: &Global,
) -> Result<(), CliError> {
    let message = "this swath was built without tables; build it with the feature 'tables'";
    Err(CliError::asked("no-tables", message.to_owned()))
}

/// Copies a table from the workers; any of them serves any table, so the first that can is asked.
#[cfg(feature = "tables")]
async fn fetch_table(
    client: &swath::Client,
    job: &JobId,
    (file, overwrite): (&Path, bool),
    global: &Global,
) -> Result<(), CliError> {
    let output = TableOutput {
        overwrite,
        ..TableOutput::new(file.to_string_lossy())
    };
    let workers = client.workers().await?;
    let serving = workers.iter().filter(|worker| !worker.flight.is_empty());
    let mut met = None;
    for worker in serving {
        let from = WorkerRef {
            id: worker.id.clone(),
            incarnation: worker.incarnation,
            flight: worker.flight.clone(),
        };
        match fetch::fetch(&from, job, &output).await {
            Ok(fetched) => {
                if !global.quiet {
                    note!("{} rows of job {job} in {}", fetched.rows, file.display());
                }
                return Ok(());
            }
            Err(error @ FetchError::Fetch { .. }) => met = Some(error),
            Err(error) => return Err(CliError::arguments("output", &error)),
        }
    }
    Err(met.map_or_else(
        || {
            let message = format!("no worker is up to fetch the table of job {job} from; start one with `swath-worker`");
            CliError::asked("no-workers", message)
        },
        |error| CliError::failed("fetch", &error),
    ))
}
