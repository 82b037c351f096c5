//! Chores of this repository that are programs: `cargo xtask chaos`, `cargo xtask soak`.

mod chaos;

use std::process::ExitCode;

use clap::Parser;

/// Chores of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Run a cluster of real processes under faults drawn from a seed, and see whether anything is lost
    Chaos(chaos::Options),
    /// Run the same load in peace, and see whether the memory of the processes stays flat
    Soak(chaos::SoakOptions),
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Chaos(options) => chaos::run(&options),
        Chore::Soak(options) => chaos::soak(&options),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
