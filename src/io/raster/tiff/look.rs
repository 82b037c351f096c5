//! Colours, opacity, palette and metadata, as GDAL understands them.

use super::Tags;
use super::image::{Form, Image};
use super::tags::{COLOR_MAP, EXTRA_SAMPLES, GDAL_METADATA, PHOTOMETRIC};
use crate::grid::Look;
use crate::grid::look::{Colours, Extra};

/// Metadata longer than this is left out: it travels with every plan.
const METADATA_BYTES_MAX: usize = 1 << 20;
/// White, as a palette has it.
const WHITE: u16 = u16::MAX;

/// Reads how an image is to be shown. What contradicts itself is left out: no cell depends on it.
#[must_use]
pub fn look(tags: &Tags, image: &Image) -> Look {
    let extra = tags.uints(EXTRA_SAMPLES).ok().flatten().unwrap_or_default();
    let extra = extra.into_iter().map(|code| match code {
        1 => Extra::Premultiplied,
        2 => Extra::Alpha,
        _ => Extra::Other,
    });
    let (colours, extra) = match image.form {
        Form::Cmyk => (Colours::Rgb, vec![Extra::Alpha]),
        _ => (colours(tags, image), extra.collect()),
    };
    let metadata = tags.text(GDAL_METADATA).unwrap_or_default();
    Look {
        colours,
        extra,
        metadata: if metadata.len() <= METADATA_BYTES_MAX {
            without_statistics(&metadata)
        } else {
            String::new()
        },
    }
}

fn colours(tags: &Tags, image: &Image) -> Colours {
    let photometric = tags.uint(PHOTOMETRIC).ok().flatten();
    // Few bits are read as bytes or words, of which their most would be as good as black.
    let few_bits = match image.form {
        Form::Packed(bits @ 1..16) if image.samples == 1 => Some(bits),
        _ => None,
    };
    match photometric {
        Some(2 | 6) if image.samples >= 3 => Colours::Rgb,
        Some(3) if image.samples == 1 => match palette(tags, image) {
            Some(palette) => Colours::Palette(palette),
            None => Colours::Grey,
        },
        Some(0) => match few_bits {
            Some(bits) => {
                Colours::Palette(widened(&white_to_black(bits).repeat(3), entries(image)))
            }
            None => Colours::GreyInverted,
        },
        _ if few_bits == Some(1) => {
            Colours::Palette(widened(&[0, WHITE].repeat(3), entries(image)))
        }
        _ => Colours::Grey,
    }
}

/// Lists the greys of samples of so many bits, of which 0 is white, in 256 steps as GDAL does.
fn white_to_black(bits: u32) -> Vec<u16> {
    let most = (1u32 << bits) - 1;
    let grey = |sample| u16::try_from(255 * (most - sample) / most).unwrap_or(255) * 257;
    (0..=most).map(grey).collect()
}

/// Returns how many entries a palette of the samples has, as they are read.
fn entries(image: &Image) -> usize {
    if image.dtype.bytes() == 1 { 256 } else { 65536 }
}

fn palette(tags: &Tags, image: &Image) -> Option<Vec<u16>> {
    let stored = tags.uints(COLOR_MAP).ok()??;
    let stored: Vec<u16> = stored
        .into_iter()
        .map(|value| u16::try_from(value).unwrap_or(WHITE))
        .collect();
    let bits = match image.form {
        Form::Packed(bits) => bits,
        _ => u32::try_from(image.dtype.bytes() * 8).ok()?,
    };
    let stated = 1usize.checked_shl(bits).filter(|_| bits <= 16)?;
    if stored.len() != 3 * stated {
        return None;
    }
    Some(widened(&stored, entries(image)))
}

/// Brings a palette to `wanted` entries a colour; those that no sample names are black.
fn widened(palette: &[u16], wanted: usize) -> Vec<u16> {
    let entries = palette.len() / 3;
    palette
        .chunks(entries.max(1))
        .flat_map(|colour| {
            let black = std::iter::repeat_n(0, wanted.saturating_sub(entries));
            colour.iter().copied().chain(black)
        })
        .collect()
}

/// Leaves out statistics, which are only true of the very cells that they were made of.
fn without_statistics(metadata: &str) -> String {
    let mut kept = String::with_capacity(metadata.len());
    let mut rest = metadata;
    while let Some(start) = rest.find("<Item ") {
        let (before, item) = rest.split_at(start);
        let end = item
            .find("</Item>")
            .map_or(item.len(), |end| end + "</Item>".len());
        let (item, after) = item.split_at(end);
        kept.push_str(before);
        if !item.contains("name=\"STATISTICS_") {
            kept.push_str(item);
        }
        rest = after;
    }
    kept.push_str(rest);
    let empty = !kept.contains("<Item ");
    if empty { String::new() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_left_out_of_metadata() {
        let text = "<GDALMetadata>\n<Item name=\"A\">1</Item>\n<Item name=\"STATISTICS_MAXIMUM\" sample=\"0\">9</Item>\n</GDALMetadata>\n";
        let kept = "<GDALMetadata>\n<Item name=\"A\">1</Item>\n\n</GDALMetadata>\n";
        assert_eq!(without_statistics(text), kept);
        let only = "<GDALMetadata><Item name=\"STATISTICS_MEAN\">9</Item></GDALMetadata>";
        assert_eq!(without_statistics(only), "");
        assert_eq!(without_statistics(""), "");
        assert_eq!(without_statistics("<Item "), "<Item ");
    }

    #[test]
    fn few_bits_go_from_white_to_black() {
        assert_eq!(white_to_black(1), [WHITE, 0]);
        // As GDAL 3.6 reads a file of 6 bits.
        let six = white_to_black(6);
        assert_eq!((six.len(), six[0], six[63]), (64, WHITE, 0));
        assert_eq!((six[10] / 257, six[40] / 257, six[60] / 257), (214, 93, 12));
        assert_eq!(white_to_black(10)[771], 62 * 257);
    }

    #[test]
    fn a_short_palette_gets_black_entries() {
        assert_eq!(widened(&[1, 2, 3, 4, 5, 6], 3), [1, 2, 0, 3, 4, 0, 5, 6, 0]);
    }
}
