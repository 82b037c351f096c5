//! The server: its version, JetStream, what it does with what it has acknowledged, copies, room, clock.

use swath::broker::nats::monitor::Files;
use swath::broker::nats::{ClockReading, Monitored, Storage, StreamSurvey, Survey};
use swath::job::failure::chain;

use super::{Check, PATIENCE, Verdict, clock};
use crate::output::{bytes, span};

/// The largest message of a server as it comes.
const PAYLOAD_BYTES: usize = 1 << 20;
/// How full storage may be, in hundredths, before it is worth a warning, and before it is a problem.
const FULL_WARNING: u64 = 80;
const FULL_PROBLEM: u64 = 95;

/// Checks the server; returns the best reading of its clock, too.
pub(super) async fn checks(
    survey: &Survey,
    monitors: &[String],
) -> (Vec<Check>, Option<ClockReading>) {
    let mut checks = vec![version(survey)];
    let Some(storage) = &survey.storage else {
        checks.push(
            Check::new("jetstream", Verdict::Problem, "JetStream is off").advise(
                "start the server as `nats-server -js`, or allow JetStream for the account",
            ),
        );
        return (checks, survey.clock);
    };
    checks.push(account(storage));
    checks.push(payload(survey.payload_bytes_max));
    let (monitored, unheard) = listen(survey, monitors).await;
    checks.extend(unheard);
    checks.push(files_of_connected(survey, &monitored));
    for server in &monitored {
        checks.extend(files(server));
    }
    checks.extend(streams(survey));
    let clocks = monitored.iter().filter_map(|server| server.clock);
    let best = survey
        .clock
        .into_iter()
        .chain(clocks)
        .min_by_key(|it| it.within_us);
    checks.push(server_clock(best));
    (checks, best)
}

fn version(survey: &Survey) -> Check {
    let newer = survey
        .version
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0_u32))
        .ge([2, 14]);
    let verdict = match (survey.supported, newer) {
        (false, _) => Verdict::Problem,
        (true, false) => Verdict::Warning,
        (true, true) => Verdict::Ok,
    };
    let cluster = match &survey.cluster {
        Some(name) => format!(" of the cluster '{name}'"),
        None => String::new(),
    };
    let found = format!("nats-server {}{cluster} at {}", survey.version, survey.host);
    Check::new("server", verdict, found).advise("install 2.14 or later; 2.12 is the least")
}

fn account(storage: &Storage) -> Check {
    let used = bytes(storage.used_bytes);
    match storage.limit_bytes() {
        Some(limit) => room("jetstream", storage.used_bytes, limit)
            .advise("raise the account's limit of file storage, or `swath forget` jobs"),
        None => Check::new(
            "jetstream",
            Verdict::Ok,
            format!("on; {used} in files, without a limit for the account"),
        ),
    }
}

fn room(check: &'static str, used: u64, limit: u64) -> Check {
    let percent = used.saturating_mul(100) / limit.max(1);
    let verdict = match percent {
        FULL_PROBLEM.. => Verdict::Problem,
        FULL_WARNING.. => Verdict::Warning,
        _ => Verdict::Ok,
    };
    let found = format!("{} of {} are used", bytes(used), bytes(limit));
    Check::new(check, verdict, found)
}

fn payload(most: usize) -> Check {
    let verdict = if most < PAYLOAD_BYTES {
        Verdict::Warning
    } else {
        Verdict::Ok
    };
    let most = bytes(u64::try_from(most).unwrap_or(u64::MAX));
    Check::new("payload", verdict, format!("messages of up to {most}"))
        .advise("set `max_payload: 1MB` or more: plans and parameters go in many small pieces")
}

/// Asks the monitoring endpoints that were named; without any the usual one, where the server that is connected to may answer.
async fn listen(survey: &Survey, monitors: &[String]) -> (Vec<Monitored>, Vec<Check>) {
    let (mut heard, mut unheard) = (Vec::new(), Vec::new());
    for url in monitors {
        match Monitored::read(url, PATIENCE).await {
            Ok(server) => heard.push(server),
            Err(error) => unheard.push(
                Check::new("monitor", Verdict::Warning, chain(&error))
                    .of(url)
                    .advise("name the server's `http_port` with --monitor http://HOST:8222"),
            ),
        }
    }
    if monitors.is_empty() {
        let usual = format!("http://{}:8222", survey.host);
        let answer = Monitored::read(&usual, PATIENCE).await.ok();
        // Any other server may be listening there.
        heard.extend(answer.filter(|server| server.server_id == survey.server_id));
    }
    (heard, unheard)
}

/// Says when the settings of the server that is connected to are not known.
fn files_of_connected(survey: &Survey, monitored: &[Monitored]) -> Check {
    let known = monitored.iter().any(|it| it.server_id == survey.server_id);
    if known {
        return Check::new("monitor", Verdict::Ok, "the server tells its settings");
    }
    let found = "whether the server syncs what it acknowledges, and the room of its disk: only its monitoring endpoint tells";
    Check::new("monitor", Verdict::Unknown, found).advise(
        "set `http_port: 8222` in the server's configuration, and run `swath doctor --monitor http://HOST:8222`, once for each server; \
         or look there for `sync_interval: always`",
    )
}

fn files(server: &Monitored) -> Vec<Check> {
    let Some(files) = &server.files else {
        let found = "it keeps no files: JetStream is off there";
        return vec![Check::new("fsync", Verdict::Warning, found).of(&server.server_name)];
    };
    let mut checks = vec![fsync(files).of(&server.server_name)];
    if let Some(limit) = files.limit_bytes {
        checks.push(
            room("storage", files.used_bytes, limit)
                .of(&server.server_name)
                .advise(
                    "raise `max_file_store`, give the server a larger disk, or `swath forget` jobs",
                ),
        );
    }
    checks
}

fn fsync(files: &Files) -> Check {
    if files.sync_always {
        let found = "every write is on disk before it is acknowledged";
        return Check::new("fsync", Verdict::Ok, found);
    }
    let found = format!(
        "writes are acknowledged up to {} before they are on disk: a power loss of the server loses them, jobs that were accepted too",
        span(files.sync_interval)
    );
    Check::new("fsync", Verdict::Warning, found)
        .advise("set `sync_interval: always` in the `jetstream` block of its configuration")
}

fn streams(survey: &Survey) -> Vec<Check> {
    if survey.streams.is_empty() {
        let found =
            "no cluster of this --prefix is here yet: the first worker or job makes its streams";
        return vec![Check::new("streams", Verdict::Ok, found)];
    }
    let mut checks: Vec<Check> = survey.streams.iter().filter_map(ailing).collect();
    if !survey.missing.is_empty() {
        let found = format!("{} are missing", survey.missing.join(", "));
        checks.push(
            Check::new("streams", Verdict::Warning, found)
                .advise("start a worker: it makes them; what was in them is lost, so submit again what has not ended"),
        );
    }
    let copies = survey.streams.iter().map(|it| it.replicas);
    checks.push(copies_of(survey, copies.min().unwrap_or(1)));
    checks
}

fn ailing(stream: &StreamSurvey) -> Option<Check> {
    if !stream.has_leader {
        let found = "no server leads it: too few of its copies are up";
        return Some(
            Check::new("streams", Verdict::Problem, found)
                .of(&stream.name)
                .advise("start the servers of the NATS cluster that are down"),
        );
    }
    if stream.offline.is_empty() {
        return None;
    }
    let found = format!("its copies on {} are away", stream.offline.join(", "));
    Some(
        Check::new("streams", Verdict::Warning, found)
            .of(&stream.name)
            .advise("start those servers: with one more down nothing can be written"),
    )
}

fn copies_of(survey: &Survey, least: usize) -> Check {
    let alone = survey.cluster.is_some() && least == 1;
    let verdict = if alone { Verdict::Warning } else { Verdict::Ok };
    let held = survey.streams.iter().map(|stream| stream.bytes);
    let held = bytes(held.fold(0, u64::saturating_add));
    let copies = if least == 1 { "copy" } else { "copies" };
    let found = format!(
        "{held} in {} streams of {least} {copies}",
        survey.streams.len()
    );
    Check::new("streams", verdict, found).advise(
        "this is a cluster of servers, and each stream is on one of them: start workers and submit with --replicas 3 under another --prefix",
    )
}

fn server_clock(reading: Option<ClockReading>) -> Check {
    let Some(reading) = reading else {
        return Check::new(
            "clock",
            Verdict::Unknown,
            "the server has not said what time it is",
        )
        .advise("name its monitoring endpoint with --monitor");
    };
    let (verdict, apart) = clock(reading.ahead_us, reading.certain_us());
    Check::new("clock", verdict, format!("the server's is {apart} this machine's"))
        .advise("run NTP on both: jobs of `--delay` and `--at` begin by the clocks of who submits and who coordinates")
}
