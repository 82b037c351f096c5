//! Errors as the command line shows them: one short paragraph, a stable code, an exit code.

use swath::ids::WorkerId;
use swath::job::failure::chain;
use swath::job::{Failure, Outcome};
use swath::{broker, client, cluster};

use crate::output::note;

/// The job failed.
const JOB: u8 = 1;
/// Bad arguments or spec.
const ARGUMENTS: u8 = 2;
/// Broker not reachable.
const BROKER: u8 = 3;
/// Cancelled.
const CANCELLED: u8 = 4;
/// Interrupted.
const INTERRUPTED: u8 = 130;

/// An error, ready to be shown.
#[derive(Debug)]
pub(crate) struct CliError {
    /// The program's exit code.
    pub(crate) exit: u8,
    code: String,
    message: String,
}

impl CliError {
    /// An error in what was asked.
    pub(crate) fn arguments(code: &str, error: &dyn std::error::Error) -> Self {
        Self::asked(code, chain(error))
    }

    /// An error in what was asked, in words.
    pub(crate) fn asked(code: &str, message: String) -> Self {
        Self {
            exit: ARGUMENTS,
            code: code.to_owned(),
            message,
        }
    }

    /// What was asked is right, and could not be done.
    pub(crate) fn failed(code: &str, error: &dyn std::error::Error) -> Self {
        Self {
            exit: JOB,
            ..Self::arguments(code, error)
        }
    }

    /// Something is wrong with the cluster, as was told.
    pub(crate) fn unhealthy(problems: usize) -> Self {
        Self {
            exit: JOB,
            code: "unhealthy".to_owned(),
            message: format!("{problems} of the checks found a problem"),
        }
    }

    /// A worker that was asked to leave was lost before it had.
    pub(crate) fn silent(worker: &WorkerId) -> Self {
        let message = format!(
            "worker '{worker}' stopped answering before it had left; what it was doing goes to other workers"
        );
        Self {
            exit: JOB,
            ..Self::asked("worker-silent", message)
        }
    }

    /// The command line is not one of Swath's, as clap found.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let text = text.split("\n\nFor more information").next();
        let text = text.unwrap_or_default().trim();
        let text = text.strip_prefix("error: ").unwrap_or(text);
        Self::asked("usage", text.to_owned())
    }

    /// The user pressed Ctrl-C.
    pub(crate) fn interrupted(message: &str) -> Self {
        Self {
            exit: INTERRUPTED,
            code: "interrupted".to_owned(),
            message: message.to_owned(),
        }
    }

    /// What a job's end means for the exit code; `Ok` when it succeeded.
    pub(crate) fn of_outcome(outcome: Option<&Outcome>) -> Result<(), Self> {
        match outcome {
            Some(Outcome::Succeeded) => Ok(()),
            Some(Outcome::Cancelled) => {
                let message = "the job was cancelled".to_owned();
                Err(Self {
                    exit: CANCELLED,
                    code: "cancelled".to_owned(),
                    message,
                })
            }
            Some(Outcome::Failed { task, failure }) => {
                let place = task
                    .map(|task| format!("task {task}: "))
                    .unwrap_or_default();
                Err(Self {
                    message: format!("{place}{}", failure.message),
                    ..failure.into()
                })
            }
            None => Err(Self {
                exit: JOB,
                code: "no-end".to_owned(),
                message: "the job's log ended before the job; see swath status".to_owned(),
            }),
        }
    }

    /// Shows the error on standard error.
    pub(crate) fn print(&self, json: bool) {
        if json {
            let error = serde_json::json!({ "code": self.code, "message": self.message });
            note!("{}", serde_json::json!({ "error": error }));
        } else {
            note!("swath: {}", self.message);
        }
    }
}

impl From<&Failure> for CliError {
    fn from(failure: &Failure) -> Self {
        // A spec that cannot be planned is a wrong question, whoever found that out.
        let exit = if failure.code.starts_with("spec-") {
            ARGUMENTS
        } else {
            JOB
        };
        Self {
            exit,
            code: failure.code.clone(),
            message: failure.message.clone(),
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self::from(&failure)
    }
}

impl From<broker::Error> for CliError {
    fn from(error: broker::Error) -> Self {
        let (exit, code) = match &error {
            broker::Error::Unreachable { .. } => (BROKER, "broker-unreachable"),
            broker::Error::Unsuitable { .. } => (BROKER, "broker-unsuitable"),
            broker::Error::Conflict { .. } => (BROKER, "broker-conflict"),
            broker::Error::TooLarge { .. } => (ARGUMENTS, "too-large"),
            broker::Error::Full { .. } => (BROKER, "broker-full"),
            broker::Error::Request { .. } | broker::Error::Closed => (BROKER, "broker"),
        };
        let way_out = match &error {
            broker::Error::Unreachable { .. } => {
                "; start one with `nats-server -js`, or name another with --nats"
            }
            _ => "",
        };
        Self {
            exit,
            code: code.to_owned(),
            message: format!("{}{way_out}", chain(&error)),
        }
    }
}

impl From<client::Error> for CliError {
    fn from(error: client::Error) -> Self {
        let code = match error {
            client::Error::Broker(error) => return error.into(),
            client::Error::Wire(_) => "log",
            client::Error::NoSuchJob { .. } => "no-such-job",
            client::Error::IdTaken { .. } => "id-taken",
            client::Error::NothingToRetry { .. } => "nothing-to-retry",
            client::Error::NotEnded { .. } => "not-ended",
            client::Error::NoResults { .. } => "no-results",
            client::Error::BlobMissing { .. } => "blob-missing",
            client::Error::Audit => "audit",
            client::Error::ResultType { .. } => "result-type",
        };
        Self::arguments(code, &error)
    }
}

impl From<cluster::Error> for CliError {
    fn from(error: cluster::Error) -> Self {
        Self::arguments("worker", &error)
    }
}
