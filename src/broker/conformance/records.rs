//! Logs, blobs, worker records, signals, dead letters.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::lab::{LONG, Lab, job, text};
use crate::broker::{Broker, DeadLetter, Error, FailedTry, LogRecord, LogStream, Signal};
use crate::ids::{Attempt, Incarnation, JobId, LetterId, StageId, TaskId, WorkerId};
use crate::time::Timestamp;

async fn append(broker: &dyn Broker, job: &JobId, payload: &str) {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    broker.append(job, None, payload).await.unwrap();
}

async fn next(tail: &mut LogStream) -> LogRecord {
    let next = timeout(LONG, tail.next()).await;
    next.expect("no record came")
        .expect("the tail ended")
        .unwrap()
}

fn texts(records: &[LogRecord]) -> Vec<String> {
    records.iter().map(|record| text(&record.payload)).collect()
}

pub(super) async fn a_log_keeps_its_order(lab: &Lab) {
    let broker = lab.client().await;
    let job = job("a");
    let mut expected = Vec::new();
    for n in 0..300 {
        append(&*broker, &job, &n.to_string()).await;
        append(&*broker, &super::lab::job("other"), "x").await;
        expected.push(n.to_string());
    }
    let records = broker.read_log(&job).await.unwrap();
    assert_eq!(texts(&records), expected);
    assert!(records.is_sorted_by(|a, b| a.sequence < b.sequence));
}

pub(super) async fn a_tail_sees_old_and_new_records(lab: &Lab) {
    let (writer, reader) = (lab.client().await, lab.client().await);
    let job = job("a");
    append(&*writer, &job, "1").await;
    append(&*writer, &job, "2").await;
    let mut tail = reader.tail(&job).await.unwrap();
    let mut seen = vec![next(&mut tail).await, next(&mut tail).await];
    let quiet = timeout(Duration::from_millis(200), tail.next()).await;
    assert!(quiet.is_err(), "{quiet:?} came from nowhere");
    append(&*writer, &job, "3").await;
    append(&*writer, &super::lab::job("other"), "x").await;
    append(&*writer, &job, "4").await;
    seen.push(next(&mut tail).await);
    seen.push(next(&mut tail).await);
    assert_eq!(texts(&seen), ["1", "2", "3", "4"]);
    assert_eq!(seen, reader.read_log(&job).await.unwrap());
}

pub(super) async fn a_tail_opens_before_its_log_exists(lab: &Lab) {
    let broker = lab.client().await;
    let job = job("later");
    let mut tail = broker.tail(&job).await.unwrap();
    append(&*broker, &job, "1").await;
    assert_eq!(next(&mut tail).await.payload, "1");
}

pub(super) async fn an_unknown_log_is_empty(lab: &Lab) {
    let broker = lab.client().await;
    assert!(broker.read_log(&job("none")).await.unwrap().is_empty());
    append(&*broker, &job("some"), "1").await;
    assert!(broker.read_log(&job("none")).await.unwrap().is_empty());
    assert_eq!(broker.get_blob(&job("none"), "plan").await.unwrap(), None);
}

pub(super) async fn a_record_of_one_id_is_appended_once(lab: &Lab) {
    let broker = lab.client().await;
    let job = job("a");
    for payload in ["first", "second"] {
        let id = Some("id".to_owned());
        broker.append(&job, id, payload.into()).await.unwrap();
    }
    append(&*broker, &job, "same").await;
    append(&*broker, &job, "same").await;
    let records = broker.read_log(&job).await.unwrap();
    assert_eq!(texts(&records), ["first", "same", "same"]);
}

pub(super) async fn one_id_in_two_logs_is_two_records(lab: &Lab) {
    let broker = lab.client().await;
    for name in ["a", "b"] {
        let id = Some("id".to_owned());
        broker.append(&job(name), id, name.into()).await.unwrap();
    }
    for name in ["a", "b"] {
        let records = broker.read_log(&job(name)).await.unwrap();
        assert_eq!(texts(&records), [name]);
    }
}

pub(super) async fn records_carry_the_time(lab: &Lab) {
    let broker = lab.client().await;
    let before = Timestamp::from_system(SystemTime::now());
    append(&*broker, &job("a"), "1").await;
    append(&*broker, &job("a"), "2").await;
    let after = Timestamp::from_system(SystemTime::now());
    let records = broker.read_log(&job("a")).await.unwrap();
    let times: Vec<_> = records.iter().map(|record| record.at).collect();
    assert!(times.is_sorted() && times.len() == 2);
    assert!(
        times.iter().all(|at| (before..=after).contains(at)),
        "{before:?} {times:?} {after:?}"
    );
}

pub(super) async fn a_record_over_the_limit_is_refused(lab: &Lab) {
    let broker = lab.client().await;
    let limit = broker.payload_limit();
    let at_limit = Bytes::from(vec![1; limit]);
    broker
        .append(&job("a"), None, at_limit.clone())
        .await
        .unwrap();
    let over = Bytes::from(vec![1; limit + 1]);
    let refused = broker.append(&job("a"), None, over).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    let records = broker.read_log(&job("a")).await.unwrap();
    assert_eq!(records.len(), 1);
    assert!(records.first().unwrap().payload == at_limit);
}

/// Bytes that do not repeat with any chunk size.
fn noise(bytes: usize) -> Bytes {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next)
        .take(bytes)
        .collect::<Vec<_>>()
        .into()
}

pub(super) async fn blobs_of_any_size_come_back(lab: &Lab) {
    let (writer, reader) = (lab.client().await, lab.client().await);
    let limit = writer.payload_limit();
    for bytes in [0, 1, limit, limit + 1, 3 << 20] {
        let blob = noise(bytes);
        let name = bytes.to_string();
        writer
            .put_blob(&job("a"), &name, blob.clone())
            .await
            .unwrap();
        let found = reader.get_blob(&job("a"), &name).await.unwrap();
        assert!(
            found == Some(blob),
            "a blob of {bytes} bytes is not the same"
        );
    }
    assert_eq!(reader.get_blob(&job("a"), "none").await.unwrap(), None);
    assert_eq!(reader.get_blob(&job("b"), "1").await.unwrap(), None);
}

pub(super) async fn a_blob_is_replaced(lab: &Lab) {
    let broker = lab.client().await;
    for bytes in [3 << 20, 5, (2 << 20) + 1, 0, 7] {
        let blob = noise(bytes);
        broker
            .put_blob(&job("a"), "plan", blob.clone())
            .await
            .unwrap();
        let found = broker.get_blob(&job("a"), "plan").await.unwrap();
        assert!(
            found == Some(blob),
            "replaced by {bytes} bytes, it is not these"
        );
    }
}

pub(super) async fn blobs_have_any_name(lab: &Lab) {
    let broker = lab.client().await;
    let names = [
        "", ".", "a.b", "*", ">", "a b", "ä/é", "plan", "Plan", "=2e",
    ];
    for name in names {
        let blob = Bytes::copy_from_slice(name.as_bytes());
        broker.put_blob(&job("a"), name, blob).await.unwrap();
    }
    for name in names {
        let found = broker.get_blob(&job("a"), name).await.unwrap();
        assert_eq!(found.as_deref(), Some(name.as_bytes()), "{name:?}");
    }
}

pub(super) async fn jobs_are_listed_and_forgotten(lab: &Lab) {
    let broker = lab.client().await;
    assert!(broker.jobs().await.unwrap().is_empty());
    for name in ["b", "a", "c"] {
        append(&*broker, &job(name), "1").await;
        broker
            .put_blob(&job(name), "plan", noise(2 << 20))
            .await
            .unwrap();
    }
    assert_eq!(broker.jobs().await.unwrap(), [job("a"), job("b"), job("c")]);
    broker.forget(&job("b")).await.unwrap();
    broker.forget(&job("never-was")).await.unwrap();
    assert_eq!(broker.jobs().await.unwrap(), [job("a"), job("c")]);
    assert!(broker.read_log(&job("b")).await.unwrap().is_empty());
    assert_eq!(broker.get_blob(&job("b"), "plan").await.unwrap(), None);
    assert_eq!(broker.read_log(&job("a")).await.unwrap().len(), 1);
    assert!(broker.get_blob(&job("a"), "plan").await.unwrap().is_some());
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

async fn announce(broker: &dyn Broker, name: &str, incarnation: u64, ttl: Duration) {
    let payload = format!("state of {name}").into();
    let incarnation = Incarnation(incarnation);
    broker
        .announce(&worker(name), incarnation, payload, ttl)
        .await
        .unwrap();
}

pub(super) async fn a_worker_record_ends_unless_renewed(lab: &Lab) {
    let (broker, other) = (lab.client().await, lab.client().await);
    assert!(other.workers().await.unwrap().is_empty());
    let ttl = Duration::from_secs(2);
    announce(&*broker, "dies", 7, ttl).await;
    announce(&*broker, "lives", u64::MAX, ttl).await;
    let workers = other.workers().await.unwrap();
    let described: Vec<_> = workers
        .iter()
        .map(|w| (w.id.as_str(), w.incarnation.0, text(&w.payload)))
        .collect();
    assert_eq!(
        described,
        [
            ("dies", 7, "state of dies".to_owned()),
            ("lives", u64::MAX, "state of lives".to_owned())
        ]
    );
    let first_heard = workers.last().unwrap().at;
    let until = Instant::now() + LONG;
    loop {
        announce(&*broker, "lives", u64::MAX, ttl).await;
        let workers = other.workers().await.unwrap();
        let lives = workers.iter().find(|w| w.id.as_str() == "lives");
        assert!(lives.unwrap().at > first_heard, "not renewed");
        if workers.len() == 1 {
            break;
        }
        assert!(Instant::now() < until, "the record does not end");
        sleep(ttl / 4).await;
    }
}

pub(super) async fn a_withdrawn_worker_is_gone(lab: &Lab) {
    let broker = lab.client().await;
    announce(&*broker, "a", 1, LONG).await;
    announce(&*broker, "b", 1, LONG).await;
    broker.withdraw(&worker("a")).await.unwrap();
    broker.withdraw(&worker("never-was")).await.unwrap();
    let left = broker.workers().await.unwrap();
    assert_eq!(
        left.iter().map(|w| w.id.as_str()).collect::<Vec<_>>(),
        ["b"]
    );
    announce(&*broker, "a", 2, LONG).await;
    assert_eq!(broker.workers().await.unwrap().len(), 2);
}

pub(super) async fn signals_reach_all_who_listen(lab: &Lab) {
    let (sender, one, two) = (lab.client().await, lab.client().await, lab.client().await);
    let early = Signal::Release {
        job: job("nobody-listens"),
        seed: 1,
        keep: false,
    };
    sender.signal(early.clone()).await.unwrap();
    let mut listeners = [one.signals().await.unwrap(), two.signals().await.unwrap()];
    let sent = [
        Signal::Release {
            job: job("a"),
            seed: 1,
            keep: true,
        },
        Signal::Drain(worker("w")),
    ];
    for signal in &sent {
        sender.signal(signal.clone()).await.unwrap();
    }
    for listener in &mut listeners {
        // The first may still have been on its way when they began to listen.
        let mut heard = Vec::new();
        while heard.len() < sent.len() {
            let signal = timeout(LONG, listener.next()).await.unwrap().unwrap();
            heard.extend((signal != early).then_some(signal));
        }
        assert_eq!(heard, sent);
    }
}

pub(super) async fn dead_letters_are_kept_in_order_until_they_are_removed(lab: &Lab) {
    let broker = lab.client().await;
    assert!(broker.dead_letters().await.unwrap().is_empty());
    let task = |index| TaskId {
        stage: StageId(1),
        index,
    };
    let letter = |id: LetterId, cause: &str| DeadLetter {
        id,
        code: "poison".to_owned(),
        cause: cause.to_owned(),
        tries: vec![FailedTry {
            at: Timestamp(5),
            worker: worker("w"),
            attempt: Attempt(2),
            cause: "it panicked".to_owned(),
        }],
        payload: noise(broker.payload_limit()),
    };
    let ids = [
        LetterId::Message(7),
        LetterId::Task(job("a"), task(0)),
        LetterId::Task(job("a"), task(1)),
        LetterId::Task(job("b"), task(1)),
    ];
    for id in &ids {
        broker.bury(letter(id.clone(), "first")).await.unwrap();
    }
    // The second letter of a name takes the place of the first.
    let again = letter(ids[1].clone(), "second");
    broker.bury(again.clone()).await.unwrap();
    broker.unbury(&ids[2]).await.unwrap();
    broker.unbury(&ids[2]).await.unwrap();
    let kept = [
        letter(ids[0].clone(), "first"),
        letter(ids[3].clone(), "first"),
        again,
    ];
    assert!(broker.dead_letters().await.unwrap() == kept);
    for id in &ids {
        broker.unbury(id).await.unwrap();
    }
    assert!(broker.dead_letters().await.unwrap().is_empty());
}
