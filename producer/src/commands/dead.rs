//! Tasks that are not tried again: seen, run again, removed.

use std::collections::BTreeSet;
use std::time::SystemTime;

use swath::Client;
use swath::broker::DeadLetter;
use swath::ids::{JobId, LetterId};
use swath::time::Timestamp;
use swath::wire::{self, TaskMessage};

use super::inspect;
use crate::arguments::{DeadCommand, Global, Letters};
use crate::failure::CliError;
use crate::output::{self, JobDocument, say};

pub(crate) async fn dead(command: DeadCommand, global: &Global) -> Result<(), CliError> {
    let client = global.connect().await?;
    match command {
        DeadCommand::List => list(&client, global).await,
        DeadCommand::Show { letter } => show(&client, &letter, global).await,
        DeadCommand::Replay { letters } => replay(&client, &letters, global).await,
        DeadCommand::Purge { letters } => {
            let letters = chosen(&client, &letters).await?;
            for letter in &letters {
                client.purge_letter(&letter.id).await?;
            }
            if global.json {
                let ids: Vec<_> = letters.iter().map(|letter| &letter.id).collect();
                output::json(&serde_json::json!({ "letters": ids }));
            }
            Ok(())
        }
    }
}

async fn list(client: &Client, global: &Global) -> Result<(), CliError> {
    let letters = client.dead_letters().await?;
    if global.json {
        output::json(&letters.iter().map(document).collect::<Vec<_>>());
        return Ok(());
    }
    let row = |letter: &DeadLetter| {
        let last = letter.tries.last();
        vec![
            letter.id.to_string(),
            letter.tries.len().to_string(),
            last.map(|tried| age(tried.at)).unwrap_or_default(),
            letter.code.clone(),
            letter.cause.clone(),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    output::table(&["LETTER", "TRIES", "LAST", "CODE", "CAUSE"], &rows);
    Ok(())
}

async fn show(client: &Client, id: &LetterId, global: &Global) -> Result<(), CliError> {
    let ids = Letters {
        letters: vec![id.clone()],
        all: false,
    };
    for letter in chosen(client, &ids).await? {
        if global.json {
            output::json(&document(&letter));
            continue;
        }
        say!("{}: {}", letter.id, letter.cause);
        if let Some(message) = message(&letter) {
            say!("{message}");
        }
        let row = |tried: &swath::broker::FailedTry| {
            vec![
                tried.attempt.to_string(),
                age(tried.at),
                tried.worker.to_string(),
                tried.cause.clone(),
            ]
        };
        let rows: Vec<_> = letter.tries.iter().map(row).collect();
        output::table(&["ATTEMPT", "AT", "WORKER", "CAUSE"], &rows);
    }
    Ok(())
}

/// Retries the jobs of letters: each runs again all that has not succeeded.
async fn replay(client: &Client, letters: &Letters, global: &Global) -> Result<(), CliError> {
    let letters = chosen(client, letters).await?;
    let jobs: BTreeSet<&JobId> = letters.iter().filter_map(|it| it.id.job()).collect();
    if let Some(letter) = letters.iter().find(|letter| letter.id.job().is_none()) {
        let message = format!(
            "letter '{}' names no task, so it cannot be run again; remove it with `swath dead purge`",
            letter.id
        );
        return Err(CliError::asked("no-task", message));
    }
    let mut retried = Vec::new();
    for job in jobs {
        let progress = inspect::retry_now(client, job, global).await?;
        retried.push(JobDocument::from(&progress));
    }
    if global.json {
        output::json(&retried);
    }
    Ok(())
}

/// Finds the letters that were asked for.
async fn chosen(client: &Client, asked: &Letters) -> Result<Vec<DeadLetter>, CliError> {
    let mut letters = client.dead_letters().await?;
    if asked.all {
        return Ok(letters);
    }
    if let Some(missing) = asked
        .letters
        .iter()
        .find(|id| letters.iter().all(|letter| letter.id != **id))
    {
        let message =
            format!("there is no dead letter '{missing}'; `swath dead list` shows those there are");
        return Err(CliError::asked("no-such-letter", message));
    }
    letters.retain(|letter| asked.letters.contains(&letter.id));
    Ok(letters)
}

/// A letter as machines read it.
fn document(letter: &DeadLetter) -> serde_json::Value {
    let tries = letter.tries.iter().map(|tried| {
        serde_json::json!({
            "attempt": tried.attempt,
            "at_us": tried.at.0,
            "worker": tried.worker,
            "cause": tried.cause,
        })
    });
    serde_json::json!({
        "id": letter.id,
        "job": letter.id.job(),
        "code": letter.code,
        "cause": letter.cause,
        "tries": tries.collect::<Vec<_>>(),
        "message": message(letter),
    })
}

/// What the task was to do, when its message can be read.
fn message(letter: &DeadLetter) -> Option<serde_json::Value> {
    let message: TaskMessage = wire::decode(&letter.payload).ok()?;
    let params: Option<serde_json::Value> = serde_json::from_slice(&message.params).ok();
    Some(serde_json::json!({
        "work": serde_json::to_value(&message.work).ok(),
        "params": params,
        "memory_bytes": message.memory_bytes,
        "timeout_ms": message.timeout_ms,
    }))
}

/// Says how long ago a moment was.
fn age(at: Timestamp) -> String {
    let now = Timestamp::from_system(SystemTime::now());
    format!("{} ago", output::span(now.since(at)))
}
