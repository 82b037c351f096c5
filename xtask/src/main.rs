//! Chores of this repository that are programs: `cargo xtask chaos`.

mod chaos;

use std::process::ExitCode;

use clap::Parser;

/// Chores of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Run a cluster of real processes under faults drawn from a seed, and see whether anything is lost
    Chaos(chaos::Options),
}

fn main() -> ExitCode {
    let Chore::Chaos(options) = Chore::parse();
    match chaos::run(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
