//! Deflate at the speed that the tile allows.
//!
//! What a predictor leaves of measured values is mostly noise, in which a search for repeated strings finds little and
//! costs most of the time. A look for runs alone is 2 to 3 times as fast and loses a few
//! percent. Classes, fill and drawn patterns are the other way round. So a sample of each tile is compressed both
//! ways, and the tile in the way that suits it.
//!
//! Measured on predicted tiles of 512² (scratch program over `zlib-rs` 0.6.8 and `miniz_oxide` 0.9, release, one thread
//! of a busy 2-core VM, 2026-11; MB/s before compression, and bytes against level 6):
//!
//! | tiles | level 6 | level 4 | level 3 | level 1 | runs | `miniz_oxide` 1 |
//! |---|---|---|---|---|---|---|
//! | u16 Landsat 8 | 36 | 42, -0.1 % | 40, 0.0 % | 66, +33 % | 100, +1.8 % | 119, +3.4 % |
//! | u16 Sentinel-2 | 43 | 44, -0.2 % | 44, 0.0 % | 77, +35 % | 96, +3.0 % | 97, +1.0 % |
//! | f32 NDVI Landsat 8 | 36 | 41, +0.2 % | 45, +0.7 % | 71, +8 % | 102, +2.0 % | 161, +2.7 % |
//! | f32 NDVI of 8-bit bands | 55 | 66, +0.5 % | 76, +1.0 % | 141, +22 % | 174, +4.5 % | 128, +8.5 % |

use zlib_rs::{DeflateConfig, ReturnCode, Strategy, compress_bound, compress_slice};

use super::Error;

/// zlib's level where repeated strings are searched.
const LEVEL: i32 = 4;
/// Bytes of each slice of the sample, and how many there are.
const SLICE_BYTES: usize = 16 * 1024;
const SLICES: usize = 3;
/// A tile smaller than this many samples is not worth one.
const SAMPLES_MIN: usize = 3;
/// Runs alone may cost this share more than strings, in percent of the sample.
const LOSS_MAX_PERCENT: usize = 3;

/// Appends the zlib stream of `raw` to `out`, which is empty. Equal bytes give equal streams.
pub(super) fn deflate(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let strategy = strategy_for(raw, out)?;
    compress(raw, strategy, out)
}

/// Tries both strategies on slices from the first, the second and the last third of the tile.
fn strategy_for(raw: &[u8], out: &mut Vec<u8>) -> Result<Strategy, Error> {
    if raw.len() < SAMPLES_MIN * SLICES * SLICE_BYTES {
        return Ok(Strategy::Default);
    }
    let mut sample = Vec::with_capacity(SLICES * SLICE_BYTES);
    for third in raw.chunks(raw.len().div_ceil(SLICES)) {
        let start = third.len().saturating_sub(SLICE_BYTES) / 2;
        sample.extend(third.iter().skip(start).take(SLICE_BYTES));
    }
    compress(&sample, Strategy::Default, out)?;
    let strings = out.len();
    compress(&sample, Strategy::Rle, out)?;
    let loss_max = strings / 100 * LOSS_MAX_PERCENT;
    Ok(if out.len() <= strings + loss_max {
        Strategy::Rle
    } else {
        Strategy::Default
    })
}

fn compress(raw: &[u8], strategy: Strategy, out: &mut Vec<u8>) -> Result<(), Error> {
    out.resize(compress_bound(raw.len()), 0);
    let config = DeflateConfig {
        level: LEVEL,
        strategy,
        ..DeflateConfig::default()
    };
    let (coded, code) = compress_slice(out, raw, config);
    let bytes = coded.len();
    out.truncate(bytes);
    match code {
        ReturnCode::Ok => Ok(()),
        code => Err(Error::Deflate { code }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(raw: &[u8]) -> Strategy {
        strategy_for(raw, &mut Vec::new()).unwrap()
    }

    #[test]
    fn repeated_strings_are_searched_where_there_are_any() {
        let mut state = 1_u32;
        let mut noise = |max: u8| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0] % max
        };
        // Noise of 4 bits: only the Huffman code helps.
        let noisy: Vec<u8> = (0..1 << 18).map(|_| noise(16)).collect();
        assert_eq!(chosen(&noisy), Strategy::Rle);
        // The same rows again and again, without a run in them.
        let row: Vec<u8> = (0..512).map(|_| noise(255)).collect();
        assert_eq!(chosen(&row.repeat(512)), Strategy::Default);
        // Too little to choose by.
        assert_eq!(chosen(&noisy[..1000]), Strategy::Default);
    }
}
