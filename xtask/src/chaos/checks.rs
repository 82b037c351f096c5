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
    let mut found = Vec::new();
    journal.wait(LEFTOVERS_MAX, || {
        let stored = cluster
            .swath
            .workers()?
            .iter()
            .map(|worker| worker.stored_bytes)
            .sum();
        let kept = stores
            .iter()
            .map(|store| files(store))
            .sum::<Result<u64>>()?;
        found = vec![("bytes of partitions", stored), ("files in stores", kept)];
        found.extend(messages(monitor)?);
        Ok(found.iter().all(|(_, count)| *count == 0))
    })?;
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

/// Returns how many messages the broker holds, in the streams of all that is gone when jobs are forgotten.
fn messages(monitor: SocketAddr) -> Result<Vec<(&'static str, u64)>> {
    let document = get(monitor, "/jsz?streams=1&consumers=1")?;
    let accounts = document["account_details"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let streams: Vec<Value> = accounts
        .iter()
        .flat_map(|account| {
            account["stream_detail"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        })
        .collect();
    let stream = |name: &str| -> Result<&Value> {
        let found = streams.iter().find(|stream| stream["name"] == name);
        found.with_context(|| format!("nats-server tells nothing of a stream {name}"))
    };
    let held = |name: &str| -> Result<u64> {
        Ok(stream(name)?["state"]["messages"]
            .as_u64()
            .unwrap_or(u64::MAX))
    };
    let mut leased = 0;
    for name in ["SWATH_JOBS", "SWATH_TASKS"] {
        let consumers = stream(name)?["consumer_detail"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        leased += consumers
            .iter()
            .filter_map(|consumer| consumer["num_ack_pending"].as_u64())
            .sum::<u64>();
    }
    Ok(vec![
        ("jobs queued", held("SWATH_JOBS")?),
        ("tasks queued", held("SWATH_TASKS")?),
        ("deliveries leased", leased),
        ("events in logs", held("SWATH_LOG")?),
        ("blobs", held("SWATH_BLOBS")?),
        ("dead letters", held("SWATH_DEAD")?),
    ])
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
