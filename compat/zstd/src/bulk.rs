//! Whole frames at once.

use std::cell::RefCell;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use structured_zstd::decoding::{FrameDecoder, StreamingDecoder};
use structured_zstd::encoding::{CompressionLevel, FrameCompressor};

use crate::zstd_safe::WriteBuf;

/// Compresses frames.
#[derive(Debug)]
pub struct Compressor<'a> {
    level: i32,
    dictionary: PhantomData<&'a ()>,
}

thread_local! {
    /// The compressor of this thread and its level: it is not `Send`, and [`Compressor`] must be.
    static KEPT: RefCell<Option<(i32, Box<FrameCompressor>)>> = const { RefCell::new(None) };
}

impl Compressor<'static> {
    /// Makes a compressor of a level.
    ///
    /// # Errors
    /// Never; the real crate has a context to allocate.
    pub const fn new(level: i32) -> io::Result<Self> {
        Ok(Self {
            level,
            dictionary: PhantomData,
        })
    }
}

impl Compressor<'_> {
    /// Compresses bytes into one frame.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.compress_to_buffer(bytes, &mut out)?;
        Ok(out)
    }

    /// Compresses bytes into one frame, written from the place's position on; returns the bytes written.
    ///
    /// # Errors
    /// When the compressor fails.
    pub fn compress_to_buffer<B: WriteBuf + ?Sized>(
        &mut self,
        bytes: &[u8],
        place: &mut B,
    ) -> io::Result<usize> {
        let level = self.level;
        let kept = KEPT.with(|kept| kept.borrow_mut().take());
        let mut compressor = match kept {
            Some((kept_level, compressor)) if kept_level == level => compressor,
            _ => Box::new(FrameCompressor::new(CompressionLevel::from_level(level))),
        };
        // Taken out of its place while it works: one that panicked is dropped and never used again.
        let work = AssertUnwindSafe(|| {
            let mut frame = Vec::new();
            compressor.compress_independent_frame_into(bytes, &mut frame);
            (compressor, frame)
        });
        let (compressor, frame) =
            catch_unwind(work).map_err(|_| io::Error::other("the Zstandard compressor failed"))?;
        KEPT.with(|kept| *kept.borrow_mut() = Some((level, compressor)));
        let (buffer, position) = place.place();
        buffer.truncate(position);
        buffer.extend_from_slice(&frame);
        Ok(frame.len())
    }
}

/// Decompresses frames.
pub struct Decompressor<'a> {
    decoder: Box<FrameDecoder>,
    dictionary: PhantomData<&'a ()>,
}

impl std::fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl Decompressor<'static> {
    /// Makes a decompressor.
    ///
    /// # Errors
    /// Never; the real crate has a context to allocate.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            decoder: Box::new(FrameDecoder::new()),
            dictionary: PhantomData,
        })
    }
}

impl Decompressor<'_> {
    /// Decompresses frames of `capacity` bytes at most.
    ///
    /// # Errors
    /// When the bytes are no frames, or hold more.
    pub fn decompress(&mut self, frames: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(capacity);
        self.decompress_to_buffer(frames, &mut out)?;
        Ok(out)
    }

    /// Decompresses frames into the capacity of a place, from its position on; returns the bytes written.
    ///
    /// # Errors
    /// When the bytes are no frames, or hold more than the place has room for.
    pub fn decompress_to_buffer<B: WriteBuf + ?Sized>(
        &mut self,
        frames: &[u8],
        place: &mut B,
    ) -> io::Result<usize> {
        let (buffer, position) = place.place();
        let capacity = buffer.capacity();
        buffer.resize(capacity, 0);
        let room = buffer.get_mut(position..).unwrap_or_default();
        let written = decode(&mut self.decoder, frames, room);
        buffer.truncate(position + written.as_ref().map_or(0, |written| *written));
        written
    }
}

fn decode(decoder: &mut FrameDecoder, frames: &[u8], room: &mut [u8]) -> io::Result<usize> {
    // The quick way: every frame says its size, and all fit.
    if let Ok(written) = decoder.decode_all(frames, room) {
        return Ok(written);
    }
    let mut stream = StreamingDecoder::new_with_decoder(frames, decoder);
    let mut written = 0;
    while let Some(left) = room.get_mut(written..).filter(|left| !left.is_empty()) {
        match stream.read(left)? {
            0 => return Ok(written),
            read => written += read,
        }
    }
    match stream.read(&mut [0])? {
        0 => Ok(written),
        _ => Err(io::Error::other(
            "a Zstandard frame holds more than was declared",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn text(bytes: usize) -> Vec<u8> {
        b"so many fields, so little rain; "
            .iter()
            .copied()
            .cycle()
            .take(bytes)
            .collect()
    }

    #[test]
    fn what_was_compressed_comes_back_behind_what_was_there() {
        for bytes in [0, 1, 31, 100_000, 3_000_000] {
            let text = text(bytes);
            let mut frame = b"head".to_vec();
            let mut cursor = Cursor::new(&mut frame);
            cursor.set_position(4);
            let written = Compressor::new(3)
                .unwrap()
                .compress_to_buffer(&text, &mut cursor);
            assert_eq!(written.unwrap() + 4, frame.len());
            let mut out = b"head".to_vec();
            out.reserve(bytes);
            let mut cursor = Cursor::new(&mut out);
            cursor.set_position(4);
            let read = Decompressor::new()
                .unwrap()
                .decompress_to_buffer(&frame[4..], &mut cursor);
            assert_eq!(read.unwrap(), bytes);
            assert!(out.starts_with(b"head") && out[4..] == text);
        }
    }

    #[test]
    fn more_than_there_is_room_for_and_what_is_no_frame_are_errors() {
        let frame = Compressor::new(1).unwrap().compress(&text(1000)).unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        assert!(decompressor.decompress(&frame, 999).is_err());
        assert!(decompressor.decompress(b"not a frame at all", 999).is_err());
        assert_eq!(decompressor.decompress(&frame, 1000).unwrap(), text(1000));
    }
}
