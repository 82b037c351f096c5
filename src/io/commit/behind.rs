//! A file whose beginning goes to the disk while the rest is still written.
//!
//! A commit makes a file durable before it gives it its name. When nothing was on the disk by then, it would wait for all of
//! it. So each finished span is handed to the system as it comes, and the end waits for the last one only.

use std::fs::File;
use std::io::{self, Write};

/// Bytes that are handed over at once.
const SPAN_BYTES: u64 = 8 << 20;

/// Writes a new file from its start.
#[derive(Debug)]
pub struct WriteBehind {
    file: File,
    written: u64,
    handed: u64,
}

impl WriteBehind {
    /// Takes a file that is empty.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            file,
            written: 0,
            handed: 0,
        }
    }
}

impl Write for WriteBehind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written = self.written.saturating_add(count as u64);
        let span = self.written - self.handed;
        if span >= SPAN_BYTES {
            begin_writing(&self.file, self.handed, span);
            self.handed = self.written;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Asks the system to begin writing a span, and does not wait for it. What it will not do early, the commit waits for.
#[cfg(target_os = "linux")]
fn begin_writing(file: &File, offset: u64, bytes: u64) {
    // Pages that are not needed are written; those that are being written stay in memory.
    let _ = rustix::fs::fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(bytes),
        rustix::fs::Advice::DontNeed,
    );
}

#[cfg(not(target_os = "linux"))]
fn begin_writing(_: &File, _: u64, _: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_arrive_in_order_over_the_ends_of_spans() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut file = WriteBehind::new(File::create_new(&path).unwrap());
        let bytes: Vec<u8> = (0..SPAN_BYTES * 5 / 2).map(|at| (at % 251) as u8).collect();
        for piece in bytes.chunks(1_000_003) {
            file.write_all(piece).unwrap();
        }
        file.flush().unwrap();
        // Spans of nine pieces: the first that reach 8 MiB.
        assert_eq!(file.handed, 2 * 9 * 1_000_003);
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
