//! Sharing the bytes of a table out to tasks, evenly and in order.

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;

/// Where a file may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cuts {
    /// Nowhere.
    Whole,
    /// Anywhere: whoever reads a range looks for the lines that begin in it.
    Anywhere,
    /// Before these offsets, which rise: where row groups or batches begin.
    Before(Vec<u64>),
}

/// Less than this is not worth a task of its own.
const GROUP_BYTES_MIN: u64 = 32 << 10;

/// Shares files out to at most `groups` groups; none is empty, and reading them one after the other gives all rows in order.
pub(super) fn groups(files: Vec<(PartitionedFile, Cuts)>, groups: usize) -> Vec<FileGroup> {
    let total: u64 = files.iter().map(|(file, _)| file.object_meta.size).sum();
    let most = total.div_ceil(GROUP_BYTES_MIN).max(1);
    let count = u64::try_from(groups).unwrap_or(u64::MAX).clamp(1, most);
    let group_of = |at: u64| (u128::from(at) * u128::from(count) / u128::from(total.max(1))) as u64;

    let mut shared: Vec<(u64, Vec<PartitionedFile>)> = Vec::new();
    let mut before = 0;
    for (file, cuts) in files {
        let size = file.object_meta.size;
        let pieces = pieces(before, size, &cuts, count, total);
        let whole = pieces.len() == 1;
        let mut ranges: Vec<(u64, std::ops::Range<u64>)> = Vec::new();
        for piece in pieces {
            // A piece belongs where its middle is.
            let group = group_of(before + piece.start + (piece.end - piece.start) / 2);
            match ranges.last_mut() {
                Some((last, range)) if *last == group => range.end = piece.end,
                _ => ranges.push((group, piece)),
            }
        }
        let whole = whole || ranges.len() == 1;
        for (group, range) in ranges {
            let part = match whole {
                true => file.clone(),
                false => file
                    .clone()
                    .with_range(offset(range.start), offset(range.end)),
            };
            match shared.last_mut() {
                Some((last, parts)) if *last == group => parts.push(part),
                _ => shared.push((group, vec![part])),
            }
        }
        before += size;
    }
    let parts = shared.into_iter().map(|(_, parts)| FileGroup::new(parts));
    parts.collect()
}

fn offset(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// Cuts a file that begins `before` bytes into the table.
fn pieces(
    before: u64,
    size: u64,
    cuts: &Cuts,
    groups: u64,
    total: u64,
) -> Vec<std::ops::Range<u64>> {
    let cuts = match cuts {
        Cuts::Whole => Vec::new(),
        Cuts::Before(offsets) => offsets.clone(),
        Cuts::Anywhere => {
            let share = |group| u128::from(total) * u128::from(group) / u128::from(groups);
            let edges = (1..groups).filter_map(|group| {
                let edge = u64::try_from(share(group)).ok()?;
                edge.checked_sub(before).filter(|at| *at < size)
            });
            edges.collect()
        }
    };
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in cuts.into_iter().chain([size]) {
        if end > start && end <= size {
            pieces.push(start..end);
            start = end;
        }
    }
    match pieces.is_empty() {
        // An empty file still has a schema, and is read.
        true => std::iter::once(0..size).collect(),
        false => pieces,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: u64 = 1024;

    /// Files as (KiB, cuts in KiB); groups as lists of (file, start, end) in KiB.
    fn check(files: &[(u64, Cuts)], count: usize, expected: &[&[(usize, u64, u64)]]) {
        let table = files.iter().enumerate().map(|(index, (size, cuts))| {
            let cuts = match cuts {
                Cuts::Before(at) => Cuts::Before(at.iter().map(|at| at * K).collect()),
                other => other.clone(),
            };
            (PartitionedFile::new(index.to_string(), size * K), cuts)
        });
        let got: Vec<Vec<(usize, u64, u64)>> = groups(table.collect(), count)
            .into_iter()
            .map(|group| {
                let part = |file: PartitionedFile| {
                    let (start, end) = file.range();
                    let index = file.path().as_ref().parse().unwrap();
                    (index, start / K, end / K)
                };
                group.into_inner().into_iter().map(part).collect()
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn bytes_are_shared_out_evenly_and_in_order() {
        // 400 KiB over 4 groups: edges at 100, 200, 300.
        check(
            &[(250, Cuts::Anywhere), (150, Cuts::Anywhere)],
            4,
            &[
                &[(0, 0, 100)],
                &[(0, 100, 200)],
                &[(0, 200, 250), (1, 0, 50)],
                &[(1, 50, 150)],
            ],
        );
        // Row groups of 50 KiB stay whole: the middles of the first two are before 100.
        let row_groups = Cuts::Before((1..8).map(|i| i * 50).collect());
        check(
            &[(400, row_groups)],
            4,
            &[
                &[(0, 0, 100)],
                &[(0, 100, 200)],
                &[(0, 200, 300)],
                &[(0, 300, 400)],
            ],
        );
        check(&[(400, Cuts::Whole)], 4, &[&[(0, 0, 400)]]);
        check(
            &[(100, Cuts::Whole), (100, Cuts::Whole), (200, Cuts::Whole)],
            2,
            &[&[(0, 0, 100), (1, 0, 100)], &[(2, 0, 200)]],
        );
    }

    #[test]
    fn little_data_has_few_groups_and_none_is_empty() {
        check(&[(10, Cuts::Anywhere)], 8, &[&[(0, 0, 10)]]);
        check(&[(64, Cuts::Anywhere)], 8, &[&[(0, 0, 32)], &[(0, 32, 64)]]);
        check(&[(0, Cuts::Anywhere)], 8, &[&[(0, 0, 0)]]);
        assert_eq!(groups(Vec::new(), 3).len(), 0);
    }
}
