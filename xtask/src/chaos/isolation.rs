//! Namespaces of the run's own for processes, mounts and network: whatever happens to the runner, nothing of it stays,
//! and no fault reaches beyond.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Set for the process inside the namespaces.
const INSIDE: &str = "SWATH_CHAOS_INSIDE";

/// Begins once more in namespaces of its own, and returns true there; says why and returns false where there are none.
pub(super) fn enter() -> Result<bool> {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"])?;
        return Ok(true);
    }
    // Root needs no namespace of users; others may have one.
    for flags in [&[][..], &["--map-root-user"]] {
        let mut probe = unshare(flags);
        probe.args(["ip", "link", "set", "lo", "up"]);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        if probe.status().is_ok_and(|status| status.success()) {
            let program = std::env::current_exe().context("cannot find this program")?;
            let mut again = unshare(flags);
            again.arg(program).args(std::env::args_os().skip(1));
            return Err(again.env(INSIDE, "1").exec()).context("cannot run unshare");
        }
    }
    Ok(false)
}

/// The processes in the namespaces end with the first of them, and that one with `unshare`.
fn unshare(flags: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(flags);
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
    ]);
    command
}

/// Runs a program of the system that must succeed.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    ask(program, arguments).map(|_| ())
}

/// The same; returns what it says.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Result<String> {
    let said = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    anyhow::ensure!(
        said.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&said.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}
