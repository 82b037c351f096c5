//! A cluster in one process on a real `nats-server`: what the embedded broker promises, JetStream keeps.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use swath::Client;
use swath::broker::{Broker, NatsBroker, NatsConfig};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::spec::Priority;
use swath::testing::nats_server::NatsServer;

use crate::common::{assert_ndvi, ndvi, raster_output, scene, tasks};

async fn connect(server: &NatsServer, prefix: &str) -> Arc<dyn Broker> {
    let config = NatsConfig {
        prefix: prefix.to_owned(),
        ..NatsConfig::for_url(server.url())
    };
    NatsBroker::connect(config).await.unwrap()
}

async fn cluster(server: &NatsServer, prefix: &str, workers: u32) -> LocalCluster {
    let options = LocalOptions {
        workers,
        ..LocalOptions::default()
    };
    LocalCluster::start_on(connect(server, prefix).await, options)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_on_nats_commit_the_bytes_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 1100);
    let server = NatsServer::start().unwrap();
    let mut bytes = Vec::new();
    let clusters = [
        LocalCluster::start(LocalOptions::default()).await.unwrap(),
        cluster(&server, "swath", 3).await,
    ];
    for (number, cluster) in clusters.into_iter().enumerate() {
        let output = dir.path().join(format!("{number}.tif"));
        let mut spec = ndvi(dir.path(), &output);
        raster_output(&mut spec).blocksize = 128;
        let client = cluster.client();
        let job = client
            .submit(&spec, SubmitOptions::default())
            .await
            .unwrap();
        let ended = client.wait(&job).await.unwrap();
        assert!(ended.succeeded(), "{}", ended.sentence());
        assert_ndvi(dir.path(), &output).await;
        bytes.push(std::fs::read(output).unwrap());
        cluster.stop().await;
    }
    assert!(bytes[0] == bytes[1], "NATS gave other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_its_first_worker_and_the_producer_may_leave() {
    let server = NatsServer::start().unwrap();
    let job = {
        let producer = Client::new(connect(&server, "swath").await);
        let params: Vec<_> = (0..2000).map(|n| json!({ "value": n })).collect();
        producer
            .submit(&tasks("noop", &params), SubmitOptions::default())
            .await
            .unwrap()
    };
    let cluster = cluster(&server, "swath", 2).await;
    let client = cluster.client();
    let ended = tokio::time::timeout(Duration::from_secs(60), client.wait(&job)).await;
    assert!(ended.expect("within a minute").unwrap().succeeded());
    assert_eq!(client.results(&job).await.unwrap().len(), 2000);
    assert_eq!(client.jobs().await.unwrap().len(), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_of_two_prefixes_share_a_server_and_see_nothing_of_each_other() {
    let server = NatsServer::start().unwrap();
    let (one, two) = (
        cluster(&server, "one", 1).await,
        cluster(&server, "two", 1).await,
    );
    let job = one
        .client()
        .submit(&tasks("noop", &[json!({})]), SubmitOptions::default())
        .await
        .unwrap();
    assert!(one.client().wait(&job).await.unwrap().succeeded());
    assert!(two.client().status(&job).await.is_err());
    assert_eq!(two.client().workers().await.unwrap().len(), 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_larger_than_a_message_goes_through() {
    let server = NatsServer::start().unwrap();
    let cluster = cluster(&server, "swath", 1).await;
    let client = cluster.client();
    let text = "x".repeat(300);
    let params: Vec<_> = (0..10_000)
        .map(|n| json!({ "value": n, "pad": text }))
        .collect();
    let mut spec = tasks("noop", &params);
    spec.options.priority = Priority::High;
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(&job)).await;
    assert!(ended.expect("within two minutes").unwrap().succeeded());
    cluster.stop().await;
}

/// Starts three servers that hold their streams together.
fn three_servers() -> [NatsServer; 3] {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = [free(), free(), free()];
    let ports = held
        .each_ref()
        .map(|held| held.local_addr().unwrap().port());
    drop(held);
    let routes = ports
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .join(", ");
    ports.map(|port| {
        NatsServer::start_with(&format!(
            "server_name: s{port}\ncluster {{ name: swath, host: 127.0.0.1, port: {port}, routes: [{routes}] }}"
        ))
        .unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn three_copies_outlive_a_server_that_is_killed_in_mid_job() {
    let mut servers = three_servers();
    let urls = servers.each_ref().map(NatsServer::url).join(",");
    let config = NatsConfig {
        replicas: 3,
        ..NatsConfig::for_url(urls)
    };
    let broker = NatsBroker::connect(config).await.unwrap();
    let options = LocalOptions {
        workers: 2,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start_on(broker, options).await.unwrap();
    let client = cluster.client();
    let params = vec![json!({ "ms": 20 }); 400];
    let job = client
        .submit(&tasks("sleep", &params), SubmitOptions::default())
        .await
        .unwrap();
    let under_way = async {
        loop {
            let done = client.status(&job).await.unwrap().progress.done();
            if done >= 20 {
                break done;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let before = tokio::time::timeout(Duration::from_secs(60), under_way).await;
    assert!(before.expect("tasks end within a minute") < 400);
    servers[0].kill().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(&job)).await;
    let ended = ended.expect("within two minutes").unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
    assert_eq!(ended.progress.done(), 400);
    cluster.stop().await;
}
