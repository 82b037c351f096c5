//! Samples that are stored in fewer bits than any type of ours, or as colours of another space.

use std::ops::Range;

use half::f16;

use super::cells::Cell;
use crate::io::raster::tiff::image::{Form, Image, Predictor, YCbCr};

/// Fills `out` with the rows `rows` of a chunk: samples of the image's type in little-endian order, those of a cell together.
///
/// `stored`: the bytes of those rows; of all rows from the first one where rows do not stand alone.
pub(super) fn widen(image: &Image, stored: &[u8], rows: &Range<u32>, out: &mut Vec<u8>) {
    out.clear();
    let count = (rows.end - rows.start) as usize;
    let samples = image.chunks.cols as usize * usize::from(image.chunk_samples());
    let row_bytes = (stored.len() / count.max(1)).max(1);
    let lines = stored.chunks_exact(row_bytes).take(count);
    match image.form {
        Form::Plain => out.extend_from_slice(stored),
        Form::Packed(bits) => {
            let bytes = image.dtype.bytes();
            lines.for_each(|line| unpack_bits(line, bits, samples, bytes, out));
        }
        Form::Half => lines.for_each(|line| halves(image, line, out)),
        Form::Cmyk => lines.for_each(|line| cmyk(line, out)),
        Form::YCbCr(form) => Colours::new(&form).paint(&form, image.chunks.cols, stored, rows, out),
    }
}

/// Reads numbers of `bits` bits, the most significant first, into little-endian numbers of `bytes` bytes.
fn unpack_bits(line: &[u8], bits: u32, samples: usize, bytes: usize, out: &mut Vec<u8>) {
    let mut stored = line.iter();
    let (mut held, mut held_bits) = (0u64, 0);
    for _ in 0..samples {
        while held_bits < bits {
            held = held << 8 | u64::from(stored.next().copied().unwrap_or(0));
            held_bits += 8;
        }
        held_bits -= bits;
        let sample = held >> held_bits & ((1 << bits) - 1);
        out.extend(sample.to_le_bytes().iter().take(bytes));
    }
}

/// Reads floats of 16 bit, whose predictor is that of integers of their size.
fn halves(image: &Image, line: &[u8], out: &mut Vec<u8>) {
    let samples = usize::from(image.chunk_samples());
    let cols = image.chunks.cols as usize;
    let start = out.len();
    out.resize(start + cols * samples * 4, 0);
    let mut lane = vec![0u16; cols];
    for sample in 0..samples {
        let stored = line.get(sample * 2..).unwrap_or_default();
        match image.predictor {
            Predictor::None => u16::plain(stored, samples * 2, image.order, &mut lane),
            Predictor::Difference => {
                u16::differences(stored, samples * 2, image.order, 0, &mut lane);
            }
            Predictor::Float => u16::planes(line, sample, samples, &mut lane),
        }
        let places = out.get_mut(start + sample * 4..).unwrap_or_default();
        for (place, bits) in places.chunks_mut(samples * 4).zip(&lane) {
            if let Some(place) = place.first_chunk_mut::<4>() {
                *place = f16::from_bits(*bits).to_f32().to_le_bytes();
            }
        }
    }
}

/// Makes red, green, blue and full opacity of inks, as libtiff does for 8 bits.
fn cmyk(line: &[u8], out: &mut Vec<u8>) {
    for [cyan, magenta, yellow, black] in line.as_chunks::<4>().0 {
        let light = u32::from(255 - black);
        let colour = |ink: &u8| u8::try_from(light * u32::from(255 - ink) / 255).unwrap_or(255);
        out.extend([colour(cyan), colour(magenta), colour(yellow), 255]);
    }
}

/// Tables from luma and chroma to red, green and blue: libtiff's `TIFFYCbCrToRGBInit`, number by number, since GDAL shows
/// what it makes.
struct Colours {
    luma: [i32; 256],
    cr_red: [i32; 256],
    cb_blue: [i32; 256],
    cr_green: [i32; 256],
    cb_green: [i32; 256],
}

/// Bits behind the point of libtiff's fixed-point numbers.
const SHIFT: u32 = 16;
const ONE_HALF: i32 = 1 << (SHIFT - 1);

fn fixed(x: f32) -> i32 {
    (f64::from(x) * f64::from(1 << SHIFT) + 0.5) as i32
}

/// Scales a code to its range between black and white.
fn code_to_value(code: i32, black: f32, white: f32, range: f32) -> f32 {
    let span = white - black;
    let span = if span == 0.0 { 1.0 } else { span };
    (code as f32 - black.trunc()) * range / span
}

impl Colours {
    fn new(form: &YCbCr) -> Self {
        let [red, green, blue] = form.luma;
        let (red_share, blue_share) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let d1 = fixed(red_share);
        let d2 = -fixed(red * red_share / green);
        let d3 = fixed(blue_share);
        let d4 = -fixed(blue * blue_share / green);
        let [y_black, y_white, cb_black, cb_white, cr_black, cr_white] = form.black_white;
        let limited = |value: f32| value.clamp(-4096.0, 4096.0) as i32;
        let mut tables = Self {
            luma: [0; 256],
            cr_red: [0; 256],
            cb_blue: [0; 256],
            cr_green: [0; 256],
            cb_green: [0; 256],
        };
        let places = tables
            .luma
            .iter_mut()
            .zip(&mut tables.cr_red)
            .zip(&mut tables.cb_blue)
            .zip(&mut tables.cr_green)
            .zip(&mut tables.cb_green);
        for (x, ((((y, cr_red), cb_blue), cr_green), cb_green)) in (-128i32..128).zip(places) {
            let chroma = |black: f32, white: f32| {
                limited(code_to_value(x, black - 128.0, white - 128.0, 127.0))
            };
            let (cb, cr) = (chroma(cb_black, cb_white), chroma(cr_black, cr_white));
            *cr_red = d1.wrapping_mul(cr).wrapping_add(ONE_HALF) >> SHIFT;
            *cb_blue = d3.wrapping_mul(cb).wrapping_add(ONE_HALF) >> SHIFT;
            *cr_green = d2.wrapping_mul(cr);
            *cb_green = d4.wrapping_mul(cb).wrapping_add(ONE_HALF);
            *y = limited(code_to_value(x + 128, y_black, y_white, 255.0));
        }
        tables
    }

    fn colour(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let of = |table: &[i32; 256], at: u8| table.get(usize::from(at)).copied().unwrap_or(0);
        let y = of(&self.luma, y);
        let green = of(&self.cb_green, cb).wrapping_add(of(&self.cr_green, cr)) >> SHIFT;
        [
            y + of(&self.cr_red, cr),
            y + green,
            y + of(&self.cb_blue, cb),
        ]
        .map(|value| u8::try_from(value.clamp(0, 255)).unwrap_or(0))
    }

    /// Paints rows of units: the luma of `across × down` cells, row by row, then their blue and red chroma.
    fn paint(&self, form: &YCbCr, cols: u32, stored: &[u8], rows: &Range<u32>, out: &mut Vec<u8>) {
        let (across, down, cols) = (form.across as usize, form.down as usize, cols as usize);
        let unit_bytes = across * down + 2;
        let line_bytes = cols.div_ceil(across) * unit_bytes;
        for row in rows.clone() {
            let row = row as usize;
            let line = stored.get(row / down * line_bytes..).unwrap_or_default();
            for col in 0..cols {
                let unit = line.get(col / across * unit_bytes..).unwrap_or_default();
                let at = |place: usize| unit.get(place).copied().unwrap_or(0);
                let y = at(row % down * across + col % across);
                out.extend(self.colour(y, at(unit_bytes - 2), at(unit_bytes - 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_from_the_top_of_each_byte() {
        let mut out = Vec::new();
        unpack_bits(&[0b1010_0000], 1, 3, 1, &mut out);
        unpack_bits(&[0b0110_1100], 3, 2, 1, &mut out);
        assert_eq!(out, [1, 0, 1, 3, 3]);
        let mut out = Vec::new();
        // 0xABC and 0xDEF in twelve bits each.
        unpack_bits(&[0xAB, 0xCD, 0xEF], 12, 2, 2, &mut out);
        assert_eq!(out, [0xBC, 0x0A, 0xEF, 0x0D]);
    }

    #[test]
    fn inks_darken_and_the_cell_is_opaque() {
        let mut out = Vec::new();
        cmyk(&[0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255], &mut out);
        assert_eq!(out, [255, 255, 255, 255, 0, 255, 255, 255, 0, 0, 0, 255]);
    }

    #[test]
    fn grey_has_no_chroma() {
        let form = YCbCr {
            across: 2,
            down: 1,
            luma: [0.299, 0.587, 0.114],
            black_white: [0.0, 255.0, 128.0, 255.0, 128.0, 255.0],
        };
        let mut out = Vec::new();
        let colours = Colours::new(&form);
        colours.paint(
            &form,
            3,
            &[10, 20, 128, 128, 30, 99, 128, 128],
            &(0..1),
            &mut out,
        );
        assert_eq!(out, [10, 10, 10, 20, 20, 20, 30, 30, 30]);
        // Full red in Rec. 601: Y 76, Cb 85, Cr 255.
        assert_eq!(colours.colour(76, 85, 255), [254, 0, 0]);
    }
}
