//! Servers and workers as processes, with their logs and stores in one folder.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::clocks;
use super::isolation;
use super::load::SIDE_QUEUE;
use super::network::{Host, Network};
use super::process::{Answer, Process};
use super::servers::Servers;

/// How long workers may take to be there.
const START_MAX: Duration = Duration::from_secs(30);
/// How long the record of a worker that died stays at most, and some more.
const RECORD_MAX: Duration = Duration::from_secs(8);
/// How long any `swath` command may take: it must never hang.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// The port of workers that have hosts of their own.
pub(super) const FLIGHT: u16 = 8790;
/// Room on the disk of each worker's store, where it is one of its own.
const STORE_DISK: &str = "size=1g";

/// The `swath` command on one cluster.
#[derive(Debug, Clone)]
pub(super) struct Swath {
    program: PathBuf,
    url: String,
    /// Copies of each stream.
    replicas: usize,
}

impl Swath {
    pub(super) fn new(binaries: &Path, url: &str, replicas: usize) -> Self {
        Self {
            program: binaries.join("swath"),
            url: url.to_owned(),
            replicas,
        }
    }

    /// Starts a command without waiting for it.
    pub(super) fn start(&self, arguments: &[String]) -> Result<Process> {
        let name = format!("swath {}", arguments.first().map_or("", String::as_str));
        let mut command = Command::new(&self.program);
        command.env_remove("SWATH_NATS").env_remove("NATS_URL");
        command.args(arguments).args(["--nats", &self.url]);
        command.args(["--replicas", &self.replicas.to_string()]);
        Process::ask(&name, &mut command)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<Answer> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        self.start(&arguments)?.answer(COMMAND_MAX)
    }

    /// Runs a command that prints JSON; `None` where the broker cannot be reached.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Option<Value>> {
        let mut all = arguments.to_vec();
        all.push("--json");
        let answer = self.run(&all)?;
        match answer.code {
            Some(0) => Ok(Some(serde_json::from_str(&answer.stdout)?)),
            Some(BROKER) => Ok(None),
            code => anyhow::bail!(
                "swath {}: exit code {code:?}: {}",
                all.join(" "),
                answer.stderr
            ),
        }
    }

    /// Returns the records of the live workers; none where the broker cannot be reached.
    pub(super) fn workers(&self) -> Result<Vec<WorkerRecord>> {
        let records = self.json(&["workers"])?.unwrap_or_default();
        let records = records.as_array().cloned().unwrap_or_default();
        Ok(records.iter().map(WorkerRecord::read).collect())
    }
}

/// The exit code of `swath` for "broker not reachable".
pub(super) const BROKER: i32 = 3;

/// What a worker says of itself.
#[derive(Debug, Clone)]
pub(super) struct WorkerRecord {
    pub(super) id: String,
    pub(super) runs: bool,
    pub(super) coordinates: Vec<String>,
    pub(super) stored_bytes: u64,
    /// Its wall clock, in microseconds.
    pub(super) clock: Option<i64>,
}

impl WorkerRecord {
    fn read(record: &Value) -> Self {
        let list = |name: &str| record[name].as_array().cloned().unwrap_or_default();
        Self {
            id: record["id"].as_str().unwrap_or_default().to_owned(),
            runs: !list("running").is_empty(),
            coordinates: list("coordinates")
                .iter()
                .filter_map(|job| job.as_str().map(str::to_owned))
                .collect(),
            stored_bytes: record["stored_bytes"].as_u64().unwrap_or_default(),
            clock: record["clock"].as_i64(),
        }
    }
}

/// A worker's place: its name, store and address stay when its process dies.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) store: PathBuf,
    pub(super) log: PathBuf,
    /// The file by which its wall clock is set.
    pub(super) clock: PathBuf,
    flight: SocketAddr,
    /// `None` while it is away.
    pub(super) process: Option<Process>,
    started: Instant,
    /// Whether a fault has it: it is nobody else's target then.
    pub(super) disturbed: bool,
}

impl Node {
    /// Whether its record is its own, and not that of a process before, which stays for some seconds.
    pub(super) fn is_known(&self) -> bool {
        self.started.elapsed() >= RECORD_MAX
    }
}

/// All processes of a run.
#[derive(Debug)]
pub(super) struct Cluster {
    worker_program: PathBuf,
    /// The library by which workers' clocks can be set.
    clocks: Option<PathBuf>,
    /// Where each worker has a host and a disk of its own.
    pub(super) network: Option<Network>,
    pub(super) swath: Swath,
    pub(super) servers: Servers,
    pub(super) nodes: Vec<Node>,
}

impl Cluster {
    /// Starts servers and workers, so many of each, and waits until all workers have announced themselves.
    pub(super) fn start(
        binaries: &Path,
        folder: &Path,
        (servers, workers): (usize, usize),
        network: Option<Network>,
        clocks: Option<PathBuf>,
    ) -> Result<Self> {
        if clocks.is_some() {
            clocks::make_place()?;
        }
        let host = network.map_or(Ipv4Addr::LOCALHOST, |_| Host::Hub.address());
        let servers = Servers::start(folder, host, servers)?;
        let node = |index: usize| -> Result<Node> {
            let id = format!("w{}", index + 1);
            let store = folder.join(format!("store-{id}"));
            std::fs::create_dir(&store)?;
            let flight = match network {
                None => (Ipv4Addr::LOCALHOST, free_port()?),
                Some(_) => {
                    let at = store.display().to_string();
                    isolation::run("mount", &["-t", "tmpfs", "-o", STORE_DISK, &id, &at])?;
                    (Host::Worker(index).address(), FLIGHT)
                }
            };
            let clock = folder.join(format!("{id}.clock"));
            clocks::set(&clock, 0)?;
            Ok(Node {
                log: folder.join(format!("{id}.log")),
                clock,
                flight: flight.into(),
                store,
                id,
                process: None,
                started: Instant::now(),
                disturbed: false,
            })
        };
        let mut cluster = Self {
            worker_program: binaries.join("swath-worker"),
            clocks,
            network,
            swath: Swath::new(binaries, &servers.url(), servers.count()),
            servers,
            nodes: (0..workers).map(node).collect::<Result<_>>()?,
        };
        for index in 0..workers {
            cluster.start_worker(index)?;
        }
        let deadline = Instant::now() + START_MAX;
        while cluster.swath.workers()?.len() < workers {
            ensure!(
                Instant::now() < deadline,
                "the workers do not come up, see {}",
                folder.display()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(cluster)
    }

    pub(super) fn node(&mut self, index: usize) -> Result<&mut Node> {
        self.nodes.get_mut(index).context("no such worker")
    }

    pub(super) fn start_worker(&mut self, index: usize) -> Result<()> {
        let (program, url) = (self.worker_program.clone(), self.servers.url());
        let replicas = self.servers.count().to_string();
        let mut command = match self.network {
            None => Command::new(program),
            Some(_) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{}", Host::Worker(index).name()));
                command.arg(program);
                command
            }
        };
        let clocks = self.clocks.clone();
        // The first worker serves the default queue alone.
        if index > 0 {
            command.args(["--queue", &format!("default,{SIDE_QUEUE}")]);
        }
        let node = self.node(index)?;
        if let Some(library) = clocks {
            clocks::attach(&mut command, &library, &node.clock);
        }
        let flight = node.flight.to_string();
        command
            .args([
                "--nats", &url, "--id", &node.id, "--slots", "1", "--memory", "512MiB",
            ])
            .args(["--replicas", &replicas])
            // Small, so that partitions go to disk too.
            .args(["--store-memory", "1MiB", "--store-dir"])
            .arg(&node.store)
            .args(["--flight-listen", &flight, "--flight-advertise", &flight]);
        node.process = Some(Process::start(&node.id, &mut command, &node.log)?);
        node.started = Instant::now();
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.process = None;
            if self.network.is_some() {
                // It ends with the namespace in any case; now, so that the run's folder can be removed.
                let _ = isolation::run("umount", &["-l", &node.store.display().to_string()]);
            }
        }
    }
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
