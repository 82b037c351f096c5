#!/usr/bin/env python3
"""Zonal statistics beside rasterstats and exactextract, computed on the spot on a sample scene.

zonal.py peers [--swath BIN]   differences of every statistic, on polygons with holes, parts, slivers, odd rings
zonal.py speed [--swath BIN]   seconds for the mean of 10,000 polygons over 10,980 x 10,980 cells, paired, medians of RUNS
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import rasterio
import rasterstats
from exactextract import exact_extract

NAMES = "count,min,max,mean,sum,std,median,p10,p90,variety,majority,minority"
RASTERSTATS = "count min max mean sum std median percentile_10 percentile_90 unique majority minority".split()
# What exactextract is asked for, and what it calls the answer.
EXACT = {"count": "count", "min": "min", "max": "max", "mean": "mean", "sum": "sum", "stdev": "stdev", "median": "median",
         "quantile(q=0.1)": "quantile_10", "quantile(q=0.9)": "quantile_90", "variety": "variety",
         "majority": "majority", "minority": "minority"}


def swath(binary, *words):
    subprocess.run([binary, "run", *map(str, words), "--quiet"], check=True)


def star(rng, x, y, radius, points):
    """A ring around a point whose sides do not cross."""
    ring = []
    for point in range(points):
        # Less than half a turn on: else a side could pass the middle on its other side.
        angle, far = 2 * math.pi * (point + rng.uniform(0, 1)) / points, radius * rng.uniform(0.4, 1)
        ring.append([x + math.cos(angle) * far, y + math.sin(angle) * far])
    return ring + ring[:1]


def square(x, y, half):
    return [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half], [x - half, y - half]]


def features(bounds, count, cell, rng):
    left, bottom, right, top = bounds
    found = []
    for number in range(count):
        x, y = rng.uniform(left, right), rng.uniform(bottom, top)
        radius = cell * math.exp(rng.uniform(math.log(0.5), math.log(150)))
        kind = number % 6
        outer = star(rng, x, y, radius, rng.randint(5, 40))
        if kind == 1:  # a hole
            geometry = {"type": "Polygon", "coordinates": [square(x, y, radius), square(x, y, radius / 2)[::-1]]}
        elif kind == 2:  # parts apart
            geometry = {"type": "MultiPolygon", "coordinates": [[outer], [square(x + 3 * radius, y, radius)]]}
        elif kind == 3:  # a sliver
            geometry = {"type": "Polygon", "coordinates": [[[x, y], [x + radius, y], [x + radius, y + cell / 9],
                                                           [x, y + cell / 9], [x, y]]]}
        else:
            geometry = {"type": "Polygon", "coordinates": [outer]}
        found.append({"type": "Feature", "properties": {"id": number}, "geometry": geometry})
    return found


def write(path, found, crs):
    crs = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": found}))


def differences(ours, theirs, name):
    """Greatest relative difference of a statistic over the zones, how many differ by more than 1e-6, and an example."""
    worst, many, example = 0.0, 0, ""
    for zone, (a, b) in enumerate(zip(ours, theirs)):
        empty = b is None or (isinstance(b, float) and math.isnan(b)) or b is np.ma.masked
        if a is None and (empty or b == 0):
            continue
        off = math.inf if a is None or empty else abs(a - b) / max(abs(b), 1e-12)
        if off > 1e-6:
            many += 1
            example = example or f"zone {zone}: {a} / {b}"
        worst = max(worst, off)
    return f"| {name} | {worst:.2g} | {many} of {len(ours)} | {example} |"


def peers(binary, folder):
    rng = random.Random(5)
    scene = folder / "scene"
    subprocess.run([binary, "sample", scene, "--size", "2500"], check=True, stdout=subprocess.DEVNULL)
    for raster in ["red.tif", "dem.tif"]:
        path = scene / raster
        with rasterio.open(path) as source:
            found = features(source.bounds, 600, source.res[0], rng)
            write(folder / "zones.geojson", found, source.crs.to_string())
        for pixels in ["default", "all-touched", "fractional"]:
            out = folder / f"{raster}.{pixels}.parquet"
            swath(binary, "zonal-stats", "-i", path, "--zones", folder / "zones.geojson", "--stats", NAMES,
                  "--pixels", pixels, "-o", out, "--workers", 3)
            ours = pq.read_table(out).to_pydict()
            if pixels == "fractional":
                rows = exact_extract(str(path), found, list(EXACT))
                theirs = [[row["properties"][key] for row in rows] for key in EXACT.values()]
            else:
                rows = rasterstats.zonal_stats(found, str(path), stats=RASTERSTATS,
                                               all_touched=pixels == "all-touched", nodata=nodata(path))
                theirs = [[row[key] for row in rows] for key in RASTERSTATS]
            print(f"\n{raster}, {pixels}\n\n| statistic | greatest relative difference | zones over 1e-6 | example: ours / peer |\n|---|---|---|---|")
            for name, column in zip(NAMES.split(","), theirs):
                print(differences(ours[name], column, name))


def nodata(path):
    with rasterio.open(path) as source:
        return source.nodata


def timed(act):
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def speed(binary, folder, runs):
    scene = Path(os.environ.get("SCENE", folder / "scene"))
    if not (scene / "red.tif").exists():
        subprocess.run([binary, "sample", scene, "--size", "10980"], check=True, stdout=subprocess.DEVNULL)
    raster, zones = scene / "red.tif", folder / "zones.geojson"
    rng = random.Random(1)
    with rasterio.open(raster) as source:
        left, bottom, right, top = source.bounds
        found = []
        for number in range(10_000):
            x, y = rng.uniform(left, right), rng.uniform(bottom, top)
            found.append({"type": "Feature", "properties": {"id": number},
                          "geometry": {"type": "Polygon", "coordinates": [star(rng, x, y, 600, 24)]}})
        write(zones, found, source.crs.to_string())
    seconds = {"swath": [], "exactextract": [], "rasterstats": []}
    for run in range(runs):
        out = folder / f"out{run}.parquet"
        seconds["swath"].append(timed(lambda: swath(binary, "zonal-stats", "-i", raster, "--zones", zones, "--stats",
                                                    "mean", "--pixels", "fractional", "-o", out)))
        seconds["exactextract"].append(timed(lambda: exact_extract(str(raster), geopandas.read_file(zones), ["mean"])))
        if run == 0:
            seconds["rasterstats"].append(timed(lambda: rasterstats.zonal_stats(str(zones), str(raster), stats=["mean"])))
            centre = folder / "centre.parquet"
            seconds["swath, centres"] = [timed(lambda: swath(
                binary, "zonal-stats", "-i", raster, "--zones", zones, "--stats", "mean", "-o", centre))]
    for name, all_runs in seconds.items():
        print(f"{name}: median {statistics.median(all_runs):.2f} s of {[round(s, 2) for s in all_runs]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["peers", "speed"])
    parser.add_argument("--swath", default="target/release/swath")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "peers":
            peers(options.swath, Path(folder))
        else:
            speed(options.swath, Path(folder), options.runs)


if __name__ == "__main__":
    sys.exit(main())
