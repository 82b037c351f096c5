//! The polygons in WKB.

use super::wkb::{Kind, Reader, Visit};

/// A polygon: its rings, the first its outside, the others holes; positions are x and y.
pub type Rings = Vec<Vec<[f64; 2]>>;

/// Reads the polygons of a Polygon, a MultiPolygon or a collection of them.
///
/// # Errors
/// What is wrong with the bytes, or that it is another geometry.
pub fn polygons(wkb: &[u8]) -> Result<Vec<Rings>, &'static str> {
    let kind = Reader { rest: wkb }.header()?.kind;
    let mut found = Polygons {
        levels: vec![(kind, 0)],
        polygons: Vec::new(),
        other: false,
    };
    Reader { rest: wkb }.whole(&mut found)?;
    match found.other {
        false => Ok(found.polygons),
        true => Err("it is, or holds, a point or a line; a zone is a polygon"),
    }
}

struct Polygons {
    /// The geometries that are open, and how many lists of each.
    levels: Vec<(Kind, u32)>,
    polygons: Vec<Rings>,
    other: bool,
}

impl Visit for Polygons {
    fn open(&mut self) {
        let Some((kind, depth)) = self.levels.last_mut() else {
            return;
        };
        *depth += 1;
        match (*kind, *depth) {
            (Kind::Polygon, 1) | (Kind::MultiPolygon, 2) => self.polygons.push(Vec::new()),
            (Kind::Polygon, 2) | (Kind::MultiPolygon, 3) => {
                if let Some(rings) = self.polygons.last_mut() {
                    rings.push(Vec::new());
                }
            }
            (Kind::MultiPolygon | Kind::GeometryCollection, _) => {}
            _ => self.other = true,
        }
    }

    fn close(&mut self) {
        if let Some((_, depth)) = self.levels.last_mut() {
            *depth = depth.saturating_sub(1);
        }
    }

    fn member(&mut self, kind: Kind) {
        self.levels.push((kind, 0));
    }

    fn member_ends(&mut self) {
        self.levels.pop();
    }

    fn position(&mut self, position: &[f64], _: bool) {
        let ring = self.polygons.last_mut().and_then(|rings| rings.last_mut());
        match (position, ring, self.levels.last()) {
            ([x, y, ..], Some(ring), Some((Kind::Polygon | Kind::MultiPolygon, _))) => {
                ring.push([*x, *y]);
            }
            _ => self.other = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(numbers: &[f64]) -> Vec<u8> {
        let mut out = u32::try_from(numbers.len() / 2)
            .unwrap()
            .to_le_bytes()
            .to_vec();
        out.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        out
    }

    fn geometry(kind: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![1, kind, 0, 0, 0];
        out.extend(u32::try_from(parts.len()).unwrap().to_le_bytes());
        out.extend(parts.concat());
        out
    }

    #[test]
    fn polygons_are_found_in_every_geometry_that_holds_them() {
        // Bytes after OGC 06-103r4, section 8.2.
        let outer = [0.0, 0.0, 4.0, 0.0, 4.0, 4.0];
        let hole = [1.0, 1.0, 2.0, 1.0, 2.0, 2.0];
        let polygon = geometry(3, &[ring(&outer), ring(&hole)]);
        let one = vec![
            vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]],
            vec![[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]],
        ];
        assert_eq!(polygons(&polygon).unwrap(), std::slice::from_ref(&one));
        let multi = geometry(6, &[polygon.clone(), polygon.clone()]);
        let two = [one.clone(), one];
        assert_eq!(polygons(&multi).unwrap(), two);
        let collection = geometry(7, &[multi, polygon]);
        assert_eq!(polygons(&collection).unwrap().len(), 3);
        assert_eq!(polygons(&geometry(6, &[])).unwrap().len(), 0);
        let line = geometry(
            7,
            &[
                geometry(3, &[]),
                [vec![1, 2, 0, 0, 0], ring(&outer)].concat(),
            ],
        );
        assert!(polygons(&line).unwrap_err().contains("a line"));
        let point = [vec![1, 1, 0, 0, 0], vec![0; 16]].concat();
        assert!(polygons(&point).unwrap_err().contains("a point"));
        assert!(polygons(&point[..9]).is_err());
    }
}
