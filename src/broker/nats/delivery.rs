//! What JetStream says of a message in its reply subject.

use crate::time::Timestamp;

/// The facts in a reply subject: `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer
/// sequence>.<nanoseconds>.<pending>`, or the longer form with domain and account before the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) deliveries: u64,
    pub(super) sequence: u64,
    pub(super) consumer_sequence: u64,
    pub(super) at: Timestamp,
}

impl Facts {
    /// Reads a reply subject; `None` when it is none of JetStream's.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let fields: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let skipped = match fields.len() {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let number = |index: usize| fields.get(skipped + index)?.parse::<u64>().ok();
        Some(Self {
            deliveries: number(0)?,
            sequence: number(1)?,
            consumer_sequence: number(2)?,
            at: Timestamp(i64::try_from(number(3)? / 1_000).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The forms are those of NATS ADR-15.
    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let expected = Facts {
            deliveries: 3,
            sequence: 4,
            consumer_sequence: 5,
            at: Timestamp(1_700_000_000_000_006),
        };
        for reply in [
            "$JS.ACK.SWATH_TASKS.high.3.4.5.1700000000000006789.7",
            "$JS.ACK.domain.account.SWATH_TASKS.high.3.4.5.1700000000000006789.7",
            "$JS.ACK.domain.account.SWATH_TASKS.high.3.4.5.1700000000000006789.7.random",
        ] {
            assert_eq!(Facts::parse(reply), Some(expected), "{reply}");
        }
        for reply in ["", "_INBOX.a.b", "$JS.ACK.a.b.c", "$JS.ACK.s.c.x.4.5.6.7"] {
            assert_eq!(Facts::parse(reply), None, "{reply}");
        }
    }
}
