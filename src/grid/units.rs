//! Units that the GeoKeys of a CRS state.

use super::Crs;

/// Keys of the `GeoTIFF` standard (OGC 19-008).
const MODEL_TYPE: u16 = 1024;
const ANGULAR_UNITS: u16 = 2054;
const ANGULAR_UNIT_SIZE: u16 = 2055;
const SEMI_MAJOR_AXIS: u16 = 2057;
const LINEAR_UNITS: u16 = 3076;
const LINEAR_UNIT_SIZE: u16 = 3077;
const VERTICAL_UNITS: u16 = 4099;
/// Where a key's value is a double.
const DOUBLE_PARAMS: u16 = 34736;
/// The value of [`MODEL_TYPE`] for longitude and latitude.
const GEOGRAPHIC: u16 = 2;
/// The equator's radius of WGS 84 and GRS 80 in metres.
const WGS84_SEMI_MAJOR_AXIS_M: f64 = 6_378_137.0;
const FOOT_M: f64 = 0.3048;
const US_SURVEY_FOOT_M: f64 = 1200.0 / 3937.0;

impl Crs {
    /// Returns the radians of a unit of the coordinates, or `None` where they are no angles.
    #[must_use]
    pub fn angular_unit_radians(&self) -> Option<f64> {
        if self.short(MODEL_TYPE) != Some(GEOGRAPHIC) {
            return None;
        }
        Some(match self.short(ANGULAR_UNITS) {
            Some(9101) => 1.0,
            Some(9105) => std::f64::consts::PI / 200.0,
            Some(32767) => self.double(ANGULAR_UNIT_SIZE).unwrap_or(1f64.to_radians()),
            // 9102, 9122, or none: degrees.
            _ => 1f64.to_radians(),
        })
    }

    /// Returns the metres of a unit of the projected coordinates; 1 where the keys name no unit, or one that is not known here.
    #[must_use]
    pub fn linear_unit_m(&self) -> f64 {
        match self.short(LINEAR_UNITS) {
            Some(32767) => self.double(LINEAR_UNIT_SIZE).unwrap_or(1.0),
            Some(code) => unit_m(code),
            None => 1.0,
        }
    }

    /// Returns the metres of a unit of heights; 1 where the keys name none.
    #[must_use]
    pub fn vertical_unit_m(&self) -> f64 {
        self.short(VERTICAL_UNITS).map_or(1.0, unit_m)
    }

    /// Returns the radius of the equator in metres; WGS 84's where the keys have none.
    #[must_use]
    pub fn semi_major_axis_m(&self) -> f64 {
        self.double(SEMI_MAJOR_AXIS)
            .filter(|axis| *axis > 0.0 && axis.is_finite())
            .unwrap_or(WGS84_SEMI_MAJOR_AXIS_M)
    }

    /// Returns the entry of a key: where its value is, how many there are, the value or its index.
    fn entry(&self, key: u16) -> Option<[u16; 3]> {
        let entries = self.key_directory.as_chunks::<4>().0.iter().skip(1);
        let mut found = entries.filter(|entry| entry[0] == key);
        found
            .next()
            .map(|[_, place, count, value]| [*place, *count, *value])
    }

    fn short(&self, key: u16) -> Option<u16> {
        match self.entry(key)? {
            [0, _, value] => Some(value),
            _ => None,
        }
    }

    fn double(&self, key: u16) -> Option<f64> {
        match self.entry(key)? {
            [DOUBLE_PARAMS, _, index] => self.double_params.get(index as usize).copied(),
            _ => None,
        }
    }
}

/// Returns the metres of an EPSG unit of length.
fn unit_m(code: u16) -> f64 {
    match code {
        9002 => FOOT_M,
        9003 => US_SURVEY_FOOT_M,
        9036 => 1000.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crs(entries: &[[u16; 4]], double_params: Vec<f64>) -> Crs {
        let header = [1, 1, 0, u16::try_from(entries.len()).unwrap()];
        Crs {
            key_directory: [&[header], entries].concat().concat(),
            double_params,
            ..Crs::default()
        }
    }

    #[test]
    fn units_come_from_the_keys() {
        let degrees = crs(
            &[
                [1024, 0, 1, 2],
                [2054, 0, 1, 9102],
                [2057, 34736, 1, 1],
                [4099, 0, 1, 9002],
            ],
            vec![0.0, 6_378_206.4],
        );
        assert_eq!(degrees.angular_unit_radians(), Some(1f64.to_radians()));
        assert_eq!(degrees.semi_major_axis_m(), 6_378_206.4);
        assert_eq!(degrees.vertical_unit_m(), 0.3048);
        let feet = crs(&[[1024, 0, 1, 1], [3076, 0, 1, 9003]], Vec::new());
        assert_eq!(feet.angular_unit_radians(), None);
        assert_eq!(feet.linear_unit_m(), 1200.0 / 3937.0);
        let unknown = Crs::default();
        assert_eq!(unknown.angular_unit_radians(), None);
        assert_eq!(
            [unknown.linear_unit_m(), unknown.vertical_unit_m()],
            [1.0; 2]
        );
    }
}
