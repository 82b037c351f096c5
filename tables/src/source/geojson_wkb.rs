//! From a GeoJSON geometry to WKB (ISO, little-endian).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ports::BoxError;

/// Geometries within geometries.
const DEPTH_MAX: u32 = 16;

/// Writes a GeoJSON geometry as WKB; a position's third number is z, further ones are left out.
pub(super) fn to_wkb(text: &str) -> Result<Vec<u8>, BoxError> {
    let mut out = Vec::new();
    geometry(text, &mut out, DEPTH_MAX)?;
    Ok(out)
}

#[derive(Deserialize)]
struct Geometry<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    coordinates: Option<&'a RawValue>,
    #[serde(borrow)]
    geometries: Option<Vec<&'a RawValue>>,
}

type Position = Vec<f64>;
type Line = Vec<Position>;
type Polygon = Vec<Line>;

fn geometry(text: &str, out: &mut Vec<u8>, depth: u32) -> Result<(), BoxError> {
    let geometry: Geometry<'_> = serde_json::from_str(text)
        .map_err(|error| format!("a geometry cannot be read: {error}"))?;
    let coordinates = || {
        let raw = geometry.coordinates.map(RawValue::get);
        raw.ok_or_else(|| BoxError::from(format!("a {} has no coordinates", geometry.kind)))
    };
    match geometry.kind.as_ref() {
        "Point" => point(&parse(coordinates()?)?, out),
        "LineString" => line_string(&parse(coordinates()?)?, out),
        "Polygon" => polygon(&parse(coordinates()?)?, out),
        "MultiPoint" => many(4, &parse::<Line>(coordinates()?)?, out, point),
        "MultiLineString" => many(5, &parse::<Polygon>(coordinates()?)?, out, line_string),
        "MultiPolygon" => many(6, &parse::<Vec<Polygon>>(coordinates()?)?, out, polygon),
        "GeometryCollection" => {
            let depth = depth
                .checked_sub(1)
                .ok_or("a geometry is nested too deeply")?;
            let parts = geometry
                .geometries
                .ok_or("a collection has no geometries")?;
            let start = out.len();
            head(7, false, out);
            count(parts.len(), out)?;
            for part in parts {
                self::geometry(part.get(), out, depth)?;
            }
            // Has z when a part has, as far as the first one tells.
            if out.get(start + 9 + 2) == Some(&3) {
                put_code(1007, start, out);
            }
            Ok(())
        }
        other => Err(format!("{other} is no type of geometry").into()),
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BoxError> {
    Ok(serde_json::from_str(text)?)
}

fn head(code: u32, z: bool, out: &mut Vec<u8>) {
    out.push(1);
    out.extend((code + if z { 1000 } else { 0 }).to_le_bytes());
}

fn put_code(code: u32, start: usize, out: &mut [u8]) {
    if let Some(place) = out.get_mut(start + 1..start + 5) {
        place.copy_from_slice(&code.to_le_bytes());
    }
}

fn count(number: usize, out: &mut Vec<u8>) -> Result<(), BoxError> {
    out.extend(u32::try_from(number)?.to_le_bytes());
    Ok(())
}

fn position(position: &[f64], z: bool, out: &mut Vec<u8>) -> Result<(), BoxError> {
    let [x, y, ..] = position else {
        return Err("a position has fewer than two numbers".into());
    };
    out.extend(x.to_le_bytes());
    out.extend(y.to_le_bytes());
    if z {
        let height = position.get(2).copied().unwrap_or(f64::NAN);
        out.extend(height.to_le_bytes());
    }
    Ok(())
}

fn has_z(position: &Position) -> bool {
    position.len() > 2
}

fn point(point: &Position, out: &mut Vec<u8>) -> Result<(), BoxError> {
    head(1, has_z(point), out);
    match point.as_slice() {
        [] => position(&[f64::NAN, f64::NAN], false, out),
        _ => position(point, has_z(point), out),
    }
}

fn line_string(line: &Line, out: &mut Vec<u8>) -> Result<(), BoxError> {
    let z = line.iter().any(has_z);
    head(2, z, out);
    positions(line, z, out)
}

fn positions(line: &Line, z: bool, out: &mut Vec<u8>) -> Result<(), BoxError> {
    count(line.len(), out)?;
    line.iter().try_for_each(|at| position(at, z, out))
}

fn polygon(rings: &Polygon, out: &mut Vec<u8>) -> Result<(), BoxError> {
    let z = rings.iter().flatten().any(has_z);
    head(3, z, out);
    count(rings.len(), out)?;
    rings.iter().try_for_each(|ring| positions(ring, z, out))
}

fn many<T>(
    code: u32,
    parts: &[T],
    out: &mut Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let start = out.len();
    head(code, false, out);
    count(parts.len(), out)?;
    parts.iter().try_for_each(|part| write(part, out))?;
    // The second byte of a code above 1000 is 3: 1001 is 0x3e9.
    if out.get(start + 9 + 2) == Some(&3) {
        put_code(code + 1000, start, out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Bounds, Scan, write_coordinates};

    #[test]
    fn a_geometry_comes_back_as_it_went() {
        for text in [
            r#"{"type":"Point","coordinates":[1,2.5]}"#,
            r#"{"type":"Point","coordinates":[1,2,3]}"#,
            r#"{"type":"Point","coordinates":[]}"#,
            r#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#,
            r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]],[]]}"#,
            r#"{"type":"MultiPoint","coordinates":[[1,2,3],[3,4,5]]}"#,
            r#"{"type":"MultiLineString","coordinates":[[[1,2],[3,4]],[]]}"#,
            r#"{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]]]}"#,
            r#"{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]}]}"#,
            r#"{"type":"GeometryCollection","geometries":[]}"#,
        ] {
            let wkb = to_wkb(text).unwrap();
            Scan::new(&wkb, &mut Bounds::default()).unwrap();
            let mut back = String::new();
            write_coordinates(&wkb, &mut back).unwrap();
            assert_eq!(back, text);
        }
        // OGC 06-103r4: order, code 1001 for PointZ, 1, 2, 3.
        let mut expected = vec![1, 0xe9, 3, 0, 0];
        for value in [1.0f64, 2.0, 3.0] {
            expected.extend(value.to_le_bytes());
        }
        let z = to_wkb(r#"{"coordinates":[1,2,3],"type":"Point"}"#).unwrap();
        assert_eq!(z, expected);
    }

    #[test]
    fn what_is_no_geometry_is_refused() {
        for text in [
            r#"{"invalid":true}"#,
            r#"{"type":"Circle","coordinates":[1,2]}"#,
            r#"{"type":"Point","coordinates":[1]}"#,
            r#"{"type":"Point","coordinates":["1","2"]}"#,
            r#"{"type":"Point"}"#,
            "[]",
        ] {
            assert!(to_wkb(text).is_err(), "{text}");
        }
    }
}
