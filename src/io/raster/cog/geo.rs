//! The tags that say where the cells are, such that a reader gets the same doubles back.
//!
//! GDAL's reader (`GTiffDataset::LoadGeoreferencingAndPamIfNeeded`) is the measure: with `ModelPixelScale` the
//! corner is `tie_x - tie_col · scale`, else it comes from `ModelTransformation`; when the keys say
//! `PixelIsPoint`, half a cell is subtracted from either.

use super::Error;
use super::tags::Entry;
use crate::grid::{Affine, RasterProfile};
use crate::io::raster::tiff::tags::{
    GEO_ASCII_PARAMS, GEO_DOUBLE_PARAMS, GEO_KEY_DIRECTORY, MODEL_PIXEL_SCALE, MODEL_TIEPOINT,
    MODEL_TRANSFORMATION,
};

/// The key `GTRasterTypeGeoKey` and its values.
const RASTER_TYPE: u16 = 1025;
const PIXEL_IS_AREA: u16 = 1;
const PIXEL_IS_POINT: u16 = 2;

/// Makes the tags of CRS and transform.
///
/// Keys are copied as they are, with one exception: where no double gives the transform back once half a
/// cell is subtracted from it, the file says `PixelIsArea`, because the transform comes first.
pub(super) fn entries(profile: &RasterProfile) -> Result<Vec<Entry>, Error> {
    let crs = &profile.crs;
    if crs.key_directory.is_empty() && crs.epsg.is_some() {
        return Err(Error::CrsWithoutKeys {
            crs: crs.to_string(),
        });
    }
    let mut keys = crs.key_directory.clone();
    let mut entries = Vec::new();
    if let Some(transform) = &profile.transform {
        let wanted = if is_point(&keys) {
            undo_half_cell(transform)
        } else {
            Some(*transform)
        };
        entries.extend(model(&wanted.unwrap_or_else(|| {
            say_area(&mut keys);
            *transform
        })));
    }
    if !keys.is_empty() {
        entries.push(Entry::shorts(GEO_KEY_DIRECTORY, &keys));
    }
    if !crs.double_params.is_empty() {
        entries.push(Entry::doubles(GEO_DOUBLE_PARAMS, &crs.double_params));
    }
    if !crs.ascii_params.is_empty() {
        entries.push(Entry::ascii(GEO_ASCII_PARAMS, &crs.ascii_params));
    }
    Ok(entries)
}

/// Writes the transform as scale and tie point where those give it back exactly, else as a matrix.
fn model(transform: &Affine) -> Vec<Entry> {
    let [left, width, _, top, _, height] = transform.0;
    let north_up = !transform.is_rotated() && width > 0.0 && height < 0.0;
    if north_up && transform.0.iter().all(|c| c.is_finite()) {
        return vec![
            Entry::doubles(MODEL_PIXEL_SCALE, &[width, -height, 0.0]),
            Entry::doubles(MODEL_TIEPOINT, &[0.0, 0.0, 0.0, left, top, 0.0]),
        ];
    }
    let [left, a, b, top, d, e] = transform.0;
    let matrix = [
        [a, b, 0.0, left],
        [d, e, 0.0, top],
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    vec![Entry::doubles(MODEL_TRANSFORMATION, matrix.as_flattened())]
}

/// Returns the transform from which a reader that subtracts half a cell gets `transform`, if there is one.
fn undo_half_cell(transform: &Affine) -> Option<Affine> {
    let [left, a, b, top, d, e] = transform.0;
    // As GDAL computes it, operation by operation.
    let left = before_subtraction(left, a * 0.5 + b * 0.5)?;
    let top = before_subtraction(top, d * 0.5 + e * 0.5)?;
    Some(Affine([left, a, b, top, d, e]))
}

/// Returns an `x` for which `x - half` is exactly `wanted`: the rounded sum, or one of its neighbours.
fn before_subtraction(wanted: f64, half: f64) -> Option<f64> {
    let sum = wanted + half;
    let candidates = [sum, sum.next_up(), sum.next_down()];
    candidates.into_iter().find(|x| *x - half == wanted)
}

fn is_point(keys: &[u16]) -> bool {
    keys.chunks_exact(4)
        .skip(1)
        .any(|key| key == [RASTER_TYPE, 0, 1, PIXEL_IS_POINT])
}

fn say_area(keys: &mut [u16]) {
    for key in keys.chunks_exact_mut(4).skip(1) {
        if let [RASTER_TYPE, 0, 1, value] = key {
            *value = PIXEL_IS_AREA;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cell_is_undone_to_the_last_bit() {
        for (corner, half) in [
            (500_000.0, 5.0),
            (-3.1, 0.1 / 3.0),
            (1e-9, 0.25),
            (-179.999_583_333_333_33, 0.000_416_666_666_666_666_7),
            (0.1, -1.0 / 7.0),
        ] {
            if let Some(x) = before_subtraction(corner, half) {
                assert_eq!(f64::to_bits(x - half), f64::to_bits(corner));
            } else {
                // Only where the sum has coarser steps than the corner.
                assert!((corner + half).abs() > corner.abs(), "{corner} {half}");
            }
        }
        assert_eq!(before_subtraction(500_000.0, 5.0), Some(500_005.0));
        assert_eq!(before_subtraction(1e-300, 1.0), None);
    }

    #[test]
    fn where_half_a_cell_cannot_be_undone_the_file_says_area() {
        let keys = vec![1, 1, 0, 2, 1024, 0, 1, 2, 1025, 0, 1, 2];
        let check = |left: f64, expected_left: f64, raster_type: u16| {
            let profile = RasterProfile {
                width: 1,
                height: 1,
                bands: 1,
                dtype: crate::grid::DataType::UInt8,
                nodata: None,
                crs: crate::grid::Crs {
                    key_directory: keys.clone(),
                    ..Default::default()
                },
                transform: Some(Affine::north_up(left, 10.0, 2.0, 2.0)),
                pixel_is_point: true,
            };
            let entries = entries(&profile).unwrap();
            let mut expected = keys.clone();
            expected[11] = raster_type;
            assert_eq!(entries[2], Entry::shorts(GEO_KEY_DIRECTORY, &expected));
            let top = if raster_type == PIXEL_IS_POINT {
                9.0
            } else {
                10.0
            };
            let tie = [0.0, 0.0, 0.0, expected_left, top, 0.0];
            assert_eq!(entries[1], Entry::doubles(MODEL_TIEPOINT, &tie));
        };
        check(4.0, 5.0, PIXEL_IS_POINT);
        check(1e-300, 1e-300, PIXEL_IS_AREA);
    }
}
