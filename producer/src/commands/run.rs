//! `swath run`: a job on this machine, or on a cluster, to its end.

use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::io::commit::{check_output, check_remote};
use swath::{Client, JobSpec, WorkerConfig};

use crate::arguments::{Global, RunArguments};
use crate::failure::CliError;
use crate::interrupt::interrupted;
use crate::progress::{self, Unread};

pub(crate) async fn run(arguments: RunArguments, global: &Global) -> Result<(), CliError> {
    let spec = arguments.job.into_spec()?;
    if global.nats_url().is_some() {
        let client = global.connect().await?;
        return finish(&client, &spec, SubmitOptions::default(), global).await;
    }
    if let Some(output) = &spec.output {
        let refused = |error: swath::io::commit::Error| CliError::arguments(error.code(), &error);
        check_output(output).map_err(refused)?;
        check_remote(output).await.map_err(refused)?;
    }
    let mut worker = WorkerConfig {
        queues: vec![spec.options.queue.clone()],
        ..WorkerConfig::default()
    };
    if let Some(slots) = arguments.slots {
        worker = worker.with_max_concurrent_tasks(slots);
    }
    let shared = worker.memory_bytes / u64::from(arguments.workers.max(1));
    worker = worker.with_memory_limit(arguments.memory.unwrap_or(shared));
    let options = LocalOptions {
        workers: arguments.workers,
        worker,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start(options).await?;
    let ran = finish(&cluster.client(), &spec, SubmitOptions::default(), global).await;
    cluster.stop().await;
    ran
}

/// Submits a job, follows it, and says how it ended. Ctrl-C or SIGTERM cancels it.
pub(crate) async fn finish(
    client: &Client,
    spec: &JobSpec,
    options: SubmitOptions,
    global: &Global,
) -> Result<(), CliError> {
    let job = client.submit(spec, options).await?;
    let followed = tokio::select! {
        followed = progress::follow(client, &job, global, Unread::GoOn) => followed,
        () = interrupted() => {
            client.cancel(&job).await?;
            let waited = tokio::time::timeout(std::time::Duration::from_secs(5), client.wait(&job)).await;
            let ended = matches!(waited, Ok(Ok(_)));
            let message = if ended { "interrupted; the job was cancelled" } else { "interrupted; the job is being cancelled" };
            return Err(CliError::interrupted(message));
        }
    };
    CliError::of_outcome(followed?.outcome.as_ref())
}
