//! What the cluster's streams and consumers are called, how they are set up, and whether those that
//! exist are set up so.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use futures::future::try_join_all;
use serde::Deserialize;

use super::NatsConfig;
use super::link::{ApiError, Link, refusal};
use crate::broker::{Error, Lane, Queue};
use crate::ids::{JobId, LetterId, QueueName};
use crate::spec::Priority;

/// Deliveries that all workers of a priority together may hold.
const LEASED_MAX: i64 = 100_000;
/// Pull requests that may wait at one consumer.
const WAITING_MAX: i64 = 8_192;
/// How long logs, blobs and dead letters are kept where nobody says otherwise.
const LOG_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the mark of an ended worker record stays for those who watch the bucket.
const MARKER_TTL: Duration = Duration::from_secs(60);

/// Names of streams and subjects under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: String,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    fn stream(&self, kind: &str) -> String {
        format!("{}_{kind}", self.prefix.to_ascii_uppercase())
    }

    pub(super) fn queue_stream(&self, queue: Queue) -> String {
        self.stream(match queue {
            Queue::Jobs => "JOBS",
            Queue::Tasks => "TASKS",
        })
    }

    pub(super) fn queue_subject(
        &self,
        queue: Queue,
        name: &QueueName,
        priority: Priority,
        lane: Lane,
    ) -> String {
        let (queue, lane) = match queue {
            Queue::Jobs => ("jobs", Lane::First),
            Queue::Tasks => ("tasks", lane),
        };
        let consumer = consumer_name(name, priority, lane);
        format!("{}.{queue}.{consumer}", self.prefix)
    }

    pub(super) fn log_stream(&self) -> String {
        self.stream("LOG")
    }

    pub(super) fn log_subjects(&self) -> String {
        format!("{}.log.*", self.prefix)
    }

    pub(super) fn log_subject(&self, job: &JobId) -> String {
        format!("{}.log.{job}", self.prefix)
    }

    pub(super) fn blob_stream(&self) -> String {
        self.stream("BLOBS")
    }

    /// Returns what comes before the name of each blob of a job, up to and with the dot.
    pub(super) fn blobs_of(&self, job: &JobId) -> String {
        format!("{}.blob.{job}.", self.prefix)
    }

    pub(super) fn dead_stream(&self) -> String {
        self.stream("DEAD")
    }

    pub(super) fn dead_subjects(&self) -> String {
        format!("{}.dead.>", self.prefix)
    }

    pub(super) fn dead_subject(&self, id: &LetterId) -> String {
        format!("{}.dead.{id}", self.prefix)
    }

    pub(super) fn signal_subject(&self) -> String {
        format!("{}.signal", self.prefix)
    }

    pub(super) fn workers_stream(&self) -> String {
        format!("KV_{}_workers", self.prefix)
    }

    /// Returns what comes before the id of each worker, up to and with the dot.
    pub(super) fn workers_subject(&self) -> String {
        format!("$KV.{}_workers.", self.prefix)
    }

    /// Makes what is missing and checks what is there.
    pub(super) async fn ensure(&self, link: &Link, config: &NatsConfig) -> Result<(), Error> {
        let streams = self.streams(config);
        let ages = config.log_max_age.is_some();
        try_join_all(streams.iter().map(|it| ensure_stream(link, it, ages))).await?;
        let name = QueueName::default();
        let consumers =
            [Queue::Jobs, Queue::Tasks].map(|queue| self.ensure_queue(link, config, queue, &name));
        try_join_all(consumers).await?;
        Ok(())
    }

    /// Makes the consumers of one queue that are missing, and checks those that are there. What was published before is kept for
    /// them.
    pub(super) async fn ensure_queue(
        &self,
        link: &Link,
        config: &NatsConfig,
        queue: Queue,
        name: &QueueName,
    ) -> Result<(), Error> {
        let consumers = lanes(queue)
            .into_iter()
            .map(|lane| self.ensure_consumer(link, config, (queue, name), lane));
        try_join_all(consumers).await?;
        Ok(())
    }

    /// Lists the names of the streams and of the bucket.
    pub(super) fn stream_names(&self, config: &NatsConfig) -> [String; 6] {
        self.streams(config).map(|stream| stream.name)
    }

    fn streams(&self, config: &NatsConfig) -> [stream::Config; 6] {
        let plain = |name: String, subject: String| stream::Config {
            name,
            subjects: vec![subject],
            storage: StorageType::File,
            num_replicas: config.replicas,
            duplicate_window: config.duplicate_window,
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            max_age: config.log_max_age.unwrap_or(LOG_MAX_AGE),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            allow_direct: true,
            ..stream::Config::default()
        };
        let queue = |queue, subjects: &str| stream::Config {
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_age: Duration::ZERO,
            max_messages: config
                .queue_messages_max
                .map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX)),
            allow_direct: false,
            ..plain(
                self.queue_stream(queue),
                format!("{}.{subjects}.*", self.prefix),
            )
        };
        [
            queue(Queue::Jobs, "jobs"),
            queue(Queue::Tasks, "tasks"),
            plain(self.log_stream(), self.log_subjects()),
            stream::Config {
                // The manifest of a blob replaces the one before it.
                max_messages_per_subject: 1,
                ..plain(self.blob_stream(), format!("{}.blob.>", self.prefix))
            },
            stream::Config {
                // A letter replaces the one before it.
                max_messages_per_subject: 1,
                ..plain(self.dead_stream(), self.dead_subjects())
            },
            stream::Config {
                // A key-value bucket, made by hand because the client sets no time to live on
                // refreshed keys.
                max_messages_per_subject: 1,
                max_age: Duration::ZERO,
                discard: DiscardPolicy::New,
                deny_delete: true,
                allow_rollup: true,
                allow_message_ttl: true,
                subject_delete_marker_ttl: Some(MARKER_TTL),
                ..plain(
                    self.workers_stream(),
                    format!("{}>", self.workers_subject()),
                )
            },
        ]
    }

    async fn ensure_consumer(
        &self,
        link: &Link,
        config: &NatsConfig,
        (queue, of): (Queue, &QueueName),
        (priority, lane): (Priority, Lane),
    ) -> Result<(), Error> {
        let stream = self.queue_stream(queue);
        let name = consumer_name(of, priority, lane);
        let wanted = consumer::Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: match queue {
                Queue::Jobs => config.jobs_lease,
                Queue::Tasks => config.tasks_lease,
            },
            max_deliver: -1,
            max_ack_pending: LEASED_MAX,
            max_waiting: WAITING_MAX,
            filter_subject: self.queue_subject(queue, of, priority, lane),
            ..consumer::Config::default()
        };
        let found = match find::<consumer::Config>(link, format!("CONSUMER.INFO.{stream}.{name}"))
            .await?
        {
            Ok(found) => found,
            Err(error) if error.err_code == refusal::NO_SUCH_CONSUMER => {
                let subject = format!("CONSUMER.CREATE.{stream}.{name}.{}", wanted.filter_subject);
                let body = serde_json::json!({ "stream_name": &stream, "config": &wanted });
                link.api::<Found<consumer::Config>>("create a consumer", subject, &body)
                    .await?
                    .map_err(|error| Link::failed("create a consumer", error))?
                    .config
            }
            Err(error) => return Err(Link::failed("look at a consumer", error)),
        };
        let mut differences = Differences::default();
        differences.add("ack policy", &found.ack_policy, &wanted.ack_policy);
        differences.add("lease", &found.ack_wait, &wanted.ack_wait);
        differences.add("max deliver", &found.max_deliver, &wanted.max_deliver);
        differences.add(
            "max ack pending",
            &found.max_ack_pending,
            &wanted.max_ack_pending,
        );
        differences.add("filter", &found.filter_subject, &wanted.filter_subject);
        differences.into_result("consumer", format!("{stream} {name}"))
    }
}

/// Lists the lanes of a queue, each of which has a consumer; the most urgent first.
pub(super) fn lanes(queue: Queue) -> Vec<(Priority, Lane)> {
    let lanes: &[Lane] = match queue {
        Queue::Jobs => &[Lane::First],
        Queue::Tasks => &[Lane::First, Lane::Rest],
    };
    let of = |priority| lanes.iter().map(move |lane| (priority, *lane));
    Priority::ALL.into_iter().flat_map(of).collect()
}

/// Returns what a lane of a priority is called in consumers and subjects, one token: `normal` or `low-rest` of the default queue,
/// `normal=gpu` of another one.
pub(super) fn consumer_name(name: &QueueName, priority: Priority, lane: Lane) -> String {
    let rest = match lane {
        Lane::First => "",
        Lane::Rest => "-rest",
    };
    let (of, name) = match name.is_default() {
        true => ("", ""),
        false => ("=", name.as_str()),
    };
    format!("{}{rest}{of}{name}", priority.name())
}

#[derive(Deserialize)]
struct Found<C> {
    config: C,
}

async fn find<C: serde::de::DeserializeOwned>(
    link: &Link,
    subject: String,
) -> Result<Result<C, ApiError>, Error> {
    let body = serde_json::json!({});
    let found = link
        .api::<Found<C>>("look at a stream", subject, &body)
        .await?;
    Ok(found.map(|found| found.config))
}

/// Makes a stream, or checks it; where its records age, sets their age if that was asked for.
async fn ensure_stream(link: &Link, wanted: &stream::Config, ages: bool) -> Result<(), Error> {
    let info = format!("STREAM.INFO.{}", wanted.name);
    let found = match find::<stream::Config>(link, info.clone()).await? {
        Ok(found) => found,
        Err(error) if error.err_code == refusal::NO_SUCH_STREAM => {
            create_stream(link, wanted, info).await?
        }
        Err(error) => return Err(Link::failed("look at a stream", error)),
    };
    compare(&found, wanted)?;
    if ages && !wanted.max_age.is_zero() && found.max_age != wanted.max_age {
        const ACTION: &str = "set how long records are kept";
        let config = stream::Config {
            max_age: wanted.max_age,
            ..found
        };
        let subject = format!("STREAM.UPDATE.{}", wanted.name);
        link.api::<Found<stream::Config>>(ACTION, subject, &config)
            .await?
            .map_err(|error| Link::failed(ACTION, error))?;
    }
    Ok(())
}

async fn create_stream(
    link: &Link,
    wanted: &stream::Config,
    info: String,
) -> Result<stream::Config, Error> {
    let subject = format!("STREAM.CREATE.{}", wanted.name);
    let created = link.api::<Found<stream::Config>>("create a stream", subject, wanted);
    match created.await? {
        Ok(created) => Ok(created.config),
        // Another client was faster, with another configuration.
        Err(error) if error.err_code == refusal::STREAM_NAME_IN_USE => find(link, info)
            .await?
            .map_err(|error| Link::failed("look at a stream", error)),
        Err(error) if error.err_code == refusal::SUBJECTS_OVERLAP => Err(Error::Conflict {
            kind: "stream",
            name: wanted.name.clone(),
            difference: format!(
                "another stream has subjects that overlap with {}",
                wanted.subjects.join(", ")
            ),
        }),
        Err(error) if error.err_code == refusal::REPLICAS_WITHOUT_CLUSTER => {
            Err(Error::Unsuitable {
                url: link.url().to_owned(),
                reason: format!(
                    "{} replicas need a cluster of as many NATS servers; use --replicas 1",
                    wanted.num_replicas
                ),
            })
        }
        Err(error) => Err(Link::failed("create a stream", error)),
    }
}

fn compare(found: &stream::Config, wanted: &stream::Config) -> Result<(), Error> {
    let mut differences = Differences::default();
    differences.add("subjects", &found.subjects, &wanted.subjects);
    differences.add("retention", &found.retention, &wanted.retention);
    differences.add("discard", &found.discard, &wanted.discard);
    differences.add("storage", &found.storage, &wanted.storage);
    differences.add("replicas", &found.num_replicas, &wanted.num_replicas);
    differences.add("max messages", &found.max_messages, &wanted.max_messages);
    differences.add("max bytes", &found.max_bytes, &wanted.max_bytes);
    differences.add(
        "max messages per subject",
        &found.max_messages_per_subject,
        &wanted.max_messages_per_subject,
    );
    let ages = |config: &stream::Config| !config.max_age.is_zero();
    differences.add("records age", &ages(found), &ages(wanted));
    differences.add(
        "duplicate window",
        &found.duplicate_window,
        &wanted.duplicate_window,
    );
    differences.add(
        "message time to live",
        &found.allow_message_ttl,
        &wanted.allow_message_ttl,
    );
    if wanted.allow_direct {
        differences.add("direct get", &found.allow_direct, &true);
    }
    let kind = if wanted.name.starts_with("KV_") {
        "bucket"
    } else {
        "stream"
    };
    differences.into_result(kind, wanted.name.clone())
}

/// Lists the jobs that have a log, however many.
pub(super) async fn jobs(layout: &Layout, link: &Link) -> Result<Vec<JobId>, Error> {
    const ACTION: &str = "list the jobs";
    let mut jobs = Vec::new();
    let mut offset = 0;
    loop {
        let body =
            serde_json::json!({ "subjects_filter": layout.log_subjects(), "offset": offset });
        let api = format!("STREAM.INFO.{}", layout.log_stream());
        let page = link
            .api::<Subjects>(ACTION, api, &body)
            .await?
            .map_err(|error| Link::failed(ACTION, error))?;
        let subjects = page.state.subjects.unwrap_or_default();
        offset += subjects.len();
        jobs.extend(subjects.keys().filter_map(|subject| {
            let id = subject.rsplit('.').next()?;
            JobId::new(id).ok()
        }));
        if subjects.is_empty() || offset >= page.total {
            jobs.sort();
            return Ok(jobs);
        }
    }
}

#[derive(Deserialize)]
struct Subjects {
    #[serde(default)]
    total: usize,
    state: SubjectsState,
}

#[derive(Deserialize)]
struct SubjectsState {
    subjects: Option<std::collections::BTreeMap<String, u64>>,
}

/// Collects what differs between what is there and what is wanted.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn add<T: PartialEq + std::fmt::Debug>(&mut self, field: &str, found: &T, wanted: &T) {
        if found != wanted {
            self.0
                .push(format!("{field} is {found:?}, wanted {wanted:?}"));
        }
    }

    fn into_result(self, kind: &'static str, name: String) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::Conflict {
            kind,
            name,
            difference: self.0.join("; "),
        })
    }
}
