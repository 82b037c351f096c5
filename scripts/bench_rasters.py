#!/usr/bin/env python3
"""Whole-process comparison of raster jobs: Swath against GDAL's tools (to a COG), and a composite against Dask.

Same files, same machine, two threads or workers each; runs alternate, medians count. Every pair of outputs is compared,
so that a race won by a wrong answer fails. `convert` is what Swath needs to decode and encode with no operation between:
of the job's first input, and of its output. Memory is that of all processes of a command together, sampled (proportional set size).
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy
import psutil
import rasterio

import cluster
from bench_ndvi import Cost, GDAL_NDVI, machine
from cluster import check
from rasters import strips

COG = ["-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "PREDICTOR=YES"]
TILED = ["-co", "TILED=YES"]
FIVE_TERMS = "2.5 * (N - R) / (N + 6 * R - 7.5 * B + 10000) + 0.25 * G / (S + 1)"
FIVE_TERMS_NUMPY = (
    "2.5*(N.astype(float)-R)/(N.astype(float)+6.0*R-7.5*B+10000)+0.25*G/(S.astype(float)+1)"
)
DASK = Path(__file__).with_name("dask_composite.py")


def resident(process):
    """Memory of a process and its children, what they share counted once, in MiB."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                pass
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def measured(*command):
    command = list(map(str, command))
    started = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        peak, ended = [0.0], threading.Event()

        def watch():
            process = psutil.Process(child.pid)
            while not ended.wait(0.2):
                peak[0] = max(peak[0], resident(process))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        ended.set()
        watcher.join()
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            raise cluster.Failed(f"{' '.join(command)}: exit code {child.returncode}\n{errors.read().decode(errors='replace').strip()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak[0])


def to_cog(plain, output, threads):
    cost = measured("gdal_translate", "-q", *COG, "-co", f"NUM_THREADS={threads}", plain, output)
    plain.unlink()
    return cost


def calc(expression, inputs, plain):
    words = [word for name, path in inputs.items() for word in (f"-{name}", path)]
    return measured(
        shutil.which("gdal_calc.py"), *words, "--outfile", plain, "--calc", expression, "--type", "Float32",
        "--NoDataValue", "-9999", *("--co", "TILED=YES"), "--overwrite", "--quiet",
    )


SCIPY_MEDIAN = """
import sys, numpy, rasterio, scipy.ndimage
with rasterio.open(sys.argv[1]) as source:
    profile = source.profile | dict(tiled=True, blockxsize=256, blockysize=256, compress=None)
    with rasterio.open(sys.argv[2], 'w', **profile) as out:
        out.write(scipy.ndimage.median_filter(source.read(1), size=5, mode='nearest'), 1)
"""


def cases(bands, threads):
    """Name, Swath's words, what the peer does into a plain file, cells at the edge to leave out, allowed difference."""
    red, nir, dem = bands["red"], bands["nir"], bands["dem"]
    five = dict(R=red, N=nir, B=bands["blue"], G=bands["green"], S=bands["swir"])
    letters = [word for name, path in five.items() for word in ("-i", f"{name}={path}")]
    warp = ["-t_srs", "EPSG:3857", "-r", "bilinear", "-multi", "-wo", f"NUM_THREADS={threads}", "-q", *TILED]
    return [
        ("ndvi", ["ndvi", "--red", red, "--nir", nir], lambda out: calc(GDAL_NDVI, dict(A=red, B=nir), out), 0, 1e-6),
        ("calc, five terms", ["calc", *letters, "--calc", FIVE_TERMS], lambda out: calc(FIVE_TERMS_NUMPY, five, out), 0, 1e-5),
        ("hillshade", ["hillshade", dem], lambda out: measured("gdaldem", "hillshade", "-q", *TILED, dem, out), 0, 1),
        ("slope", ["slope", dem], lambda out: measured("gdaldem", "slope", "-q", *TILED, dem, out), 0, 1e-2),
        ("focal median 5 x 5", ["focal", "median", "--size", "5", dem],
         lambda out: measured(sys.executable, "-c", SCIPY_MEDIAN, dem, out), 2, 0),
        ("reproject to EPSG:3857, bilinear", ["reproject", red, "--dst-crs", "EPSG:3857", "--resampling", "bilinear"],
         lambda out: measured("gdalwarp", *warp, red, out), 0, None),
    ]


def difference(ours, theirs, edge):
    """Cells that both have, the share that only one has, and the largest and mean difference."""
    both, only, worst, total = 0, 0, 0.0, 0.0
    with rasterio.open(ours) as a, rasterio.open(theirs) as b:
        check(a.shape == b.shape, f"{ours} has {a.shape}, {theirs} {b.shape}")
        for window in strips(a):
            x, y = (d.read(1, window=window, masked=True).astype(float) for d in (a, b))
            keep = numpy.zeros(x.shape, bool)
            top = int(max(edge - window.row_off, 0))
            keep[top:x.shape[0] - int(max(window.row_off + x.shape[0] + edge - a.height, 0)), edge:x.shape[1] - edge] = True
            valid = [~numpy.ma.getmaskarray(d) & ~numpy.isnan(d.data) & keep for d in (x, y)]
            same = valid[0] & valid[1]
            only += int((valid[0] ^ valid[1]).sum())
            gap = numpy.abs(x.data[same] - y.data[same])
            both += int(same.sum())
            worst, total = max(worst, float(gap.max(initial=0))), total + float(gap.sum())
    check(both, f"{ours} and {theirs} have no valid cell in common")
    return both, only / (both + only), worst, total / both


def medians(costs):
    middle = [statistics.median(getattr(cost, key) for cost in costs) for key in ("wall", "cpu")]
    return (*middle, max(cost.peak_mib for cost in costs))


def race(args, binaries, folder, case):
    name, words, peer, edge, allowed = case
    ours_file, theirs_file, copy = (folder / f"{n}.tif" for n in ("swath", "peer", "copy"))
    source = next(str(word).split("=")[-1] for word in words if str(word).endswith(".tif"))
    run = [binaries / "swath", "--quiet", "run", "--slots", args.slots]
    ours, theirs, copies, sources = [], [], [], []
    for _ in range(args.runs):
        theirs_file.unlink(missing_ok=True)
        plain = folder / "plain.tif"
        theirs.append(peer(plain) + to_cog(plain, theirs_file, args.slots))
        ours.append(measured(*run, *words, "-o", ours_file, "--overwrite"))
        copies.append(measured(*run, "convert", ours_file, "-o", copy, "--overwrite"))
        sources.append(measured(*run, "convert", source, "-o", copy, "--overwrite"))
    both, only, worst, mean = difference(ours_file, theirs_file, edge)
    check(allowed is None or worst <= allowed, f"{name}: outputs differ by up to {worst}")
    (wall, cpu, peak), (their_wall, their_cpu, their_peak) = map(medians, (ours, theirs))
    (source_wall, _, _), (copy_wall, _, _) = map(medians, (sources, copies))
    print(
        f"| {name} | {wall:.2f} | {cpu:.1f} | {peak:.0f} | {their_wall:.2f} | {their_cpu:.1f} | {their_peak:.0f} "
        f"| **{wall / their_wall:.2f}** | {wall / source_wall:.2f}, {wall / copy_wall:.2f} | {worst:.2g}, mean {mean:.1g}, {only:.1g} of cells in one only |",
        flush=True,
    )


def scenes(red, folder, count, size):
    """Writes scenes of one place: a real one with its own noise and its own clouds (NoData 0)."""
    rng = numpy.random.default_rng(7)
    paths = []
    with rasterio.open(red) as source:
        profile = source.profile | dict(width=size, height=size, nodata=0, dtype="uint16", driver="GTiff", tiled=True,
                                        blockxsize=512, blockysize=512, compress="deflate", predictor=2)
        ground = source.read(1, window=((0, size), (0, size))).astype("i4")
    for number in range(count):
        values = ground + rng.integers(-60, 60, ground.shape, dtype="i4")
        coarse = rng.random((-(-size // 256), -(-size // 256))) < 0.3
        clouds = numpy.kron(coarse, numpy.ones((256, 256), bool))[:size, :size]
        values = numpy.where(clouds | (ground == 0), 0, numpy.clip(values, 1, 65535)).astype("u2")
        path = folder / f"scene{number:02}.tif"
        with rasterio.open(path, "w", **profile, num_threads=2) as out:
            out.write(values, 1)
        paths.append(path)
    return paths


def composite(args, binaries, folder, red):
    paths = scenes(red, folder, args.scenes, args.scene_size)
    ours_file, theirs_file = folder / "median.tif", folder / "dask.tif"
    ours, theirs = [], []
    for _ in range(args.runs):
        theirs.append(measured(sys.executable, DASK, theirs_file, *paths))
        ours.append(measured(
            binaries / "swath", "--quiet", "run", "--slots", args.slots, "composite", "median", *paths,
            "--dtype", "float32", "--nodata", "nan", "-o", ours_file, "--overwrite",
        ))
    both, only, worst, _ = difference(ours_file, theirs_file, 0)
    check(worst <= 0.5 and only == 0, f"composites differ by up to {worst}, and in {only} of the cells")
    (wall, cpu, peak), (their_wall, their_cpu, their_peak) = map(medians, (ours, theirs))
    print(
        f"\nmedian of {args.scenes} scenes {args.scene_size}²: swath {wall:.2f} s, CPU {cpu:.1f} s, {peak:.0f} MiB; "
        f"Dask + rioxarray, two workers {their_wall:.2f} s, CPU {their_cpu:.1f} s, {their_peak:.0f} MiB; "
        f"wall **{wall / their_wall:.2f}**, memory {peak / their_peak:.2f}; {both} cells, largest difference {worst:g}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath [default: the newest build; measure a release build]")
    parser.add_argument("--scene", default="/work/bench-data", help="folder of a sample scene; made when absent")
    parser.add_argument("--size", type=int, default=10980)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--scene-size", type=int, default=5490)
    parser.add_argument("--only", help="only the case whose name begins so; `composite` for that one")
    args = parser.parse_args()
    binaries = cluster.find_binaries(args.bin)
    with tempfile.TemporaryDirectory(prefix="swath-bench-") as temporary:
        folder, scene = Path(temporary), Path(args.scene)
        if not (scene / "red.tif").is_file():
            cluster.swath(binaries, "sample", scene, "--size", args.size, timeout=3600)
        names = ("red", "nir", "green", "blue", "swir", "dem")
        bands = {name: cluster.named(scene, name) for name in names}
        print(f"{machine()}\n{scene}, {args.runs} runs each, alternating; binaries: {binaries}\n")
        print("| | swath s | CPU s | MiB | GDAL s | CPU s | MiB | swath / GDAL | / convert of input, of output | difference |")
        print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for case in cases(bands, args.slots):
            if not args.only or case[0].startswith(args.only):
                race(args, binaries, folder, case)
        if not args.only or "composite".startswith(args.only):
            composite(args, binaries, folder, bands["red"])


if __name__ == "__main__":
    cluster.main(main)
