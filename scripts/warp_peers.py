#!/usr/bin/env python3
"""Reprojection beside gdalwarp, onto the same grid: approximate and exact positions, poles, the antimeridian, coarser outputs.

For each case: how many cells have a value in both, how many in one alone, how many of the first are equal (floats: to 1e-6 of
the value), the largest and the 99th percentile of the differences, and the same of gdalwarp's approximate against its exact positions.
Needs `gdalwarp`, rasterio and numpy.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy
import rasterio
from rasterio.transform import from_origin

import cluster
from cluster import check


def write(path, values, crs, transform, nodata):
    with rasterio.open(path, "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1, dtype=values.dtype,
                       crs=crs, transform=transform, nodata=nodata) as out:
        out.write(values, 1)
    return path


def smooth(rows, cols):
    """Hills whose height is a formula of row and column."""
    y, x = numpy.mgrid[0:rows, 0:cols]
    return (1000 + 300 * numpy.sin(x / 9.0) * numpy.cos(y / 7.0) + 200 * numpy.sin((x + 2 * y) / 31.0)).astype("f4")


def world(folder):
    """All longitudes and latitudes, in half degrees."""
    y, x = numpy.mgrid[0:360, 0:720]
    longitude, latitude = numpy.radians(x / 2 - 179.75), numpy.radians(89.75 - y / 2)
    values = (500 + 200 * numpy.cos(latitude) * numpy.cos(3 * longitude) + 100 * numpy.sin(latitude)).astype("f4")
    return write(folder / "world.tif", values, "EPSG:4326", from_origin(-180, 90, 0.5, 0.5), -9999)


def fiji(folder):
    """A square of UTM zone 60 south that lies across the antimeridian."""
    return write(folder / "fiji.tif", smooth(400, 400), "EPSG:32760", from_origin(700_000, 8_100_000, 1000, 1000), -9999)


def cases(data, folder):
    """Title, source, resampling, and the words of grid that Swath is given."""
    greenland = data / "scenes/landsat8_greenland/LC80030172015001LGN00_B5.tiff"
    aster = data / "dem/exploradores_aster.tif"
    srtm = data / "dem/srtm_ref.tif"
    for method in ("nearest", "bilinear", "cubic", "lanczos", "average"):
        yield f"Landsat 8, UTM 22 to 3413, {method}", greenland, method, ["--dst-crs", "EPSG:3413"]
    for method in ("bilinear", "cubic"):
        yield f"ASTER, UTM 18 S to 4326, {method}", aster, method, ["--dst-crs", "EPSG:4326"]
    yield "SRTM, 4326 to UTM 31, bilinear", srtm, "bilinear", ["--dst-crs", "EPSG:32631"]
    for method in ("bilinear", "cubicspline", "average"):
        yield f"SRTM, 4326 to 3857, 5 times coarser, {method}", srtm, method, ["--dst-crs", "EPSG:3857", "--res", "500"]
    globe = world(folder)
    for crs, extent in (("EPSG:3995", "-4000000,-4000000,4000000,4000000"), ("EPSG:3031", "-4000000,-4000000,4000000,4000000")):
        for method in ("nearest", "bilinear"):
            yield f"world, pole of {crs}, {method}", globe, method, ["--dst-crs", crs, "--extent", extent, "--res", "50000"]
    yield "world, 4326 to 3832 over the antimeridian, bilinear", globe, "bilinear", [
        "--dst-crs", "EPSG:3832", "--extent", "-6000000,-6000000,6000000,6000000", "--res", "50000"]
    yield "world, 4326 at 90 to 270 degrees, bilinear", globe, "bilinear", [
        "--dst-crs", "EPSG:4326", "--extent", "90,-60,270,60", "--res", "0.7"]
    yield "Fiji, UTM 60 S to 3832, bilinear", fiji(folder), "bilinear", ["--dst-crs", "EPSG:3832", "--res", "1000"]
    yield "Fiji, UTM 60 S to 4326 at 178 to 182 degrees, bilinear", folder / "fiji.tif", "bilinear", [
        "--dst-crs", "EPSG:4326", "--extent", "176,-20,182,-16", "--res", "0.01"]


def gdalwarp(source, onto, method, exact, out):
    """Warps onto the grid of a file."""
    with rasterio.open(onto) as grid:
        left, bottom, right, top = grid.bounds
        words = ["-t_srs", grid.crs.to_string(), "-te", left, bottom, right, top, "-ts", grid.width, grid.height]
    name = {"nearest": "near"}.get(method, method)
    words += ["-r", name, "-et", "0" if exact else "0.125", "-overwrite", "-q", source, out]
    subprocess.run(["gdalwarp", *map(str, words)], check=True)
    return out


def read(path):
    with rasterio.open(path) as source:
        values = source.read(1, masked=True)
        return values.filled(0).astype("f8"), ~numpy.ma.getmaskarray(values), source.dtypes[0]


def compare(one, other):
    """Cells in both, in one alone, equal; largest difference and 99th percentile."""
    (a, in_a, dtype), (b, in_b, _) = read(one), read(other)
    check(a.shape == b.shape, f"{one} and {other} are not on one grid")
    both = in_a & in_b
    off = numpy.abs(a - b)[both]
    equal = off <= (1e-6 * numpy.abs(b[both]) if dtype.startswith("float") else 0)
    worst, most = (off.max(), numpy.percentile(off, 99)) if off.size else (0, 0)
    return both.sum(), (in_a & ~in_b).sum(), (in_b & ~in_a).sum(), equal.mean() if off.size else 1, worst, most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    parser.add_argument("--data", default=os.environ.get("SWATH_TEST_DATA", cluster.ROOT.parent / "shared" / "data"))
    args = parser.parse_args()
    binaries, data = cluster.find_binaries(args.bin), Path(args.data).resolve()
    print("| case | positions | in both | ours alone | GDAL's alone | equal | largest | 99 % within | GDAL approximate / exact: equal, largest |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for title, source, method, grid in cases(data, folder):
            theirs = {}
            for exact in (True, False):
                ours = folder / f"ours-{exact}.tif"
                flags = ["--exact"] if exact else []
                cluster.swath(binaries, "run", "reproject", source, *grid, "--resampling", method, *flags, "-o", ours,
                              "--overwrite", "--overviews", "none", "--quiet")
                theirs[exact] = gdalwarp(source, ours, method, exact, folder / f"theirs-{exact}.tif")
                both, alone, other, equal, worst, most = compare(ours, theirs[exact])
                own = ""
                if not exact:
                    numbers = compare(theirs[False], theirs[True])
                    own = f"{numbers[3]:.4%}, {numbers[4]:.4g}"
                positions = "exact" if exact else "0.125"
                print(f"| {title} | {positions} | {both} | {alone} | {other} | {equal:.4%} | {worst:.4g} | {most:.3g} | {own} |", flush=True)


if __name__ == "__main__":
    cluster.main(main)
