//! What must hold when all jobs have ended: nothing is left anywhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::cluster::Cluster;
use super::journal::Journal;
use super::lanes::Lanes;

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
    let monitor = cluster.server.monitor();
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
        let streams = Streams::of(monitor)?;
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
        let streams = Streams::of(monitor)?;
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

/// What nats-server tells of its streams.
struct Streams(Vec<Value>);

impl Streams {
    fn of(monitor: SocketAddr) -> Result<Self> {
        let document = get(monitor, "/jsz?streams=1&consumers=1")?;
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let accounts = list(&document, "account_details");
        let streams = accounts
            .iter()
            .flat_map(|account| list(account, "stream_detail"));
        Ok(Self(streams.collect()))
    }

    fn named(&self, name: &str) -> Result<&Value> {
        let found = self.0.iter().find(|stream| stream["name"] == name);
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
            let consumers = self.named(name)?["consumer_detail"].as_array();
            for consumer in consumers.with_context(|| format!("{name} has no consumers"))? {
                leased += consumer["num_ack_pending"]
                    .as_u64()
                    .context("no num_ack_pending")?;
            }
        }
        Ok(leased)
    }
}

/// Reads a JSON document by HTTP, from a server that closes the connection after it.
fn get(server: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("not an answer of HTTP")?;
    serde_json::from_str(body).with_context(|| format!("{path} is not JSON"))
}
