//! One file a command, or a few that belong together.

mod dead;
mod doctor;
mod drain;
mod inspect;
mod operations;
mod results;
mod run;
mod sample;
mod submit;

use clap::CommandFactory;

use crate::arguments::{Arguments, Command};
use crate::failure::CliError;
use crate::output;

/// Runs the command that was given.
pub(crate) async fn run(arguments: Arguments) -> Result<(), CliError> {
    let global = arguments.global;
    match arguments.command {
        Command::Run(run) => run::run(run, &global).await,
        Command::Submit(submit) => submit::submit(submit, &global).await,
        Command::Explain(explain) => submit::explain(explain, &global).await,
        Command::Jobs => inspect::jobs(&global).await,
        Command::Status { job, watch } => inspect::status(&job, watch, &global).await,
        Command::Results {
            job,
            output,
            overwrite,
        } => results::results(&job, output.as_deref(), overwrite, &global).await,
        Command::Audit { job } => inspect::audit(&job, &global).await,
        Command::Cancel { job } => inspect::cancel(&job, &global).await,
        Command::Retry { job, watch } => inspect::retry(&job, watch, &global).await,
        Command::Forget { job } => inspect::forget(&job, &global).await,
        Command::Workers => inspect::workers(&global).await,
        Command::Drain { worker, wait } => drain::drain(&worker, wait, &global).await,
        Command::Dead { command } => dead::dead(command, &global).await,
        Command::Doctor { monitor } => doctor::doctor(&monitor, &global).await,
        Command::Operations { name } => operations::operations(name.as_deref(), &global),
        Command::Sample {
            dir,
            size,
            seed,
            overwrite,
        } => sample::sample(&dir, (size, seed, overwrite), &global).await,
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "swath", &mut script);
            output::print(format_args!("{}", String::from_utf8_lossy(&script)));
            Ok(())
        }
    }
}
