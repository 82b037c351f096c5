//! `swath submit` and `swath explain`.

use std::time::SystemTime;

use swath::client::SubmitOptions;
use swath::coordinator::make_plan;
use swath::io::source::Sources;
use swath::plan::catalog::Capacity;
use swath::plan::explain;
use swath::tables::Tables;
use swath::time::Timestamp;

use crate::arguments::{ExplainArguments, Global, SubmitArguments};
use crate::failure::CliError;
use crate::interrupt::interrupted;
use crate::output::{self, say};
use crate::progress::{self, Unread};

pub(crate) async fn submit(arguments: SubmitArguments, global: &Global) -> Result<(), CliError> {
    let spec = arguments.job.into_spec()?;
    let client = global.connect().await?;
    let delayed = |delay| Timestamp::from_system(SystemTime::now()).after(delay);
    let options = SubmitOptions {
        id: arguments.id,
        start_at: arguments.at.or_else(|| arguments.delay.map(delayed)),
    };
    let job = client.submit(&spec, options).await?;
    // Whoever asked to be idempotent may ask again until this line is out.
    if global.json {
        output::json(&serde_json::json!({ "job": job }));
    } else {
        say!("{job}");
    }
    if !arguments.watch {
        return Ok(());
    }
    let ended = tokio::select! {
        ended = progress::follow(&client, &job, global, Unread::End) => ended?,
        () = interrupted() => {
            return Err(CliError::interrupted("no longer watching; the job goes on"));
        }
    };
    CliError::of_outcome(ended.outcome.as_ref())
}

pub(crate) async fn explain(arguments: ExplainArguments, global: &Global) -> Result<(), CliError> {
    let spec = arguments.job.into_spec()?;
    let sources = Sources::new().map_err(|error| CliError::arguments("sources", &error))?;
    let here = swath::WorkerConfig::default();
    let tasks_bytes = here.shares().ok().map(|shares| shares.tasks_bytes);
    let capacity = Capacity {
        slots: here.slots,
        task_bytes: tasks_bytes.map(|bytes| bytes / u64::from(here.slots.max(1))),
    };
    let plan = make_plan(&spec, &sources, &Tables::new(), capacity).await?;
    let stages = explain::explain(&plan);
    if global.json {
        output::json(&stages);
    } else {
        output::print(format_args!("{}", explain::to_text(&stages)));
    }
    Ok(())
}
