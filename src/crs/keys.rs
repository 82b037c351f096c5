//! A CRS as the keys by which a GeoTIFF states it, where it has no code.
//!
//! The reverse of `geokeys`: a word that the keys cannot say is refused, since a raster that says less than was asked for lies
//! somewhere else.

use std::collections::BTreeMap;

use super::definition::{PROJECTED_CRS, RASTER_TYPE};
use super::geokeys::{
    ANGULAR_UNITS, CENTRE_LATITUDE, CENTRE_LONGITUDE, DATUM, ELLIPSOID, FALSE_EASTING,
    FALSE_NORTHING, FALSE_ORIGIN_EASTING, FALSE_ORIGIN_LATITUDE, FALSE_ORIGIN_LONGITUDE,
    FALSE_ORIGIN_NORTHING, GEODETIC_CRS, INVERSE_FLATTENING, LINEAR_UNIT_SIZE, LINEAR_UNITS,
    METHOD, MODEL_TYPE, NATURAL_ORIGIN_LATITUDE, NATURAL_ORIGIN_LONGITUDE, PROJECTION,
    SCALE_AT_CENTRE, SCALE_AT_ORIGIN, SEMI_MAJOR, SEMI_MINOR, STANDARD_PARALLEL_1,
    STANDARD_PARALLEL_2, STRAIGHT_POLE_LONGITUDE, TO_WGS84, USER_DEFINED,
};
use super::{Definition, Error};
use crate::grid::Crs;

/// The unit of angles.
const DEGREES: u16 = 9102;

/// Words that say what is so anyway.
const SILENT: [&str; 5] = ["no_defs", "type", "wktext", "units", "to_meter"];

/// Writes a CRS as keys.
///
/// # Errors
/// When it has a word or a projection that the keys do not have.
pub(super) fn keys(definition: &Definition) -> Result<Crs, Error> {
    let mut words = Words::read(definition);
    let mut keys = Keys::default();
    let geographic = definition.is_geographic();
    keys.short(MODEL_TYPE, if geographic { 2 } else { 1 });
    keys.short(RASTER_TYPE, 1);
    base(&mut words, &mut keys)?;
    let name = words.take("proj").unwrap_or_default();
    if !geographic {
        keys.short(PROJECTED_CRS, USER_DEFINED);
        keys.short(PROJECTION, USER_DEFINED);
        let metres = unit(&words, &mut keys)?;
        projection(&name, metres, &mut words, &mut keys)?;
    }
    words.all_taken()?;
    Ok(keys.into_crs())
}

/// The words of a PROJ string that were not yet understood.
struct Words<'d> {
    definition: &'d Definition,
    left: BTreeMap<String, String>,
    units: Option<String>,
    to_meter: Option<String>,
}

impl<'d> Words<'d> {
    fn read(definition: &'d Definition) -> Self {
        let words = definition.as_str().split_whitespace();
        let pairs = words.map(|word| {
            let word = word.trim_start_matches('+');
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            (name.to_owned(), value.to_owned())
        });
        let mut left: BTreeMap<String, String> = pairs.collect();
        let (units, to_meter) = (left.get("units").cloned(), left.get("to_meter").cloned());
        left.retain(|name, _| !SILENT.contains(&name.as_str()));
        Self {
            definition,
            left,
            units,
            to_meter,
        }
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::NotWritten {
            definition: self.definition.to_string(),
            reason: reason.into(),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, Error> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| self.refuse(format!("+{name}={text} is no number")))?;
        Ok(Some(number))
    }

    fn all_taken(&self) -> Result<(), Error> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(self.refuse(format!("+{name} has no key"))),
        }
    }
}

/// Keys in the making.
#[derive(Default)]
struct Keys {
    shorts: BTreeMap<u16, u16>,
    doubles: BTreeMap<u16, Vec<f64>>,
}

impl Keys {
    fn short(&mut self, key: u16, value: u16) {
        self.shorts.insert(key, value);
    }

    fn double(&mut self, key: u16, value: f64) {
        self.doubles.insert(key, vec![value]);
    }

    fn into_crs(self) -> Crs {
        let mut double_params = Vec::new();
        // A few dozen keys at most: all of these fit in 16 bit.
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let mut entries: BTreeMap<u16, [u16; 4]> = self
            .shorts
            .into_iter()
            .map(|(key, value)| (key, [key, 0, 1, value]))
            .collect();
        for (key, values) in self.doubles {
            let at = short(double_params.len());
            entries.insert(key, [key, 34736, short(values.len()), at]);
            double_params.extend(values);
        }
        let mut key_directory = vec![1, 1, 0, short(entries.len())];
        key_directory.extend(entries.into_values().flatten());
        Crs {
            epsg: None,
            key_directory,
            double_params,
            ascii_params: String::new(),
        }
    }
}

/// Writes datum or ellipsoid.
fn base(words: &mut Words<'_>, keys: &mut Keys) -> Result<(), Error> {
    if let Some(meridian) = words.take("pm")
        && !matches!(meridian.as_str(), "0" | "greenwich")
    {
        return Err(words.refuse("only Greenwich is written as prime meridian"));
    }
    let code = match words.take("datum").as_deref() {
        Some("WGS84") => Some(4326),
        Some("NAD83") => Some(4269),
        Some(other) => return Err(words.refuse(format!("the datum {other} has no key here"))),
        None => None,
    };
    if let Some(code) = code {
        // A datum names its ellipsoid.
        let _ = (words.take("ellps"), words.take("towgs84"));
        keys.short(GEODETIC_CRS, code);
        return Ok(());
    }
    keys.short(GEODETIC_CRS, USER_DEFINED);
    keys.short(DATUM, USER_DEFINED);
    keys.short(ANGULAR_UNITS, DEGREES);
    let ellipsoid = match words.take("ellps").as_deref() {
        Some("WGS84") => Some(7030),
        Some("GRS80") => Some(7019),
        Some("clrk66") => Some(7008),
        Some("bessel") => Some(7004),
        Some("intl") => Some(7022),
        Some("airy") => Some(7001),
        Some("krass") => Some(7024),
        Some("clrk80") => Some(7012),
        Some(other) => return Err(words.refuse(format!("the ellipsoid {other} has no key here"))),
        None => None,
    };
    let radius = words.number("R")?;
    let major = words.number("a")?.or(radius);
    let (minor, flattening) = (words.number("b")?.or(radius), words.number("rf")?);
    match (ellipsoid, major, minor, flattening) {
        (Some(code), None, None, None) => keys.short(ELLIPSOID, code),
        (None, Some(a), minor, Some(rf)) if minor.is_none() => {
            keys.short(ELLIPSOID, USER_DEFINED);
            keys.double(SEMI_MAJOR, a);
            keys.double(INVERSE_FLATTENING, rf);
        }
        (None, Some(a), Some(b), None) => {
            keys.short(ELLIPSOID, USER_DEFINED);
            keys.double(SEMI_MAJOR, a);
            keys.double(SEMI_MINOR, b);
        }
        _ => return Err(words.refuse("it does not name one datum or ellipsoid")),
    }
    if let Some(shift) = words.take("towgs84") {
        let numbers: Result<Vec<f64>, _> = shift.split(',').map(str::parse).collect();
        let numbers = numbers
            .ok()
            .filter(|numbers| matches!(numbers.len(), 3 | 7));
        let numbers = numbers.ok_or_else(|| words.refuse("+towgs84 takes 3 or 7 numbers"))?;
        keys.doubles.insert(TO_WGS84, numbers);
    }
    Ok(())
}

/// Writes the unit; returns the metres in it.
fn unit(words: &Words<'_>, keys: &mut Keys) -> Result<f64, Error> {
    let (code, metres) = match (words.units.as_deref(), words.to_meter.as_deref()) {
        (None | Some("m"), None) => (9001, 1.0),
        (Some("ft"), None) => (9002, 0.3048),
        (Some("us-ft"), None) => (9003, 1200.0 / 3937.0),
        (Some("km"), None) => (9036, 1000.0),
        (Some(other), None) => {
            return Err(words.refuse(format!("the unit {other} has no key here")));
        }
        (_, Some(size)) => match size.parse::<f64>() {
            Ok(1.0) => (9001, 1.0),
            Ok(size) if size > 0.0 && size.is_finite() => {
                keys.double(LINEAR_UNIT_SIZE, size);
                (USER_DEFINED, size)
            }
            _ => return Err(words.refuse(format!("+to_meter={size} is no size"))),
        },
    };
    keys.short(LINEAR_UNITS, code);
    Ok(metres)
}

/// Where a projection's origin is written.
struct Origin {
    latitude: u16,
    longitude: u16,
    easting: u16,
    northing: u16,
}

const NATURAL: Origin = Origin {
    latitude: NATURAL_ORIGIN_LATITUDE,
    longitude: NATURAL_ORIGIN_LONGITUDE,
    easting: FALSE_EASTING,
    northing: FALSE_NORTHING,
};
const FALSE: Origin = Origin {
    latitude: FALSE_ORIGIN_LATITUDE,
    longitude: FALSE_ORIGIN_LONGITUDE,
    easting: FALSE_ORIGIN_EASTING,
    northing: FALSE_ORIGIN_NORTHING,
};
const CENTRE: Origin = Origin {
    latitude: CENTRE_LATITUDE,
    longitude: CENTRE_LONGITUDE,
    easting: FALSE_EASTING,
    northing: FALSE_NORTHING,
};
const POLE: Origin = Origin {
    longitude: STRAIGHT_POLE_LONGITUDE,
    ..NATURAL
};

fn projection(
    name: &str,
    metres: f64,
    words: &mut Words<'_>,
    keys: &mut Keys,
) -> Result<(), Error> {
    if name == "utm" {
        return utm(words, keys);
    }
    let mut latitude = words.number("lat_0")?;
    let (first, second) = (words.number("lat_1")?, words.number("lat_2")?);
    let true_at = words.number("lat_ts")?;
    let (k_0, k) = (words.number("k_0")?, words.number("k")?);
    let scale = k_0.or(k);
    let (method, origin, parallels, scale_key) = match name {
        "tmerc" => (1, NATURAL, [None, None], Some(SCALE_AT_ORIGIN)),
        "merc" if latitude.unwrap_or(0.0) == 0.0 => {
            let size = if true_at.is_some() {
                None
            } else {
                Some(SCALE_AT_ORIGIN)
            };
            (7, NATURAL, [true_at, None], size)
        }
        "lcc" if second.is_some() && second != first => (8, FALSE, [first, second], None),
        "lcc" if first.is_none() || latitude.is_none() || latitude == first => {
            latitude = latitude.or(first);
            (9, NATURAL, [None, None], Some(SCALE_AT_ORIGIN))
        }
        "laea" => (10, CENTRE, [None, None], None),
        "aea" => (11, FALSE, [first, second], None),
        "aeqd" => (12, CENTRE, [None, None], None),
        "eqdc" => (13, FALSE, [first, second], None),
        "stere" if latitude.is_some_and(|latitude| latitude.abs() == 90.0) => {
            // The keys' origin is where the scale is true.
            latitude = true_at.or(latitude);
            let size = if true_at.is_some() {
                None
            } else {
                Some(SCALE_AT_ORIGIN)
            };
            (15, POLE, [None, None], size)
        }
        "stere" => (14, CENTRE, [None, None], Some(SCALE_AT_CENTRE)),
        "sterea" => (16, NATURAL, [None, None], Some(SCALE_AT_ORIGIN)),
        "eqc" => (17, CENTRE, [true_at, None], None),
        "cass" => (18, NATURAL, [None, None], None),
        "sinu" => (24, CENTRE, [None, None], None),
        "cea" => (28, NATURAL, [true_at, None], None),
        _ => {
            let what = format!("the projection {name}, with these parameters, has no key here");
            return Err(words.refuse(what));
        }
    };
    let said = |value: Option<f64>, neutral: f64| value.is_some_and(|value| value != neutral);
    let silent = |written: bool, value: bool| !value || written;
    let polar = method == 15;
    let all_said = silent(parallels.contains(&true_at) || polar, said(true_at, 0.0))
        && silent(parallels.contains(&first) || method == 9, said(first, 0.0))
        && silent(
            parallels.contains(&second) || second == first,
            said(second, 0.0),
        )
        && silent(scale_key.is_some(), said(scale, 1.0));
    if !all_said {
        return Err(words.refuse(format!("{name} has a parameter that is not its own")));
    }
    keys.short(METHOD, method);
    keys.double(origin.latitude, latitude.unwrap_or(0.0));
    keys.double(origin.longitude, words.number("lon_0")?.unwrap_or(0.0));
    for (key, value) in [
        (origin.easting, words.number("x_0")?),
        (origin.northing, words.number("y_0")?),
    ] {
        // PROJ has these in metres, the keys in the CRS's unit.
        keys.double(key, value.unwrap_or(0.0) / metres);
    }
    for (key, value) in [STANDARD_PARALLEL_1, STANDARD_PARALLEL_2]
        .into_iter()
        .zip(parallels)
    {
        if let Some(value) = value {
            keys.double(key, value);
        }
    }
    if let Some(key) = scale_key {
        keys.double(key, scale.unwrap_or(1.0));
    }
    Ok(())
}

fn utm(words: &mut Words<'_>, keys: &mut Keys) -> Result<(), Error> {
    let zone = words.take("zone").and_then(|zone| zone.parse::<u16>().ok());
    let zone = zone.filter(|zone| (1..=60).contains(zone));
    let zone = zone.ok_or_else(|| words.refuse("+zone is 1 to 60"))?;
    let south = if words.take("south").is_some() {
        100
    } else {
        0
    };
    keys.short(PROJECTION, 16000 + south + zone);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crs::{Transformer, geokeys};

    /// Where a point of a geographic CRS comes to lie.
    fn place(text: &str, crs: &Definition) -> (f64, f64) {
        let here = Definition::from_proj(text);
        let way = Transformer::new(&here, crs).unwrap();
        way.point(11.3, 47.9).unwrap()
    }

    /// Asserts that the keys of a CRS define the same CRS.
    fn check(text: &str) {
        let asked = Definition::from_proj(text);
        let crs = keys(&asked).unwrap();
        let read = geokeys::definition(&crs).unwrap();
        let geographic = "+proj=longlat +datum=WGS84";
        let ((x, y), (wanted_x, wanted_y)) = (place(geographic, &read), place(geographic, &asked));
        assert!(
            (x - wanted_x).hypot(y - wanted_y) < 1e-6,
            "{text}: {read}: {x} {y}, not {wanted_x} {wanted_y}"
        );
    }

    #[test]
    fn keys_define_the_crs_that_they_were_made_of() {
        for text in [
            "+proj=longlat +ellps=bessel +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7",
            "+proj=utm +zone=33 +south +datum=WGS84 +units=m +no_defs",
            "+proj=tmerc +lat_0=31 +lon_0=10 +k_0=0.9998 +x_0=200000 +y_0=-5000 +ellps=bessel +units=m",
            "+proj=merc +lon_0=5 +lat_ts=33 +datum=WGS84",
            "+proj=merc +lon_0=5 +k=0.99 +datum=WGS84 +units=us-ft +x_0=1200",
            "+proj=lcc +lat_1=49 +lat_2=44 +lat_0=46.5 +lon_0=3 +x_0=700000 +y_0=6600000 +ellps=GRS80",
            "+proj=lcc +lat_1=46.8 +lat_0=46.8 +lon_0=2.3 +k_0=0.9998 +x_0=600000 +ellps=clrk80",
            "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m +no_defs",
            "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +datum=NAD83 +to_meter=2",
            "+proj=aeqd +lat_0=40 +lon_0=8 +a=6371000 +b=6371000",
            "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +datum=WGS84",
            "+proj=stere +lat_0=90 +k_0=0.994 +lon_0=0 +x_0=2000000 +y_0=2000000 +datum=WGS84",
            "+proj=sterea +lat_0=52.2 +lon_0=5.4 +k=0.9999079 +x_0=155000 +y_0=463000 +ellps=bessel",
            "+proj=eqc +lat_ts=30 +lon_0=2 +datum=WGS84",
            "+proj=sinu +lon_0=10 +R=6371007.181",
            "+proj=cea +lat_ts=30 +lon_0=0 +datum=WGS84",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_the_keys_cannot_say_is_refused_by_name() {
        for (text, word) in [
            ("+proj=robin +datum=WGS84", "robin"),
            ("+proj=merc +datum=WGS84 +over", "over"),
            ("+proj=longlat +datum=potsdam", "potsdam"),
            ("+proj=tmerc +lat_1=5 +datum=WGS84", "tmerc"),
            ("+proj=utm +zone=99 +datum=WGS84", "zone"),
            ("+proj=laea +lat_0=52 +lon_0=x +datum=WGS84", "lon_0"),
            ("+proj=laea +lat_0=52 +lon_0=3", "ellipsoid"),
        ] {
            let error = keys(&Definition::from_proj(text)).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
