//! `swath`: submits jobs, follows them, and runs them on this machine.

mod arguments;
mod commands;
mod connect;
mod failure;
mod interrupt;
mod job;
mod neighbourhood_job;
mod output;
mod progress;
mod scene;
mod scenes;
mod table_job;
mod warp_job;
mod zonal_job;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use failure::CliError;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && asks_for_json() => {
            let error = CliError::usage(&error);
            error.print(true);
            return ExitCode::from(error.exit);
        }
        // Help is no error, and clap knows where each goes.
        Err(error) => error.exit(),
    };
    let shown = match (arguments.global.quiet, arguments.global.verbose) {
        (true, _) => "error",
        (false, 0) => "error",
        (false, 1) => "swath=info,warn",
        (false, 2) => "swath=debug,info",
        (false, _) => "trace",
    };
    swath::telemetry::init(shown, arguments.global.log_json);
    let json = arguments.global.json;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ran = match runtime {
        Ok(runtime) => {
            let ran = runtime.block_on(commands::run(arguments));
            // A kernel that still runs must not hold up the end of the program.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            ran
        }
        Err(error) => Err(CliError::arguments("runtime", &error)),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(json);
            ExitCode::from(error.exit)
        }
    }
}

/// Tells whether `--json` is among arguments that could not be read.
fn asks_for_json() -> bool {
    std::env::args_os()
        .take_while(|word| word != "--")
        .any(|word| word == "--json")
}
