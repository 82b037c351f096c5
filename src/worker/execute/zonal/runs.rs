//! The values of a range of zones in order, however many: what memory does not hold waits on disk, in sorted runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

/// A value (by its key) of a zone, and its weight.
type Entry = (u32, u64, u64);

const ENTRY_BYTES: usize = 20;
/// Bytes read of each run at once.
const READ_BYTES: usize = 256 << 10;

/// Sorts entries by zone and value, and adds up the weights of equal ones.
#[derive(Debug)]
pub(super) struct Runs {
    entries: Vec<Entry>,
    entries_max: usize,
    folder: PathBuf,
    spilled: Vec<File>,
}

impl Runs {
    /// Makes it.
    ///
    /// - `entries_max`: entries in memory. `folder`: where the rest waits.
    pub(super) fn new(entries_max: usize, folder: PathBuf) -> Self {
        Self {
            entries: Vec::new(),
            entries_max,
            folder,
            spilled: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, zone: u32, key: u64, weight: u64) -> io::Result<()> {
        self.entries.push((zone, key, weight));
        if self.entries.len() < self.entries_max {
            return Ok(());
        }
        self.compact();
        // Few different values: what is left of them is a histogram, and there is room again.
        if self.entries.len() > self.entries_max / 2 {
            self.spill()?;
        }
        Ok(())
    }

    fn compact(&mut self) {
        self.entries.sort_unstable();
        self.entries.dedup_by(|next, kept| {
            let sum = kept.2.checked_add(next.2);
            match sum.filter(|_| (next.0, next.1) == (kept.0, kept.1)) {
                Some(sum) => {
                    kept.2 = sum;
                    true
                }
                None => false,
            }
        });
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut out = BufWriter::new(tempfile::tempfile_in(&self.folder)?);
        for (zone, key, weight) in self.entries.drain(..) {
            out.write_all(&zone.to_le_bytes())?;
            out.write_all(&key.to_le_bytes())?;
            out.write_all(&weight.to_le_bytes())?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.spilled.push(file);
        Ok(())
    }

    /// Gives all entries in order, each zone and value once; may be called again.
    pub(super) fn merged(&mut self) -> io::Result<Merged<'_>> {
        self.compact();
        let mut sources: Vec<Source<'_>> = vec![Source::Memory(self.entries.iter())];
        for file in &self.spilled {
            let mut file = file;
            file.rewind()?;
            sources.push(Source::Disk(BufReader::with_capacity(READ_BYTES, file)));
        }
        let mut merged = Merged {
            sources,
            next: BinaryHeap::new(),
        };
        for number in 0..merged.sources.len() {
            merged.advance(number)?;
        }
        Ok(merged)
    }
}

enum Source<'a> {
    Memory(std::slice::Iter<'a, Entry>),
    Disk(BufReader<&'a File>),
}

impl Source<'_> {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        let reader = match self {
            Self::Memory(entries) => return Ok(entries.next().copied()),
            Self::Disk(reader) => reader,
        };
        let mut bytes = [0; ENTRY_BYTES];
        match reader.read(&mut bytes)? {
            0 => return Ok(None),
            read => reader.read_exact(bytes.get_mut(read..).unwrap_or_default())?,
        }
        let [z0, z1, z2, z3, rest @ ..] = bytes;
        let zone = u32::from_le_bytes([z0, z1, z2, z3]);
        let number = |at: usize| {
            let bytes = rest.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        Ok(Some((zone, number(0), number(8))))
    }
}

/// Entries of all runs, in order.
pub(super) struct Merged<'a> {
    sources: Vec<Source<'a>>,
    /// The next entry of each source, the least on top.
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Merged<'_> {
    fn advance(&mut self, number: usize) -> io::Result<()> {
        if let Some(source) = self.sources.get_mut(number)
            && let Some(entry) = source.next()?
        {
            self.next.push(Reverse((entry, number)));
        }
        Ok(())
    }

    /// Returns the zone of the next entry.
    pub(super) fn zone(&self) -> Option<u32> {
        self.next.peek().map(|Reverse(((zone, ..), _))| *zone)
    }

    /// Returns the next value of a zone and its whole weight; nothing when the zone has no more.
    pub(super) fn next_of(&mut self, zone: u32) -> io::Result<Option<(u64, u128)>> {
        let mut found: Option<(u64, u128)> = None;
        while let Some(Reverse(((next, key, weight), number))) = self.next.peek().copied() {
            if next != zone || found.is_some_and(|(known, _)| known != key) {
                break;
            }
            let sum = found.map_or(0, |(_, sum)| sum);
            found = Some((key, sum + u128::from(weight)));
            self.next.pop();
            self.advance(number)?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order_and_once_whether_they_waited_on_disk_or_not() {
        let entries: Vec<Entry> = (0..1000_u64)
            .map(|n| (u32::try_from(n * 7 % 5).unwrap(), n * 31 % 200, n))
            .collect();
        let mut expected = std::collections::BTreeMap::new();
        for (zone, key, weight) in &entries {
            *expected.entry((*zone, *key)).or_insert(0_u128) += u128::from(*weight);
        }
        let folder = tempfile::tempdir().unwrap();
        for (entries_max, spills) in [(2000, false), (300, true), (1, true)] {
            let mut runs = Runs::new(entries_max, folder.path().to_owned());
            for (zone, key, weight) in &entries {
                runs.push(*zone, *key, *weight).unwrap();
            }
            assert_eq!(!runs.spilled.is_empty(), spills, "{entries_max}");
            // Twice: the second time all is read again.
            for _ in 0..2 {
                let mut merged = runs.merged().unwrap();
                let mut found = Vec::new();
                while let Some(zone) = merged.zone() {
                    while let Some((key, weight)) = merged.next_of(zone).unwrap() {
                        found.push(((zone, key), weight));
                    }
                }
                assert!(found.iter().copied().eq(expected.clone()), "{entries_max}");
            }
        }
    }

    #[test]
    fn few_different_values_stay_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::new(200, folder.path().to_owned());
        for n in 0..100_000_u64 {
            runs.push(1, n % 40, u64::MAX / 2000).unwrap();
        }
        assert!(runs.spilled.is_empty());
        let mut merged = runs.merged().unwrap();
        let (_, weight) = merged.next_of(1).unwrap().unwrap();
        // 2,500 of each: more than 64 bits hold, so that two entries do.
        assert_eq!(weight, 2500 * u128::from(u64::MAX / 2000));
    }
}
