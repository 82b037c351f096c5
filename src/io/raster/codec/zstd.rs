//! Zstandard, over `structured-zstd`.

use std::io::Read;

use structured_zstd::decoding::{FrameDecoder, StreamingDecoder};

use super::Error;

/// Keeps the tables and the window.
#[derive(Default)]
pub(super) struct Zstd {
    decoder: Option<Box<FrameDecoder>>,
}

impl Zstd {
    /// Fills `out` as far as `input` allows; returns the bytes written.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let decoder = self
            .decoder
            .get_or_insert_with(|| Box::new(FrameDecoder::new()));
        // The quick way works on whole chunks only, where input and output end together.
        if matches!(decoder.decode_all(input, out), Ok(n) if n == out.len()) {
            return Ok(out.len());
        }
        let mut stream = StreamingDecoder::new_with_decoder(input, &mut **decoder);
        let mut done = 0;
        while let Some(left) = out.get_mut(done..).filter(|left| !left.is_empty()) {
            match stream.read(left) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(source) => return Err(Error::damaged("Zstandard", source)),
            }
        }
        Ok(done)
    }
}
