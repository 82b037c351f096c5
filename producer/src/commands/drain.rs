//! `swath drain`: a worker leaves; whoever waits learns whether it did so by itself.

use std::time::{Duration, SystemTime};

use swath::Client;
use swath::broker::nats::{ClockReading, Survey};
use swath::ids::WorkerId;
use swath::time::Timestamp;

use super::doctor::{PATIENCE, SILENCE_US};
use crate::arguments::Global;
use crate::failure::CliError;
use crate::output;

pub(crate) async fn drain(worker: &WorkerId, wait: bool, global: &Global) -> Result<(), CliError> {
    let client = global.connect().await?;
    let Some(mut sign) = look(&client, worker).await? else {
        let message = format!("there is no live worker '{worker}'; `swath workers` lists them");
        return Err(CliError::asked("no-such-worker", message));
    };
    client.drain(worker).await?;
    if wait {
        while let Some(found) = look(&client, worker).await? {
            sign = found;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        // Whoever leaves takes its record away within a heartbeat; a record that lapsed had been silent for longer.
        let clock = server_clock(global).await;
        if clock.is_some_and(|clock| sign.silence_us(clock) >= SILENCE_US) {
            return Err(CliError::silent(worker));
        }
    }
    if global.json {
        output::json(&serde_json::json!({ "worker": worker, "left": wait }));
    }
    Ok(())
}

/// A sign of life.
struct Sign {
    /// When the broker last heard of the worker, by its own clock.
    at: Timestamp,
    /// When its record was asked for and still there, by this machine's clock.
    asked_at: Timestamp,
}

impl Sign {
    /// Returns for how long the worker had been silent, at least, when its record was still there.
    fn silence_us(&self, clock: ClockReading) -> i64 {
        let ahead_us = clock.ahead_us.saturating_sub(clock.within_us);
        let asked_at = self.asked_at.0.saturating_add(ahead_us);
        asked_at.saturating_sub(self.at.0)
    }
}

/// Looks for a worker's record.
async fn look(client: &Client, worker: &WorkerId) -> Result<Option<Sign>, CliError> {
    let asked_at = Timestamp::from_system(SystemTime::now());
    let records = client.broker().workers().await?;
    let record = records.into_iter().find(|record| record.id == *worker);
    Ok(record.map(|record| Sign {
        at: record.at,
        asked_at,
    }))
}

/// Compares the server's clock with this machine's; nothing where it does not tell, and then nobody is blamed.
async fn server_clock(global: &Global) -> Option<ClockReading> {
    let mut config = global.nats_config().ok()?;
    config.patience = PATIENCE;
    Survey::of(&config).await.ok()?.clock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_by_the_servers_clock_and_never_too_long() {
        let sign = Sign {
            at: Timestamp(100_000_000),
            asked_at: Timestamp(3_000_000),
        };
        let clock = |ahead_us| ClockReading {
            ahead_us,
            within_us: 500_000,
        };
        assert_eq!(sign.silence_us(clock(99_000_000)), 1_500_000);
        assert_eq!(sign.silence_us(clock(102_500_000)), 5_000_000);
    }
}
