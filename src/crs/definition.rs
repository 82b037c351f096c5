//! A CRS as a PROJ string.

use serde::{Deserialize, Serialize};

use super::{Error, Transformer, geokeys, keys, wkt};
use crate::grid::Crs;

/// GeoKeys of a CRS that is known by its code.
const MODEL_TYPE: u16 = 1024;
pub(super) const RASTER_TYPE: u16 = 1025;
const GEODETIC_CRS: u16 = 2048;
pub(super) const PROJECTED_CRS: u16 = 3072;

/// A CRS as a PROJ string, coordinates east (or x) first, degrees where it is geographic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(String);

impl Definition {
    /// Takes a PROJ string as it is.
    #[must_use]
    pub fn from_proj(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Looks a code up.
    ///
    /// # Errors
    /// When no geographic or projected CRS has it.
    pub fn from_epsg(code: u32) -> Result<Self, Error> {
        let unknown = || Error::UnknownCode { code };
        let short = u16::try_from(code).map_err(|_| unknown())?;
        let found = crs_definitions::from_code(short).ok_or_else(unknown)?;
        let definition = found.proj4.trim();
        // Compound and vertical CRS have no string, or one without a projection.
        let usable = definition.contains("+proj=") && !definition.contains("+proj=geocent");
        usable
            .then(|| Self(definition.to_owned()))
            .ok_or_else(unknown)
    }

    /// Says what the CRS of a raster is: by its code, else by what its keys define.
    ///
    /// # Errors
    /// When the raster has no CRS, or one that is not understood.
    pub fn of(crs: &Crs) -> Result<Self, Error> {
        match crs.epsg {
            Some(code) => {
                Self::from_epsg(code).or_else(|error| geokeys::definition(crs).map_err(|_| error))
            }
            None if crs.is_unknown() => Err(Error::Missing),
            None => geokeys::definition(crs),
        }
    }

    /// Reads `EPSG:3857` or `3857`, a PROJ string, WKT or PROJJSON; returns the CRS with the keys that a GeoTIFF states it by.
    ///
    /// A text that names its own EPSG code is the CRS of that code.
    ///
    /// # Errors
    /// When the text is no CRS, nobody has the code, or the CRS cannot be computed or stated by keys.
    pub fn parse(text: &str) -> Result<(Crs, Self), Error> {
        let trimmed = text.trim();
        if trimmed.contains("+proj=") {
            return Self::from_proj(trimmed).with_keys();
        }
        if trimmed.contains(['[', '{']) {
            let known = wkt::code(trimmed).and_then(|code| {
                let definition = Self::from_epsg(code).ok()?;
                Some((definition.keys(code), definition))
            });
            let not_understood = || Error::NotUnderstood {
                name: wkt::name(trimmed).unwrap_or_else(|| "without a name".to_owned()),
            };
            return match known {
                Some(known) => Ok(known),
                None => Self(wkt::proj_string(trimmed).ok_or_else(not_understood)?).with_keys(),
            };
        }
        let digits = match trimmed.split_once(':') {
            Some((authority, code)) if authority.eq_ignore_ascii_case("epsg") => code,
            None => trimmed,
            Some(_) => "",
        };
        let code: u32 = digits.parse().map_err(|_| Error::NotACrs {
            text: text.to_owned(),
        })?;
        let definition = Self::from_epsg(code)?;
        Ok((definition.keys(code), definition))
    }

    /// Adds the keys of a CRS without a code.
    fn with_keys(self) -> Result<(Crs, Self), Error> {
        // What cannot be computed is refused for that, and not for its keys.
        Transformer::new(
            &self,
            &Self::from_proj("+proj=longlat +datum=WGS84 +no_defs"),
        )?;
        Ok((keys::keys(&self)?, self))
    }

    fn keys(&self, code: u32) -> Crs {
        let (model, key) = if self.is_geographic() {
            (2, GEODETIC_CRS)
        } else {
            (1, PROJECTED_CRS)
        };
        // `from_epsg` has looked it up by 16 bit.
        let value = u16::try_from(code).unwrap_or(u16::MAX);
        Crs {
            epsg: Some(code),
            key_directory: [
                [1, 1, 0, 3],
                [MODEL_TYPE, 0, 1, model],
                [RASTER_TYPE, 0, 1, 1],
                [key, 0, 1, value],
            ]
            .concat(),
            double_params: Vec::new(),
            ascii_params: String::new(),
        }
    }

    /// Returns the PROJ string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether coordinates are longitude and latitude in degrees.
    #[must_use]
    pub fn is_geographic(&self) -> bool {
        self.0.split_whitespace().any(|word| {
            matches!(
                word,
                "+proj=longlat" | "+proj=latlong" | "+proj=lonlat" | "+proj=latlon"
            )
        })
    }
}

impl std::fmt::Display for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_becomes_a_definition_and_keys() {
        let (crs, definition) = Definition::parse("epsg:3857").unwrap();
        assert!(definition.as_str().contains("+proj=merc"));
        assert_eq!(crs.epsg, Some(3857));
        assert_eq!(crs.key_directory[12..], [3072, 0, 1, 3857]);
        let (crs, definition) = Definition::parse("4326").unwrap();
        assert!(definition.is_geographic());
        assert_eq!(crs.key_directory[4..8], [1024, 0, 1, 2]);
    }

    /// As `gdalsrsinfo -o wkt1` prints EPSG:32618, and without its code.
    const WKT: &str = r#"PROJCS["WGS 84 / UTM zone 18N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","4326"]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",-75],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],AXIS["Northing",NORTH],AUTHORITY["EPSG","32618"]]"#;

    #[test]
    fn wkt_is_the_crs_of_its_code_or_what_it_defines() {
        let (crs, by_code) = Definition::parse(WKT).unwrap();
        assert_eq!(crs.epsg, Some(32618));
        let without = WKT.replace(r#",AUTHORITY["EPSG","32618"]"#, "");
        let (crs, own) = Definition::parse(&without).unwrap();
        assert_eq!(crs.epsg, None);
        let read = Definition::of(&crs).unwrap();
        for definition in [own, read] {
            let way = Transformer::new(&definition, &by_code).unwrap();
            let (x, y) = way.point(512_345.0, 4_000_000.0).unwrap();
            assert!(
                (x - 512_345.0).hypot(y - 4_000_000.0) < 1e-6,
                "{definition}"
            );
        }
        assert!(matches!(
            Definition::parse(&WKT.replace("32618", "1").replace("Transverse_", "Odd_")),
            Err(Error::NotUnderstood { .. })
        ));
    }

    #[test]
    fn what_is_no_crs_is_refused_by_name() {
        assert_eq!(
            Definition::parse("mercator"),
            Err(Error::NotACrs {
                text: "mercator".to_owned()
            })
        );
        assert_eq!(
            Definition::parse("EPSG:1"),
            Err(Error::UnknownCode { code: 1 })
        );
        // EPSG:5773 is a height.
        assert_eq!(
            Definition::parse("EPSG:5773"),
            Err(Error::UnknownCode { code: 5773 })
        );
        assert_eq!(Definition::of(&Crs::default()), Err(Error::Missing));
    }
}
