#!/usr/bin/env python3
"""Makes the pictures of README's gallery, `docs/gallery/`, from the scene that `swath sample` generates.

Needs rasterio, numpy, geopandas and pillow. The same build gives the same pictures.
"""

import argparse
import tempfile
from pathlib import Path

import rasterio

import cluster
from pictures import GREY, VEGETATION, picture_of, picture_of_zones

GALLERY = cluster.ROOT / "docs" / "gallery"
EDGE = 256
# Reflectances times 10,000 from black to white: fields, not snow, fill the range.
LIGHT = (0, 2200)


def halves(folder):
    """Returns the extents of the left and the right half of the scene, which overlap by a tenth, in metres."""
    with rasterio.open(folder / "red.tif") as source:
        left, bottom, right, top = source.bounds
    width = right - left
    return [(left, bottom, left + 0.55 * width, top), (left + 0.45 * width, bottom, right, top)]


def pictures(swath, folder):
    """Makes each picture: its name and the image."""
    def made(name, *words):
        swath("run", *words, "-o", folder / f"{name}.tif", "--overwrite", "--quiet")
        return folder / f"{name}.tif"

    bands = [folder / f"{name}.tif" for name in ("red", "green", "blue", "nir")]
    red, green, blue, nir = bands
    inputs = ["-i", f"R={red}", "-i", f"G={green}", "-i", f"B={blue}"]
    colour = made("colour", "calc", *inputs, "--calc", "R", "--calc", "G", "--calc", "B", "--dtype", "uint16", "--nodata", "0")
    yield "colour", picture_of(colour, EDGE, limits=LIGHT)
    ndvi = made("ndvi", "ndvi", "--red", red, "--nir", nir)
    yield "ndvi", picture_of(ndvi, EDGE, VEGETATION)
    dem = folder / "dem.tif"
    yield "hillshade", picture_of(made("hillshade", "hillshade", dem, "--z-factor", "2"), EDGE, GREY, (0, 255))
    yield "slope", picture_of(made("slope", "slope", dem), EDGE)
    yield "focal", picture_of(made("focal", "focal", "std", dem, "--size", "15", "--shape", "circle"), EDGE)
    yield "reproject", picture_of(made("reproject", "reproject", colour, "--dst-crs", "EPSG:3035", "--resampling", "bilinear"), EDGE,
                                  limits=LIGHT)
    crs = ["EPSG:3857", "EPSG:4326"]
    parts = []
    for number, (extent, other) in enumerate(zip(halves(folder), crs)):
        cut = made(f"cut-{number}", "reproject", ndvi, "--extent", ",".join(map(str, extent)))
        parts.append(made(f"part-{number}", "reproject", cut, "--dst-crs", other, "--resampling", "bilinear"))
    mosaic = made("mosaic", "mosaic", *parts, "--dst-crs", "EPSG:32630", "--res", "10", "--resampling", "bilinear")
    yield "mosaic", picture_of(mosaic, EDGE, VEGETATION)
    zones = folder / "zones-ndvi.parquet"
    swath("run", "zonal-stats", "-i", ndvi, "--zones", folder / "zones.parquet", "--stats", "mean", "--geometry",
          "-o", zones, "--overwrite", "--quiet")
    yield "zonal-stats", picture_of_zones(zones, "mean", EDGE, VEGETATION)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    parser.add_argument("--size", type=int, default=1000, help="cells along each edge of the scene")
    args = parser.parse_args()
    binaries = cluster.find_binaries(args.bin)

    def swath(*words):
        return cluster.swath(binaries, *words)

    with tempfile.TemporaryDirectory() as folder:
        swath("sample", folder, "--size", args.size, "--overwrite")
        GALLERY.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures(swath, Path(folder)):
            path = GALLERY / f"{name}.png"
            picture.quantize(128).save(path, optimize=True)
            print(f"{path.relative_to(cluster.ROOT)}: {picture.width} x {picture.height}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    cluster.main(main)
