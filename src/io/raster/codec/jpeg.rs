//! JPEG in a TIFF: technical note 2 of TIFF 6.0 (1995).
//!
//! A chunk is a JPEG stream, mostly without the tables that all chunks share. Its colours are what the TIFF says, whatever
//! the stream says.

use jpeg_decoder::{ColorTransform, Decoder};

use super::Error;
use super::guard::guarded;
use super::picture::{Shape, copy_rows};

const CODEC: &str = "JPEG";
const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// Decodes the rows that are wanted.
pub(super) fn decode(input: &[u8], shape: &Shape<'_>, out: &mut [u8]) -> Result<(), Error> {
    let stream = with_tables(shape.tables, input);
    let frame = frame(&stream).ok_or(Error::Damaged {
        codec: CODEC,
        source: None,
    })?;
    shape.check(CODEC, (frame.cols, frame.rows, frame.components))?;
    if frame.precision != 8 {
        return Err(Error::Depth {
            codec: CODEC,
            bits: frame.precision,
        });
    }
    guarded(CODEC, || {
        let mut decoder = Decoder::new(&stream[..]);
        // 'No transform' would put the bands of each row apart; 'CMYK' turns every sample over.
        let turned = shape.samples == 4;
        decoder.set_color_transform(match (shape.samples, shape.to_rgb) {
            (3, true) => ColorTransform::YCbCr,
            (3, false) => ColorTransform::RGB,
            (1, _) => ColorTransform::Grayscale,
            _ => ColorTransform::CMYK,
        });
        let mut pixels = decoder
            .decode()
            .map_err(|source| Error::damaged(CODEC, source))?;
        if turned {
            pixels.iter_mut().for_each(|sample| *sample = 255 - *sample);
        }
        copy_rows(CODEC, &pixels, out)
    })
}

/// Puts the shared tables into a stream, behind its first marker.
fn with_tables(tables: &[u8], stream: &[u8]) -> Vec<u8> {
    let tables = tables
        .strip_prefix(&[0xFF, START_OF_IMAGE])
        .unwrap_or_default();
    let tables = tables.strip_suffix(&[0xFF, END_OF_IMAGE]).unwrap_or(tables);
    let rest = stream
        .strip_prefix(&[0xFF, START_OF_IMAGE])
        .unwrap_or(stream);
    [&[0xFF, START_OF_IMAGE], tables, rest].concat()
}

/// What a stream says of its picture before its first scan.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    precision: u8,
    cols: u32,
    rows: u32,
    components: u32,
}

/// Finds the frame header, so that nothing is allocated for a picture that the chunk cannot hold.
fn frame(stream: &[u8]) -> Option<Frame> {
    let mut rest = stream.get(2..)?;
    loop {
        let [0xFF, marker, tail @ ..] = rest else {
            return None;
        };
        // A marker may be preceded by any number of fill bytes; some markers stand alone.
        match *marker {
            0xFF => {
                rest = rest.get(1..)?;
                continue;
            }
            0x01 | 0xD0..=0xD7 => {
                rest = tail;
                continue;
            }
            START_OF_SCAN | END_OF_IMAGE => return None,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(*tail.first_chunk::<2>()?));
        let is_frame = matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
        if is_frame {
            let [_, _, precision, r0, r1, c0, c1, components, ..] = *tail else {
                return None;
            };
            return Some(Frame {
                precision,
                rows: u32::from(u16::from_be_bytes([r0, r1])),
                cols: u32::from(u16::from_be_bytes([c0, c1])),
                components: u32::from(components),
            });
        }
        rest = tail.get(length.max(2)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_tables_come_behind_the_first_marker() {
        let tables = [0xFF, 0xD8, 0xFF, 0xDB, 0, 3, 7, 0xFF, 0xD9];
        let stream = [0xFF, 0xD8, 0xFF, 0xDA];
        assert_eq!(
            with_tables(&tables, &stream),
            [0xFF, 0xD8, 0xFF, 0xDB, 0, 3, 7, 0xFF, 0xDA]
        );
        assert_eq!(with_tables(&[], &stream), stream);
    }

    #[test]
    fn the_frame_header_is_found_or_the_stream_is_damaged() {
        // By hand after ITU T.81, B.2.2: a comment, then SOF0 of 8 bit, 16 rows, 32 columns, 3 components.
        let stream = [
            0xFF, 0xD8, 0xFF, 0xFE, 0, 4, 1, 2, 0xFF, 0xFF, 0xC0, 0, 17, 8, 0, 16, 0, 32, 3,
        ];
        let expected = Frame {
            precision: 8,
            cols: 32,
            rows: 16,
            components: 3,
        };
        assert_eq!(frame(&stream), Some(expected));
        for cut in 0..stream.len() {
            assert_eq!(frame(&stream[..cut]), None, "{cut} bytes");
        }
    }
}
