//! Publish, pull, extend, settle.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};

use super::lab::{LEASE, LONG, Lab, message, publish, pull, pull_from, pull_one, text, texts};
use crate::broker::{Error, Lane, Message, Queue, Settle};
use crate::ids::QueueName;
use crate::spec::Priority;

const NO_WAIT: Duration = Duration::ZERO;

pub(super) async fn a_settled_message_is_delivered_once(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    let delivery = pull_one(&*broker).await;
    assert_eq!(delivery.payload, "a");
    assert_eq!(delivery.deliveries, 1);
    assert_eq!(delivery.id, message("a", Priority::Normal).id);
    broker.settle(&delivery.lease, Settle::Done).await.unwrap();
    assert!(pull(&*broker, 1, LEASE * 2).await.is_empty());
}

pub(super) async fn a_confirmed_settle_covers_the_unconfirmed_ones_before_it(lab: &Lab) {
    const COUNT: usize = 300;
    let broker = lab.client().await;
    for number in 0..COUNT {
        publish(&*broker, &format!("message {number}")).await;
    }
    let mut found = Vec::new();
    while found.len() < COUNT {
        found.extend(pull(&*broker, COUNT, LEASE).await);
    }
    let (last, before) = found.split_last().unwrap();
    for delivery in before {
        let settled = broker.settle(&delivery.lease, Settle::Recorded);
        settled.await.unwrap();
    }
    broker.settle(&last.lease, Settle::Done).await.unwrap();
    assert!(pull(&*broker, 1, LEASE * 2).await.is_empty());
}

pub(super) async fn an_expired_lease_is_redelivered_and_counted(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    pull_one(&*broker).await;
    assert!(pull(&*broker, 1, LEASE / 2).await.is_empty());
    for count in 2..4 {
        let again = pull_one(&*broker).await;
        assert_eq!((again.deliveries, again.payload), (count, "a".into()));
    }
}

pub(super) async fn an_extended_lease_does_not_expire(lab: &Lab) {
    let (holder, other) = (lab.client().await, lab.client().await);
    publish(&*holder, "a").await;
    let delivery = pull_one(&*holder).await;
    for _ in 0..6 {
        sleep(LEASE / 3).await;
        holder.extend(&delivery.lease).await.unwrap();
        assert!(pull(&*other, 1, NO_WAIT).await.is_empty());
    }
    // Not extended any more, it expires.
    assert_eq!(pull_one(&*other).await.deliveries, 2);
}

pub(super) async fn a_late_settle_is_accepted(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    let first = pull_one(&*broker).await;
    let second = pull_one(&*broker).await;
    assert_eq!(second.deliveries, 2);
    broker.settle(&first.lease, Settle::Done).await.unwrap();
    assert!(pull(&*broker, 1, LEASE * 2).await.is_empty());
}

pub(super) async fn settling_twice_is_no_error(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    let delivery = pull_one(&*broker).await;
    let started = Instant::now();
    for how in [
        Settle::Done,
        Settle::Done,
        Settle::Retry { delay: NO_WAIT },
        Settle::Drop {
            reason: "no".into(),
        },
    ] {
        broker.settle(&delivery.lease, how).await.unwrap();
    }
    broker.extend(&delivery.lease).await.unwrap();
    assert!(started.elapsed() < LONG / 5, "took {:?}", started.elapsed());
    assert!(pull(&*broker, 1, LEASE * 2).await.is_empty());
}

pub(super) async fn a_retry_comes_after_its_delay(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    let first = pull_one(&*broker).await;
    let delay = LEASE * 2;
    let given_back = Instant::now();
    let how = Settle::Retry { delay };
    broker.settle(&first.lease, how).await.unwrap();
    let second = pull_one(&*broker).await;
    assert_eq!(second.deliveries, 2);
    assert!(
        given_back.elapsed() >= delay,
        "after {:?}",
        given_back.elapsed()
    );
    let how = Settle::Retry { delay: NO_WAIT };
    broker.settle(&second.lease, how).await.unwrap();
    let third = timeout(LEASE / 2, pull_one(&*broker)).await.unwrap();
    assert_eq!(third.deliveries, 3);
}

pub(super) async fn a_dropped_message_is_gone(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    let delivery = pull_one(&*broker).await;
    let reason = "of\nno\r\nuse".to_owned();
    broker
        .settle(&delivery.lease, Settle::Drop { reason })
        .await
        .unwrap();
    assert!(pull(&*broker, 1, LEASE * 2).await.is_empty());
}

pub(super) async fn two_messages_of_one_id_are_one(lab: &Lab) {
    let broker = lab.client().await;
    publish(&*broker, "a").await;
    publish(&*broker, "a").await;
    let urgent = vec![message("a", Priority::High)];
    broker.publish(Queue::Tasks, urgent).await.unwrap();
    let delivery = pull_one(&*broker).await;
    broker.settle(&delivery.lease, Settle::Done).await.unwrap();
    // Nor does it come back when the first is done.
    publish(&*broker, "a").await;
    assert!(pull(&*broker, 9, NO_WAIT).await.is_empty());
}

pub(super) async fn the_queues_do_not_see_each_other(lab: &Lab) {
    let broker = lab.client().await;
    for queue in [Queue::Jobs, Queue::Tasks] {
        let messages = vec![message("a", Priority::Normal)];
        broker.publish(queue, messages).await.unwrap();
    }
    for queue in [Queue::Jobs, Queue::Tasks] {
        let found = pull_from(&*broker, queue, 9, LONG).await.unwrap();
        assert_eq!(texts(&found), ["a"]);
        let lease = &found.first().unwrap().lease;
        broker.settle(lease, Settle::Done).await.unwrap();
        let found = pull_from(&*broker, queue, 9, NO_WAIT).await.unwrap();
        assert!(found.is_empty());
    }
}

pub(super) async fn urgent_messages_go_first(lab: &Lab) {
    let broker = lab.client().await;
    let messages = [
        message("l1", Priority::Low),
        message("n1", Priority::Normal),
        message("h1", Priority::High),
        message("l2", Priority::Low),
        message("h2", Priority::High),
    ];
    broker
        .publish(Queue::Tasks, messages.to_vec())
        .await
        .unwrap();
    let mut order = Vec::new();
    while order.len() < 5 {
        order.extend(texts(&pull(&*broker, 1, LONG).await));
    }
    assert_eq!(order, ["h1", "h2", "n1", "l1", "l2"]);
}

pub(super) async fn the_first_few_go_before_the_rest_which_does_not_starve(lab: &Lab) {
    let broker = lab.client().await;
    let of = |lane, name: &str, priority| {
        let message = |n| Message {
            lane,
            ..message(&format!("{name}{n:02}"), priority)
        };
        (0..12).map(message).collect::<Vec<_>>()
    };
    let queued = [
        of(Lane::Rest, "rest", Priority::Normal),
        of(Lane::First, "first", Priority::Normal),
        of(Lane::First, "low", Priority::Low),
    ];
    broker.publish(Queue::Tasks, queued.concat()).await.unwrap();
    let mut order = Vec::new();
    while order.len() < 36 {
        for delivery in pull(&*broker, 1, LONG).await {
            // Nothing was taken and given back on the way.
            assert_eq!(delivery.deliveries, 1);
            order.push(text(&delivery.payload));
            broker.settle(&delivery.lease, Settle::Done).await.unwrap();
        }
    }
    // One of four pulls is of the rest, while there is something in both lanes; each lane keeps its order.
    let begin: Vec<&str> = order.iter().take(8).map(String::as_str).collect();
    let wanted = [
        "first00", "first01", "first02", "rest00", "first03", "first04", "first05", "rest01",
    ];
    assert_eq!(begin, wanted);
    let in_order = |name: &str| {
        let names = order.iter().filter(|it| it.starts_with(name));
        names.clone().count() == 12 && names.is_sorted()
    };
    assert!(
        ["first", "rest", "low"].into_iter().all(in_order),
        "{order:?}"
    );
    let low = order.iter().position(|it| it.starts_with("low"));
    assert_eq!(low, Some(24), "urgent messages go first: {order:?}");
}

pub(super) async fn the_rest_reaches_a_waiting_pull(lab: &Lab) {
    let (producer, worker) = (lab.client().await, lab.client().await);
    let waiting = tokio::spawn(async move { pull(&*worker, 1, LONG).await });
    sleep(LEASE / 2).await;
    let message = Message {
        lane: Lane::Rest,
        ..message("a", Priority::Low)
    };
    producer.publish(Queue::Tasks, vec![message]).await.unwrap();
    let found = timeout(LONG / 4, waiting).await.unwrap().unwrap();
    assert_eq!(texts(&found), ["a"]);
}

pub(super) async fn messages_of_one_priority_come_in_order(lab: &Lab) {
    let broker = lab.client().await;
    let ids: Vec<String> = (0..1_000).map(|n| format!("{n:04}")).collect();
    let messages = ids.iter().map(|id| message(id, Priority::Normal)).collect();
    broker.publish(Queue::Tasks, messages).await.unwrap();
    let mut order = Vec::new();
    while order.len() < ids.len() {
        order.extend(texts(&pull(&*broker, 256, LONG).await));
    }
    assert_eq!(order, ids);
}

pub(super) async fn a_waiting_pull_wakes_at_once(lab: &Lab) {
    let (producer, worker) = (lab.client().await, lab.client().await);
    let mut waits = Vec::new();
    for n in 0..5 {
        let waiting = tokio::spawn({
            let worker = worker.clone();
            async move { (pull(&*worker, 4, LONG).await, Instant::now()) }
        });
        sleep(Duration::from_millis(100)).await;
        let published = Instant::now();
        publish(&*producer, &n.to_string()).await;
        let (found, at) = waiting.await.unwrap();
        assert_eq!(texts(&found), [n.to_string()]);
        waits.push(at.saturating_duration_since(published));
    }
    // A loaded machine may delay one; a broker that polls delays all.
    let best = waits.iter().min().unwrap();
    assert!(*best < Duration::from_millis(50), "woke after {waits:?}");
}

pub(super) async fn a_waiting_pull_ends_in_time(lab: &Lab) {
    let broker = lab.client().await;
    for wait in [
        NO_WAIT,
        Duration::from_millis(300),
        Duration::from_millis(2_700),
    ] {
        let started = Instant::now();
        assert!(pull(&*broker, 1, wait).await.is_empty());
        let took = started.elapsed();
        assert!(
            took >= wait && took < wait + LONG / 10,
            "{wait:?} took {took:?}"
        );
    }
    assert!(pull(&*broker, 0, LONG).await.is_empty());
}

pub(super) async fn a_waiting_pull_wakes_for_every_priority(lab: &Lab) {
    let (producer, worker) = (lab.client().await, lab.client().await);
    for priority in [
        Priority::Low,
        Priority::High,
        Priority::Normal,
        Priority::Low,
    ] {
        let id = format!("{priority:?}{}", rand::random::<u64>());
        let waiting = pull(&*worker, 1, LONG);
        let publishing = async {
            sleep(Duration::from_millis(100)).await;
            let messages = vec![message(&id, priority)];
            producer.publish(Queue::Tasks, messages).await.unwrap();
        };
        let (found, ()) = tokio::join!(waiting, publishing);
        assert_eq!(texts(&found), [id]);
        let lease = &found.first().unwrap().lease;
        worker.settle(lease, Settle::Done).await.unwrap();
    }
}

pub(super) async fn an_expiring_lease_wakes_a_waiting_pull(lab: &Lab) {
    let (dead, alive) = (lab.client().await, lab.client().await);
    publish(&*dead, "a").await;
    pull_one(&*dead).await;
    let leased = Instant::now();
    assert_eq!(pull_one(&*alive).await.deliveries, 2);
    let took = leased.elapsed();
    assert!(took < LEASE * 3, "redelivered after {took:?}");
}

pub(super) async fn a_pull_returns_at_most_what_was_asked(lab: &Lab) {
    let broker = lab.client().await;
    for priority in Priority::ALL {
        let messages = (0..5).map(|n| message(&format!("{priority:?}{n}"), priority));
        broker
            .publish(Queue::Tasks, messages.collect())
            .await
            .unwrap();
    }
    let mut seen = 0;
    while seen < 15 {
        let found = pull(&*broker, 3, LONG).await;
        assert!((1..=3).contains(&found.len()), "{} came", found.len());
        for delivery in found {
            assert_eq!(delivery.deliveries, 1);
            broker.settle(&delivery.lease, Settle::Done).await.unwrap();
            seen += 1;
        }
    }
    assert!(pull(&*broker, 3, LEASE * 2).await.is_empty());
}

pub(super) async fn a_dropped_pull_loses_nothing(lab: &Lab) {
    let broker = lab.client().await;
    let mut seen = BTreeSet::new();
    for n in 0..40 {
        // Given up at any moment: before, while and after a message comes.
        let given_up = timeout(Duration::from_micros(n * 150), pull(&*broker, 2, LONG));
        let id = format!("{n:02}");
        let publishing = publish(&*broker, &id);
        let (found, ()) = tokio::join!(given_up, publishing);
        for delivery in found.unwrap_or_default() {
            seen.extend(texts(std::slice::from_ref(&delivery)));
            broker.settle(&delivery.lease, Settle::Done).await.unwrap();
        }
    }
    let until = Instant::now() + LONG;
    while seen.len() < 40 && Instant::now() < until {
        for delivery in pull(&*broker, 9, LEASE).await {
            seen.extend(texts(std::slice::from_ref(&delivery)));
            broker.settle(&delivery.lease, Settle::Done).await.unwrap();
        }
    }
    assert_eq!(seen.len(), 40, "lost some: {seen:?}");
}

pub(super) async fn messages_of_mixed_priority_reach_waiting_pulls(lab: &Lab) {
    let producer = lab.client().await;
    let mut redelivered = 0;
    for round in 0..10 {
        let worker = lab.client().await;
        let waiting = tokio::spawn({
            let worker = worker.clone();
            async move {
                let mut found = pull(&*worker, 4, LONG).await;
                while found.len() < 3 {
                    found.extend(pull(&*worker, 4, LONG).await);
                }
                found
            }
        });
        sleep(Duration::from_millis(50)).await;
        let messages = Priority::ALL.map(|p| message(&format!("{round}{p:?}"), p));
        producer
            .publish(Queue::Tasks, messages.to_vec())
            .await
            .unwrap();
        let found = waiting.await.unwrap();
        assert_eq!(found.len(), 3);
        for delivery in found {
            redelivered += delivery.deliveries - 1;
            worker.settle(&delivery.lease, Settle::Done).await.unwrap();
        }
    }
    // One that crosses the cancellation of a waiting pull may come a second time; not as a rule.
    assert!(redelivered <= 3, "{redelivered} of 30 were delivered again");
}

pub(super) async fn clients_that_compete_share_without_loss(lab: &Lab) {
    const COUNT: usize = 2_000;
    let producer = lab.client().await;
    let worker = async |name: usize| {
        let broker = lab.client().await;
        let mut seen = Vec::new();
        loop {
            let found = pull(&*broker, 7 + name * 20, LEASE / 2).await;
            if found.is_empty() {
                return seen;
            }
            seen.extend(texts(&found));
            let settled = found.iter().map(|d| broker.settle(&d.lease, Settle::Done));
            try_join_all(settled).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let publishing = async {
        for batch in 0..20 {
            let ids = batch * 100..(batch + 1) * 100;
            let messages = ids.map(|n| message(&n.to_string(), Priority::Normal));
            producer
                .publish(Queue::Tasks, messages.collect())
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (one, two, ()) = tokio::join!(worker(0), worker(1), publishing);
    assert!(
        !one.is_empty() && !two.is_empty(),
        "one worker got everything"
    );
    let distinct: BTreeSet<&String> = one.iter().chain(&two).collect();
    assert_eq!(distinct.len(), COUNT);
    assert_eq!(one.len() + two.len(), COUNT, "some were delivered twice");
}

pub(super) async fn many_messages_pass(lab: &Lab) {
    const COUNT: usize = 10_000;
    let broker = lab.client().await;
    let messages = (0..COUNT).map(|n| Message {
        queue: QueueName::default(),
        id: n.to_string(),
        payload: vec![0; 200].into(),
        priority: Priority::ALL[n % 3],
        lane: Lane::First,
    });
    broker
        .publish(Queue::Tasks, messages.collect())
        .await
        .unwrap();
    let mut settled = 0;
    while settled < COUNT {
        let found = pull(&*broker, 256, LONG).await;
        assert!(!found.is_empty(), "{settled} came, then no more");
        settled += found.len();
        let done = found.iter().map(|d| broker.settle(&d.lease, Settle::Done));
        try_join_all(done).await.unwrap();
    }
    assert_eq!(settled, COUNT);
    assert!(pull(&*broker, 1, NO_WAIT).await.is_empty());
}

fn payload(bytes: usize) -> Vec<Message> {
    vec![Message {
        queue: QueueName::default(),
        id: bytes.to_string(),
        payload: vec![7; bytes].into(),
        priority: Priority::Normal,
        lane: Lane::First,
    }]
}

pub(super) async fn a_message_over_the_limit_is_refused(lab: &Lab) {
    let broker = lab.client().await;
    let limit = broker.payload_limit();
    let refused = broker.publish(Queue::Tasks, payload(limit + 1)).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { bytes, limit: l }) if bytes == limit + 1 && l == limit)
    );
    assert!(pull(&*broker, 1, NO_WAIT).await.is_empty());
}

pub(super) async fn a_message_at_the_limit_passes(lab: &Lab) {
    let broker = lab.client().await;
    let limit = broker.payload_limit();
    broker.publish(Queue::Tasks, payload(limit)).await.unwrap();
    let delivery = pull_one(&*broker).await;
    assert_eq!(delivery.payload, Bytes::from(vec![7; limit]));
}

pub(super) async fn a_full_queue_says_so(lab: &Lab) {
    let broker = lab.client_of_small_queues(10).await;
    let messages =
        |from: usize| (from..from + 10).map(|n| message(&n.to_string(), Priority::Normal));
    broker
        .publish(Queue::Tasks, messages(0).collect())
        .await
        .unwrap();
    let refused = broker.publish(Queue::Tasks, messages(10).collect()).await;
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    // What was there is still there, and room that is made is used.
    let found = pull(&*broker, 10, LONG).await;
    assert_eq!(found.len(), 10);
    let lease = &found.first().unwrap().lease;
    broker.settle(lease, Settle::Done).await.unwrap();
    let one = vec![message("late", Priority::Normal)];
    broker.publish(Queue::Tasks, one).await.unwrap();
}
