#!/usr/bin/env python3
"""Every raster job of the command line on real scenes, by the real binaries, alone and on three workers, and as pictures.

Each output is opened with rasterio, must be a valid COG (as `rio cogeo validate --strict` has it), must hold more than one value, and
must be the same, byte for byte, from one process without a server and from three workers on a nats-server. `--keep DIR` keeps the
outputs and writes `pictures/NAME.png` and `pictures/all.png` to look at. Needs rasterio, rio-cogeo, geopandas and pillow.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy
import pyarrow.parquet
import rasterio

import cluster
from cluster import check
from pictures import contact_sheet, picture_of, picture_of_zones
from rasters import check_is_cog

KERNEL = "-1 0 1\n-2 0 2\n-1 0 1\n"


def jobs(data, folder):
    """Name of each output, and the words that make it."""
    dem, zion = data / "dem/exploradores_aster.tif", data / "dem/srtm_zion.tif"
    moor = data / "scenes/sentinel2_dartmoor/exe_2024-06-17_12-21-21_UTM.tif"
    naip = data / "scenes/naip_chesapeake/m_3607717_sw_18_1_20160620_subset.tif"
    amazon = data / "scenes/landsat5_amazon"
    greenland = data / "scenes/landsat8_greenland"
    red, nir = (greenland / f"LC80030172015001LGN00_B{n}.tiff" for n in (4, 5))
    kernel = folder / "sobel.txt"
    kernel.write_text(KERNEL)
    bands = ["-i", f"N={moor}@4", "-i", f"R={moor}@3", "-i", f"B={moor}@1"]
    yield "ndvi", ["ndvi", "--red", red, "--nir", nir]
    yield "index", ["index", "EVI", *bands, "--scale", "0.0001"]
    yield "calc", ["calc", "-i", f"A={naip}@4", "-i", f"B={naip}@1", "--calc", "A > B ? (A - B) / (A + B) : -1"]
    yield "hillshade", ["hillshade", dem]
    yield "slope", ["slope", dem]
    yield "aspect", ["aspect", dem]
    yield "roughness", ["roughness", zion]
    yield "tri", ["tri", zion]
    yield "tpi", ["tpi", zion]
    for statistic in ("mean", "median", "min", "max", "std", "sum"):
        yield f"focal-{statistic}", ["focal", statistic, zion, "--size", "9", "--shape", "circle"]
    yield "convolve", ["convolve", zion, "--kernel", kernel]
    yield "reproject", ["reproject", moor, "--dst-crs", "EPSG:3857", "--resampling", "bilinear"]
    yield "reproject-polar", ["reproject", nir, "--dst-crs", "EPSG:3413", "--resampling", "cubic", "--res", "100"]
    yield "mosaic", ["mosaic", f"{amazon}/LT52240631988227CUB02_B4.TIF", f"{amazon}/LT52240631988227CUB02_B3.TIF",
                     "--dst-crs", "EPSG:4326"]
    yield "composite", ["composite", "median", red, nir, "--dst-crs", "EPSG:32622", "--res", "90",
                        "--resampling", "average"]
    yield "composite-masked", ["composite", "mean", f"{moor}@4", "--mask", "@5", "--mask-values", "3,8,9,10"]
    yield "convert", ["convert", naip, "--compress", "zstd"]


def zonal(data):
    return ["zonal-stats", "-i", data / "dem/exploradores_aster.tif", "--zones",
            data / "expected/zones_exploradores_elevation.parquet", "--stats", "count,mean,min,max,std,median,p10,majority",
            "--pixels", "fractional", "--geometry"]


def both(embedded, nats, words, output):
    """Runs a job alone and on the cluster, into two files that must be the same."""
    alone = output.with_stem(output.stem + "-embedded")
    embedded("run", *words, "-o", alone)
    nats.swath("run", *words, "-o", output)
    check(alone.read_bytes() == output.read_bytes(), f"{output.name}: other bytes from three workers than from one process")
    alone.unlink()


def look(path):
    """Opens a raster; says what it holds."""
    check_is_cog(path)
    with rasterio.open(path) as made:
        check(made.crs is not None, f"{path}: no CRS")
        values = made.read(1, masked=True)
        valid = values.compressed()
        valid = valid[~numpy.isnan(valid)] if valid.dtype.kind == "f" else valid
        check(valid.size and valid.min() < valid.max(), f"{path}: no data, or one value alone")
        return (f"{made.width} x {made.height} x {made.count} {made.dtypes[0]}, {made.crs.to_string()[:20]}, NoData {made.nodata}, "
                f"{valid.size} valid, {valid.min():.6g} to {valid.max():.6g}, mean {valid.mean():.6g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    parser.add_argument("--data", default=os.environ.get("SWATH_TEST_DATA", cluster.ROOT.parent / "shared" / "data"))
    parser.add_argument("--keep", help="folder for outputs and pictures [default: a temporary one]")
    args = parser.parse_args()
    binaries, data = cluster.find_binaries(args.bin), Path(args.data).resolve()
    check((data / "expected").is_dir(), f"no reference data in {data}: give --data DIR")

    def embedded(*words):
        return cluster.swath(binaries, *words)

    with tempfile.TemporaryDirectory() as temporary, cluster.Cluster(binaries, Path(temporary) / "cluster") as nats:
        folder = Path(args.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        nats.start_workers("w1", "w2", "w3")
        pictures = {}
        for name, words in jobs(data, folder):
            output = folder / f"{name}.tif"
            both(embedded, nats, [*words, "--overwrite"], output)
            print(f"ok  {name}: {look(output)}")
            pictures[name] = picture_of(output)
        output = folder / "zonal-stats.parquet"
        both(embedded, nats, [*zonal(data), "--overwrite"], output)
        table = pyarrow.parquet.read_table(output)
        check(sum(count or 0 for count in table["count"].to_pylist()) > 0, "zonal-stats: no cells in any zone")
        print(f"ok  zonal-stats: {table.num_rows} zones, {table.num_columns} columns")
        pictures["zonal-stats"] = picture_of_zones(output, "mean")
        if args.keep:
            shown = folder / "pictures"
            shown.mkdir(exist_ok=True)
            for name, picture in pictures.items():
                picture.save(shown / f"{name}.png")
            contact_sheet(pictures).save(shown / "all.png")
        print(f"{len(pictures)} jobs, each on one process and on three workers: the same bytes")


if __name__ == "__main__":
    cluster.main(main)
