//! Facts about frames, and where bytes go.

use std::io::Cursor;

/// A level of compression, as C zstd counts.
pub type CompressionLevel = i32;

/// Says that bytes do not begin with a Zstandard frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentSizeError;

/// A place for bytes, from a position on.
pub trait WriteBuf {
    /// Returns the vector, and the position from which its bytes may be replaced.
    fn place(&mut self) -> (&mut Vec<u8>, usize);
}

impl WriteBuf for Vec<u8> {
    fn place(&mut self) -> (&mut Vec<u8>, usize) {
        (self, 0)
    }
}

impl WriteBuf for Cursor<&mut Vec<u8>> {
    fn place(&mut self) -> (&mut Vec<u8>, usize) {
        let position = usize::try_from(self.position()).unwrap_or(usize::MAX);
        let buffer = &mut **self.get_mut();
        let position = position.min(buffer.len());
        (buffer, position)
    }
}

/// Returns the most bytes that so many take once compressed.
#[must_use]
pub const fn compress_bound(bytes: usize) -> usize {
    const SMALL: usize = 128 << 10;
    let margin = SMALL.saturating_sub(bytes) >> 11;
    bytes.saturating_add(bytes >> 8).saturating_add(margin)
}

/// Reads the size of the content from the head of a frame; `None` when the frame does not say.
///
/// Source: RFC 8878, section 3.1.1.1.
///
/// # Errors
/// When it is not the head of a frame.
pub fn get_frame_content_size(frame: &[u8]) -> Result<Option<u64>, ContentSizeError> {
    const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
    let head = frame.strip_prefix(&MAGIC).ok_or(ContentSizeError)?;
    let (descriptor, head) = head.split_first().ok_or(ContentSizeError)?;
    let single_segment = descriptor & 0b10_0000 != 0;
    let window_bytes = usize::from(!single_segment);
    let dictionary_bytes = match descriptor & 0b11 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let (size_bytes, added) = match descriptor >> 6 {
        0 if !single_segment => return Ok(None),
        0 => (1, 0),
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    let from = window_bytes + dictionary_bytes;
    let field = head.get(from..from + size_bytes).ok_or(ContentSizeError)?;
    let little_endian = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    let size: u64 = field.iter().rev().fold(0, little_endian);
    Ok(Some(size.saturating_add(added)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_the_head() {
        // `printf abc | zstd --no-check | xxd`, of zstd 1.5.4: single segment, one byte of size.
        let frame = [
            0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x03, 0x19, 0, 0, b'a', b'b', b'c',
        ];
        assert_eq!(get_frame_content_size(&frame), Ok(Some(3)));
        // The same from a pipe that does not tell its length: a window, and no size.
        let frame = [
            0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x19, 0, 0, b'a', b'b', b'c',
        ];
        assert_eq!(get_frame_content_size(&frame), Ok(None));
        assert_eq!(get_frame_content_size(b"abc"), Err(ContentSizeError));
        assert_eq!(get_frame_content_size(&frame[..4]), Err(ContentSizeError));
    }
}
