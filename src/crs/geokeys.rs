//! CRS that a GeoTIFF defines by its own keys.
//!
//! Names and numbers are those of the GeoTIFF standard (OGC 19-008r4, annexes B and C).

use std::fmt::Write;

use super::{Definition, Error};
use crate::grid::Crs;

pub(super) const USER_DEFINED: u16 = 32767;

pub(super) const MODEL_TYPE: u16 = 1024;
pub(super) const GEODETIC_CRS: u16 = 2048;
pub(super) const DATUM: u16 = 2050;
pub(super) const ANGULAR_UNITS: u16 = 2054;
pub(super) const ELLIPSOID: u16 = 2056;
pub(super) const SEMI_MAJOR: u16 = 2057;
pub(super) const SEMI_MINOR: u16 = 2058;
pub(super) const INVERSE_FLATTENING: u16 = 2059;
pub(super) const PRIME_MERIDIAN: u16 = 2051;
pub(super) const PRIME_MERIDIAN_LONGITUDE: u16 = 2061;
pub(super) const TO_WGS84: u16 = 2062;
pub(super) const METHOD: u16 = 3075;
pub(super) const PROJECTION: u16 = 3074;
pub(super) const LINEAR_UNITS: u16 = 3076;
pub(super) const LINEAR_UNIT_SIZE: u16 = 3077;
pub(super) const STANDARD_PARALLEL_1: u16 = 3078;
pub(super) const STANDARD_PARALLEL_2: u16 = 3079;
pub(super) const NATURAL_ORIGIN_LONGITUDE: u16 = 3080;
pub(super) const NATURAL_ORIGIN_LATITUDE: u16 = 3081;
pub(super) const FALSE_EASTING: u16 = 3082;
pub(super) const FALSE_NORTHING: u16 = 3083;
pub(super) const FALSE_ORIGIN_LONGITUDE: u16 = 3084;
pub(super) const FALSE_ORIGIN_LATITUDE: u16 = 3085;
pub(super) const FALSE_ORIGIN_EASTING: u16 = 3086;
pub(super) const FALSE_ORIGIN_NORTHING: u16 = 3087;
pub(super) const CENTRE_LONGITUDE: u16 = 3088;
pub(super) const CENTRE_LATITUDE: u16 = 3089;
pub(super) const CENTRE_EASTING: u16 = 3090;
pub(super) const CENTRE_NORTHING: u16 = 3091;
pub(super) const SCALE_AT_ORIGIN: u16 = 3092;
pub(super) const SCALE_AT_CENTRE: u16 = 3093;
pub(super) const STRAIGHT_POLE_LONGITUDE: u16 = 3095;

/// Says what the keys of a raster define.
pub(super) fn definition(crs: &Crs) -> Result<Definition, Error> {
    let keys = Keys(crs);
    if keys.short(MODEL_TYPE) == Some(3) {
        return Err(problem("it is geocentric"));
    }
    let base = base(&keys)?;
    let projected = keys.short(MODEL_TYPE) == Some(1) || keys.short(METHOD).is_some();
    if !projected {
        degrees(&keys)?;
        return Ok(Definition::from_proj(format!(
            "+proj=longlat {base} +no_defs"
        )));
    }
    degrees(&keys)?;
    let mut text = projection(&keys)?;
    // Writing to a string cannot fail.
    let _ = write!(text, " {base} {} +no_defs", unit(&keys)?);
    Ok(Definition::from_proj(text))
}

fn problem(text: impl Into<String>) -> Error {
    Error::Keys {
        problem: text.into(),
    }
}

/// The keys of a CRS, by number.
struct Keys<'a>(&'a Crs);

impl Keys<'_> {
    fn entry(&self, wanted: u16) -> Option<(u16, u16, u16)> {
        let entries = self.0.key_directory.get(4..)?.chunks_exact(4);
        entries.into_iter().find_map(|entry| match entry {
            [key, place, count, value] if *key == wanted => Some((*place, *count, *value)),
            _ => None,
        })
    }

    fn short(&self, key: u16) -> Option<u16> {
        match self.entry(key)? {
            (0, _, value) => Some(value),
            _ => None,
        }
    }

    fn doubles(&self, key: u16) -> Option<&[f64]> {
        match self.entry(key)? {
            (34736, count, at) => {
                let at = usize::from(at);
                self.0.double_params.get(at..at + usize::from(count))
            }
            _ => None,
        }
    }

    fn double(&self, key: u16) -> Option<f64> {
        self.doubles(key)?.first().copied()
    }

    /// Returns the first of several keys that is there: writers differ in which they use for one parameter.
    fn any(&self, keys: &[u16]) -> Option<f64> {
        keys.iter().find_map(|key| self.double(*key))
    }
}

/// Returns datum or ellipsoid, and prime meridian.
fn base(keys: &Keys<'_>) -> Result<String, Error> {
    if let Some(code) = keys
        .short(GEODETIC_CRS)
        .filter(|code| *code != USER_DEFINED && *code != 0)
    {
        let known = Definition::from_epsg(u32::from(code))?;
        let words = known.as_str().split_whitespace();
        let kept: Vec<&str> = words
            .filter(|word| !word.starts_with("+proj=") && *word != "+no_defs")
            .collect();
        return Ok(kept.join(" "));
    }
    let mut text = match (keys.short(DATUM), keys.double(SEMI_MAJOR)) {
        (Some(6326), _) => "+datum=WGS84".to_owned(),
        (Some(6269), _) => "+datum=NAD83".to_owned(),
        (_, Some(a)) => ellipsoid(keys, a),
        _ => match keys.short(ELLIPSOID) {
            Some(7030) => "+ellps=WGS84".to_owned(),
            Some(7019) => "+ellps=GRS80".to_owned(),
            Some(7008) => "+ellps=clrk66".to_owned(),
            Some(7004) => "+ellps=bessel".to_owned(),
            Some(7022) => "+ellps=intl".to_owned(),
            Some(7001) => "+ellps=airy".to_owned(),
            Some(7024) => "+ellps=krass".to_owned(),
            Some(7012) => "+ellps=clrk80".to_owned(),
            other => return Err(problem(format!("its ellipsoid is not said ({other:?})"))),
        },
    };
    if let Some(shift) = keys.doubles(TO_WGS84) {
        let numbers: Vec<String> = shift.iter().map(f64::to_string).collect();
        let _ = write!(text, " +towgs84={}", numbers.join(","));
    }
    match (
        keys.short(PRIME_MERIDIAN),
        keys.double(PRIME_MERIDIAN_LONGITUDE),
    ) {
        (_, Some(longitude)) if longitude != 0.0 => {
            let _ = write!(text, " +pm={longitude}");
        }
        (Some(8903), _) => text.push_str(" +pm=paris"),
        _ => {}
    }
    Ok(text)
}

fn ellipsoid(keys: &Keys<'_>, a: f64) -> String {
    match (keys.double(INVERSE_FLATTENING), keys.double(SEMI_MINOR)) {
        (Some(rf), _) if rf != 0.0 && rf.is_finite() => format!("+a={a} +rf={rf}"),
        (_, Some(b)) => format!("+a={a} +b={b}"),
        _ => format!("+a={a} +b={a}"),
    }
}

fn degrees(keys: &Keys<'_>) -> Result<(), Error> {
    match keys.short(ANGULAR_UNITS) {
        None | Some(9102 | 9122) => Ok(()),
        Some(other) => Err(problem(format!(
            "its angles are not in degrees (unit {other})"
        ))),
    }
}

fn unit(keys: &Keys<'_>) -> Result<String, Error> {
    match (keys.short(LINEAR_UNITS), keys.double(LINEAR_UNIT_SIZE)) {
        (None | Some(9001), _) => Ok("+units=m".to_owned()),
        (Some(9002), _) => Ok("+units=ft".to_owned()),
        (Some(9003), _) => Ok("+units=us-ft".to_owned()),
        (Some(9036), _) => Ok("+units=km".to_owned()),
        (Some(USER_DEFINED), Some(size)) if size > 0.0 => Ok(format!("+to_meter={size}")),
        (Some(other), _) => Err(problem(format!("its unit of length {other} is not known"))),
    }
}

/// Returns the projection and its parameters.
fn projection(keys: &Keys<'_>) -> Result<String, Error> {
    // UTM zones and others have a code for the projection alone.
    if let (None | Some(USER_DEFINED), Some(code)) = (keys.short(METHOD), keys.short(PROJECTION)) {
        return match code {
            16001..=16060 => Ok(format!("+proj=utm +zone={}", code - 16000)),
            16101..=16160 => Ok(format!("+proj=utm +zone={} +south", code - 16100)),
            _ => Err(problem(format!("its projection {code} is not known"))),
        };
    }
    let method = keys
        .short(METHOD)
        .ok_or_else(|| problem("it names no projection"))?;
    let number = |name: &str, keys_of: &[u16]| {
        let value = keys.any(keys_of)?;
        Some(format!(" +{name}={value}"))
    };
    let or_zero = |name: &str, keys_of: &[u16]| number(name, keys_of).unwrap_or_default();
    let lon_0 = || {
        let all = [
            NATURAL_ORIGIN_LONGITUDE,
            FALSE_ORIGIN_LONGITUDE,
            CENTRE_LONGITUDE,
            STRAIGHT_POLE_LONGITUDE,
        ];
        or_zero("lon_0", &all)
    };
    let lat_0 = || {
        or_zero(
            "lat_0",
            &[
                NATURAL_ORIGIN_LATITUDE,
                FALSE_ORIGIN_LATITUDE,
                CENTRE_LATITUDE,
            ],
        )
    };
    let lat_1 = || or_zero("lat_1", &[STANDARD_PARALLEL_1]);
    let lat_2 = || or_zero("lat_2", &[STANDARD_PARALLEL_2]);
    let scale = || or_zero("k_0", &[SCALE_AT_ORIGIN, SCALE_AT_CENTRE]);
    let origin = format!(
        "{}{}",
        or_zero(
            "x_0",
            &[FALSE_EASTING, FALSE_ORIGIN_EASTING, CENTRE_EASTING]
        ),
        or_zero(
            "y_0",
            &[FALSE_NORTHING, FALSE_ORIGIN_NORTHING, CENTRE_NORTHING]
        ),
    );
    let origin = in_metres(keys, &origin)?;
    Ok(match method {
        1 => format!("+proj=tmerc{}{}{}{origin}", lat_0(), lon_0(), scale()),
        7 => {
            let true_at = number("lat_ts", &[STANDARD_PARALLEL_1]);
            let size = true_at.unwrap_or_else(scale);
            format!("+proj=merc{}{size}{origin}", lon_0())
        }
        8 => format!(
            "+proj=lcc{}{}{}{}{origin}",
            lat_1(),
            lat_2(),
            lat_0(),
            lon_0()
        ),
        9 => {
            let lat_1 = or_zero("lat_1", &[NATURAL_ORIGIN_LATITUDE, FALSE_ORIGIN_LATITUDE]);
            format!("+proj=lcc{lat_1}{}{}{}{origin}", lat_0(), lon_0(), scale())
        }
        10 => format!("+proj=laea{}{}{origin}", lat_0(), lon_0()),
        11 => format!(
            "+proj=aea{}{}{}{}{origin}",
            lat_1(),
            lat_2(),
            lat_0(),
            lon_0()
        ),
        12 => format!("+proj=aeqd{}{}{origin}", lat_0(), lon_0()),
        13 => format!(
            "+proj=eqdc{}{}{}{}{origin}",
            lat_1(),
            lat_2(),
            lat_0(),
            lon_0()
        ),
        14 => format!("+proj=stere{}{}{}{origin}", lat_0(), lon_0(), scale()),
        15 => polar_stereographic(keys, &lon_0(), &scale(), &origin),
        16 => format!("+proj=sterea{}{}{}{origin}", lat_0(), lon_0(), scale()),
        17 => {
            let true_at = or_zero("lat_ts", &[STANDARD_PARALLEL_1]);
            format!("+proj=eqc{true_at}{}{}{origin}", lat_0(), lon_0())
        }
        18 => format!("+proj=cass{}{}{origin}", lat_0(), lon_0()),
        24 => format!("+proj=sinu{}{origin}", lon_0()),
        28 => {
            let true_at = or_zero("lat_ts", &[STANDARD_PARALLEL_1]);
            format!("+proj=cea{true_at}{}{origin}", lon_0())
        }
        other => {
            return Err(problem(format!(
                "its projection method {other} is not computed"
            )));
        }
    })
}

/// In a polar stereographic projection the "origin's latitude" is that of true scale.
fn polar_stereographic(keys: &Keys<'_>, lon_0: &str, scale: &str, origin: &str) -> String {
    let latitude = keys.any(&[NATURAL_ORIGIN_LATITUDE]).unwrap_or(90.0);
    let pole = if latitude < 0.0 { -90 } else { 90 };
    let size = if latitude.abs() < 90.0 {
        format!(" +lat_ts={latitude}")
    } else {
        scale.to_owned()
    };
    format!("+proj=stere +lat_0={pole}{size}{lon_0}{origin}")
}

/// Offsets are in the unit of the CRS; PROJ wants metres.
fn in_metres(keys: &Keys<'_>, origin: &str) -> Result<String, Error> {
    let size = match (keys.short(LINEAR_UNITS), keys.double(LINEAR_UNIT_SIZE)) {
        (Some(9002), _) => 0.3048,
        (Some(9003), _) => 1200.0 / 3937.0,
        (Some(9036), _) => 1000.0,
        (Some(USER_DEFINED), Some(size)) => size,
        _ => return Ok(origin.to_owned()),
    };
    let mut text = String::new();
    for word in origin.split_whitespace() {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| problem("an offset without a value"))?;
        let value: f64 = value
            .parse()
            .map_err(|_| problem("an offset that is no number"))?;
        let _ = write!(text, " {name}={}", value * size);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crs(entries: &[(u16, u16)], doubles: &[(u16, f64)]) -> Crs {
        let mut directory = vec![1, 1, 0, (entries.len() + doubles.len()) as u16];
        for (key, value) in entries {
            directory.extend([*key, 0, 1, *value]);
        }
        for (n, (key, _)) in doubles.iter().enumerate() {
            directory.extend([*key, 34736, 1, n as u16]);
        }
        Crs {
            epsg: None,
            key_directory: directory,
            double_params: doubles.iter().map(|(_, value)| *value).collect(),
            ascii_params: String::new(),
        }
    }

    #[test]
    fn an_albers_defined_by_keys_is_the_one_with_the_code() {
        // The parameters of EPSG:5070 on NAD83.
        let keys = crs(
            &[
                (1024, 1),
                (2048, 4269),
                (3072, 32767),
                (3075, 11),
                (3076, 9001),
            ],
            &[
                (3078, 29.5),
                (3079, 45.5),
                (3084, -96.0),
                (3085, 23.0),
                (3086, 0.0),
                (3087, 0.0),
            ],
        );
        let own = definition(&keys).unwrap();
        let code = Definition::from_epsg(5070).unwrap();
        let here = Definition::from_epsg(4269).unwrap();
        let place = |to: &Definition| {
            super::super::Transformer::new(&here, to)
                .unwrap()
                .point(-100.5, 41.25)
                .unwrap()
        };
        let ((x, y), (wanted_x, wanted_y)) = (place(&own), place(&code));
        assert!((x - wanted_x).hypot(y - wanted_y) < 1e-6, "{own}: {x} {y}");
    }

    #[test]
    fn offsets_in_feet_become_metres() {
        let keys = crs(
            &[(1024, 1), (2048, 4326), (3075, 1), (3076, 9003)],
            &[
                (3080, -75.0),
                (3081, 0.0),
                (3082, 3937.0),
                (3083, 0.0),
                (3092, 0.9996),
            ],
        );
        let text = definition(&keys).unwrap().to_string();
        assert!(
            text.contains("+x_0=1200") && text.contains("+units=us-ft"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_computed_is_named() {
        let keys = crs(&[(1024, 1), (2048, 4326), (3075, 99)], &[]);
        assert_eq!(
            definition(&keys),
            Err(problem("its projection method 99 is not computed"))
        );
    }
}
