//! A cluster of real processes under a mixed load, with faults drawn from a seed; afterwards nothing may be lost, doubled or
//! left behind.
//!
//! Read first: [`plan`] (what the seed says), [`faults`] (how that is done to the [`cluster`]), [`lanes`] (jobs of [`load`],
//! each seen through to its end and compared with its undisturbed run), [`checks`] (what must hold at the end). [`isolation`]
//! is why nothing of a run stays. A [`mod@soak`] is the same without faults, for what the processes take.

mod checks;
mod clocks;
mod cluster;
mod faults;
mod isolation;
mod journal;
mod lanes;
mod load;
mod network;
mod plan;
mod process;
mod random;
mod servers;
mod soak;
mod source;
mod storm;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use cluster::{Cluster, Swath};
use faults::Field;
use journal::Journal;
use lanes::Lanes;
use network::{HUB, Network};
use plan::{FaultKind, FaultPlan, Need};
use source::Source;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long faults fire; the undisturbed jobs before and the checks after come on top
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Go on until so many faults have fired, whatever the minutes
    #[arg(long)]
    faults: Option<usize>,
    /// Only faults of these kinds
    #[arg(long, value_delimiter = ',')]
    only: Vec<FaultKind>,
    #[command(flatten)]
    setting: Setting,
}

#[derive(Debug, Args)]
pub(crate) struct SoakOptions {
    /// How long jobs run; the undisturbed ones before and the checks after come on top
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    #[command(flatten)]
    setting: Setting,
}

/// The cluster and its load.
#[derive(Debug, Args)]
struct Setting {
    /// The seed: the same faults in the same order, and the same jobs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of swath and swath-worker [default: those of the target folder, release before debug]
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Workers of one slot; two are left in peace at any time
    #[arg(long, default_value_t = 4, value_parser = at_least_three)]
    workers: usize,
    /// Servers of NATS: 1, or 3 that keep three copies of every stream
    #[arg(long, default_value_t = 1, value_parser = one_or_three)]
    nats: usize,
    /// Jobs at once
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Cells along each edge of the scene
    #[arg(long, default_value_t = 5000)]
    cells: u32,
    /// Rows of the table
    #[arg(long, default_value_t = 400_000)]
    rows: u64,
    /// Tasks of the queue
    #[arg(long, default_value_t = 50)]
    tasks: u32,
    /// Where the run's folder is made [default: the system's temporary folder]; it stays when something was wrong
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Exit code of a run that somebody interrupted.
const INTERRUPTED: u8 = 130;

/// Runs jobs under faults.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let until = match options.faults {
        Some(count) => storm::Until::Fired(count),
        None => storm::Until::Passed(minutes(options.minutes)?),
    };
    let clocks = clocks::library();
    let settable = clocks.is_some();
    on_cluster(&options.setting, clocks, |run| {
        let isolated = run.cluster.network.is_some();
        let slows = run.cluster.network.is_some_and(Network::can_slow);
        let has = |need| match need {
            Need::Clocks => settable,
            Need::SlowLines => slows,
        };
        let kinds = kinds(&options.only, isolated, has, options.setting.nats);
        let plan = FaultPlan::new(options.setting.seed, &kinds);
        run.with_jobs(|field, journal| storm::run(field, &plan, until, journal))
            .map(|faults| storm::report(&faults))
    })
}

/// Runs jobs in peace and watches what the processes take.
pub(crate) fn soak(options: &SoakOptions) -> Result<ExitCode> {
    let time = minutes(options.minutes)?;
    on_cluster(&options.setting, None, |run| {
        run.with_jobs(|field, journal| soak::run(field, time, journal))
            .map(|taken| soak::report(&taken))
    })
}

/// Starts a cluster, runs something on it, and sees what is left; nothing of it stays but logs where something was wrong.
fn on_cluster(
    setting: &Setting,
    clocks: Option<PathBuf>,
    work: impl FnOnce(&mut Run<'_>) -> Result<Vec<String>>,
) -> Result<ExitCode> {
    let binaries = binaries(setting.bin.as_deref())?;
    let isolated = isolation::enter()?;
    let journal = Journal::start()?;
    let folder = tempfile::Builder::new()
        .prefix("swath-chaos-")
        .tempdir_in(setting.folder.clone().unwrap_or_else(std::env::temp_dir))?;
    let with = (isolated, clocks);
    let went = Run::start(setting, &journal, &binaries, folder.path(), with)
        .and_then(|mut run| run.whole(work));
    if journal.is_interrupted() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if matches!(went, Ok(true)) {
        return Ok(ExitCode::SUCCESS);
    }
    // Logs, stores and outputs are what shows the reason.
    println!(
        "logs, stores and outputs lie in {}",
        folder.keep().display()
    );
    went.map(|_| ExitCode::FAILURE)
}

/// A cluster, its load, and a voice.
struct Run<'a> {
    journal: &'a Journal,
    cluster: Cluster,
    source: Source,
    lanes: Lanes,
    jobs: usize,
}

impl<'a> Run<'a> {
    fn start(
        setting: &Setting,
        journal: &'a Journal,
        binaries: &Path,
        folder: &Path,
        (isolated, clocks): (bool, Option<PathBuf>),
    ) -> Result<Self> {
        println!("binaries: {}; seed {}", binaries.display(), setting.seed);
        let sizes = load::Sizes {
            cells: setting.cells,
            rows: setting.rows,
            tasks: setting.tasks,
        };
        let inputs = folder.join("inputs");
        load::make(&Swath::new(binaries, "", 1), &inputs, sizes)?;
        let network = isolated
            .then(|| Network::make(setting.workers))
            .transpose()?;
        let source = Source::start(&inputs, network.map_or(Ipv4Addr::LOCALHOST, |_| HUB))?;
        let counts = (setting.nats, setting.workers);
        let clocks = clocks.filter(|_| isolated);
        let cluster = Cluster::start(binaries, folder, counts, network, clocks)?;
        let load = load::kinds(&inputs, &source);
        let lanes = Lanes::new(&cluster.swath, load, setting.seed, folder)?;
        lanes.make_references(journal)?;
        Ok(Self {
            journal,
            cluster,
            source,
            lanes,
            jobs: setting.jobs,
        })
    }

    /// Does the work, then the checks; false when something was wrong.
    fn whole(&mut self, work: impl FnOnce(&mut Self) -> Result<Vec<String>>) -> Result<bool> {
        let wrong = work(self)?;
        let leftovers = checks::leftovers(&mut self.cluster, &self.lanes, self.journal)?;
        self.journal.check_interrupt()?;
        Ok(report(&self.lanes, wrong, &leftovers))
    }

    /// Does something while jobs run.
    fn with_jobs<T>(&mut self, work: impl FnOnce(Field<'_>, &Journal) -> Result<T>) -> Result<T> {
        let (lanes, journal) = (&self.lanes, self.journal);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| lanes.run(journal));
            }
            let done = work(Field::new(&mut self.cluster, lanes, &self.source), journal);
            // Also after an error.
            lanes.close();
            done
        })
    }
}

/// Returns the kinds of faults that are wanted and can be made here, and says which cannot.
fn kinds(
    only: &[FaultKind],
    isolated: bool,
    has: impl Fn(Need) -> bool,
    servers: usize,
) -> Vec<FaultKind> {
    let all = FaultKind::value_variants().iter().copied();
    let all = all.filter(|kind| servers > 1 || !kind.needs_servers());
    let wanted = all.filter(|kind| only.is_empty() || only.contains(kind));
    if !isolated {
        println!(
            "no namespaces here (they take unshare and ip, and root or namespaces for users): processes may stay if this one is killed"
        );
    }
    wanted
        .filter(|kind| {
            let missing = match kind.needs() {
                _ if !isolated && kind.needs_isolation() => Some("namespaces"),
                Some(need) if !has(need) => Some(need.what()),
                _ => None,
            };
            if let Some(missing) = missing {
                println!("LEFT OUT, for it needs {missing}: {}", kind.name());
            }
            missing.is_none()
        })
        .collect()
}

/// Writes what became of the jobs and what is left; true when all is well.
fn report(lanes: &Lanes, mut wrong: Vec<String>, leftovers: &[(&str, u64)]) -> bool {
    wrong.extend(lanes.violations());
    println!(
        "\n{:<22} {:>6} {:>10} {:>10} {:>7} {:>8} {:>8}",
        "jobs", "ended", "longest", "cancelled", "failed", "charged", "repeated"
    );
    for (kind, ended) in lanes.ended() {
        let longest = format!("{:.1} s", ended.longest.as_secs_f64());
        println!(
            "{kind:<22} {:>6} {longest:>10} {:>10} {:>7} {:>8} {:>8}",
            ended.jobs, ended.retries, ended.failures, ended.charged, ended.repeated
        );
    }
    println!(
        "failed: of a full disk or a bad source, and ended well after `swath retry`; charged: attempts, of these alone"
    );
    println!("repeated: runs of tasks beyond the first");
    println!("\n{:<37} {:>6}", "left", "count");
    for (what, count) in leftovers {
        println!("{what:<37} {count:>6}");
        if *count > 0 {
            wrong.push(format!("{count} {what} are left"));
        }
    }
    println!();
    for text in &wrong {
        println!("WRONG  {text}");
    }
    if wrong.is_empty() {
        println!("every job ended with the bytes of its undisturbed run, nothing is left");
    }
    wrong.is_empty()
}

fn minutes(minutes: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(minutes * 60.0).context("so many minutes cannot be")
}

fn at_least_three(text: &str) -> Result<usize> {
    let workers = text.parse()?;
    ensure!(
        workers >= 3,
        "one can be disturbed and two left in peace with at least 3"
    );
    Ok(workers)
}

fn one_or_three(text: &str) -> Result<usize> {
    let servers = text.parse()?;
    ensure!(
        matches!(servers, 1 | 3),
        "1, or 3: NATS keeps 1, 3 or 5 copies"
    );
    Ok(servers)
}

fn binaries(given: Option<&Path>) -> Result<PathBuf> {
    let folders = match given {
        Some(folder) => vec![folder.to_owned()],
        None => {
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
                || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
                PathBuf::from,
            );
            vec![target.join("release"), target.join("debug")]
        }
    };
    let complete = |folder: &&PathBuf| {
        ["swath", "swath-worker"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    let Some(found) = folders.iter().find(complete) else {
        bail!(
            "no swath and swath-worker in {folders:?}: run `cargo build --workspace --bins`, or give --bin DIR"
        );
    };
    found.canonicalize().context("cannot find the binaries")
}
