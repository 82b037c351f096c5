//! Where the cells are: CRS and transform, as GDAL understands them.

use super::tags::{
    GEO_ASCII_PARAMS, GEO_DOUBLE_PARAMS, GEO_KEY_DIRECTORY, MODEL_PIXEL_SCALE, MODEL_TIEPOINT,
    MODEL_TRANSFORMATION, wrong,
};
use super::{Error, Tags};
use crate::grid::{Affine, Crs};

const KEY_MODEL_TYPE: u16 = 1024;
const KEY_RASTER_TYPE: u16 = 1025;
const KEY_GEODETIC_CRS: u16 = 2048;
const KEY_PROJECTED_CRS: u16 = 3072;
/// The value of a key that says: the definition is in other keys.
const USER_DEFINED: u16 = 32767;
const MODEL_GEOGRAPHIC: u16 = 2;
const MODEL_GEOCENTRIC: u16 = 3;
const PIXEL_IS_POINT: u16 = 2;

/// Where the cells of a raster are.
#[derive(Debug, Clone, PartialEq)]
pub struct Georeference {
    /// The CRS, with its keys to the last bit. The code is the one that the keys name for the horizontal part; what other
    /// keys change about it, or name beside it (heights), stands in the keys alone.
    pub crs: Crs,
    /// From cell corners to coordinates; `None` without one, or with ground control points only.
    pub transform: Option<Affine>,
    /// Whether the file's own coordinates are of cell centres.
    pub pixel_is_point: bool,
}

/// Reads the GeoTIFF tags of an image.
///
/// # Errors
/// When a tag cannot be understood, or the raster is rotated or sheared.
pub fn georeference(tags: &Tags) -> Result<Georeference, Error> {
    let directory = match tags.uints(GEO_KEY_DIRECTORY)? {
        None => Vec::new(),
        Some(values) => values
            .into_iter()
            .map(|value| u16::try_from(value).ok())
            .collect::<Option<Vec<u16>>>()
            .ok_or_else(|| wrong(GEO_KEY_DIRECTORY, "a key exceeds 16 bit"))?,
    };
    let pixel_is_point = key(&directory, KEY_RASTER_TYPE) == Some(PIXEL_IS_POINT);
    let code = |name| key(&directory, name).filter(|code| *code != 0 && *code != USER_DEFINED);
    // The keys of a projected CRS name the geodetic one below it as well, which is not the raster's.
    let is_geodetic = key(&directory, KEY_PROJECTED_CRS).is_none()
        && matches!(
            key(&directory, KEY_MODEL_TYPE),
            None | Some(MODEL_GEOGRAPHIC | MODEL_GEOCENTRIC)
        );
    let epsg = code(if is_geodetic {
        KEY_GEODETIC_CRS
    } else {
        KEY_PROJECTED_CRS
    });
    let transform = transform(tags, pixel_is_point)?;
    if transform.is_some_and(|t| t.is_rotated()) {
        return Err(Error::unsupported(
            "a rotated or sheared transform",
            "bring the raster upright with 'gdalwarp IN.tif OUT.tif'",
        ));
    }
    Ok(Georeference {
        crs: Crs {
            epsg: epsg.map(u32::from),
            key_directory: directory,
            double_params: tags.doubles(GEO_DOUBLE_PARAMS)?.unwrap_or_default(),
            ascii_params: tags.text(GEO_ASCII_PARAMS).unwrap_or_default(),
        },
        transform,
        pixel_is_point,
    })
}

/// Returns the value of a GeoKey that is stored in the directory itself.
fn key(directory: &[u16], wanted: u16) -> Option<u16> {
    directory
        .get(4..)?
        .chunks_exact(4)
        .find_map(|entry| match entry {
            [key, 0, _, value] if *key == wanted => Some(*value),
            _ => None,
        })
}

fn transform(tags: &Tags, pixel_is_point: bool) -> Result<Option<Affine>, Error> {
    let scale = tags.doubles(MODEL_PIXEL_SCALE)?.unwrap_or_default();
    let tie = tags.doubles(MODEL_TIEPOINT)?.unwrap_or_default();
    let matrix = tags.doubles(MODEL_TRANSFORMATION)?.unwrap_or_default();
    let c = match (&scale[..], &tie[..], &matrix[..]) {
        ([width, height, ..], [col, row, _, x, y, _, ..], _) if *width != 0.0 && *height != 0.0 => {
            // A negative height contradicts GeoTIFF; GDAL takes it for a mistake, and so do we.
            let height = -height.abs();
            [x - col * width, *width, 0.0, y - row * height, 0.0, height]
        }
        (_, _, [a, b, _, x, d, e, _, y, ..]) => [*x, *a, *b, *y, *d, *e],
        _ => return Ok(None),
    };
    if c.iter().any(|v| !v.is_finite()) {
        return Err(wrong(MODEL_TRANSFORMATION, "the transform is not finite"));
    }
    let [c0, c1, c2, c3, c4, c5] = c;
    // Cells on one line are nowhere, and cells that are their own coordinates are where they were without a transform:
    // writers put both into rasters without a georeference.
    if c1 * c5 == c2 * c4 || c == Affine::identity().0 {
        return Ok(None);
    }
    let half = if pixel_is_point { 0.5 } else { 0.0 };
    Ok(Some(Affine([
        c0 - (c1 * half + c2 * half),
        c1,
        c2,
        c3 - (c4 * half + c5 * half),
        c4,
        c5,
    ])))
}
