//! Child processes that can be signalled, waited for with a limit, and never stay.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How often a process is asked whether it has ended.
const PERIOD: Duration = Duration::from_millis(10);

/// A process that runs beside this one; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Answer {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Process {
    /// Starts a program whose output is appended to a log.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let open = || -> Result<File> {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)
                .with_context(|| format!("cannot open {}", log.display()))
        };
        command.stdout(open()?).stderr(open()?);
        Self::spawn(name, command)
    }

    /// Starts a program in a process group of its own: Ctrl-C is for this one, which then stops the others.
    fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("cannot start {name} ({})", command.get_program().display())
            })?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Starts a command that will say something short, for [`Self::answer`].
    pub(super) fn ask(name: &str, command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(name, command)
    }

    /// Waits for the end of a command; one that takes longer is killed, and that is an error.
    pub(super) fn answer(mut self, limit: Duration) -> Result<Answer> {
        let status = self.wait(limit)?;
        let name = &self.name;
        ensure!(status.is_some(), "{name}: still running after {limit:?}");
        let read = |pipe: Option<&mut dyn std::io::Read>| -> Result<String> {
            let mut text = Vec::new();
            if let Some(pipe) = pipe {
                pipe.read_to_end(&mut text)?;
            }
            Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
        };
        Ok(Answer {
            code: status.and_then(|status| status.code()),
            stdout: read(self.child.stdout.as_mut().map(|pipe| pipe as _))?,
            stderr: read(self.child.stderr.as_mut().map(|pipe| pipe as _))?,
        })
    }

    /// Waits for its end, no longer than that.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            std::thread::sleep(PERIOD);
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// SIGKILLs it; it must have been running.
    pub(super) fn kill(&mut self) -> Result<()> {
        ensure!(
            !self.has_ended()?,
            "{} had ended before it was killed",
            self.name
        );
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal, such as `STOP`; it must be running.
    pub(super) fn signal(&mut self, signal: &str) -> Result<()> {
        ensure!(
            !self.has_ended()?,
            "{} had ended before SIG{signal}",
            self.name
        );
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string())
            .status()
            .context("cannot run kill")?;
        ensure!(
            sent.success(),
            "SIG{signal} could not be sent to {}",
            self.name
        );
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
