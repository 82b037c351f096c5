//! Queues of several names beside each other.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::lab::{LEASE, LONG, Lab, message, pull, text, texts};
use crate::broker::{Broker, Delivery, Message, Queue, Settle};
use crate::ids::QueueName;
use crate::spec::Priority;

const SHORT: Duration = Duration::from_millis(100);

fn names(list: &[&str]) -> Vec<QueueName> {
    list.iter().map(|it| QueueName::new(it).unwrap()).collect()
}

fn of(queue: &str, id: &str, priority: Priority) -> Message {
    Message {
        queue: QueueName::new(queue).unwrap(),
        ..message(id, priority)
    }
}

async fn pull_of(broker: &dyn Broker, queues: &[&str], wait: Duration) -> Vec<Delivery> {
    let found = broker.pull(Queue::Tasks, &names(queues), 1, wait).await;
    found.unwrap()
}

pub(super) async fn a_message_comes_to_those_who_name_its_queue(lab: &Lab) {
    let broker = lab.client().await;
    for queue in [Queue::Jobs, Queue::Tasks] {
        // Nobody has named the queue before.
        let messages = vec![of("gpu", "a", Priority::Normal)];
        broker.publish(queue, messages).await.unwrap();
        for others in [&["default"][..], &["other", "default"]] {
            let found = broker.pull(queue, &names(others), 9, SHORT).await.unwrap();
            assert!(found.is_empty(), "{others:?}: {found:?}");
        }
        let found = broker.pull(queue, &names(&["gpu"]), 9, LONG).await.unwrap();
        assert_eq!(texts(&found), ["a"]);
        let lease = &found.first().unwrap().lease;
        broker
            .settle(lease, Settle::Retry { delay: SHORT })
            .await
            .unwrap();
        let both = names(&["default", "gpu"]);
        let found = broker.pull(queue, &both, 9, LONG).await.unwrap();
        assert_eq!(texts(&found), ["a"]);
        let lease = &found.first().unwrap().lease;
        broker.settle(lease, Settle::Done).await.unwrap();
    }
}

pub(super) async fn queues_take_turns_and_of_each_urgent_messages_go_first(lab: &Lab) {
    let broker = lab.client().await;
    let queues = ["a", "b", "default"];
    let mut messages = Vec::new();
    for n in 0..20 {
        messages.extend(queues.map(|it| of(it, &format!("{it}{n:02}"), Priority::Normal)));
    }
    messages.push(of("b", "urgent", Priority::High));
    broker.publish(Queue::Tasks, messages).await.unwrap();
    let mut order = Vec::new();
    while order.len() < 61 {
        let found = pull_of(&*broker, &queues, LONG).await;
        for delivery in found {
            assert_eq!(delivery.deliveries, 1, "nothing was taken and given back");
            order.push(text(&delivery.payload));
            broker.settle(&delivery.lease, Settle::Done).await.unwrap();
        }
    }
    let urgent = order.iter().position(|it| it == "urgent");
    assert!(urgent < Some(3), "{order:?}");
    assert!(urgent < order.iter().position(|it| it == "b00"));
    let mut begin: BTreeMap<&str, u32> = BTreeMap::new();
    for id in order.iter().filter(|it| *it != "urgent").take(12) {
        *begin
            .entry(id.trim_end_matches(char::is_numeric))
            .or_default() += 1;
    }
    assert_eq!(begin.len(), 3, "{order:?}");
    assert!(begin.values().all(|it| (3..=5).contains(it)), "{begin:?}");
    for queue in queues {
        let own = order.iter().filter(|it| it.starts_with(queue));
        assert!(own.is_sorted(), "each queue keeps its order: {order:?}");
    }
}

pub(super) async fn a_queue_that_was_empty_is_not_forgotten_for_one_that_is_full(lab: &Lab) {
    let broker = lab.client().await;
    let full = (0..50).map(|n| of("default", &format!("{n:02}"), Priority::Normal));
    broker.publish(Queue::Tasks, full.collect()).await.unwrap();
    let queues = ["gpu", "default"];
    let next = async || {
        let found = pull_of(&*broker, &queues, LONG).await;
        let delivery = found.first().unwrap();
        broker.settle(&delivery.lease, Settle::Done).await.unwrap();
        text(&delivery.payload)
    };
    for n in 0..6 {
        assert_eq!(next().await, format!("{n:02}"));
    }
    let messages = vec![
        of("gpu", "a", Priority::Normal),
        of("gpu", "b", Priority::Low),
    ];
    broker.publish(Queue::Tasks, messages).await.unwrap();
    let mut soon = Vec::new();
    for _ in 0..6 {
        soon.push(next().await);
    }
    let came = |id: &str| soon.iter().any(|it| it == id);
    assert!(came("a") && came("b"), "{soon:?}");
}

pub(super) async fn what_lies_behind_urgent_messages_is_not_passed_round_until_it_looks_like_poison(
    lab: &Lab,
) {
    let producer = lab.client().await;
    let publish = async |priority, ids: Vec<String>| {
        let messages = ids.iter().map(|id| message(id, priority)).collect();
        producer.publish(Queue::Tasks, messages).await.unwrap();
    };
    let numbered = |name: &str| (0..8).map(|n| format!("{name}{n}")).collect();
    let next = async |worker: &dyn Broker| {
        let found = pull(worker, 1, LONG).await;
        let delivery = found.first().unwrap();
        worker.settle(&delivery.lease, Settle::Done).await.unwrap();
        (text(&delivery.payload), delivery.deliveries)
    };
    // All have seen that nothing is urgent, and ask for the next priority too.
    publish(Priority::Normal, numbered("before")).await;
    let mut workers = Vec::new();
    for _ in 0..8 {
        let worker = lab.client().await;
        next(&*worker).await;
        workers.push(worker);
    }
    publish(Priority::Normal, vec!["behind".to_owned()]).await;
    publish(Priority::High, numbered("urgent")).await;
    let mut came = Vec::new();
    for worker in workers.iter().chain(workers.first()) {
        came.push(next(&**worker).await);
        sleep(SHORT).await;
    }
    assert!(
        came.iter().all(|(_, deliveries)| *deliveries <= 3),
        "{came:?}"
    );
    assert_eq!(
        came.iter().filter(|(id, _)| id == "behind").count(),
        1,
        "{came:?}"
    );
}

pub(super) async fn a_waiting_pull_wakes_for_each_of_its_queues(lab: &Lab) {
    let producer = lab.client().await;
    for queue in ["a", "default"] {
        let worker = lab.client().await;
        let waiting = tokio::spawn(async move {
            let found = pull_of(&*worker, &["a", "default"], LONG).await;
            texts(&found)
        });
        sleep(SHORT).await;
        let messages = vec![of(queue, queue, Priority::Low)];
        producer.publish(Queue::Tasks, messages).await.unwrap();
        let found = timeout(LONG / 4, waiting).await.unwrap().unwrap();
        assert_eq!(found, [queue]);
    }
}

pub(super) async fn a_dropped_pull_takes_nothing_more(lab: &Lab) {
    let (producer, leaver, other) = (lab.client().await, lab.client().await, lab.client().await);
    for n in 0..10 {
        // It waits at the server when it is dropped.
        let dropped = timeout(SHORT, pull(&*leaver, 1, LONG)).await;
        assert!(dropped.is_err());
        sleep(SHORT).await;
        let messages = vec![message(&n.to_string(), Priority::Normal)];
        producer.publish(Queue::Tasks, messages).await.unwrap();
        // Well before a lease could run out.
        let found = timeout(LEASE / 2, pull(&*other, 1, LONG)).await.unwrap();
        assert_eq!(texts(&found), [n.to_string()]);
        let delivery = found.first().unwrap();
        assert_eq!(delivery.deliveries, 1);
        other.settle(&delivery.lease, Settle::Done).await.unwrap();
    }
}
