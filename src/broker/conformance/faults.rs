//! What only a server can go through: being killed and started again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::lab::{
    LEASE, LONG, job, message, nats_config, publish, pull, pull_from, pull_one, text, texts,
};
use crate::broker::{Broker, Error, Message, NatsBroker, NatsConfig, Queue, Settle};
use crate::ids::{Incarnation, QueueName, WorkerId};
use crate::spec::Priority;
use crate::testing::nats_server::NatsServer;

pub(super) fn server() -> NatsServer {
    NatsServer::start().unwrap_or_else(|error| panic!("{error}"))
}

pub(super) async fn connect(server: &NatsServer) -> Arc<NatsBroker> {
    NatsBroker::connect(nats_config(server)).await.unwrap()
}

/// Kills the server, does something without it, and starts it again after a while.
async fn without_server<T>(server: &mut NatsServer, meanwhile: impl Future<Output = T>) -> T {
    let pid = server.pid();
    server.kill().unwrap();
    let restarting = async {
        sleep(Duration::from_millis(1_500)).await;
        server.restart().unwrap();
        assert_ne!(server.pid(), pid, "the server was not restarted");
    };
    let (done, ()) = tokio::join!(meanwhile, restarting);
    done
}

#[tokio::test]
async fn what_is_sent_while_the_server_is_away_arrives_once() {
    let mut server = server();
    let broker = connect(&server).await;
    let job = job("a");
    broker.append(&job, None, "before".into()).await.unwrap();
    without_server(&mut server, async {
        broker.append(&job, None, "during".into()).await.unwrap();
        let tasks = (0..100).map(|n| message(&n.to_string(), Priority::Normal));
        broker.publish(Queue::Tasks, tasks.collect()).await.unwrap();
        broker.put_blob(&job, "plan", "blob".into()).await.unwrap();
    })
    .await;
    broker.append(&job, None, "after".into()).await.unwrap();
    let records = broker.read_log(&job).await.unwrap();
    let records: Vec<_> = records.iter().map(|r| text(&r.payload)).collect();
    assert_eq!(records, ["before", "during", "after"]);
    assert_eq!(
        broker.get_blob(&job, "plan").await.unwrap(),
        Some("blob".into())
    );
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(texts(&pull(&*broker, 30, LONG).await));
    }
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (100, 100));
}

#[tokio::test]
async fn a_tail_resumes_without_gap_or_repetition() {
    let mut server = server();
    let (writer, reader) = (connect(&server).await, connect(&server).await);
    let job = job("a");
    for n in 0..50 {
        writer
            .append(&job, None, n.to_string().into())
            .await
            .unwrap();
    }
    let mut tail = reader.tail(&job).await.unwrap();
    let mut seen = Vec::new();
    let mut take = async |until: usize| {
        while seen.len() < until {
            let record = timeout(LONG, tail.next()).await.expect("no record came");
            seen.push(text(&record.unwrap().unwrap().payload));
        }
        seen.clone()
    };
    take(30).await;
    without_server(&mut server, async {
        for n in 50..60 {
            writer
                .append(&job, None, n.to_string().into())
                .await
                .unwrap();
        }
    })
    .await;
    take(60).await;
    for n in 60..70 {
        writer
            .append(&job, None, n.to_string().into())
            .await
            .unwrap();
    }
    let expected: Vec<_> = (0..70).map(|n| n.to_string()).collect();
    assert_eq!(take(70).await, expected);
}

#[tokio::test]
async fn a_waiting_pull_survives_a_restart() {
    let mut server = server();
    let (producer, worker) = (connect(&server).await, connect(&server).await);
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move {
            let found = pull_one(&*worker).await;
            worker.settle(&found.lease, Settle::Done).await.unwrap();
            (text(&found.payload), Instant::now())
        }
    });
    sleep(Duration::from_millis(200)).await;
    let published = without_server(&mut server, async {
        publish(&*producer, "a").await;
        Instant::now()
    })
    .await;
    let (found, at) = waiting.await.unwrap();
    assert_eq!(found, "a");
    let late = at.saturating_duration_since(published);
    assert!(
        late < Duration::from_secs(4),
        "pulled {late:?} after the publish"
    );
    assert!(pull(&*worker, 1, LEASE * 2).await.is_empty());
}

#[tokio::test]
async fn leases_and_settles_survive_a_restart() {
    let mut server = server();
    let broker = connect(&server).await;
    for id in ["done", "retry", "held"] {
        publish(&*broker, id).await;
    }
    let mut found = Vec::new();
    while found.len() < 3 {
        found.extend(pull(&*broker, 3, LONG).await);
    }
    let payloads = texts(&found);
    let (done, _) = without_server(&mut server, async {
        let how = Settle::Retry { delay: LEASE };
        tokio::join!(
            broker.settle(&found[0].lease, Settle::Done),
            broker.settle(&found[1].lease, how)
        )
    })
    .await;
    // A killed server can have forgotten that it delivered a message: then settling it fails, and it
    // comes again. What was settled without an error does not.
    let skipped = usize::from(done.is_ok());
    let expected: BTreeSet<_> = payloads.into_iter().skip(skipped).collect();
    let mut again = BTreeSet::new();
    while again.len() < expected.len() {
        let delivery = pull_one(&*broker).await;
        again.insert(text(&delivery.payload));
        broker.settle(&delivery.lease, Settle::Done).await.unwrap();
    }
    assert_eq!(again, expected);
    assert!(pull(&*broker, 1, LEASE * 2).await.is_empty());
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_under_repeated_kills() {
    let mut server = server();
    let (producer, worker) = (connect(&server).await, connect(&server).await);
    let publishing = async {
        for batch in 0..60 {
            let ids = batch * 20..(batch + 1) * 20;
            let tasks = ids.map(|n| message(&n.to_string(), Priority::Normal));
            producer
                .publish(Queue::Tasks, tasks.collect())
                .await
                .unwrap();
            sleep(Duration::from_millis(50)).await;
        }
    };
    let working = async {
        let mut seen = BTreeSet::new();
        let until = Instant::now() + LONG * 3;
        while seen.len() < 1_200 && Instant::now() < until {
            // A pull may fail while the server is away; what counts is that it goes on.
            let found = pull_from(&*worker, Queue::Tasks, 50, LEASE).await;
            let found = found.unwrap_or_default();
            let settled = found.iter().map(|d| worker.settle(&d.lease, Settle::Done));
            // A killed server may have forgotten that it delivered a message; it delivers it again.
            join_all(settled).await;
            seen.extend(texts(&found));
        }
        seen.len()
    };
    let killing = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(600)).await;
            server.kill().unwrap();
            sleep(Duration::from_millis(300)).await;
            server.restart().unwrap();
        }
    };
    let (seen, (), ()) = tokio::join!(working, publishing, killing);
    assert_eq!(seen, 1_200);
}

#[tokio::test]
async fn worker_records_and_signals_go_on_after_a_restart() {
    let mut server = server();
    let (one, two) = (connect(&server).await, connect(&server).await);
    let mut signals = two.signals().await.unwrap();
    let id = WorkerId::new("w").unwrap();
    let ttl = Duration::from_secs(10);
    without_server(&mut server, async {
        one.announce(&id, Incarnation(1), "s".into(), ttl)
            .await
            .unwrap();
    })
    .await;
    let workers = two.workers().await.unwrap();
    assert_eq!(
        workers.iter().map(|w| w.id.as_str()).collect::<Vec<_>>(),
        ["w"]
    );
    // Both are connected again by now: both were answered.
    let signal = crate::broker::Signal::Drain(id);
    one.signal(signal.clone()).await.unwrap();
    assert_eq!(timeout(LONG, signals.next()).await.unwrap(), Some(signal));
}

#[tokio::test]
async fn requests_fail_when_patience_ends() {
    let mut server = server();
    let config = NatsConfig {
        patience: Duration::from_secs(1),
        ..nats_config(&server)
    };
    let broker = NatsBroker::connect(config).await.unwrap();
    server.kill().unwrap();
    let started = Instant::now();
    let refused = broker.append(&job("a"), None, "1".into()).await;
    assert!(matches!(refused, Err(Error::Request { .. })), "{refused:?}");
    let refused = pull_from(&*broker, Queue::Tasks, 1, LEASE).await;
    assert!(matches!(refused, Err(Error::Request { .. })), "{refused:?}");
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_queue_whose_consumers_were_removed_is_served_again_and_holds_up_no_other() {
    const DRAIN: Duration = Duration::from_secs(1);
    let server = server();
    let broker = connect(&server).await;
    let names = ["gpu", "default"].map(|it| QueueName::new(it).unwrap());
    let mut came = Vec::new();
    for round in 0..4 {
        let messages = names.iter().map(|queue| Message {
            queue: queue.clone(),
            ..message(&format!("{queue} {round}"), Priority::Normal)
        });
        broker
            .publish(Queue::Tasks, messages.collect())
            .await
            .unwrap();
        loop {
            let found = broker.pull(Queue::Tasks, &names, 1, DRAIN).await;
            let Some(delivery) = found.ok().and_then(|mut found| found.pop()) else {
                break;
            };
            broker.settle(&delivery.lease, Settle::Done).await.unwrap();
            came.push(text(&delivery.payload));
        }
        let client = async_nats::connect(server.url()).await.unwrap();
        let streams = async_nats::jetstream::new(client);
        let stream = streams.get_stream("SWATH_TASKS").await.unwrap();
        let mut consumers = stream.consumer_names();
        while let Some(name) = consumers.next().await {
            let name = name.unwrap();
            if name.ends_with("=gpu") {
                stream.delete_consumer(&name).await.unwrap();
            }
        }
    }
    let of = |queue: &str| came.iter().filter(|it| it.starts_with(queue)).count();
    assert_eq!(of("default"), 4, "{came:?}");
    assert!(of("gpu") >= 3, "{came:?}");
}
