//! `swath doctor`, on servers and workers that are well, and on such as are not.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use swath::broker::{Broker, NatsBroker, NatsConfig};
use swath::cluster::{Worker, WorkerListeners};
use swath::ids::{Incarnation, WorkerId};
use swath::ops::Registry;
use swath::testing::nats_server::NatsServer;
use swath::time::Timestamp;
use swath::wire::{self, StoreDisk, WorkerState};
use swath::worker::WorkerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::check;

const MONITORED: &str = "http: \"127.0.0.1:-1\"";
const SYNCED: &str = "http: \"127.0.0.1:-1\"\njetstream { sync_interval: always }";

async fn connect(server: &NatsServer) -> Arc<NatsBroker> {
    let config = NatsConfig::for_url(server.url());
    NatsBroker::connect(config).await.unwrap()
}

/// Runs `swath doctor` on a server; asserts its exit code, and returns its checks.
fn doctor(server: &NatsServer, more: &[&str], code: i32) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let url = server.url();
    let words = [&["doctor", "--json", "--nats", &url], more].concat();
    let output = check(dir.path(), &words, code, &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["checks"].as_array().unwrap().clone()
}

/// Returns the check of a name, of a worker or stream where one is named.
fn find<'a>(checks: &'a [Value], name: &str, of: Option<&str>) -> &'a Value {
    let same = |check: &&Value| {
        check["check"] == name && of.is_none_or(|of| check["of"].as_str() == Some(of))
    };
    checks
        .iter()
        .find(same)
        .unwrap_or_else(|| panic!("{name} of {of:?} is not in {checks:?}"))
}

/// What a worker of this version would say of itself, with a port that nothing listens on.
pub(super) fn state(id: &str) -> WorkerState {
    WorkerState {
        id: WorkerId::new(id).unwrap(),
        incarnation: Incarnation(1),
        flight: "127.0.0.1:1".to_owned(),
        host: "elsewhere".to_owned(),
        queues: swath::ids::QueueName::only_default(),
        slots: 1,
        memory_bytes: 1,
        memory_used_bytes: 0,
        stored_bytes: 0,
        running: Vec::new(),
        coordinates: Vec::new(),
        draining: false,
        succeeded: 0,
        failed: 0,
        operations: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: Some(Timestamp::from_system(SystemTime::now())),
        disk: Some(StoreDisk {
            free_bytes: 50 << 30,
            used_bytes: 0,
            limit_bytes: 50 << 30,
        }),
    }
}

async fn announce(broker: &NatsBroker, state: &WorkerState) {
    let payload = wire::encode(state).unwrap();
    let ttl = Duration::from_secs(60);
    let announced = broker.announce(&state.id, state.incarnation, payload, ttl);
    announced.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_well_is_found_well() {
    let server = NatsServer::start_with(SYNCED).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listeners = WorkerListeners {
        flight: Some(listener),
        ..WorkerListeners::default()
    };
    let config = WorkerConfig {
        id: Some("w".to_owned()),
        ..WorkerConfig::default()
    };
    let broker = connect(&server).await;
    let worker = Worker::new(config, broker.clone(), Registry::built_in(), listeners).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(CancellationToken::new(), stop.clone()));
    let begun = std::time::Instant::now();
    // The disk is told from the second heartbeat on.
    loop {
        assert!(begun.elapsed() < Duration::from_secs(30));
        let records = broker.workers().await.unwrap();
        let state = records
            .first()
            .map(|it| wire::decode::<WorkerState>(&it.payload).unwrap());
        if state.is_some_and(|state| state.disk.is_some()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let monitor = server.monitor_url().unwrap();
    let checks = doctor(&server, &["--monitor", &monitor], 0);
    for (name, of) in [
        ("server", None),
        ("jetstream", None),
        ("payload", None),
        ("monitor", None),
        ("fsync", None),
        ("streams", None),
        ("clock", None),
        ("worker", Some("w")),
        ("clock", Some("w")),
        ("flight", Some("w")),
        ("versions", None),
        ("jobs", None),
        ("dead letters", None),
    ] {
        assert_eq!(find(&checks, name, of)["verdict"], "ok", "{name} of {of:?}");
    }
    // How full this machine's disk is, is not for a test to say.
    assert!(
        find(&checks, "disk", Some("w"))["found"]
            .as_str()
            .unwrap()
            .contains("free")
    );
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_syncs_late_is_warned_of_and_one_that_does_not_tell_is_not_guessed_at() {
    let server = NatsServer::start_with(MONITORED).unwrap();
    let monitor = server.monitor_url().unwrap();
    let checks = doctor(&server, &["--monitor", &monitor], 0);
    let fsync = find(&checks, "fsync", None);
    assert_eq!(fsync["verdict"], "warning");
    assert!(
        fsync["do"]
            .as_str()
            .unwrap()
            .contains("sync_interval: always")
    );
    let checks = doctor(&server, &[], 0);
    assert_eq!(find(&checks, "monitor", None)["verdict"], "unknown");
    assert!(checks.iter().all(|check| check["check"] != "fsync"));
    // Nothing was made by looking: the streams are the first worker's to make.
    let streams = find(&checks, "streams", None)["found"].as_str().unwrap();
    assert!(streams.contains("no cluster of this --prefix"), "{streams}");
    // Another server's word does not count for this one.
    let other = NatsServer::start_with(SYNCED).unwrap();
    let monitor = other.monitor_url().unwrap();
    let checks = doctor(&server, &["--monitor", &monitor], 0);
    assert_eq!(find(&checks, "monitor", None)["verdict"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_reached_or_has_another_clock_or_version_is_told() {
    let server = NatsServer::start().unwrap();
    let broker = connect(&server).await;
    announce(&broker, &state("walled")).await;
    let late = WorkerState {
        clock: Some(Timestamp(0)),
        version: "0.0.1".to_owned(),
        disk: None,
        flight: "127.0.0.1:2".to_owned(),
        host: "yonder".to_owned(),
        ..state("late")
    };
    announce(&broker, &late).await;
    let checks = doctor(&server, &[], 1);
    let flight = find(&checks, "flight", Some("walled"));
    assert_eq!(flight["verdict"], "problem");
    assert!(
        flight["do"]
            .as_str()
            .unwrap()
            .contains("--flight-advertise")
    );
    assert_eq!(find(&checks, "flight", Some("late"))["verdict"], "problem");
    assert_eq!(find(&checks, "clock", Some("walled"))["verdict"], "ok");
    assert_eq!(find(&checks, "clock", Some("late"))["verdict"], "warning");
    assert_eq!(find(&checks, "disk", Some("walled"))["verdict"], "ok");
    assert_eq!(find(&checks, "disk", Some("late"))["verdict"], "unknown");
    assert_eq!(find(&checks, "versions", None)["verdict"], "warning");
    // 127.0.0.1 is another machine for the worker on the other host.
    let looped = checks.iter().any(|check| {
        let found = check["found"].as_str().unwrap_or_default();
        check["of"] == "walled" && found.contains("another machine")
    });
    assert!(looped, "{checks:?}");
}

#[test]
fn a_broker_that_is_not_there_is_not_reachable() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["doctor", "--nats", "nats://127.0.0.1:1"];
    check(dir.path(), &words, 3, &["cannot reach the broker"]);
    check(dir.path(), &["doctor"], 2, &["--nats"]);
}
