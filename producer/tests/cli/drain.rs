//! `swath drain`, of workers that leave and of one that is lost.

use std::time::Duration;

use swath::WorkerConfig;
use swath::broker::{Broker, NatsBroker, NatsConfig};
use swath::cluster::{LocalCluster, LocalOptions};
use swath::testing::nats_server::NatsServer;
use swath::wire;

use super::doctor::state;
use super::on_nats;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_by_itself_has_left() {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start().unwrap();
    let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
    let options = LocalOptions {
        worker: WorkerConfig {
            id: Some("w".to_owned()),
            ..WorkerConfig::default()
        },
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start_on(broker.unwrap(), options).await;
    let on_nats = on_nats(dir.path(), &server);
    // One that runs tasks listens, too.
    std::fs::write(dir.path().join("t.ndjson"), "{}\n").unwrap();
    let job = "submit --watch tasks --operation noop --params t.ndjson";
    on_nats(&job.split(' ').collect::<Vec<_>>(), 0, &[]);
    on_nats(&["drain", "v", "--wait"], 2, &["no live worker 'v'"]);
    let drained = on_nats(&["drain", "w", "--wait", "--json"], 0, &[]);
    let drained: serde_json::Value = serde_json::from_str(&drained).unwrap();
    assert_eq!(drained, serde_json::json!({ "worker": "w", "left": true }));
    cluster.unwrap().stop().await;
}

/// Its record is all that there is of the worker, and lapses.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_lost_while_it_is_waited_for_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start().unwrap();
    let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
    let broker = broker.unwrap();
    let on_nats = on_nats(dir.path(), &server);
    let state = state("w");
    let payload = wire::encode(&state).unwrap();
    let ttl = WorkerConfig::default().heartbeat_ttl;
    let announced = broker.announce(&state.id, state.incarnation, payload.clone(), ttl);
    announced.await.unwrap();
    let words = ["worker-silent", "stopped answering"];
    on_nats(&["drain", "w", "--wait", "--json"], 1, &words);
    // One that takes its record away within a heartbeat, seen draining or not, is not lost.
    let announced = broker.announce(&state.id, state.incarnation, payload, ttl);
    announced.await.unwrap();
    let leave = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.withdraw(&state.id).await.unwrap();
    });
    on_nats(&["drain", "w", "--wait"], 0, &[]);
    leave.await.unwrap();
}
