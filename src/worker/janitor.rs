//! Looks up whether jobs have ended of which there are partitions or tasks here: a worker that was stopped, cut off or not yet
//! started has missed the signal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::run::Released;
use crate::broker::{self, Broker};
use crate::ids::JobId;
use crate::job::failure::chain;
use crate::job::{JobMachine, Outcome};
use crate::wire::LogEntry;

/// How often the store is looked at.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// How long the partitions of a job are here before its log is read for the first time. The signal comes much sooner.
const FIRST_LOOK: Duration = Duration::from_secs(30);
/// The longest wait until it is read again, doubled each time: the log of a long job is long.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// When to look up which job.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<JobId, Look>);

#[derive(Debug)]
struct Look {
    at: Instant,
    /// The wait after that.
    wait: Duration,
}

impl Looks {
    /// Returns those of the jobs in the store that are to be looked up now.
    fn due(&mut self, stored: &BTreeSet<JobId>, now: Instant) -> Vec<JobId> {
        self.0.retain(|job, _| stored.contains(job));
        for job in stored {
            self.0.entry(job.clone()).or_insert(Look {
                at: now + FIRST_LOOK,
                wait: FIRST_LOOK * 2,
            });
        }
        let mut due = Vec::new();
        for (job, look) in self.0.iter_mut().filter(|(_, look)| look.at <= now) {
            look.at = now + look.wait;
            look.wait = (look.wait * 2).min(LOOK_WAIT_MAX);
            due.push(job.clone());
        }
        due
    }

    /// Returns the jobs in the store that have ended, as far as it is time to look. What the broker does not tell now is
    /// asked again later.
    pub(super) async fn ended(
        &mut self,
        broker: &dyn Broker,
        stored: &BTreeSet<JobId>,
    ) -> Vec<Released> {
        let mut ended = Vec::new();
        for job in self.due(stored, Instant::now()) {
            match end_of(broker, &job).await {
                Ok(None) => {}
                Ok(Some(released)) => {
                    info!(%job, kept = released.kept, "a job with partitions here has ended unheard");
                    ended.push(released);
                }
                Err(error) => warn!(%job, error = chain(&error), "its log could not be read"),
            }
        }
        ended
    }
}

/// Reads the log of a job; returns what follows if it has ended, or was forgotten.
async fn end_of(broker: &dyn Broker, job: &JobId) -> Result<Option<Released>, broker::Error> {
    let mut machine = JobMachine::new();
    for record in broker.read_log(job).await? {
        // What only a newer worker can read may be the beginning of a job that lives.
        if LogEntry::fold(&record.payload, record.at, &mut machine).is_err() {
            return Ok(None);
        }
    }
    let forgotten = machine.submission().is_none();
    Ok((forgotten || machine.is_finished()).then(|| released(job, &machine)))
}

/// Reads the log of the job that a task is of; returns what follows if that life of the job has ended, or the job was forgotten.
pub(super) async fn end_of_life(
    broker: &dyn Broker,
    job: &JobId,
    seed: u64,
) -> Result<Option<Released>, broker::Error> {
    let records = broker.read_log(job).await?;
    let machine = broker::replay(&records);
    let ended = if records.is_empty() {
        // A server that lags behind may not have the log of a new job yet; the list of jobs comes from the one that leads.
        !broker.jobs().await?.contains(job)
    } else {
        let over = machine.is_finished() && machine.seed() == seed;
        over || broker::is_forgotten(&machine, &records)
    };
    Ok(ended.then(|| Released {
        seed,
        ..released(job, &machine)
    }))
}

fn released(job: &JobId, machine: &JobMachine) -> Released {
    Released {
        job: job.clone(),
        seed: machine.seed(),
        kept: matches!(machine.outcome(), Some(Outcome::Failed { .. })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{EmbeddedBroker, EmbeddedConfig};
    use crate::job::{Event, Failure, FailureClass, Payload, Submission};
    use crate::spec::JobOptions;
    use crate::wire;

    fn job(name: &str) -> JobId {
        JobId::new(name).unwrap()
    }

    #[test]
    fn a_job_is_looked_up_after_a_while_and_then_ever_more_rarely() {
        let began = Instant::now();
        let stored = BTreeSet::from([job("a")]);
        let mut looks = Looks::default();
        let looked: Vec<u64> = (0..1_000)
            .filter(|second| {
                let now = began + Duration::from_secs(*second);
                !looks.due(&stored, now).is_empty()
            })
            .collect();
        // 30 s after it was first seen, then after 60, 120, 240 and 480 s.
        assert_eq!(looked, [30, 90, 210, 450, 930]);
        assert!(looks.due(&BTreeSet::new(), began).is_empty());
        assert!(looks.0.is_empty());
    }

    #[tokio::test]
    async fn a_job_that_ended_or_was_forgotten_is_over_and_one_that_runs_is_not() {
        let broker = EmbeddedBroker::new(EmbeddedConfig::default());
        let submitted = Event::Submitted(Submission {
            spec: Payload::Inline(Vec::new().into()),
            title: "t".to_owned(),
            options: JobOptions::default(),
            seed: 7,
            start_at: None,
        });
        let failed = Outcome::Failed {
            task: None,
            failure: Failure {
                class: FailureClass::Fatal,
                code: "c".to_owned(),
                message: "m".to_owned(),
            },
        };
        let finished = |outcome| Event::Finished { life: 0, outcome };
        let logs = [
            ("runs", vec![submitted.clone()]),
            (
                "succeeded",
                vec![submitted.clone(), finished(Outcome::Succeeded)],
            ),
            ("failed", vec![submitted, finished(failed)]),
        ];
        for (name, events) in logs {
            let entry = wire::encode(&LogEntry { events }).unwrap();
            broker.append(&job(name), None, entry).await.unwrap();
        }
        let kept = async |name: &str| {
            let ended = end_of(&*broker, &job(name)).await.unwrap();
            ended.map(|released| (released.seed, released.kept))
        };
        assert_eq!(kept("runs").await, None);
        assert_eq!(kept("succeeded").await, Some((7, false)));
        assert_eq!(kept("failed").await, Some((7, true)));
        assert_eq!(kept("forgotten").await, Some((0, false)));
        let unreadable = bytes::Bytes::from_static(b"of a later version");
        broker
            .append(&job("newer"), None, unreadable)
            .await
            .unwrap();
        assert_eq!(kept("newer").await, None);
    }
}
