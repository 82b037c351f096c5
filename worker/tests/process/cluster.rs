//! Worker processes on a real `nats-server`, and waiting for what they do.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use swath::broker::{NatsBroker, NatsConfig};
use swath::client::{JobProgress, SubmitOptions};
use swath::ids::JobId;
use swath::testing::nats_server::NatsServer;
use swath::{Client, JobSpec};

/// A worker process; killed when dropped.
pub(crate) struct WorkerProcess {
    pub(crate) id: String,
    child: Child,
}

impl WorkerProcess {
    pub(crate) fn start(id: &str, server: &NatsServer) -> Self {
        Self::start_with(id, server, &[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(id: &str, server: &NatsServer, more: &[&str]) -> Self {
        Self::spawn(id, server, more, None)
    }

    /// Starts one with the allocator's settings as they are given; without any, it has none at first.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    pub(crate) fn start_tuned(id: &str, server: &NatsServer, tunables: &str) -> Self {
        Self::spawn(id, server, &[], Some(tunables))
    }

    fn spawn(id: &str, server: &NatsServer, more: &[&str], tunables: Option<&str>) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_swath-worker"))
            .env_remove("GLIBC_TUNABLES")
            .envs(tunables.map(|set| ("GLIBC_TUNABLES", set)))
            .args(["--nats", &server.url(), "--id", id, "--slots", "1"])
            .args(["--flight-listen", "127.0.0.1:0"])
            .args(more)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let id = id.to_owned();
        Self { id, child }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILLs it; it must still run.
    pub(crate) fn kill(&mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "{} had ended",
            self.id
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells how it ended, if it has.
    pub(crate) fn has_died(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    /// Sends it a signal, such as `-STOP`; it must still run.
    pub(crate) fn signal(&mut self, signal: &str) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "{} had ended",
            self.id
        );
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // One that has been waited for is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn connect(server: &NatsServer) -> Client {
    Client::new(
        NatsBroker::connect(NatsConfig::for_url(server.url()))
            .await
            .unwrap(),
    )
}

/// Waits until `found` finds something; fails after a minute.
pub(crate) async fn wait_for<T>(what: &str, found: impl AsyncFn() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within a minute"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn wait_for_workers(client: &Client, count: usize) {
    wait_for("workers are up", async || {
        let workers = client.workers().await.ok()?;
        (workers.len() == count).then_some(())
    })
    .await;
}

pub(crate) async fn wait_for_done(client: &Client, job: &JobId, tasks: u64) {
    wait_for("tasks are done", async || {
        let progress = client.status(job).await.ok()?;
        assert!(
            !progress.is_complete(),
            "the job ended before the fault: make it longer"
        );
        (progress.progress.done() >= tasks).then_some(())
    })
    .await;
}

pub(crate) async fn end(client: &Client, job: &JobId) -> JobProgress {
    let ended = tokio::time::timeout(Duration::from_secs(300), client.wait(job)).await;
    let ended = ended.expect("the job ends within five minutes").unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
    assert_eq!(
        ended.progress.failed(),
        0,
        "a task was charged for what was not its fault"
    );
    ended
}

pub(crate) async fn submit(client: &Client, spec: &JobSpec) -> JobId {
    client.submit(spec, SubmitOptions::default()).await.unwrap()
}
