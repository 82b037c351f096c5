//! Hosts for workers: a namespace of the network each, on one bridge, so that any two can be kept apart.
//!
//! A cut is an address of hardware that nobody has: what is sent there is lost without a word, as behind a broken switch.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde_json::Value;

use super::isolation::{ask, run};

/// The hosts of workers and the bridge that joins them; they end with the namespaces of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network;

/// Where the broker, the source and the commands are: the bridge.
pub(super) const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// A slow line: some 10 Mbit/s, a burst of a few packets, and room for so many that wait.
const SLOW: [&str; 6] = ["rate", "10mbit", "burst", "16kb", "latency", "250ms"];
const NOBODY: &str = "02:00:00:00:00:ff";

/// Lists both ends of a worker's line.
fn ends(index: usize) -> [(Host, String); 2] {
    let worker = Host::Worker(index);
    [
        (worker, worker.device().to_owned()),
        (Host::Hub, format!("port{}", index + 1)),
    ]
}

/// One end of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Hub,
    Worker(usize),
}

impl Host {
    pub(super) fn address(self) -> Ipv4Addr {
        match self {
            Self::Hub => HUB,
            Self::Worker(index) => {
                let last = u8::try_from(index + 2).unwrap_or(u8::MAX);
                Ipv4Addr::new(10, 77, 0, last)
            }
        }
    }

    /// Returns the name of its namespace.
    pub(super) fn name(self) -> String {
        match self {
            Self::Hub => String::new(),
            Self::Worker(index) => format!("host{}", index + 1),
        }
    }

    /// Runs `ip` on it.
    fn ip(self, arguments: &[&str]) -> Result<()> {
        let name = self.name();
        match self {
            Self::Hub => run("ip", arguments),
            Self::Worker(_) => run("ip", &[&["-n", &name][..], arguments].concat()),
        }
    }

    /// Runs `tc` on it, and returns what that says.
    fn tc(self, arguments: &[&str]) -> Result<String> {
        let name = self.name();
        match self {
            Self::Hub => ask("tc", arguments),
            Self::Worker(_) => ask("tc", &[&["-n", &name][..], arguments].concat()),
        }
    }

    fn device(self) -> &'static str {
        match self {
            Self::Hub => "bridge",
            Self::Worker(_) => "eth0",
        }
    }

    fn loses(self, other: Self) -> Result<()> {
        let address = other.address().to_string();
        self.ip(&[
            "neigh",
            "replace",
            &address,
            "lladdr",
            NOBODY,
            "nud",
            "permanent",
            "dev",
            self.device(),
        ])
    }

    fn finds(self, other: Self) -> Result<()> {
        self.ip(&[
            "neigh",
            "del",
            &other.address().to_string(),
            "dev",
            self.device(),
        ])
    }
}

impl Network {
    /// Makes the bridge and a host for each worker, within the namespaces of the run.
    pub(super) fn make(workers: usize) -> Result<Self> {
        std::fs::create_dir_all("/run/netns")?;
        run("mount", &["-t", "tmpfs", "hosts", "/run/netns"])?;
        let hub = Host::Hub;
        hub.ip(&["link", "add", "bridge", "type", "bridge"])?;
        hub.ip(&["addr", "add", &format!("{HUB}/24"), "dev", "bridge"])?;
        hub.ip(&["link", "set", "bridge", "up"])?;
        for index in 0..workers {
            let host = Host::Worker(index);
            let (name, port) = (host.name(), format!("port{}", index + 1));
            hub.ip(&["netns", "add", &name])?;
            hub.ip(&[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name,
            ])?;
            hub.ip(&["link", "set", &port, "master", "bridge", "up"])?;
            host.ip(&[
                "addr",
                "add",
                &format!("{}/24", host.address()),
                "dev",
                "eth0",
            ])?;
            host.ip(&["link", "set", "eth0", "up"])?;
            host.ip(&["link", "set", "lo", "up"])?;
        }
        Ok(Self)
    }

    pub(super) fn cut(self, one: Host, other: Host) -> Result<()> {
        one.loses(other)?;
        other.loses(one)
    }

    pub(super) fn join(self, one: Host, other: Host) -> Result<()> {
        one.finds(other)?;
        other.finds(one)
    }

    /// Whether the kernel can make a line slow.
    pub(super) fn can_slow(self) -> bool {
        let line = ["dev", "lo", "root"];
        let add = [&["qdisc", "add"], &line[..], &["tbf"], &SLOW[..]].concat();
        let del = [&["qdisc", "del"], &line[..]].concat();
        Host::Hub.tc(&add).and_then(|_| Host::Hub.tc(&del)).is_ok()
    }

    /// Makes the line of a worker slow, both ways: what does not fit waits, up to a quarter of a second, and is lost beyond that.
    pub(super) fn slow(self, index: usize) -> Result<()> {
        for (host, device) in ends(index) {
            host.tc(&[&["qdisc", "add", "dev", &device, "root", "tbf"], &SLOW[..]].concat())?;
        }
        Ok(())
    }

    /// Ends that.
    pub(super) fn restore(self, index: usize) -> Result<()> {
        for (host, device) in ends(index) {
            host.tc(&["qdisc", "del", "dev", &device, "root"])?;
        }
        Ok(())
    }

    /// Counts the packets that a slow line has lost so far.
    pub(super) fn lost(self, index: usize) -> Result<u64> {
        let mut lost = 0;
        for (host, device) in ends(index) {
            let told = host.tc(&["-s", "-j", "qdisc", "show", "dev", &device])?;
            let disciplines: Value = serde_json::from_str(&told)?;
            lost += disciplines[0]["drops"].as_u64().unwrap_or_default();
        }
        Ok(lost)
    }

    /// Whether one host can open a connection to a port of another, within a second.
    pub(super) fn reaches(self, one: Host, other: Host, port: u16) -> Result<bool> {
        let connect = format!("exec 3<>/dev/tcp/{}/{port}", other.address());
        let mut command = std::process::Command::new("ip");
        command.args([
            "netns",
            "exec",
            &one.name(),
            "timeout",
            "1",
            "bash",
            "-c",
            &connect,
        ]);
        command.stderr(std::process::Stdio::null());
        Ok(command.status()?.success())
    }
}
