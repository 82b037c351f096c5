//! What the bands of well-known sensors are called in formulas and in files.
//!
//! Letters, names and central wavelengths are those of awesome-spectral-indices' `bands.json` (MIT). Where a sensor has one
//! near-infrared band for both of the catalogue's (N and N2), it stands for both.

/// One band of a sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SensorBand {
    /// The letter in formulas.
    pub letter: &'static str,
    /// The name in files, such as `B8A`.
    pub name: &'static str,
    /// The central wavelength in nm.
    pub wavelength_nm: f64,
}

/// A sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensor {
    /// The name on the command line.
    pub name: &'static str,
    /// Its bands.
    pub bands: &'static [SensorBand],
    /// Whether scenes are one file, whose bands come in this order.
    pub one_file: bool,
}

/// How stored numbers become reflectances: `number × scale + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reflectance {
    /// The factor.
    pub scale: f64,
    /// What is added then.
    pub offset: f64,
    /// Why.
    pub why: &'static str,
}

const fn band(letter: &'static str, name: &'static str, wavelength_nm: f64) -> SensorBand {
    SensorBand {
        letter,
        name,
        wavelength_nm,
    }
}

const SENTINEL_2: &[SensorBand] = &[
    band("A", "B1", 442.7),
    band("B", "B2", 492.4),
    band("G", "B3", 559.8),
    band("R", "B4", 664.6),
    band("RE1", "B5", 704.1),
    band("RE2", "B6", 740.5),
    band("RE3", "B7", 782.8),
    band("N", "B8", 832.8),
    band("N2", "B8A", 864.7),
    band("WV", "B9", 945.1),
    band("S1", "B11", 1613.7),
    band("S2", "B12", 2202.4),
];

const LANDSAT_4_5: &[SensorBand] = &[
    band("B", "B1", 485.0),
    band("G", "B2", 560.0),
    band("R", "B3", 660.0),
    band("N", "B4", 830.0),
    band("N2", "B4", 830.0),
    band("S1", "B5", 1650.0),
    band("S2", "B7", 2215.0),
    band("T", "B6", 11_450.0),
];

const LANDSAT_7: &[SensorBand] = &[
    band("B", "B1", 485.0),
    band("G", "B2", 560.0),
    band("R", "B3", 660.0),
    band("N", "B4", 835.0),
    band("N2", "B4", 835.0),
    band("S1", "B5", 1650.0),
    band("S2", "B7", 2220.0),
    band("T", "B6", 11_450.0),
];

const LANDSAT_8_9: &[SensorBand] = &[
    band("A", "B1", 440.0),
    band("B", "B2", 480.0),
    band("G", "B3", 560.0),
    band("R", "B4", 655.0),
    band("N", "B5", 865.0),
    band("N2", "B5", 865.0),
    band("S1", "B6", 1610.0),
    band("S2", "B7", 2200.0),
    band("T", "B10", 10_895.0),
    band("T1", "B10", 10_895.0),
    band("T2", "B11", 12_005.0),
];

const MODIS: &[SensorBand] = &[
    band("R", "B1", 645.0),
    band("N", "B2", 858.5),
    band("N2", "B2", 858.5),
    band("B", "B3", 469.0),
    band("G", "B4", 555.0),
    band("S1", "B6", 1640.0),
    band("S2", "B7", 2130.0),
    band("G1", "B11", 531.0),
];

/// Wavelengths are those of the Leica ADS cameras that most NAIP imagery is from (USDA).
const NAIP: &[SensorBand] = &[
    band("R", "red", 635.0),
    band("G", "green", 555.0),
    band("B", "blue", 465.0),
    band("N", "nir", 845.0),
];

const SENSORS: &[Sensor] = &[
    sensor("sentinel-2", SENTINEL_2, false),
    sensor("landsat-4", LANDSAT_4_5, false),
    sensor("landsat-5", LANDSAT_4_5, false),
    sensor("landsat-7", LANDSAT_7, false),
    sensor("landsat-8", LANDSAT_8_9, false),
    sensor("landsat-9", LANDSAT_8_9, false),
    sensor("modis", MODIS, false),
    sensor("naip", NAIP, true),
];

const fn sensor(name: &'static str, bands: &'static [SensorBand], one_file: bool) -> Sensor {
    Sensor {
        name,
        bands,
        one_file,
    }
}

/// Says why a preset cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No sensor has the name.
    #[error("there is no sensor '{name}'; there are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<&'static str>,
    },
    /// The sensor lacks a band of the formula.
    #[error("{index} needs the bands {}, and {sensor} has no {letter}; it has {}", wanted.join(", "), known.join(", "))]
    NoBand {
        /// The index.
        index: String,
        /// The bands of its formula.
        wanted: Vec<&'static str>,
        /// The sensor.
        sensor: &'static str,
        /// The band that it lacks.
        letter: String,
        /// Those that it has.
        known: Vec<&'static str>,
    },
}

/// Lists every sensor.
#[must_use]
pub fn all() -> &'static [Sensor] {
    SENSORS
}

/// Finds a sensor by its name, in any case and with or without hyphens.
///
/// # Errors
/// When there is none.
pub fn get(name: &str) -> Result<&'static Sensor, Error> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    SENSORS
        .iter()
        .find(|sensor| plain(sensor.name) == wanted)
        .ok_or_else(|| Error::Unknown {
            name: name.to_owned(),
            known: SENSORS.iter().map(|sensor| sensor.name).collect(),
        })
}

impl Sensor {
    /// Returns the band that a formula calls so.
    #[must_use]
    pub fn band(&self, letter: &str) -> Option<&'static SensorBand> {
        self.bands.iter().find(|band| band.letter == letter)
    }

    /// Returns the bands of an index.
    ///
    /// # Errors
    /// When the sensor lacks one.
    pub fn bands_of(&self, index: &super::index::Index) -> Result<Vec<&'static SensorBand>, Error> {
        let one = |letter: &&'static str| {
            self.band(letter).ok_or_else(|| Error::NoBand {
                index: index.name.to_owned(),
                wanted: index.bands.clone(),
                sensor: self.name,
                letter: (*letter).to_owned(),
                known: self.bands.iter().map(|band| band.letter).collect(),
            })
        };
        index.bands.iter().map(one).collect()
    }

    /// Returns the wavelengths that an index needs, by the names of its constants.
    #[must_use]
    pub fn wavelengths_of(&self, index: &super::index::Index) -> Vec<(&'static str, f64)> {
        let one = |constant: &&'static str| {
            let band = self.band(super::index::wavelength_of(constant)?)?;
            Some((*constant, band.wavelength_nm))
        };
        index.wavelengths.iter().filter_map(one).collect()
    }

    /// Returns how a product stores reflectance, as far as the path of a scene or file tells.
    #[must_use]
    pub fn reflectance(&self, path: &str) -> Reflectance {
        let plain = |scale, offset, why| Reflectance { scale, offset, why };
        let words: Vec<&str> = path.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let has = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        match self.name {
            "sentinel-2" => {
                let baseline = |word: &&&str| word.len() == 5 && word.starts_with('N');
                let number = |word: &&str| word.get(1..).and_then(|digits| digits.parse().ok());
                let baseline: Option<u32> = words.iter().filter(baseline).find_map(number);
                match baseline {
                    Some(400..) => plain(1e-4, -0.1, "processing baseline 04.00 or later"),
                    Some(_) => plain(1e-4, 0.0, "processing baseline before 04.00"),
                    None => plain(1e-4, 0.0, "no processing baseline in the path"),
                }
            }
            "modis" => plain(1e-4, 0.0, "MOD09 and MYD09"),
            name if name.starts_with("landsat") => {
                if has("L2SP") || has("L2SR") || has("SR") {
                    plain(2.75e-5, -0.2, "collection 2, level 2")
                } else {
                    plain(1.0, 0.0, "not named as collection 2, level 2")
                }
            }
            _ => plain(1.0, 0.0, "stored numbers"),
        }
    }
}

/// Tells whether the name of a file names a band: `B4` is in `T31UFS_B04_10m.tif`, not in `B8A.tif` or `B40.tif`.
#[must_use]
pub fn names_band(file_name: &str, band: &str) -> bool {
    let plain = |word: &str| {
        let word = word.to_ascii_uppercase();
        match word
            .strip_prefix('B')
            .map(|rest| rest.trim_start_matches('0'))
        {
            Some(rest) if !rest.is_empty() => format!("B{rest}"),
            _ => word,
        }
    };
    let wanted = plain(band);
    file_name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| plain(word) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::local::index;

    #[test]
    fn a_sensor_is_found_however_it_is_spelled() {
        assert_eq!(get("Sentinel2").unwrap().name, "sentinel-2");
        assert_eq!(get("LANDSAT_8").unwrap().name, "landsat-8");
        let text = get("spot").unwrap_err().to_string();
        assert!(text.contains("naip"), "{text}");
    }

    #[test]
    fn a_band_that_a_sensor_lacks_is_named() {
        let index = index::find("NDREI").unwrap();
        let bands = get("sentinel-2").unwrap().bands_of(&index).unwrap();
        assert_eq!(
            bands.iter().map(|b| b.name).collect::<Vec<_>>(),
            ["B8", "B5"]
        );
        let text = get("landsat-8").unwrap().bands_of(&index).unwrap_err();
        assert_eq!(
            text.to_string(),
            "NDREI needs the bands N, RE1, and landsat-8 has no RE1; it has A, B, G, R, N, N2, S1, S2, T, T1, T2"
        );
    }

    #[test]
    fn wavelengths_come_with_the_sensor() {
        let fai = index::find("FAI").unwrap();
        let lengths = get("modis").unwrap().wavelengths_of(&fai);
        assert_eq!(
            lengths,
            [("lambdaN", 858.5), ("lambdaR", 645.0), ("lambdaS1", 1640.0)]
        );
    }

    #[test]
    fn file_names_name_their_band() {
        for (file, band, expected) in [
            ("T31UFS_20240101T105421_B04_10m.tif", "B4", true),
            ("B8A.tiff", "B8", false),
            ("B8A.tiff", "B8A", true),
            (
                "LC09_L2SP_198024_20240101_20240102_02_T1_SR_B4.TIF",
                "B4",
                true,
            ),
            (
                "LC09_L2SP_198024_20240101_20240102_02_T1_SR_B4.TIF",
                "B10",
                false,
            ),
            ("MOD09A1.A2024001.sur_refl_b01.tif", "B1", true),
            ("S2B_L1C_B40.tif", "B4", false),
        ] {
            assert_eq!(names_band(file, band), expected, "{file} {band}");
        }
    }

    #[test]
    fn the_path_tells_how_reflectance_is_stored() {
        let of = |sensor: &str, path: &str| {
            let found = get(sensor).unwrap().reflectance(path);
            (found.scale, found.offset)
        };
        let safe = "/d/S2B_MSIL2A_20240101T105329_N0510_R051_T31UFS_20240101T120000.SAFE";
        assert_eq!(of("sentinel-2", safe), (1e-4, -0.1));
        let old = "/d/S2B_MSIL2A_20190101T105329_N0211_R051_T31UFS_20190101T120000.SAFE";
        assert_eq!(of("sentinel-2", old), (1e-4, 0.0));
        assert_eq!(of("landsat-8", "/d/LC08_L2SP_1_SR_B4.TIF"), (2.75e-5, -0.2));
        assert_eq!(of("landsat-8", "/d/LC08_L1TP_1_B4.TIF"), (1.0, 0.0));
        assert_eq!(of("naip", "m_36.tif"), (1.0, 0.0));
    }
}
