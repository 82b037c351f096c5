//! How patient we are with a server.

use std::time::{Duration, SystemTime};

use super::Error;

/// Says how long to wait for a server, and how often to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPolicy {
    /// How long a connection may take to be made; 10 s. Raise it for a satellite link.
    pub connect_timeout: Duration,
    /// How long a server may send nothing; 30 s. Raise it for a server that computes what it serves.
    pub idle_timeout: Duration,
    /// How often a request is tried again after a failure that may pass; 5.
    pub retries: u32,
    /// The wait before the first retry, doubled for each further one, with jitter; 200 ms.
    pub backoff_min: Duration,
    /// The longest wait of our own; 10 s.
    pub backoff_max: Duration,
    /// The longest `Retry-After` that is waited for here; 30 s. A longer one is handed to whoever retries the task.
    pub retry_after_max: Duration,
    /// Requests under way at once, over all URLs; 16.
    pub requests_max: usize,
    /// How long a URL's length and entity tag are believed before they are asked for again; 60 s. Every answer is checked
    /// against them, so that a file which changes in between is an error, never a mixture.
    pub probe_age_max: Duration,
    /// Bytes of remote files that are kept in memory for all tasks of the process, the least recently used going first;
    /// 128 MiB. 0 keeps none.
    pub cache_bytes: u64,
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            retries: 5,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(30),
            requests_max: 16,
            probe_age_max: Duration::from_secs(60),
            cache_bytes: 128 << 20,
        }
    }
}

impl HttpPolicy {
    /// Checks the fields against each other.
    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.backoff_min > self.backoff_max {
            return Err(Error::Policy {
                problem: format!(
                    "backoff_min {:?} exceeds backoff_max {:?}",
                    self.backoff_min, self.backoff_max
                ),
            });
        }
        if self.requests_max == 0 {
            return Err(Error::Policy {
                problem: "requests_max is 0, so that nothing could be read".to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the wait before retry `attempt` (from 1): doubled each time, half of it by chance.
    pub(super) fn backoff(&self, attempt: u32) -> Duration {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
        let whole = self
            .backoff_min
            .saturating_mul(doubled)
            .min(self.backoff_max);
        whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

/// Reads a `Retry-After` header: seconds, or a date.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(header).ok()?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_to_its_limit_and_no_further() {
        let policy = HttpPolicy::default();
        for attempt in 1..100 {
            let wait = policy.backoff(attempt);
            assert!(wait >= policy.backoff_min / 2 && wait <= policy.backoff_max);
        }
        assert!(policy.backoff(99) >= policy.backoff_max / 2);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // The date is the example of RFC 9110, section 5.6.7; its Unix time is 784111777.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |header, now| retry_after(header, now);
        assert_eq!(read("120", at), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(
            read(date, at - Duration::from_secs(7)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            read(date, at + Duration::from_secs(7)),
            Some(Duration::ZERO)
        );
        assert_eq!(read("soon", at), None);
    }
}
