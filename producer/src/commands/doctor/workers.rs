//! The workers: whether they live, can be fetched from, have room, agree on the time and on the version.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use swath::broker::WorkerRecord;
use swath::broker::nats::ClockReading;
use swath::exchange::flight;
use swath::ids::WorkerRef;
use swath::job::failure::chain;
use swath::time::Timestamp;
use swath::wire::{self, StoreDisk, WorkerState};

use super::{Check, PATIENCE, SILENCE_US, Verdict, clock};
use crate::output::bytes;

/// Free bytes of a store's disk below which it is worth a warning, and below which it is a problem.
const FREE_WARNING: u64 = 2 << 30;
const FREE_PROBLEM: u64 = 256 << 20;
/// How full a store may be, in hundredths.
const FULL_WARNING: u64 = 90;

/// Checks all workers; returns what they say of themselves, too.
pub(super) async fn checks(
    records: Vec<WorkerRecord>,
    server_clock: Option<ClockReading>,
) -> (Vec<Check>, Vec<WorkerState>) {
    let mut checks = Vec::new();
    let mut states = Vec::new();
    for record in records {
        match wire::decode::<WorkerState>(&record.payload) {
            Ok(state) => {
                checks.extend(of_one(&record, &state, server_clock));
                states.push(state);
            }
            Err(error) => checks.push(
                Check::new("worker", Verdict::Warning, chain(&error))
                    .of(record.id.as_str())
                    .advise("use a `swath` of its version"),
            ),
        }
    }
    if states.is_empty() {
        checks.push(
            Check::new(
                "workers",
                Verdict::Warning,
                "no worker lives: jobs wait for one",
            )
            .advise("start `swath-worker --nats URL` with the same --prefix"),
        );
    }
    checks.extend(join_all(states.iter().map(reachable)).await);
    checks.extend(addresses(&states));
    checks.extend(versions(&states));
    (checks, states)
}

fn of_one(
    record: &WorkerRecord,
    state: &WorkerState,
    server_clock: Option<ClockReading>,
) -> Vec<Check> {
    let of = record.id.as_str();
    let ahead = server_clock.map(|reading| reading.ahead_us);
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let silence = ahead.map(|ahead| now.0.saturating_add(ahead).saturating_sub(record.at.0));
    let mut checks = vec![alive(state, silence).of(of)];
    if let Some(time) = state.clock {
        // The broker's stamp is later than the worker's by the way of the message.
        let ahead = time.0.saturating_sub(record.at.0);
        let (verdict, apart) = clock(ahead, ahead.unsigned_abs());
        checks.push(
            Check::new("clock", verdict, format!("{apart} the server's"))
                .of(of)
                .advise("run NTP there, and on the server"),
        );
    }
    checks.push(match &state.disk {
        Some(disk) => disk_room(disk).of(of),
        None => Check::new(
            "disk",
            Verdict::Unknown,
            "it does not say how full its disk is",
        )
        .of(of)
        .advise("a worker of this version says it, once it has looked"),
    });
    checks
}

fn alive(state: &WorkerState, silence_us: Option<i64>) -> Check {
    let what = if state.draining { "drains" } else { "is up" };
    let found = format!(
        "{what} on {}: {} of {} slots busy",
        state.host,
        state.running.len(),
        state.slots
    );
    match silence_us {
        Some(silence) if silence > SILENCE_US => {
            let found = format!("silent for {} s; {found}", silence / 1_000_000);
            Check::new("worker", Verdict::Warning, found)
                .advise("it, or its way to the broker, is stopped; its tasks go to others")
        }
        _ => Check::new("worker", Verdict::Ok, found),
    }
}

fn disk_room(disk: &StoreDisk) -> Check {
    let full = disk.used_bytes.saturating_mul(100) / disk.limit_bytes.max(1);
    let verdict = if disk.free_bytes < FREE_PROBLEM || full >= 100 {
        Verdict::Problem
    } else if disk.free_bytes < FREE_WARNING || full >= FULL_WARNING {
        Verdict::Warning
    } else {
        Verdict::Ok
    };
    let found = format!(
        "{} free; the store uses {} of its {}",
        bytes(disk.free_bytes),
        bytes(disk.used_bytes),
        bytes(disk.limit_bytes)
    );
    Check::new("disk", verdict, found).advise(
        "free some, start the worker with another --store-dir or --store-disk, or add workers",
    )
}

/// Asks a worker's Flight server, from here: that its peers reach it as well cannot be seen from outside.
async fn reachable(state: &WorkerState) -> Check {
    let worker = WorkerRef {
        id: state.id.clone(),
        incarnation: state.incarnation,
        flight: state.flight.clone(),
    };
    let of = state.id.as_str();
    if state.flight.is_empty() {
        return Check::new(
            "flight",
            Verdict::Warning,
            "it serves no partitions to others",
        )
        .of(of)
        .advise("only a cluster in one process works so");
    }
    match flight::health(&worker, PATIENCE).await {
        Ok(_) => Check::new(
            "flight",
            Verdict::Ok,
            format!("{} answers here", state.flight),
        )
        .of(of),
        Err(error) => {
            let found = format!("{} does not answer here: {}", state.flight, chain(&error));
            Check::new("flight", Verdict::Problem, found).of(of).advise(
                "start it with --flight-advertise HOST:PORT, an address under which the other workers reach it, and let that port through firewalls",
            )
        }
    }
}

/// Finds addresses under which workers cannot reach each other, whatever is reached from here.
fn addresses(states: &[WorkerState]) -> Vec<Check> {
    let mut by_address: BTreeMap<&str, Vec<&WorkerState>> = BTreeMap::new();
    for state in states.iter().filter(|state| !state.flight.is_empty()) {
        by_address.entry(&state.flight).or_default().push(state);
    }
    let shared = by_address.iter().filter(|(_, states)| states.len() > 1);
    let mut checks: Vec<Check> = shared
        .map(|(address, states)| {
            let names: Vec<_> = states.iter().map(|state| state.id.as_str()).collect();
            Check::new(
                "flight",
                Verdict::Problem,
                format!("{} all say that they are at {address}", names.join(", ")),
            )
            .advise("start each with a --flight-advertise HOST:PORT of its own")
        })
        .collect();
    let hosts: BTreeSet<&str> = states.iter().map(|state| state.host.as_str()).collect();
    let looped = states.iter().filter(|state| is_loopback(&state.flight));
    if hosts.len() > 1 {
        checks.extend(looped.map(|state| {
            let found = format!("{} means another machine to each worker, and they run on {}", state.flight, hosts.iter().copied().collect::<Vec<_>>().join(", "));
            Check::new("flight", Verdict::Problem, found)
                .of(state.id.as_str())
                .advise("start it with --flight-listen 0.0.0.0:8790 or a --flight-advertise that others can reach")
        }));
    }
    checks
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn versions(states: &[WorkerState]) -> Option<Check> {
    let mine = env!("CARGO_PKG_VERSION");
    let theirs: BTreeSet<&str> = states.iter().map(|state| state.version.as_str()).collect();
    let list = theirs.iter().copied().collect::<Vec<_>>().join(", ");
    let alike = theirs.iter().all(|version| *version == mine);
    let verdict = if alike { Verdict::Ok } else { Verdict::Warning };
    let found = format!("workers of {list}, this program is {mine}");
    let check = Check::new("versions", verdict, found)
        .advise("bring all to one version, one worker after the other: `swath drain`, then start the new one");
    (!theirs.is_empty()).then_some(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free_bytes: u64, used_bytes: u64) -> Verdict {
        let limit_bytes = 100 << 30;
        disk_room(&StoreDisk {
            free_bytes,
            used_bytes,
            limit_bytes,
        })
        .verdict
    }

    #[test]
    fn a_disk_or_a_store_that_is_nearly_full_is_told() {
        assert_eq!(disk(50 << 30, 1 << 30), Verdict::Ok);
        assert_eq!(disk(1 << 30, 1 << 30), Verdict::Warning);
        assert_eq!(disk(100 << 20, 1 << 30), Verdict::Problem);
        assert_eq!(disk(50 << 30, 95 << 30), Verdict::Warning);
        assert_eq!(disk(50 << 30, 100 << 30), Verdict::Problem);
    }

    #[test]
    fn an_address_that_means_another_machine_elsewhere_is_told() {
        for (address, looped) in [
            ("127.0.0.1:8790", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("worker-1:8790", false),
            ("10.0.0.7:8790", false),
        ] {
            assert_eq!(is_loopback(address), looped, "{address}");
        }
    }
}
