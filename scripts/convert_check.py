#!/usr/bin/env python3
"""Converts rasters and compares the COGs with their inputs, cell by cell, through rasterio.

    scripts/convert_check.py SWATH DATA [--all]

SWATH is the binary, DATA the folder of shared data. Checks what is to survive: cells, no data, masks (as no data or as
opacity), colours, palette, names, scales, offsets, units, CRS and transform; and that `rio cogeo validate --strict` accepts
the file. Without --all it takes a few files of every kind. Prints one line a file; exits with 1 when one is wrong.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rio_cogeo.cogeo import cog_validate

FEW = """zoo/gdal/rgbsmall_LZW_tiled.tif zoo/gdal/rgba_with_alpha_0_and_255.tif zoo/gdal/test_gf.tif
zoo/image-tiff/palette-1c-4b.tiff zoo/image-tiff/miniswhite-1c-1b.tiff zoo/gdal/oddsize1bit.tif zoo/gdal/slim_g4.tif
zoo/rasterio/RGBA.uint16.tif zoo/rasterio/alpha.tif zoo/rio-tiler/cog_rgb.tif zoo/rio-tiler/cog_uint8_rgb_mask.tif
zoo/rio-tiler/cog_scale.tif zoo/rio-cogeo/cog_band_tags.tif zoo/gdal/rgbsmall_cmyk.tif zoo/gdal/float16.tif
zoo/gdal/byte_LERC_ZSTD.tif zoo/gdal/rgbsmall_LZMA.tif zoo/rio-cogeo/image_webp.tif zoo/cogeotiff/rgba8_tiled.tiff
zoo/gdal/ycbcr_42_lzw_optimized.tif zoo_multi/nir_masked__u16_internal_mask.tif zonal/rasterstats/dataset_mask.tif
dem/n43.tif scenes/landsat5_amazon/LT52240631988227CUB02_B3.TIF scenes/naip_chesapeake/m_3607717_sw_18_1_20160620_subset.tif
scenes/sentinel2_dartmoor/exe_2024-06-17_12-21-21_UTM.tif""".split()


def gdal_pixels(path):
    """Returns the cells that GDAL over libjpeg-turbo reads; rasterio's wheels have another libjpeg."""
    with tempfile.TemporaryDirectory() as folder:
        raw = f"{folder}/raw.tif"
        subprocess.run(["gdal_translate", "-q", "-co", "COMPRESS=NONE", path, raw], check=True)
        with rasterio.open(raw) as raster:
            return raster.read()


def compare(source, target, lossy):
    """Lists what differs between a raster and its conversion."""
    wrong = []

    def same(what, a, b):
        if a != b:
            wrong.append(f"{what}: {a} became {b}")

    with rasterio.open(source) as a, rasterio.open(target) as b:
        bands = a.count
        masked = "per_dataset" in str(a.mask_flag_enums[0]) and "alpha" not in str(a.mask_flag_enums)
        added = masked and b.count == bands + 1
        same("size", (a.width, a.height, bands + added), (b.width, b.height, b.count))
        same("type", a.dtypes[0], b.dtypes[0])
        cells = gdal_pixels(source) if lossy else a.read()
        ours = b.read(list(range(1, bands + 1)))
        valid = a.dataset_mask() > 0 if masked else np.ones(a.shape, bool)
        if lossy:
            far = np.abs(cells.astype(int) - ours)[:, valid].max(initial=0)
            if far > 4:
                wrong.append(f"cells differ by up to {far}")
        elif not np.array_equal(cells[:, valid], ours[:, valid], equal_nan=a.dtypes[0].startswith("float")):
            wrong.append("cells differ")
        if masked:
            same("mask", valid.tolist(), (b.dataset_mask() > 0).tolist())
        same("no data", repr(a.nodata), repr(b.nodata) if not (masked and a.nodata is None) else repr(a.nodata))
        same("colours", a.colorinterp, b.colorinterp[:bands])
        if "palette" in str(a.colorinterp):
            used = set(np.unique(cells).tolist())
            first, second = a.colormap(1), b.colormap(1)
            same("palette", {n: first[n] for n in used if n in first}, {n: second[n] for n in used if n in first})
        for what in ("descriptions", "scales", "offsets", "units"):
            same(what, getattr(a, what), getattr(b, what)[:bands])
        georeferenced = a.transform != rasterio.Affine.identity()
        if georeferenced and not a.gcps[0]:
            same("transform", a.transform, b.transform)
            same("CRS", a.crs, b.crs)
    is_valid, errors, warned = cog_validate(target, strict=True, quiet=True)
    if not is_valid:
        wrong.append(f"rio cogeo: {errors} {warned}")
    return wrong


def main():
    swath, data = sys.argv[1], Path(sys.argv[2])
    expected = json.loads((data / "expected" / "tiff.json").read_text())
    names = sorted(expected) if "--all" in sys.argv else [name for name in FEW if name in expected]
    counts = {"ok": 0, "refused": 0, "WRONG": 0}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            target = f"{folder}/out.tif"
            command = [swath, "run", "convert", str(data / name), "-o", target]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode != 0:
                verdict, why = "refused", [ran.stderr.strip().splitlines()[-1] if ran.stderr else "?"]
            else:
                why = compare(str(data / name), target, expected[name]["tier"] == "lossy")
                verdict = "WRONG" if why else "ok"
        counts[verdict] += 1
        print(f"{verdict}  {name}  {'; '.join(why)[:300]}", flush=True)
    print(counts)
    sys.exit(1 if counts["WRONG"] or ("--all" not in sys.argv and counts["refused"]) else 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
