//! CCITT group 3 (one-dimensional) and group 4 fax: rows of bits, 1 for black.

use super::Error;
use super::guard::guarded;

const GROUP_3: &str = "CCITT group 3";
const GROUP_4: &str = "CCITT group 4";

/// Decodes rows into `out`, each beginning at a byte; the rows that are wanted fill it.
pub(super) fn decode_group_3(input: &[u8], cols: u32, out: &mut [u8]) -> Result<(), Error> {
    guarded(GROUP_3, || {
        let mut lines = Lines::new(cols, out);
        // What comes behind the wanted rows is nobody's, so that its verdict does not count.
        let _ = fax::decoder::decode_g3(input.iter().copied(), |changes| lines.push(changes));
        lines.finish(GROUP_3)
    })
}

/// As [`decode_group_3`].
pub(super) fn decode_group_4(input: &[u8], cols: u32, out: &mut [u8]) -> Result<(), Error> {
    guarded(GROUP_4, || {
        let rows = u32::try_from(out.len() / row_bytes(cols)).unwrap_or(u32::MAX);
        let mut lines = Lines::new(cols, out);
        let _ = fax::decoder::decode_g4(input.iter().copied(), cols, Some(rows), |changes| {
            lines.push(changes);
        });
        lines.finish(GROUP_4)
    })
}

fn row_bytes(cols: u32) -> usize {
    (cols as usize).div_ceil(8).max(1)
}

/// Writes one line after the other.
struct Lines<'a> {
    cols: u32,
    rows: std::slice::ChunksExactMut<'a, u8>,
    done: usize,
    wanted: usize,
}

impl<'a> Lines<'a> {
    fn new(cols: u32, out: &'a mut [u8]) -> Self {
        let row_bytes = row_bytes(cols);
        Self {
            cols,
            wanted: out.len() / row_bytes,
            rows: out.chunks_exact_mut(row_bytes),
            done: 0,
        }
    }

    /// Draws a line: `changes` are the columns where the colour changes, which begins with white.
    fn push(&mut self, changes: &[u32]) {
        let Some(row) = self.rows.next() else { return };
        row.fill(0);
        self.done += 1;
        let mut changes = changes.iter().map(|change| (*change).min(self.cols));
        while let Some(from) = changes.next() {
            let to = changes.next().unwrap_or(self.cols);
            for col in from..to {
                if let Some(byte) = row.get_mut(col as usize / 8) {
                    *byte |= 0x80 >> (col % 8);
                }
            }
        }
    }

    fn finish(self, codec: &'static str) -> Result<(), Error> {
        if self.done < self.wanted {
            let row_bytes = row_bytes(self.cols);
            return Err(Error::Short {
                codec,
                got: self.done * row_bytes,
                wanted: self.wanted * row_bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_between_changes_are_black() {
        let mut out = [0xAA; 6];
        let mut lines = Lines::new(12, &mut out);
        lines.push(&[2, 4, 11]);
        lines.push(&[]);
        lines.push(&[0]);
        lines.push(&[1]);
        lines.finish("fax").unwrap();
        assert_eq!(out, [0b0011_0000, 0b0001_0000, 0, 0, 0xFF, 0xF0]);
    }
}
