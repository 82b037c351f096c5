//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use swath::ids::{JobId, LetterId, WorkerId};
use swath::time::Timestamp;
use swath::units::{parse_bytes, parse_duration};

use crate::job::JobArguments;

/// The longest that a job may be put off.
const DELAY_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Geospatial processing on NATS: rasters and task queues across any number of machines.
#[derive(Debug, Parser)]
#[command(name = "swath", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// URL of the NATS server, such as nats://localhost:4222 [env: SWATH_NATS or NATS_URL]
    #[arg(long, global = true)]
    pub(crate) nats: Option<String>,
    /// File with NATS credentials
    #[arg(long, global = true)]
    pub(crate) creds: Option<PathBuf>,
    /// Certificate authority of the NATS server (PEM)
    #[arg(long, global = true)]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificate of this client (PEM)
    #[arg(long, global = true, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of this client (PEM)
    #[arg(long, global = true, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Names the cluster's streams, so that clusters can share a server
    #[arg(long, global = true, default_value = "swath")]
    pub(crate) prefix: String,
    /// Copies of each stream and bucket on a NATS cluster
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) replicas: usize,
    /// Write JSON for machines: one document, or one line an event while watching
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show more of what happens; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Show nothing but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Write logs as JSON
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    /// Colour progress: auto, always or never
    #[arg(long, global = true, default_value = "auto")]
    pub(crate) color: ColorWhen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job here, in one process, and wait until its output is committed; with --nats, on that cluster
    Run(RunArguments),
    /// Enqueue a job on NATS and print its id
    Submit(SubmitArguments),
    /// Print the plan of a job: stages, tasks, partitions, estimated bytes; run nothing
    Explain(ExplainArguments),
    /// List the jobs
    Jobs,
    /// Show where a job stands
    Status {
        /// The job
        job: JobId,
        /// Follow it until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Print where the output is; of a queue what its tasks returned, one JSON object a line
    Results {
        /// The job
        job: JobId,
        /// Fetch a table from the workers into this file, or folder of parts, whose name says the format; write what a
        /// queue's tasks returned to it
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Replace an existing file or folder
        #[arg(long, requires = "output")]
        overwrite: bool,
    },
    /// Cancel a job
    Cancel {
        /// The job
        job: JobId,
    },
    /// Run again what did not succeed of a job that failed or was cancelled
    Retry {
        /// The job
        job: JobId,
        /// Follow it until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Replay a job's log and check that it keeps the invariants of the job machine; of many thousands of tasks that takes long
    Audit {
        /// The job
        job: JobId,
    },
    /// Remove a job that has ended from the broker
    Forget {
        /// The job
        job: JobId,
    },
    /// List the live workers
    Workers,
    /// Ask a worker to finish what runs and leave
    Drain {
        /// The worker
        worker: WorkerId,
        /// Wait until it has left
        #[arg(long)]
        wait: bool,
    },
    /// Look at tasks that could never be done
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Look at the broker, the workers and the jobs, say what is wrong and what to do; change nothing
    Doctor {
        /// Where a NATS server monitors itself, such as http://host:8222; once for each server [default: port 8222 of the server's host]
        #[arg(long)]
        monitor: Vec<String>,
    },
    /// List every operation, or show one with its parameters
    Operations {
        /// An operation, or a spectral index
        name: Option<String>,
    },
    /// Generate a scene (bands, elevation, zones) to try things on
    Sample {
        /// Folder for the files; made when it is not there
        dir: PathBuf,
        /// Cells along each edge
        #[arg(long, default_value_t = 2048)]
        size: u32,
        /// Seed of the landscape: the same seed gives the same files
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Replace existing files
        #[arg(long)]
        overwrite: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List the dead letters: tasks that used up their attempts by panics or timeouts, killed their workers, or cannot be read
    List,
    /// Show one, with its tries and its message
    Show {
        /// The letter
        letter: LetterId,
    },
    /// Run the tasks again, and all else of their jobs that did not succeed; the jobs must have ended
    Replay {
        #[command(flatten)]
        letters: Letters,
    },
    /// Remove letters for good; their jobs can still be retried
    Purge {
        #[command(flatten)]
        letters: Letters,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Letters {
    /// The letters
    pub(crate) letters: Vec<LetterId>,
    /// All that there are
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Workers in this process
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: u32,
    /// Memory of each worker, such as 4GiB [default: three quarters of the cgroup's or machine's, shared by all]
    #[arg(long, global = true, value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,
    /// Tasks that each worker runs at once [default: one a core]
    #[arg(long, global = true)]
    pub(crate) slots: Option<u32>,
    #[command(flatten)]
    pub(crate) job: JobArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArguments {
    /// Follow the job until it ends
    #[arg(long, global = true)]
    pub(crate) watch: bool,
    /// Id of the job; submitting the same job again under it is the same job
    #[arg(long, global = true)]
    pub(crate) id: Option<JobId>,
    /// Begin after so long, such as 10m
    #[arg(long, global = true, value_parser = parse_delay)]
    pub(crate) delay: Option<Duration>,
    /// Begin at a moment, such as 2026-12-01T06:00:00Z
    #[arg(long, global = true, value_parser = parse_moment, conflicts_with = "delay")]
    pub(crate) at: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) job: JobArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) job: JobArguments,
}

/// Reads how long a job waits; what is farther away than anyone waits is a slip.
fn parse_delay(text: &str) -> Result<Duration, String> {
    match parse_duration(text).map_err(|error| error.to_string())? {
        delay if delay > DELAY_MAX => Err("must be ten years (3650d) at most".to_owned()),
        delay => Ok(delay),
    }
}

fn parse_moment(text: &str) -> Result<Timestamp, String> {
    let moment = humantime::parse_rfc3339_weak(text)
        .map_err(|error| format!("{error}; give it as 2026-12-01T06:00:00Z"))?;
    Ok(Timestamp::from_system(moment))
}
