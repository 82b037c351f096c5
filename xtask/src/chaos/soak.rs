//! A time of jobs without faults, in which the processes are watched: what they take must not grow.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::faults::Field;
use super::journal::Journal;

/// How often the processes are looked at.
const PERIOD: Duration = Duration::from_secs(2);
/// The time is cut into so many parts. The first is for warming up: the last is compared with the second.
const PARTS: usize = 4;
/// How much more memory a worker may take in the last part than in the second, in percent of that.
const GROWTH_MAX: u64 = 10;

/// What one process took over the time.
#[derive(Debug)]
pub(super) struct Taken {
    name: String,
    /// Whether it must not grow. The logs of jobs are the broker's, which keeps them: it is only shown.
    judged: bool,
    samples: Vec<Sample>,
}

/// What a process has at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Resident, in KiB.
    resident: u64,
    /// Of it not pages of files, in KiB.
    own: u64,
    threads: u64,
    files: u64,
}

/// Lets jobs run for that time, closes the lanes, and returns when the last job has ended.
pub(super) fn run(field: Field<'_>, time: Duration, journal: &Journal) -> Result<Vec<Taken>> {
    let workers = field.cluster.nodes.iter();
    let workers = workers.filter_map(|node| Some((node.id.as_str(), node.process.as_ref()?)));
    let servers = field.cluster.servers.processes();
    let processes: Vec<(String, bool, u32)> = workers
        .map(|(name, process)| (name.to_owned(), true, process.id()))
        .chain(servers.map(|(name, process)| (name.to_owned(), false, process.id())))
        .collect();
    let mut taken: Vec<Taken> = processes
        .iter()
        .map(|(name, judged, _)| Taken {
            name: name.clone(),
            judged: *judged,
            samples: Vec::new(),
        })
        .collect();
    let began = Instant::now();
    let mut said = began;
    while began.elapsed() < time {
        journal.check_interrupt()?;
        for (taken, (name, _, id)) in taken.iter_mut().zip(&processes) {
            let sample = Sample::of(*id).with_context(|| format!("{name} has ended"))?;
            taken.samples.push(sample);
        }
        if said.elapsed() >= Duration::from_secs(60) {
            said = Instant::now();
            let now = |taken: &Taken| {
                let resident = taken.samples.last().map_or(0, |sample| sample.resident);
                format!("{} {} MiB", taken.name, resident / 1024)
            };
            let all: Vec<String> = taken.iter().map(now).collect();
            journal.say(&all.join(", "));
        }
        std::thread::sleep(PERIOD);
    }
    field.lanes.close();
    journal.wait(Duration::from_secs(600), || {
        Ok(field.lanes.under_way().is_empty())
    })?;
    Ok(taken)
}

/// Writes the table of what was taken; returns what was wrong.
pub(super) fn report(taken: &[Taken]) -> Vec<String> {
    println!(
        "\n{:<12} {:>34} {:>6} {:>8} {:>14} {:>12}",
        "MiB resident", "median of each quarter", "most", "own", "threads", "files"
    );
    let mut wrong = Vec::new();
    for process in taken {
        let medians = process.medians(|sample| sample.resident);
        let own = process.medians(|sample| sample.own);
        let threads = process.medians(|sample| sample.threads);
        let files = process.medians(|sample| sample.files);
        let list = |values: &[u64], unit: u64| -> String {
            let values: Vec<String> = values
                .iter()
                .map(|value| format!("{:>4}", value / unit))
                .collect();
            values.join(" ")
        };
        let most = process.samples.iter().map(|sample| sample.resident).max();
        println!(
            "{:<12} {:>34} {:>6} {:>8} {:>14} {:>12}",
            process.name,
            list(&medians, 1024),
            most.unwrap_or_default() / 1024,
            own.last().map_or(0, |own| own / 1024),
            list(&[first(&threads), last(&threads)], 1),
            list(&[first(&files), last(&files)], 1),
        );
        let (second, end) = (medians.get(1).copied().unwrap_or_default(), last(&medians));
        if process.judged && end * 100 > second * (100 + GROWTH_MAX) {
            wrong.push(format!(
                "{} grew from {} to {} MiB",
                process.name,
                second / 1024,
                end / 1024
            ));
        }
    }
    wrong
}

fn first(values: &[u64]) -> u64 {
    values.first().copied().unwrap_or_default()
}

fn last(values: &[u64]) -> u64 {
    values.last().copied().unwrap_or_default()
}

impl Taken {
    /// Returns the median of each part of the time.
    fn medians(&self, of: impl Fn(&Sample) -> u64) -> Vec<u64> {
        let part = self.samples.len().div_ceil(PARTS).max(1);
        let median = |samples: &[Sample]| {
            let mut values: Vec<u64> = samples.iter().map(&of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        self.samples.chunks(part).map(median).collect()
    }
}

impl Sample {
    fn of(id: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/proc/{id}"));
        let status = std::fs::read_to_string(folder.join("status"))?;
        let number = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            let word = word.with_context(|| format!("/proc tells no {name}"))?;
            Ok(word.parse()?)
        };
        let resident = number("VmRSS:")?;
        ensure!(resident > 0, "it has no memory");
        Ok(Self {
            resident,
            own: number("RssAnon:")?,
            threads: number("Threads:")?,
            files: u64::try_from(std::fs::read_dir(folder.join("fd"))?.count())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(resident: &[u64]) -> Taken {
        let sample = |resident: &u64| Sample {
            resident: *resident * 1024,
            own: 1,
            threads: 1,
            files: 1,
        };
        Taken {
            name: "w1".to_owned(),
            judged: true,
            samples: resident.iter().map(sample).collect(),
        }
    }

    #[test]
    fn a_process_that_grows_is_wrong_and_one_that_warms_up_is_not() {
        let flat = taken(&[10, 50, 100, 101, 99, 102, 100, 103, 110, 104, 103, 104]);
        assert_eq!(report(&[flat]), Vec::<String>::new());
        let grows = taken(&[10, 50, 100, 100, 100, 100, 105, 106, 107, 111, 112, 113]);
        assert_eq!(report(&[grows]), ["w1 grew from 100 to 112 MiB"]);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() -> Result<()> {
        let sample = Sample::of(std::process::id())?;
        assert!(sample.resident >= sample.own && sample.own > 0);
        assert!(sample.threads > 0 && sample.files > 2);
        Ok(())
    }
}
