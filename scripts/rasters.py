"""What the trial scripts ask of a raster, answered by rasterio and numpy: independent of Swath."""

import hashlib

import numpy
import rasterio
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from cluster import check

CANONICAL_NAN = numpy.uint32(0x7FC00000)


def sha256_f32(values):
    """Hashes as data/README.md says: float32, little-endian, row by row, invalid as 0x7fc00000, -0 as 0."""
    plain = (values.astype("<f4") + numpy.float32(0)).view("<u4").copy()
    plain[numpy.isnan(values)] = CANONICAL_NAN
    return hashlib.sha256(plain.tobytes()).hexdigest()


def strips(dataset, rows=512):
    for top in range(0, dataset.height, rows):
        yield Window(0, top, dataset.width, min(rows, dataset.height - top))


def file_sha256_f32(path):
    """Hashes the first band strip by strip, so that its size does not matter."""
    digest = hashlib.sha256()
    with rasterio.open(path) as dataset:
        for window in strips(dataset):
            values = dataset.read(1, window=window)
            plain = (values.astype("<f4") + numpy.float32(0)).view("<u4").copy()
            plain[numpy.isnan(values)] = CANONICAL_NAN
            digest.update(plain.tobytes())
    return digest.hexdigest()


def check_is_cog(path):
    """The same check as `rio cogeo validate --strict`."""
    valid, errors, warnings = cog_validate(str(path), strict=True, quiet=True)
    check(valid, f"{path} is not a valid COG: errors {errors}, warnings {warnings}")


def check_same_grid(output, source):
    """CRS, transform and size are the input's, to the last bit."""
    with rasterio.open(output) as made, rasterio.open(source) as given:
        check(made.crs == given.crs, f"{output}: CRS {made.crs} is not {given.crs}")
        check(tuple(made.transform) == tuple(given.transform), f"{output}: transform {made.transform} is not {given.transform}")
        check(made.shape == given.shape, f"{output}: shape {made.shape} is not {given.shape}")


def check_is_float_with_nan(path):
    with rasterio.open(path) as dataset:
        check(dataset.count == 1 and dataset.dtypes[0] == "float32", f"{path}: {dataset.count} bands of {dataset.dtypes}")
        check(dataset.nodata is not None and numpy.isnan(dataset.nodata), f"{path}: NoData is {dataset.nodata}, not NaN")


def check_is_ndvi_of(output, red, nir):
    """Recomputes NDVI in float64 from the bands and compares every cell, bit for bit after rounding to float32."""
    with rasterio.open(output) as made, rasterio.open(red) as reds, rasterio.open(nir) as nirs:
        valid = 0
        for window in strips(made):
            r, n = (band.read(1, window=window).astype("f8") for band in (reds, nirs))
            with numpy.errstate(invalid="ignore", divide="ignore"):
                expected = ((n - r) / (n + r)).astype("f4")
            missing = (r + n) == 0
            for values, band in ((r, reds), (n, nirs)):
                if band.nodata is not None:
                    missing |= values == band.nodata
            expected[missing] = numpy.nan
            got = made.read(1, window=window)
            differ = ~((got == expected) | (numpy.isnan(got) & numpy.isnan(expected)))
            check(not differ.any(), f"{output}: {differ.sum()} cells of {window} differ from numpy's NDVI")
            valid += int((~missing).sum())
        check(valid > 0, f"{output} holds no valid cell: the comparison shows nothing")
        return valid
