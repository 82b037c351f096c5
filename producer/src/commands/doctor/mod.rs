//! `swath doctor`: looks at the broker, the workers and the jobs, says what is wrong and what to do. It changes nothing.

mod broker;
mod jobs;
mod workers;

use std::time::Duration;

use serde::Serialize;
use swath::Client;
use swath::broker::NatsBroker;
use swath::broker::nats::{ClockReading, Survey};
use swath::job::failure::chain;

use crate::arguments::Global;
use crate::failure::CliError;
use crate::output::{self, say};

/// How long one answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks that differ by no more are taken for equal.
const CLOCK_TOLERANCE_US: u64 = 2_000_000;

/// How long a live worker is silent at most: it announces itself every 2 s.
pub(super) const SILENCE_US: i64 = 5_000_000;

/// How a check came out, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It cannot be known from here.
    Unknown,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// What was looked at; a stable name.
    check: &'static str,
    /// Of which worker, stream or server, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            check,
            of: None,
            verdict,
            found: found.into(),
            advice: None,
        }
    }

    fn of(mut self, what: impl Into<String>) -> Self {
        self.of = Some(what.into());
        self
    }

    /// Says what to do, where something is to be done.
    fn advise(mut self, advice: impl Into<String>) -> Self {
        if self.verdict != Verdict::Ok {
            self.advice = Some(advice.into());
        }
        self
    }
}

#[derive(Serialize)]
struct Report {
    verdict: Verdict,
    checks: Vec<Check>,
}

pub(crate) async fn doctor(monitors: &[String], global: &Global) -> Result<(), CliError> {
    let mut config = global.nats_config()?;
    config.patience = PATIENCE;
    let survey = Survey::of(&config).await?;
    let (mut checks, server_clock) = broker::checks(&survey, monitors).await;
    // Where streams are missing, connecting would make them.
    if !survey.streams.is_empty() && survey.missing.is_empty() {
        config.replicas = survey
            .streams
            .iter()
            .map(|it| it.replicas)
            .max()
            .unwrap_or(1);
        match NatsBroker::connect(config).await {
            Ok(broker) => {
                let client = Client::new(broker);
                checks.extend(of_cluster(&client, server_clock).await?);
            }
            Err(error) => checks.push(
                Check::new("layout", Verdict::Problem, chain(&error))
                    .advise("nothing of this cluster can work until that is mended"),
            ),
        }
    }
    show(checks, global)
}

async fn of_cluster(
    client: &Client,
    server_clock: Option<ClockReading>,
) -> Result<Vec<Check>, CliError> {
    let records = client.broker().workers().await?;
    let listed = client.jobs().await?;
    let letters = client.dead_letters().await?;
    let (mut checks, states) = workers::checks(records, server_clock).await;
    checks.push(jobs::coordination(&listed, &states, server_clock));
    checks.push(jobs::letters(letters.len()));
    Ok(checks)
}

fn show(checks: Vec<Check>, global: &Global) -> Result<(), CliError> {
    let problems = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Problem)
        .count();
    let verdict = checks.iter().map(|check| check.verdict).max();
    let report = Report {
        verdict: verdict.unwrap_or(Verdict::Ok),
        checks,
    };
    if global.json {
        output::json(&report);
    } else {
        report.checks.iter().for_each(print);
    }
    match problems {
        0 => Ok(()),
        count => Err(CliError::unhealthy(count)),
    }
}

fn print(check: &Check) {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Unknown => "unknown",
        Verdict::Warning => "warning",
        Verdict::Problem => "PROBLEM",
    };
    let of = check.of.as_ref().map(|of| format!("{of}: "));
    let of = of.unwrap_or_default();
    say!("{verdict:<8}{:<13}{of}{}", check.check, check.found);
    if let Some(advice) = &check.advice {
        say!("{:<21}-> {advice}", "");
    }
}

/// Says how a clock compares with this machine's.
fn clock(ahead_us: i64, certain_us: u64) -> (Verdict, String) {
    let seconds = ahead_us.unsigned_abs() as f64 / 1e6;
    let side = if ahead_us < 0 { "behind" } else { "ahead of" };
    let verdict = match certain_us {
        0..=CLOCK_TOLERANCE_US => Verdict::Ok,
        _ => Verdict::Warning,
    };
    (verdict, format!("{seconds:.1} s {side}"))
}
