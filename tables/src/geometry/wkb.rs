//! Reading WKB: ISO and extended (PostGIS), with Z, M or both; nothing in it is trusted.

use std::fmt::Write;

/// The type of a geometry, by its number in WKB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Point = 1,
    LineString,
    Polygon,
    MultiPoint,
    MultiLineString,
    MultiPolygon,
    GeometryCollection,
}

impl Kind {
    fn new(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Point,
            2 => Self::LineString,
            3 => Self::Polygon,
            4 => Self::MultiPoint,
            5 => Self::MultiLineString,
            6 => Self::MultiPolygon,
            7 => Self::GeometryCollection,
            _ => return None,
        })
    }

    /// Returns its name in GeoJSON and GeoParquet.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Point => "Point",
            Self::LineString => "LineString",
            Self::Polygon => "Polygon",
            Self::MultiPoint => "MultiPoint",
            Self::MultiLineString => "MultiLineString",
            Self::MultiPolygon => "MultiPolygon",
            Self::GeometryCollection => "GeometryCollection",
        }
    }
}

/// What a reader of WKB is told, in the order of the bytes.
pub(super) trait Visit {
    /// A list of rings, lines, points or geometries begins.
    fn open(&mut self) {}
    /// It ends.
    fn close(&mut self) {}
    /// A member of a collection begins.
    fn member(&mut self, _kind: Kind) {}
    /// It ends.
    fn member_ends(&mut self) {}
    /// A position: x, y and whatever else there is; empty for the empty point.
    fn position(&mut self, position: &[f64], has_z: bool);
}

/// Where geometries lie; nothing when there is no coordinate.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Bounds {
    /// Least x, y and z.
    pub(crate) min: [f64; 3],
    /// Greatest x, y and z.
    pub(crate) max: [f64; 3],
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            min: [f64::INFINITY; 3],
            max: [f64::NEG_INFINITY; 3],
        }
    }
}

impl Bounds {
    fn add(&mut self, position: &[f64]) {
        for ((min, max), value) in self.min.iter_mut().zip(&mut self.max).zip(position) {
            *min = min.min(*value);
            *max = max.max(*value);
        }
    }

    /// Makes room for other bounds.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (min, other) in self.min.iter_mut().zip(other.min) {
            *min = min.min(other);
        }
        for (max, other) in self.max.iter_mut().zip(other.max) {
            *max = max.max(other);
        }
    }

    /// Tells whether there is any position within.
    pub(crate) fn is_empty(&self) -> bool {
        let [x, y, _] = self.min;
        !(x.is_finite() && y.is_finite())
    }
}

/// What a geometry is, without its coordinates.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) kind: Kind,
    pub(crate) has_z: bool,
}

impl Scan {
    /// Reads a geometry through and adds its coordinates to `bounds`; says what is wrong with it otherwise.
    pub(crate) fn new(wkb: &[u8], bounds: &mut Bounds) -> Result<Self, &'static str> {
        struct Into<'a>(&'a mut Bounds, bool);
        impl Visit for Into<'_> {
            fn position(&mut self, position: &[f64], has_z: bool) {
                self.1 |= has_z;
                let end = if has_z { 3 } else { 2 };
                self.0.add(position.get(..end).unwrap_or_default());
            }
        }
        let mut into = Into(bounds, false);
        let kind = Reader { rest: wkb }.whole(&mut into)?;
        let has_z = into.1;
        Ok(Self { kind, has_z })
    }
}

/// Writes a geometry as a GeoJSON object.
pub(crate) fn write_coordinates(wkb: &[u8], out: &mut String) -> Result<(), &'static str> {
    struct Json<'a>(&'a mut String);
    impl Json<'_> {
        fn separate(&mut self) {
            if !self.0.ends_with(['[', ':']) {
                self.0.push(',');
            }
        }
    }
    impl Visit for Json<'_> {
        fn open(&mut self) {
            self.separate();
            self.0.push('[');
        }
        fn close(&mut self) {
            self.0.push(']');
        }
        fn member(&mut self, kind: Kind) {
            self.separate();
            begin(kind, self.0);
        }
        fn member_ends(&mut self) {
            self.0.push('}');
        }
        fn position(&mut self, position: &[f64], has_z: bool) {
            self.open();
            for value in position.iter().take(if has_z { 3 } else { 2 }) {
                self.separate();
                let _ = match value.is_finite() {
                    true => write!(self.0, "{value}"),
                    false => write!(self.0, "null"),
                };
            }
            self.close();
        }
    }
    fn begin(kind: Kind, out: &mut String) {
        let member = match kind {
            Kind::GeometryCollection => "geometries",
            _ => "coordinates",
        };
        let _ = write!(out, r#"{{"type":"{}","{member}":"#, kind.name());
    }
    let mut reader = Reader { rest: wkb };
    begin(reader.header()?.kind, out);
    Reader { rest: wkb }.whole(&mut Json(out))?;
    out.push('}');
    Ok(())
}

/// Geometries within geometries; the standard's deepest use is two.
const DEPTH_MAX: u32 = 16;

pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) kind: Kind,
    little: bool,
    numbers: usize,
    has_z: bool,
}

impl Reader<'_> {
    pub(super) fn whole(mut self, visit: &mut dyn Visit) -> Result<Kind, &'static str> {
        let header = self.header()?;
        self.body(header, DEPTH_MAX, visit)?;
        match self.rest {
            [] => Ok(header.kind),
            _ => Err("there are bytes behind its end"),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn header(&mut self) -> Result<Header, &'static str> {
        let [order] = self.take::<1>()?;
        let little = match order {
            0 => false,
            1 => true,
            _ => return Err("its byte order is neither 0 nor 1"),
        };
        let code = self.number(little)?;
        if code & 0x2000_0000 != 0 {
            self.number(little)?;
        }
        let plain = code & 0x0fff_ffff;
        let (iso_z, iso_m) = match plain / 1000 {
            0 => (false, false),
            1 => (true, false),
            2 => (false, true),
            3 => (true, true),
            _ => return Err("its type is not known"),
        };
        let has_z = iso_z || code & 0x8000_0000 != 0;
        let has_m = iso_m || code & 0x4000_0000 != 0;
        Ok(Header {
            kind: Kind::new(plain % 1000).ok_or("its type is not known")?,
            little,
            numbers: 2 + usize::from(has_z) + usize::from(has_m),
            has_z,
        })
    }

    fn number(&mut self, little: bool) -> Result<u32, &'static str> {
        let bytes = self.take()?;
        Ok(match little {
            true => u32::from_le_bytes(bytes),
            false => u32::from_be_bytes(bytes),
        })
    }

    fn body(
        &mut self,
        header: Header,
        depth: u32,
        visit: &mut dyn Visit,
    ) -> Result<(), &'static str> {
        match header.kind {
            Kind::Point => self.position(header, visit),
            Kind::LineString => self.positions(header, visit),
            Kind::Polygon => {
                visit.open();
                for _ in 0..self.number(header.little)? {
                    self.positions(header, visit)?;
                }
                visit.close();
                Ok(())
            }
            kind => {
                let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
                visit.open();
                for _ in 0..self.number(header.little)? {
                    let inner = self.header()?;
                    if kind == Kind::GeometryCollection {
                        visit.member(inner.kind);
                        self.body(inner, depth, visit)?;
                        visit.member_ends();
                    } else if inner.kind as u32 + 3 == kind as u32 {
                        self.body(inner, depth, visit)?;
                    } else {
                        return Err("a part is not of the type of the whole");
                    }
                }
                visit.close();
                Ok(())
            }
        }
    }

    fn positions(&mut self, header: Header, visit: &mut dyn Visit) -> Result<(), &'static str> {
        visit.open();
        for _ in 0..self.number(header.little)? {
            self.position(header, visit)?;
        }
        visit.close();
        Ok(())
    }

    fn position(&mut self, header: Header, visit: &mut dyn Visit) -> Result<(), &'static str> {
        let mut position = [0.0; 4];
        for value in position.iter_mut().take(header.numbers) {
            let bytes = self.take()?;
            *value = match header.little {
                true => f64::from_le_bytes(bytes),
                false => f64::from_be_bytes(bytes),
            };
        }
        let [x, y, ..] = position;
        let numbers = if x.is_nan() && y.is_nan() {
            0
        } else {
            header.numbers
        };
        visit.position(position.get(..numbers).unwrap_or_default(), header.has_z);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').collect();
        let pair =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn check(hex: &str, json: &str, kind: Kind, bounds: Option<([f64; 3], [f64; 3])>) {
        let wkb = bytes(hex);
        let mut found = Bounds::default();
        assert_eq!(Scan::new(&wkb, &mut found).unwrap().kind, kind);
        match bounds {
            None => assert!(found.is_empty()),
            Some((min, max)) => assert_eq!((found.min, found.max), (min, max)),
        }
        let mut out = String::new();
        write_coordinates(&wkb, &mut out).unwrap();
        assert_eq!(out, json);
        // Cut anywhere, it is refused.
        for end in 0..wkb.len() {
            assert!(Scan::new(&wkb[..end], &mut Bounds::default()).is_err());
        }
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn geometries_of_the_standard_are_read() {
        // Bytes written by hand after OGC 06-103r4, section 8.2: 1.0 is 3ff0…, 2.0 is 4000…, in either order.
        let one = "000000000000f03f";
        let two = "0000000000000040";
        check(
            &format!("01 01000000 {one}{two}"),
            r#"{"type":"Point","coordinates":[1,2]}"#,
            Kind::Point,
            Some(([1.0, 2.0, INF], [1.0, 2.0, -INF])),
        );
        check(
            "00 00000001 3ff0000000000000 4000000000000000",
            r#"{"type":"Point","coordinates":[1,2]}"#,
            Kind::Point,
            Some(([1.0, 2.0, INF], [1.0, 2.0, -INF])),
        );
        check(
            &format!("01 e9030000 {one}{two}{two}"),
            r#"{"type":"Point","coordinates":[1,2,2]}"#,
            Kind::Point,
            Some(([1.0, 2.0, 2.0], [1.0, 2.0, 2.0])),
        );
        // Extended, with an SRID and an M that GeoJSON has no place for.
        check(
            &format!("01 01000060 e6100000 {one}{two}{two}"),
            r#"{"type":"Point","coordinates":[1,2]}"#,
            Kind::Point,
            Some(([1.0, 2.0, INF], [1.0, 2.0, -INF])),
        );
        check(
            "01 01000000 000000000000f87f 000000000000f87f",
            r#"{"type":"Point","coordinates":[]}"#,
            Kind::Point,
            None,
        );
        check(
            &format!("01 03000000 01000000 02000000 {one}{two}{two}{one}"),
            r#"{"type":"Polygon","coordinates":[[[1,2],[2,1]]]}"#,
            Kind::Polygon,
            Some(([1.0, 1.0, INF], [2.0, 2.0, -INF])),
        );
        check(
            &format!("01 04000000 02000000 0101000000 {one}{two} 0101000000 {two}{two}"),
            r#"{"type":"MultiPoint","coordinates":[[1,2],[2,2]]}"#,
            Kind::MultiPoint,
            Some(([1.0, 2.0, INF], [2.0, 2.0, -INF])),
        );
        check(
            &format!("01 07000000 02000000 0101000000 {one}{two} 0102000000 01000000 {two}{two}"),
            r#"{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},{"type":"LineString","coordinates":[[2,2]]}]}"#,
            Kind::GeometryCollection,
            Some(([1.0, 2.0, INF], [2.0, 2.0, -INF])),
        );
    }

    #[test]
    fn damaged_geometries_are_refused() {
        for hex in [
            "",
            "02 01000000",
            "01 08000000",
            "01 02000000 ffffffff",
            "01 04000000 01000000 0102000000 00000000",
            "01 01000000 000000000000f03f 000000000000f03f 00",
        ] {
            assert!(
                Scan::new(&bytes(hex), &mut Bounds::default()).is_err(),
                "{hex}"
            );
        }
        let mut deep = bytes(&"01 07000000 01000000".repeat(1000));
        deep.extend(bytes("01 01000000 000000000000f03f 000000000000f03f"));
        assert!(Scan::new(&deep, &mut Bounds::default()).is_err());
    }
}
