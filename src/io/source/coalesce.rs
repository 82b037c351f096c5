//! Reading ranges that lie near each other as one. Pure.

use std::ops::Range;

use bytes::Bytes;

/// Says what to read so that all asked ranges are covered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What to read, by rising offset.
    pub(super) requests: Vec<Range<u64>>,
    /// For each asked range, where its bytes are: the request, and the range in it.
    parts: Vec<(usize, Range<usize>)>,
}

impl Plan {
    /// Joins ranges no further than `gap` bytes apart, as long as a joined request stays within `longest` bytes.
    ///
    /// A range that is longer than `longest` by itself stays whole.
    pub(super) fn new(ranges: &[Range<u64>], gap: u64, longest: u64) -> Self {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_by_key(|i| ranges.get(*i).map(|r| (r.start, r.end)));

        let mut requests: Vec<Range<u64>> = Vec::new();
        let mut parts = vec![(0, 0..0); ranges.len()];
        for index in order {
            let (Some(range), Some(part)) = (ranges.get(index), parts.get_mut(index)) else {
                continue;
            };
            if range.is_empty() {
                continue;
            }
            match requests.last_mut() {
                Some(last)
                    if range.end <= last.end
                        || (range.start <= last.end.saturating_add(gap)
                            && range.end - last.start <= longest) =>
                {
                    last.end = last.end.max(range.end);
                }
                _ => requests.push(range.clone()),
            }
            let start = requests.last().map_or(0, |last| range.start - last.start);
            *part = (
                requests.len() - 1,
                to_usize(start)..to_usize(start + (range.end - range.start)),
            );
        }
        Self { requests, parts }
    }

    /// Cuts what was read into the asked ranges, in the order asked for; shares the memory.
    pub(super) fn cut(&self, read: &[Bytes]) -> Vec<Bytes> {
        let cut = |(request, range): &(usize, Range<usize>)| match read.get(*request) {
            Some(bytes) if range.end <= bytes.len() => bytes.slice(range.clone()),
            _ => Bytes::new(),
        };
        self.parts.iter().map(cut).collect()
    }
}

/// A request is held in memory, so that its length fits; a longer one could not be read at all.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_read_once_and_far_ones_apart() {
        let asked = [90..100, 0..10, 12..20, 5..8, 30..30, 200..260, 12..20];
        let plan = Plan::new(&asked, 2, 50);
        assert_eq!(plan.requests, [0..20, 90..100, 200..260]);
        let file: Vec<u8> = (0..=255).chain(0..=9).collect();
        let read: Vec<Bytes> = plan
            .requests
            .iter()
            .map(|r| Bytes::copy_from_slice(&file[r.start as usize..r.end as usize]))
            .collect();
        for (asked, got) in asked.iter().zip(plan.cut(&read)) {
            assert_eq!(got, file[asked.start as usize..asked.end as usize]);
        }
    }

    #[test]
    fn a_joined_request_stays_within_its_limit() {
        let asked: Vec<_> = (0..10u64).map(|i| i * 10..i * 10 + 10).collect();
        assert_eq!(Plan::new(&asked, 0, 40).requests, [0..40, 40..80, 80..100]);
    }
}
