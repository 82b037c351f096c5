#!/usr/bin/env python3
"""The main job, accepted from outside: NDVI by the real binaries, judged by rasterio, rio-cogeo and reference values.

1. `swath sample`, `swath run ndvi`: every cell equals numpy's, the COG is valid, the grid is the input's.
2. Each scene of data/expected/ndvi.csv, embedded: checksum, statistics and sampled pixels.
3. The same through a real nats-server and three workers: identical pixels.
"""

import argparse
import csv
import math
import os
import tempfile
import time
from pathlib import Path

import numpy
import rasterio

import cluster
from cluster import check
from rasters import (
    check_is_cog, check_is_float_with_nan, check_is_ndvi_of, check_same_grid, file_sha256_f32, sha256_f32,
)

# The reference statistics are of float64 values; the output holds float32, whose rounding is 6e-8 of a value.
STATISTIC_TOLERANCE = 1e-7


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    parser.add_argument("--data", default=os.environ.get("SWATH_TEST_DATA", cluster.ROOT.parent / "shared" / "data"))
    parser.add_argument("--size", type=int, default=2600, help="cells along each edge of the generated scene")
    parser.add_argument("--keep", help="folder for the outputs [default: a temporary one]")
    return parser.parse_args()


def ndvi(run, red, nir, output):
    run("run", "ndvi", "--red", red, "--nir", nir, "-o", output)


def accept_sample(embedded, folder, size):
    embedded("sample", folder / "scene", "--size", size)
    red, nir = (cluster.named(folder / "scene", band) for band in ("red", "nir"))
    output = folder / "sample-embedded.tif"
    started = time.monotonic()
    ndvi(embedded, red, nir, output)
    seconds = time.monotonic() - started
    valid = check_is_ndvi_of(output, red, nir)
    check_form(output, red)
    print(f"ok  sample {size} x {size}: {valid} cells equal numpy's, valid COG, {seconds:.1f} s")
    return red, nir, output


def check_form(output, source):
    check_is_cog(output)
    check_same_grid(output, source)
    check_is_float_with_nan(output)
    left = [p.name for p in output.parent.iterdir() if p.name != output.name and p.name.startswith((output.name, f".{output.name}"))]
    check(not left, f"temporary files left beside {output}: {left}")


def close(name, got, expected):
    check(
        math.isclose(got, expected, rel_tol=STATISTIC_TOLERANCE, abs_tol=STATISTIC_TOLERANCE),
        f"{name} is {got!r}, expected {expected!r}",
    )


def accept_scene(run, how, folder, data, scene, pixels):
    red, nir = data / scene["red_file"], data / scene["nir_file"]
    output = folder / f"{scene['scene']}-{how}.tif"
    ndvi(run, f"{red}@{scene['red_band']}", f"{nir}@{scene['nir_band']}", output)
    with rasterio.open(output) as dataset:
        values = dataset.read(1)
    name = f"{how} {scene['scene']}"
    valid = values[~numpy.isnan(values)].astype("f8")
    check(values.shape == (int(scene["height"]), int(scene["width"])), f"{name}: shape {values.shape}")
    check(valid.size == int(scene["valid"]), f"{name}: {valid.size} valid cells, expected {scene['valid']}")
    for column, got in (("min", valid.min()), ("max", valid.max()), ("mean", valid.mean()), ("std_population", valid.std())):
        close(f"{name}: {column}", float(got), float(scene[column]))
    check(pixels, f"{name}: no sampled pixels in ndvi_pixels.csv")
    for pixel in pixels:
        got = values[int(pixel["row"]), int(pixel["col"])]
        expected = numpy.float32(pixel["ndvi"] or "nan")
        check(
            got == expected or (numpy.isnan(got) and numpy.isnan(expected)),
            f"{name}: cell {pixel['row']}, {pixel['col']} is {got}, expected {expected}",
        )
    check(sha256_f32(values) == scene["sha256_f32"], f"{name}: the values' SHA-256 is not {scene['sha256_f32']}")
    check_form(output, red)
    print(f"ok  {name}: {valid.size} valid, {len(pixels)} sampled pixels, SHA-256, valid COG, same grid")


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main():
    args = options()
    binaries = cluster.find_binaries(args.bin)
    data = Path(args.data).resolve()
    scenes, pixels = [], []
    if (data / "expected" / "ndvi.csv").is_file():
        scenes = read_csv(data / "expected" / "ndvi.csv")
        pixels = read_csv(data / "expected" / "ndvi_pixels.csv")
        check(scenes, f"{data}/expected/ndvi.csv is empty")
    else:
        print(f"LEFT OUT: the reference scenes: {data} is not there (set SWATH_TEST_DATA)")
    print(f"binaries: {binaries}")

    def embedded(*arguments):
        return cluster.swath(binaries, *arguments)

    with tempfile.TemporaryDirectory(prefix="swath-acceptance-") as temporary:
        folder = Path(args.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        red, nir, alone = accept_sample(embedded, folder, args.size)
        with cluster.Cluster(binaries, Path(temporary) / "cluster") as nats:
            nats.start_workers("w1", "w2", "w3")
            together = folder / "sample-cluster.tif"
            ndvi(nats.swath, red, nir, together)
            check(file_sha256_f32(alone) == file_sha256_f32(together), "sample: embedded and cluster pixels differ")
            check_form(together, red)
            # What a worker says of itself is up to one heartbeat (2 s) old.
            time.sleep(2.5)
            busy = [worker["id"] for worker in nats.worker_states() if worker["succeeded"] > 0]
            check(len(busy) > 1, f"only {busy} of three workers did a task: nothing was shared; a larger --size has more tasks")
            print(f"ok  sample on NATS: identical pixels; {len(busy)} of 3 workers did tasks")
            for scene in scenes:
                of_scene = [pixel for pixel in pixels if pixel["scene"] == scene["scene"]]
                accept_scene(embedded, "embedded", folder, data, scene, of_scene)
                accept_scene(nats.swath, "cluster", folder, data, scene, of_scene)
    print(f"accepted: the sample and {len(scenes)} scenes, embedded and on a cluster")


if __name__ == "__main__":
    cluster.main(main)
