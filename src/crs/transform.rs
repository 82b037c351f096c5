//! Coordinates from one CRS to another, whole rows at once.

use proj4rs::Proj;
use proj4rs::transform::{Transform, TransformClosure, transform};

use super::{Definition, Error};

/// Takes coordinates from one CRS to another.
#[derive(Debug, Clone)]
pub struct Transformer {
    /// [`None`] when both CRS are the same.
    pair: Option<Box<(Proj, Proj)>>,
    from_degrees: bool,
    to_degrees: bool,
}

impl Transformer {
    /// Makes a transformer.
    ///
    /// # Errors
    /// When one of the CRS is not computed in the direction that is needed.
    pub fn new(from: &Definition, to: &Definition) -> Result<Self, Error> {
        let (from_degrees, to_degrees) = (from.is_geographic(), to.is_geographic());
        if from == to {
            let pair = None;
            return Ok(Self {
                pair,
                from_degrees,
                to_degrees,
            });
        }
        let (source, target) = (projection(from)?, projection(to)?);
        let missing = |definition: &Definition, reason: &str| Error::NotComputed {
            definition: definition.to_string(),
            reason: reason.to_owned(),
        };
        if !source.has_inverse() {
            return Err(missing(from, "its projection has no inverse"));
        }
        if !target.has_forward() {
            return Err(missing(to, "its projection cannot be computed forwards"));
        }
        Ok(Self {
            pair: Some(Box::new((source, target))),
            from_degrees,
            to_degrees,
        })
    }

    /// Tells whether coordinates stay what they are.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.pair.is_none()
    }

    /// Transforms points in place; one that has no place in the other CRS becomes NaN.
    ///
    /// - `xs`, `ys`: as many of each; degrees in a geographic CRS, else the CRS's own unit.
    pub fn apply(&self, xs: &mut [f64], ys: &mut [f64]) {
        let Some(pair) = &self.pair else { return };
        let (source, target) = &**pair;
        if self.from_degrees {
            for v in xs.iter_mut().chain(ys.iter_mut()) {
                *v = v.to_radians();
            }
        }
        let mut points = Points { xs, ys };
        // The points never stop it: what fails becomes NaN. What is left are the checks of `new`.
        if transform(source, target, &mut points).is_err() {
            points.xs.fill(f64::NAN);
            points.ys.fill(f64::NAN);
        }
        if self.to_degrees {
            for v in points.xs.iter_mut().chain(points.ys.iter_mut()) {
                *v = v.to_degrees();
            }
        }
    }

    /// Transforms one point.
    #[must_use]
    pub fn point(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (mut xs, mut ys) = ([x], [y]);
        self.apply(&mut xs, &mut ys);
        (xs[0].is_finite() && ys[0].is_finite()).then_some((xs[0], ys[0]))
    }
}

fn projection(definition: &Definition) -> Result<Proj, Error> {
    Proj::from_proj_string(definition.as_str()).map_err(|error| Error::NotComputed {
        definition: definition.to_string(),
        reason: error.to_string(),
    })
}

/// Points that go on when one of them fails.
struct Points<'a> {
    xs: &'a mut [f64],
    ys: &'a mut [f64],
}

impl Transform for Points<'_> {
    fn transform_coordinates<F: TransformClosure>(
        &mut self,
        f: &mut F,
    ) -> proj4rs::errors::Result<()> {
        for (x, y) in self.xs.iter_mut().zip(self.ys.iter_mut()) {
            if !x.is_finite() || !y.is_finite() {
                (*x, *y) = (f64::NAN, f64::NAN);
                continue;
            }
            (*x, *y) = match f(*x, *y, 0.0) {
                Ok((x, y, _)) if x.is_finite() && y.is_finite() => (x, y),
                _ => (f64::NAN, f64::NAN),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: u32, to: u32) -> Transformer {
        let definition = |code| Definition::from_epsg(code).unwrap();
        Transformer::new(&definition(from), &definition(to)).unwrap()
    }

    #[test]
    fn points_agree_with_proj_to_a_millimetre_both_ways() {
        // `expected/project_points.csv` was made by PROJ.
        let Some(folder) = std::env::var_os("SWATH_TEST_DATA") else {
            eprintln!("SWATH_TEST_DATA is not set: left out");
            return;
        };
        let path = std::path::Path::new(&folder).join("expected/project_points.csv");
        let text = std::fs::read_to_string(path).unwrap();
        let mut seen = 0;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let code: u32 = fields[0].trim_start_matches("EPSG:").parse().unwrap();
            let n: Vec<f64> = fields[1..].iter().map(|f| f.parse().unwrap()).collect();
            let (x, y) = between(4326, code).point(n[0], n[1]).unwrap();
            assert!((x - n[2]).hypot(y - n[3]) < 1e-3, "{line}: {x} {y}");
            let (lon, lat) = between(code, 4326).point(n[2], n[3]).unwrap();
            // A millimetre is 9e-9 degrees of latitude.
            assert!(
                (lon - n[0]).abs() < 2e-8 && (lat - n[1]).abs() < 9e-9,
                "{line}: {lon} {lat}"
            );
            seen += 1;
        }
        assert_eq!(seen, 54);
    }

    #[test]
    fn a_point_without_a_place_is_nan_and_the_others_go_on() {
        let mut xs = [0.0, 0.0, f64::NAN, 10.0];
        let mut ys = [0.0, 95.0, 0.0, f64::INFINITY];
        between(4326, 3857).apply(&mut xs, &mut ys);
        assert!(xs[0].abs() < 1e-6 && ys[0].abs() < 1e-6);
        assert!(xs[1..].iter().chain(&ys[1..]).all(|v| v.is_nan()));
    }
}
