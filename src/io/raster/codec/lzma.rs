//! LZMA, as libtiff writes it: one XZ stream a chunk, with a delta filter before it.

use std::io::Read;

use lzma_rust2::XzReader;

use super::Error;
use super::guard::guarded;

/// The most memory that a stream may ask for, in KiB: the highest preset of xz has a dictionary of 64 MiB.
const MEMORY_MAX_KIB: u32 = 80 << 10;

/// Fills `out` as far as `input` allows; returns the bytes written.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    guarded("LZMA", || {
        let mut stream = XzReader::new_mem_limit(input, false, MEMORY_MAX_KIB);
        let mut done = 0;
        while let Some(left) = out.get_mut(done..).filter(|left| !left.is_empty()) {
            match stream.read(left) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(source) => return Err(Error::damaged("LZMA", source)),
            }
        }
        Ok(done)
    })
}
