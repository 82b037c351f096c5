//! Pulls of a set of queues: a consumer for each lane of each priority of each, asked over one inbox.
//!
//! A pull first asks for what is there (`no_wait`), and only when that is nothing leaves one request of
//! one message at the first lane of each priority. Whatever is left open when a message comes is cancelled, so that no
//! message goes to a worker which no longer waits for it; what crosses the cancellation is kept. A pull
//! that is dropped midway is taken back in the background, and what has come to it is given back.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::ID_HEADER;
use super::delivery::Facts;
use super::layout::{Layout, consumer_name, lanes};
use super::link::Link;
use crate::broker::{Delivery, Error, Lane, Lease, Queue, turn_begins};
use crate::ids::QueueName;
use crate::spec::Priority;

/// How long the server may take to say what is there.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The longest that one request waits at a consumer; longer waits repeat it.
const REQUEST_WAIT_MAX: Duration = Duration::from_secs(5);
/// The same where there are second lanes: no request waits at those, or two lanes would wake one pull, and what it gave back
/// would count as delivered. They are looked at again so often; what lies in them while a slot is free lies there seldom,
/// since a job has as many tasks in the first lane as there are slots.
const REST_LOOK: Duration = Duration::from_secs(2);
/// Requests that wait long enough have heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
const SILENCE_MAX: Duration = Duration::from_millis(2_500);
/// Deliveries after which a message is not given back for a more urgent one: that counts as a delivery, and what many workers take and
/// give back would look like what kills them.
const GIVEN_BACK_MAX: u64 = 2;
/// Pause before asking again a server that could not answer.
const PAUSE: Duration = Duration::from_millis(50);
const ACTION: &str = "pull from a queue";

/// One lane of one priority of one queue.
#[derive(Debug)]
struct Consumer {
    name: String,
    /// Which of the queues it is of.
    queue: usize,
    priority: Priority,
    lane: Lane,
    /// Where it is asked.
    requests: String,
}

/// The pulls of one set of queues, each with state of its own.
#[derive(Debug)]
pub(super) struct Pullers {
    link: Link,
    lease: Duration,
    queues: usize,
    consumers: Vec<Consumer>,
    idle: Mutex<Vec<Puller>>,
    /// Whether the server refused to be asked: a consumer may have been removed.
    refused: AtomicBool,
}

impl Pullers {
    pub(super) fn new(
        link: &Link,
        layout: &Layout,
        (queue, names): (Queue, &[QueueName]),
        lease: Duration,
    ) -> Self {
        let stream = layout.queue_stream(queue);
        let consumers = (0..).zip(names).flat_map(|(number, of)| {
            let stream = &stream;
            lanes(queue).into_iter().map(move |(priority, lane)| {
                let name = consumer_name(of, priority, lane);
                Consumer {
                    requests: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
                    name,
                    queue: number,
                    priority,
                    lane,
                }
            })
        });
        Self {
            link: link.clone(),
            lease,
            queues: names.len().max(1),
            consumers: consumers.collect(),
            idle: Mutex::default(),
            refused: AtomicBool::new(false),
        }
    }

    /// Tells whether the server has refused to be asked since this was asked last.
    pub(super) fn was_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// Lists the consumers in the order of a turn: queue after queue, of each the most urgent first.
    fn in_order(&self, turn: usize) -> Vec<usize> {
        let (first, begins) = turn_begins(turn, self.queues);
        let mut order: Vec<_> = (0..)
            .zip(&self.consumers)
            .map(|(index, it)| {
                let later = (it.queue + self.queues - begins) % self.queues;
                ((later, it.priority, it.lane != first), index)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, index)| index).collect()
    }

    fn has_rest(&self) -> bool {
        self.consumers.iter().any(|it| it.lane == Lane::Rest)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Puller>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait;
        let idle = self.idle().pop();
        let mut lent = Lent {
            home: self,
            puller: Some(idle.unwrap_or_else(|| Puller::new(self))),
        };
        match lent.puller.as_mut() {
            Some(puller) => puller.pull(self, max, deadline).await,
            None => Ok(Vec::new()),
        }
    }
}

/// Gives the puller back when the pull ends, and what was asked of the server when the pull is dropped.
struct Lent<'a> {
    home: &'a Pullers,
    puller: Option<Puller>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut puller) = self.puller.take() else {
            return;
        };
        if puller.open.is_empty() && puller.found.is_empty() {
            self.home.idle().push(puller);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (client, lease) = (self.home.link.client.clone(), self.home.lease);
            runtime.spawn(async move {
                puller.cancel(lease).await;
                puller.give_back(&client, 0).await;
            });
        }
    }
}

#[derive(Debug)]
struct Puller {
    inbox: String,
    subscriber: Option<Subscriber>,
    connections: watch::Receiver<u64>,
    next_token: u64,
    open: Vec<Open>,
    /// Deliveries received and not yet returned, with their consumers.
    found: Vec<(usize, Delivery)>,
    /// Which consumers had nothing when last asked.
    known_empty: Vec<bool>,
    /// The names of the consumers.
    names: Arc<[String]>,
    /// Counts the pulls that found something.
    turn: usize,
    /// When it last looked at its inbox: what came long after is leased no more.
    looked: Instant,
}

/// A request that the server has not ended.
#[derive(Debug)]
struct Open {
    token: u64,
    consumer: usize,
    left: usize,
    heard: Instant,
}

/// Why requests cannot be relied on any more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the server did not answer in time")]
    Silence,
    #[error("the connection was lost")]
    Connection,
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the connection is closed")]
    Closed,
}

impl Puller {
    fn new(home: &Pullers) -> Self {
        Self {
            inbox: String::new(),
            subscriber: None,
            connections: home.link.connections(),
            next_token: 0,
            open: Vec::new(),
            found: Vec::new(),
            known_empty: vec![false; home.consumers.len()],
            names: home.consumers.iter().map(|it| it.name.clone()).collect(),
            turn: 0,
            looked: Instant::now(),
        }
    }

    async fn pull(
        &mut self,
        home: &Pullers,
        max: usize,
        deadline: Instant,
    ) -> Result<Vec<Delivery>, Error> {
        let (mut answered, mut all) = (false, true);
        loop {
            let now = Instant::now();
            let tried = if self.found.is_empty() && answered && now < deadline {
                self.wait(home, deadline).await
            } else if self.found.is_empty() {
                self.ask(home, max, all).await
            } else {
                Ok(())
            };
            if !self.open.is_empty() {
                self.cancel(home.lease).await;
            }
            if !self.found.is_empty() {
                return Ok(self.most_urgent(home, max).await);
            }
            let late = Instant::now() >= deadline;
            match tried {
                // The requests that waited ended by themselves; or there was nothing at all.
                Ok(()) if late => return Ok(Vec::new()),
                // After a wait, which was at the first lanes, the second ones are looked at again, if there are any.
                Ok(()) => (answered, all) = (!(answered && home.has_rest()), false),
                Err(lost) => {
                    self.subscriber = None;
                    (answered, all) = (false, true);
                    if matches!(lost, Lost::Refused(_)) {
                        home.refused.store(true, Ordering::Relaxed);
                        // Another queue may well answer.
                        self.turn = self.turn.wrapping_add(1);
                    }
                    if late {
                        return Err(Link::failed(ACTION, lost));
                    }
                    tracing::debug!(%lost, "pull requests made again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Asks for what is there, queue after queue until something is found: for `all` of it, or only for what lies in second lanes.
    async fn ask(&mut self, home: &Pullers, max: usize, all: bool) -> Result<(), Lost> {
        let body = serde_json::json!({ "batch": max, "no_wait": true }).to_string();
        let order = home.in_order(self.turn);
        let queue = |index: &usize| home.consumers.get(*index).map(|it| it.queue);
        for of_one in order.chunk_by(|a, b| queue(a) == queue(b)) {
            for group in self.groups(home, of_one, all) {
                for consumer in group {
                    self.request(home, consumer, max, &body).await?;
                }
                let until = Instant::now() + ANSWER_MAX;
                while !self.open.is_empty() {
                    self.receive(until).await?;
                }
                if !self.found.is_empty() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Says which consumers of a queue are asked together, of those in the order of a turn: first one lane of each priority up to the
    /// most urgent one that had something last time; then the others one by one. What several consumers gave too much is given
    /// back, and that counts as a delivery: so never two lanes of one priority at once.
    fn groups(&self, home: &Pullers, order: &[usize], all: bool) -> Vec<Vec<usize>> {
        let of = |index: &usize| home.consumers.get(*index);
        if !all {
            let rest = order.iter().copied();
            let rest = rest.filter(|index| of(index).is_some_and(|it| it.lane == Lane::Rest));
            return rest.map(|index| vec![index]).collect();
        }
        let begins = order.first().and_then(of).map(|it| it.lane);
        let empty = |index: &usize| self.known_empty.get(*index) == Some(&true);
        let likely = order.iter().find(|index| !empty(index)).and_then(of);
        let likely = likely.map_or(Priority::Low, |it| it.priority);
        let together = |index: &usize| {
            of(index).is_some_and(|it| it.priority <= likely && Some(it.lane) == begins)
        };
        let (together, mut others): (Vec<_>, Vec<_>) = order.iter().copied().partition(together);
        others.sort_by_key(|index| {
            let later = of(index).is_none_or(|it| it.priority > likely);
            (later, empty(index))
        });
        let others = others.into_iter().map(|index| vec![index]);
        std::iter::once(together).chain(others).collect()
    }

    /// Leaves a request for one message at every first lane, until a message comes or all have ended.
    async fn wait(&mut self, home: &Pullers, deadline: Instant) -> Result<(), Lost> {
        let longest = if home.has_rest() {
            REST_LOOK
        } else {
            REQUEST_WAIT_MAX
        };
        let wait = deadline
            .saturating_duration_since(Instant::now())
            .clamp(Duration::from_millis(5), longest);
        let beats = wait > 2 * HEARTBEAT;
        let mut body = serde_json::json!({ "batch": 1, "expires": nanos(wait) });
        if beats && let Some(body) = body.as_object_mut() {
            body.insert("idle_heartbeat".into(), nanos(HEARTBEAT).into());
        }
        let body = body.to_string();
        for (consumer, of) in home.consumers.iter().enumerate() {
            if of.lane == Lane::First {
                self.request(home, consumer, 1, &body).await?;
            }
        }
        let ended_by = Instant::now() + wait + ANSWER_MAX;
        while self.found.is_empty() && !self.open.is_empty() {
            let heard = self.open.iter().map(|open| open.heard).min();
            let until = match heard {
                Some(heard) if beats => (heard + SILENCE_MAX).min(ended_by),
                _ => ended_by,
            };
            self.receive(until).await?;
        }
        Ok(())
    }

    async fn request(
        &mut self,
        home: &Pullers,
        consumer: usize,
        max: usize,
        body: &str,
    ) -> Result<(), Lost> {
        let client = &home.link.client;
        if self.subscriber.is_none() {
            self.connections.borrow_and_update();
            self.inbox = client.new_inbox();
            let inbox = format!("{}.*", self.inbox);
            let subscriber = client.subscribe(inbox).await.map_err(|_| Lost::Closed)?;
            self.subscriber = Some(subscriber);
            self.looked = Instant::now();
        }
        self.next_token += 1;
        let token = self.next_token;
        let Some(subject) = home.consumers.get(consumer).map(|it| &it.requests) else {
            return Ok(());
        };
        self.open.push(Open {
            token,
            consumer,
            left: max,
            heard: Instant::now(),
        });
        let reply = format!("{}.{token}", self.inbox);
        client
            .publish_with_reply(subject.clone(), reply, body.to_owned().into())
            .await
            .map_err(|_| Lost::Closed)
    }

    /// Takes in what comes next: a delivery or the end of a request.
    async fn receive(&mut self, until: Instant) -> Result<(), Lost> {
        let Some(subscriber) = self.subscriber.as_mut() else {
            return Err(Lost::Closed);
        };
        let message = tokio::select! {
            biased;
            message = subscriber.next() => message.ok_or(Lost::Closed)?,
            _ = self.connections.changed() => return Err(Lost::Connection),
            () = sleep_until(until) => return Err(Lost::Silence),
        };
        self.take(message)
    }

    fn take(&mut self, message: Message) -> Result<(), Lost> {
        self.looked = Instant::now();
        let Some(status) = message.status else {
            self.take_delivery(message);
            return Ok(());
        };
        let token = message
            .subject
            .rsplit('.')
            .next()
            .and_then(|t| t.parse::<u64>().ok());
        let Some(index) = self.open.iter().position(|open| Some(open.token) == token) else {
            // The end of a request given up before.
            return Ok(());
        };
        if status == StatusCode::IDLE_HEARTBEAT {
            if let Some(open) = self.open.get_mut(index) {
                open.heard = self.looked;
            }
            return Ok(());
        }
        let open = self.open.swap_remove(index);
        if status == StatusCode::NOT_FOUND || status == StatusCode::TIMEOUT {
            self.set_empty(open.consumer, true);
            return Ok(());
        }
        let said = message.description.unwrap_or_default();
        Err(Lost::Refused(format!("{status} {said}")))
    }

    fn take_delivery(&mut self, message: Message) {
        let Some(reply) = message.reply else { return };
        let Some(facts) = Facts::parse(&reply) else {
            return;
        };
        let named = message.subject.rsplit('.').next();
        let Some(consumer) = self.names.iter().position(|name| Some(&**name) == named) else {
            return;
        };
        if let Some(index) = self.open.iter().position(|open| open.consumer == consumer)
            && let Some(open) = self.open.get_mut(index)
        {
            open.heard = self.looked;
            open.left = open.left.saturating_sub(1);
            if open.left == 0 {
                self.open.swap_remove(index);
            }
        }
        self.set_empty(consumer, false);
        let id = message.headers.as_ref().and_then(|it| it.get(ID_HEADER));
        let delivery = Delivery {
            id: id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
            payload: message.payload,
            deliveries: facts.deliveries,
            lease: Lease(reply.into_string()),
        };
        self.found.push((consumer, delivery));
    }

    fn set_empty(&mut self, consumer: usize, empty: bool) {
        if let Some(known) = self.known_empty.get_mut(consumer) {
            *known = empty;
        }
    }

    /// Takes back the requests that are still open, and takes in what crosses that on the wire.
    async fn cancel(&mut self, lease: Duration) {
        // After half a lease nobody knows how much of it is left; the server delivers it again.
        if self.looked.elapsed() > lease / 2 {
            self.found.clear();
            self.open.clear();
            self.subscriber = None;
            return;
        }
        let until = Instant::now() + Duration::from_secs(1);
        if let Some(subscriber) = self.subscriber.as_mut()
            && subscriber.drain().await.is_ok()
        {
            while let Some(subscriber) = self.subscriber.as_mut()
                && let Ok(Some(message)) = timeout_at(until, subscriber.next()).await
            {
                // The end of a request, whichever it is, is what is wanted here.
                let _ = self.take(message);
            }
        }
        self.open.clear();
        self.subscriber = None;
    }

    /// Returns the most urgent deliveries and gives the others back; first of all what was given back before, the oftenest first.
    async fn most_urgent(&mut self, home: &Pullers, max: usize) -> Vec<Delivery> {
        let order = home.in_order(self.turn);
        let place = |consumer: &usize| order.iter().position(|it| it == consumer);
        self.found.sort_by_key(|(consumer, delivery)| {
            let given_back = delivery.deliveries.saturating_sub(GIVEN_BACK_MAX);
            (Reverse(given_back), place(consumer))
        });
        self.turn = self.turn.wrapping_add(1);
        self.give_back(&home.link.client, max).await;
        let found = std::mem::take(&mut self.found);
        found.into_iter().map(|(_, delivery)| delivery).collect()
    }

    /// Gives back what was found beyond the first `kept`.
    async fn give_back(&mut self, client: &async_nats::Client, kept: usize) {
        while self.found.len() > kept
            && let Some((_, extra)) = self.found.pop()
        {
            // If it is lost, the lease ends by itself.
            let _ = client.publish(extra.lease.0, "-NAK".into()).await;
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
