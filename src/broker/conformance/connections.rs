//! Connecting to a server: set up otherwise, too old or not there, with credentials and certificates.

use std::time::Duration;

use tokio::time::Instant;

use super::faults::{connect, server};
use super::lab::{LEASE, LONG, job, nats_config, publish, pull, pull_one};
use crate::broker::{Broker, Error, NatsBroker, NatsConfig};
use crate::ids::{Incarnation, WorkerId};
use crate::testing::nats_server::NatsServer;

#[tokio::test]
async fn another_configuration_is_a_conflict_that_names_both() {
    let server = server();
    connect(&server).await;
    let changed: [(&str, &str, NatsConfig); 3] = [
        (
            "lease",
            "consumer",
            NatsConfig {
                tasks_lease: LEASE * 3,
                ..nats_config(&server)
            },
        ),
        (
            "max messages",
            "stream",
            NatsConfig {
                queue_messages_max: Some(5),
                ..nats_config(&server)
            },
        ),
        (
            "subjects",
            "stream",
            NatsConfig {
                prefix: "SWATH".to_owned(),
                ..nats_config(&server)
            },
        ),
    ];
    for (field, expected, config) in changed {
        match NatsBroker::connect(config).await {
            Err(Error::Conflict {
                kind, difference, ..
            }) => {
                assert_eq!(kind, expected);
                assert!(difference.contains(field), "{difference}");
                assert!(difference.contains("wanted"), "{difference}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    connect(&server).await;
}

#[tokio::test]
async fn records_end_at_the_age_that_was_asked_for_last() {
    let server = server();
    let broker = connect(&server).await;
    broker.append(&job("a"), None, "1".into()).await.unwrap();
    // As it is: 7 days, and nobody has to know.
    connect(&server).await;
    let short = NatsConfig {
        duplicate_window: Duration::from_millis(500),
        log_max_age: Some(Duration::from_secs(1)),
        prefix: "short".to_owned(),
        ..nats_config(&server)
    };
    let long = NatsConfig {
        log_max_age: None,
        ..short.clone()
    };
    let other = NatsBroker::connect(long.clone()).await.unwrap();
    other.append(&job("b"), None, "1".into()).await.unwrap();
    NatsBroker::connect(short).await.unwrap();
    // Who does not ask leaves it as it was set.
    NatsBroker::connect(long).await.unwrap();
    let begun = Instant::now();
    while !other.jobs().await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(broker.jobs().await.unwrap(), [job("a")]);
}

#[tokio::test]
async fn prefixes_do_not_see_each_other() {
    let server = server();
    let one = connect(&server).await;
    let config = NatsConfig {
        prefix: "swath-2".to_owned(),
        ..nats_config(&server)
    };
    let two = NatsBroker::connect(config).await.unwrap();
    publish(&*one, "a").await;
    one.append(&job("a"), None, "1".into()).await.unwrap();
    one.put_blob(&job("a"), "plan", "1".into()).await.unwrap();
    let id = WorkerId::new("w").unwrap();
    one.announce(&id, Incarnation(1), "s".into(), LONG)
        .await
        .unwrap();
    assert!(pull(&*two, 1, Duration::from_millis(100)).await.is_empty());
    assert!(two.jobs().await.unwrap().is_empty());
    assert!(two.workers().await.unwrap().is_empty());
    assert_eq!(two.get_blob(&job("a"), "plan").await.unwrap(), None);
    assert_eq!(pull_one(&*one).await.payload, "a");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_in_bounded_time() {
    let mut server = server();
    let url = server.url();
    server.kill().unwrap();
    // Nothing listens; then something listens and never speaks.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("nats://{}", silent.local_addr().unwrap());
    for url in [url, silent_url, "nats://".to_owned()] {
        let config = NatsConfig {
            connect_timeout: Duration::from_secs(1),
            ..NatsConfig::for_url(url)
        };
        let started = Instant::now();
        let refused = NatsBroker::connect(config).await;
        assert!(
            matches!(refused, Err(Error::Unreachable { .. })),
            "{refused:?}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_unsuitable() {
    let server = NatsServer::start_with("").unwrap();
    // An account without JetStream on a server with it.
    let config = "accounts { A { users: [{ user: u, password: \"p@ss\" }] } }";
    let other = NatsServer::start_with(config).unwrap();
    let url = other.url().replace("nats://", "nats://u:p%40ss@");
    match NatsBroker::connect(NatsConfig::for_url(url)).await {
        Err(Error::Unsuitable { reason, .. }) => assert!(reason.contains("-js"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let replicated = NatsConfig {
        replicas: 3,
        ..nats_config(&server)
    };
    match NatsBroker::connect(replicated).await {
        Err(Error::Unsuitable { reason, .. }) => {
            assert!(reason.contains("--replicas 1"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn credentials_in_the_address_are_used() {
    for (config, before_host) in [
        ("authorization { token: \"t0ken\" }", "t0ken@"),
        (
            "authorization { user: me, password: \"p@ss\" }",
            "me:p%40ss@",
        ),
    ] {
        let server = NatsServer::start_with(config).unwrap();
        let refused = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
        assert!(
            matches!(refused, Err(Error::Unsuitable { .. })),
            "{refused:?}"
        );
        let url = server
            .url()
            .replace("nats://", &format!("nats://{before_host}"));
        let broker = NatsBroker::connect(NatsConfig::for_url(url)).await.unwrap();
        publish(&*broker, "a").await;
        assert_eq!(pull_one(&*broker).await.payload, "a");
    }
}

#[tokio::test]
async fn mutual_tls_connects_and_nothing_less_does() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/broker/conformance/tls");
    let file = |name: &str| Some(format!("{folder}/{name}").into());
    let server = NatsServer::start_with(&format!(
        "tls {{ cert_file: \"{folder}/server.pem\", key_file: \"{folder}/server.key.pem\", \
         ca_file: \"{folder}/ca.pem\", verify: true }}"
    ));
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    let without_certificate = NatsConfig {
        tls_ca: file("ca.pem"),
        ..nats_config(&server)
    };
    let of_another_authority = NatsConfig {
        tls_ca: file("client.pem"),
        ..without_certificate.clone()
    };
    for config in [
        nats_config(&server),
        without_certificate.clone(),
        of_another_authority,
    ] {
        let refused = NatsBroker::connect(config).await;
        assert!(
            matches!(refused, Err(Error::Unreachable { .. })),
            "{refused:?}"
        );
    }
    let config = NatsConfig {
        tls_cert: file("client.pem"),
        tls_key: file("client.key.pem"),
        ..without_certificate
    };
    let broker = NatsBroker::connect(config).await.unwrap();
    publish(&*broker, "a").await;
    assert_eq!(pull_one(&*broker).await.payload, "a");
}
