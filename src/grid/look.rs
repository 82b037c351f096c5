//! How a raster is to be understood and shown: colours, opacity, palette, names and units of its bands.

use serde::{Deserialize, Serialize};

/// What a file says of its bands beyond their numbers. Cells do not depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// What the first bands are as colours.
    pub colours: Colours,
    /// What the bands behind the colours are, as many as the file says.
    pub extra: Vec<Extra>,
    /// GDAL's metadata (TIFF tag 42112), as XML: descriptions, scales, offsets, units and whatever else a person noted.
    pub metadata: String,
}

/// What the first bands of a raster are as colours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colours {
    /// The first band is a grey, or no colour at all; the least number is black.
    #[default]
    Grey,
    /// The first band is a grey whose least number is white.
    GreyInverted,
    /// The first three bands are red, green and blue.
    Rgb,
    /// The only band holds indices of a palette: all reds, then all greens, then all blues, 0 to 65535, one for every
    /// number that a sample can be.
    Palette(Vec<u16>),
}

/// What a band behind the colours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extra {
    /// Anything.
    Other,
    /// Opacity, by which the colours were multiplied.
    Premultiplied,
    /// Opacity.
    Alpha,
}

impl Colours {
    /// Returns how many bands are colours.
    #[must_use]
    pub const fn bands(&self) -> u16 {
        match self {
            Self::Rgb => 3,
            Self::Grey | Self::GreyInverted | Self::Palette(_) => 1,
        }
    }
}

impl Look {
    /// Makes the look of a raster of which only the names of its bands are known, in their order.
    #[must_use]
    pub fn described(bands: &[String]) -> Self {
        let escaped = |text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            text.replace('>', "&gt;")
        };
        let items: String = bands
            .iter()
            .enumerate()
            .map(|(band, name)| {
                // Twice, as GDAL writes and reads them.
                let name = escaped(&escaped(name));
                format!("  <Item name=\"DESCRIPTION\" sample=\"{band}\" role=\"description\">{name}</Item>\n")
            })
            .collect();
        let metadata = match bands {
            [] => String::new(),
            _ => format!("<GDALMetadata>\n{items}</GDALMetadata>\n"),
        };
        Self {
            metadata,
            ..Self::default()
        }
    }

    /// Returns the number of the first band that is an opacity, from 0.
    #[must_use]
    pub fn alpha(&self) -> Option<usize> {
        let place = self.extra.iter().position(|extra| *extra != Extra::Other)?;
        Some(usize::from(self.colours.bands()) + place)
    }

    /// Returns the names that the metadata gives to the bands of a raster; empty where it gives none.
    #[must_use]
    pub fn descriptions(&self, bands: u16) -> Vec<String> {
        let mut names = vec![String::new(); usize::from(bands)];
        for item in self.metadata.split("<Item ").skip(1) {
            let Some((attributes, rest)) = item.split_once('>') else {
                continue;
            };
            let text = rest.split("</Item>").next().unwrap_or_default();
            let sample = attributes
                .split_once("sample=\"")
                .and_then(|(_, rest)| rest.split('"').next()?.parse::<usize>().ok());
            let name = sample.and_then(|sample| names.get_mut(sample));
            if let Some(name) = name.filter(|_| attributes.contains("role=\"description\"")) {
                *name = text.to_owned();
            }
        }
        names
    }

    /// Returns what each band behind the colours is, in a raster of so many bands.
    #[must_use]
    pub fn extras(&self, bands: u16) -> Vec<Extra> {
        let count = usize::from(bands.saturating_sub(self.colours.bands()));
        let known = self.extra.iter().copied();
        known
            .chain(std::iter::repeat(Extra::Other))
            .take(count)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_have_the_names_of_the_metadata() {
        // As GDAL 3.6 writes it.
        let look = Look {
            metadata: "<GDALMetadata>\n  <Item name=\"DESCRIPTION\" sample=\"1\" role=\"description\">B04</Item>\n  <Item name=\"x\" sample=\"0\">y</Item>\n</GDALMetadata>\n".to_owned(),
            ..Look::default()
        };
        assert_eq!(look.descriptions(3), ["", "B04", ""]);
    }

    #[test]
    fn bands_are_described_as_gdal_describes_them() {
        let look = Look::described(&["NDVI".to_owned(), "A < B && C".to_owned()]);
        // As GDAL 3.6 writes it.
        assert_eq!(
            look.metadata,
            "<GDALMetadata>\n  <Item name=\"DESCRIPTION\" sample=\"0\" role=\"description\">NDVI</Item>\n  <Item name=\"DESCRIPTION\" sample=\"1\" role=\"description\">A &amp;lt; B &amp;amp;&amp;amp; C</Item>\n</GDALMetadata>\n"
        );
        assert_eq!(Look::described(&[]), Look::default());
    }

    #[test]
    fn opacity_is_the_first_band_that_says_so() {
        let look = Look {
            colours: Colours::Rgb,
            extra: vec![Extra::Other, Extra::Alpha],
            metadata: String::new(),
        };
        assert_eq!(look.alpha(), Some(4));
        assert_eq!(look.extras(6), [Extra::Other, Extra::Alpha, Extra::Other]);
        assert_eq!(Look::default().extras(2), [Extra::Other]);
        assert_eq!(Look::default().alpha(), None);
    }
}
