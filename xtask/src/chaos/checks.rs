//! What must hold when all jobs have ended: nothing is left anywhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::cluster::Cluster;
use super::journal::Journal;
use super::lanes::Lanes;
use super::servers::{get, streams};

/// How long workers may take to hear of the end of jobs, and to remove what they kept for them.
const LEFTOVERS_MAX: Duration = Duration::from_secs(60);
/// How long a worker without work may take to leave.
const LEAVE_MAX: Duration = Duration::from_secs(20);

/// Stops the workers and returns how many things of each kind are left.
pub(super) fn leftovers(
    cluster: &mut Cluster,
    lanes: &Lanes,
    journal: &Journal,
) -> Result<Vec<(&'static str, u64)>> {
    let stores: Vec<PathBuf> = cluster
        .nodes
        .iter()
        .map(|node| node.store.clone())
        .collect();
    let monitors = cluster.servers.monitors();
    let swath = cluster.swath.clone();
    let of_jobs_that_ended = || {
        let stored = swath
            .workers()?
            .iter()
            .map(|worker| worker.stored_bytes)
            .sum();
        let kept = stores
            .iter()
            .map(|store| files(store))
            .sum::<Result<u64>>()?;
        let streams = Streams::of(&monitors)?;
        Ok(vec![
            ("bytes of partitions", stored),
            ("files in stores", kept),
            ("jobs queued", streams.messages("SWATH_JOBS")?),
            ("tasks queued", streams.messages("SWATH_TASKS")?),
            (
                "deliveries leased",
                streams.leased(&["SWATH_JOBS", "SWATH_TASKS"])?,
            ),
            ("dead letters", streams.messages("SWATH_DEAD")?),
        ])
    };
    let of_jobs_that_are_forgotten = || {
        let streams = Streams::of(&monitors)?;
        Ok(vec![
            ("events in logs", streams.messages("SWATH_LOG")?),
            ("blobs", streams.messages("SWATH_BLOBS")?),
        ])
    };
    let mut found = at_last(journal, of_jobs_that_ended)?;
    lanes.forget_all()?;
    found.extend(at_last(journal, of_jobs_that_are_forgotten)?);
    found.push(("files beside outputs", files(lanes.outputs())?));
    let mut stayed = 0;
    for node in &mut cluster.nodes {
        let Some(process) = &mut node.process else {
            continue;
        };
        process.signal("TERM")?;
        match process.wait(LEAVE_MAX)? {
            Some(status) if status.success() => {}
            _ => stayed += 1,
        }
    }
    found.push(("workers that did not leave", stayed));
    let kept = stores
        .iter()
        .map(|store| files(store))
        .sum::<Result<u64>>()?;
    found.push(("files in stores of workers that left", kept));
    Ok(found)
}

/// Counts the files of a folder and those below it, but for the locks of stores.
fn files(folder: &Path) -> Result<u64> {
    let mut count = 0;
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            count += files(&path)?;
        } else if path.file_name().is_none_or(|name| name != "lock") {
            count += 1;
        }
    }
    Ok(count)
}

/// Counts again until nothing is left, or for as long as that may take.
fn at_last(
    journal: &Journal,
    count: impl Fn() -> Result<Vec<(&'static str, u64)>>,
) -> Result<Vec<(&'static str, u64)>> {
    let mut found = Vec::new();
    journal.wait(LEFTOVERS_MAX, || {
        found = count()?;
        Ok(found.iter().all(|(_, count)| *count == 0))
    })?;
    Ok(found)
}

/// What servers tell of their streams: each of those that it leads.
struct Streams {
    streams: Vec<Value>,
    consumers: Vec<Value>,
}

impl Streams {
    fn of(monitors: &[(String, SocketAddr)]) -> Result<Self> {
        let (mut all, mut consumers) = (Vec::new(), Vec::new());
        for (server, monitor) in monitors {
            let leads = |it: &&Value| {
                // A server that is alone does not say that it leads.
                let leader = it["cluster"]["leader"].as_str();
                leader.is_none_or(|leader| leader == server)
            };
            let document = get(*monitor, "/jsz?streams=1&consumers=1")?;
            for stream in streams(&document) {
                let of = stream["consumer_detail"].as_array().into_iter().flatten();
                consumers.extend(of.filter(leads).cloned());
                all.extend(Some(stream).filter(leads).cloned());
            }
        }
        Ok(Self {
            streams: all,
            consumers,
        })
    }

    fn named(&self, name: &str) -> Result<&Value> {
        let found = self.streams.iter().find(|stream| stream["name"] == name);
        found.with_context(|| format!("nats-server tells nothing of a stream {name}"))
    }

    fn messages(&self, name: &str) -> Result<u64> {
        let count = self.named(name)?["state"]["messages"].as_u64();
        count.with_context(|| format!("nats-server does not tell how many messages {name} has"))
    }

    /// Counts the messages that some consumer of queues holds.
    fn leased(&self, names: &[&str]) -> Result<u64> {
        let mut leased = 0;
        for name in names {
            let of = self.consumers.iter();
            let mut of = of.filter(|it| it["stream_name"] == *name).peekable();
            of.peek()
                .with_context(|| format!("{name} has no consumers"))?;
            for consumer in of {
                leased += consumer["num_ack_pending"]
                    .as_u64()
                    .context("no num_ack_pending")?;
            }
        }
        Ok(leased)
    }
}
