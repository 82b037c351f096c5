//! LZW, as TIFF 6.0 (section 13) states it, and as writers before it did.

use weezl::decode::{Configuration, Decoder};
use weezl::{BitOrder, LzwStatus};

use super::Error;

/// Keeps the tables of both styles.
#[derive(Default)]
pub(super) struct Lzw {
    new: Option<Decoder>,
    old: Option<Decoder>,
}

impl Lzw {
    /// Fills `out` as far as `input` allows; returns the bytes written.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let decoder = if is_old_style(input) {
            self.old
                .get_or_insert_with(|| build(Configuration::new(BitOrder::Lsb, 8)))
        } else {
            self.new.get_or_insert_with(|| {
                build(Configuration::with_tiff_size_switch(BitOrder::Msb, 8))
            })
        };
        decoder.reset();
        let (mut input, mut done) = (input, 0);
        while let Some(left) = out.get_mut(done..).filter(|left| !left.is_empty()) {
            let step = decoder.decode_bytes(input, left);
            done += step.consumed_out;
            input = input.get(step.consumed_in..).unwrap_or_default();
            match step.status {
                Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
                Ok(_) => break,
                // What was asked for is there; the rest of the stream is nobody's.
                Err(_) if done == out.len() => break,
                Err(source) => return Err(Error::damaged("LZW", source)),
            }
        }
        Ok(done)
    }
}

/// Many writers leave the end code out, so that reading stops with the chunk.
fn build(configuration: Configuration) -> Decoder {
    configuration.with_yield_on_full_buffer(true).build()
}

/// Tells the styles apart as libtiff does: every stream begins with the clear code, 256 in nine bits.
fn is_old_style(input: &[u8]) -> bool {
    matches!(input, [0, second, ..] if second & 1 == 1)
}
