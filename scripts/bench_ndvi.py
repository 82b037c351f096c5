#!/usr/bin/env python3
"""Whole-process comparison: `swath run ndvi` against gdal_calc.py followed by gdal_translate -of COG.

Same files, same machine, two threads each; runs alternate, medians count. Memory is the peak resident set
of the largest process. Prints a Markdown table. With --memory-size it also measures the peak on a larger scene.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import cluster
from cluster import check

# The fastest expression that gives NDVI: a NoData of NaN would make gdal_calc 3.6 write NaN everywhere.
GDAL_NDVI = "(B.astype(float)-A)/(B.astype(float)+A)"
GDAL_NODATA = "-9999"


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath [default: the newest build; measure a release build]")
    parser.add_argument("--scene", default="/work/bench-data", help="folder with red.tif and nir.tif; when absent a sample is made")
    parser.add_argument("--size", type=int, default=10980, help="cells along each edge of that sample")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--memory-size", type=int, default=0, help="also measure memory on a sample of this size (30000)")
    parser.add_argument("--gdal-only", action="store_true", help="write down the baseline, without swath")
    parser.add_argument("--folder", help="where scratch files go [default: a temporary folder]")
    return parser.parse_args()


class Cost:
    def __init__(self, wall, cpu, peak_mib):
        self.wall, self.cpu, self.peak_mib = wall, cpu, peak_mib

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak_mib, other.peak_mib))


def measured(command):
    """Runs one command; its peak comes from the kernel's account of this one child and its children."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        if child.returncode != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip()
            raise cluster.Failed(f"{' '.join(map(str, command))}: exit code {child.returncode}\n{text}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def by_gdal(red, nir, folder, threads):
    plain, output = folder / "gdal-plain.tif", folder / "gdal.tif"
    calc = measured([
        shutil.which("gdal_calc.py"), "-A", red, "-B", nir, "--outfile", plain, "--calc", GDAL_NDVI,
        "--type", "Float32", "--NoDataValue", GDAL_NODATA, "--co", "TILED=YES", "--overwrite", "--quiet",
    ])
    translate = measured([
        shutil.which("gdal_translate"), "-q", "-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "PREDICTOR=YES",
        "-co", f"NUM_THREADS={threads}", plain, output,
    ])
    plain.unlink()
    return calc + translate, output


def by_swath(binaries, red, nir, folder, slots):
    output = folder / "swath.tif"
    cost = measured([
        binaries / "swath", "--quiet", "run", "--slots", slots, "ndvi", "--red", red, "--nir", nir, "-o", output, "--overwrite",
    ])
    return cost, output


def compare(ours, theirs):
    """Both must hold the same numbers, or the race means nothing. Runs apart: numpy would count as memory here."""
    code = (
        "import sys, numpy, rasterio; from rasters import strips, check\n"
        "a, b = (rasterio.open(p) for p in sys.argv[1:3]); worst = valid = 0\n"
        "for w in strips(a):\n"
        "    x, y = a.read(1, window=w), b.read(1, window=w); y[y == b.nodata] = numpy.nan\n"
        "    assert (numpy.isnan(x) == numpy.isnan(y)).all(), f'valid cells differ in {w}'\n"
        "    ok = ~numpy.isnan(x); valid += int(ok.sum())\n"
        "    worst = max(worst, float(numpy.abs(x[ok] - y[ok]).max(initial=0)))\n"
        "assert valid and worst < 1e-6, (valid, worst); print(f'{valid} valid cells, largest difference {worst:g}')"
    )
    done = subprocess.run(
        [os.environ.get("SWATH_PYTHON", "python3"), "-c", code, ours, theirs],
        capture_output=True, text=True, cwd=Path(__file__).parent, check=False,
    )
    check(done.returncode == 0, f"outputs of swath and GDAL differ, or numpy and rasterio are missing:\n{done.stderr.strip()}")
    return done.stdout.strip()


def row(name, costs, output):
    middle = [statistics.median(getattr(cost, key) for cost in costs) for key in ("wall", "cpu", "peak_mib")]
    print(f"| {name} | {middle[0]:.2f} | {middle[1]:.2f} | {max(c.peak_mib for c in costs):.0f} | {output.stat().st_size / 1e6:.0f} |")
    return middle[0]


def machine():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    gdal = subprocess.run(["gdal_translate", "--version"], capture_output=True, text=True, check=True).stdout.split(",")[0]
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} × {model}, {gdal}, {time.strftime('%Y-%m-%d')}, load before {load:.1f}"


def main():
    args = options()
    for program in ("gdal_calc.py", "gdal_translate"):
        check(shutil.which(program), f"{program} is missing: apt-get install gdal-bin python3-gdal")
    binaries = None if args.gdal_only else cluster.find_binaries(args.bin)
    with tempfile.TemporaryDirectory(prefix="swath-bench-", dir=args.folder) as temporary:
        folder, scene = Path(temporary), Path(args.scene)
        if not (scene / "red.tif").is_file():
            check(binaries, f"no red.tif in {scene}, and no swath to make it")
            scene = folder / "scene"
            cluster.swath(binaries, "sample", scene, "--size", args.size, timeout=3600)
        red, nir = cluster.named(scene, "red"), cluster.named(scene, "nir")
        print(f"{machine()}\n{red} and {nir}, {args.runs} runs each, alternating; binaries: {binaries}\n")
        theirs, ours, output = [], [], None
        for _ in range(args.runs):
            cost, reference = by_gdal(red, nir, folder, args.slots)
            theirs.append(cost)
            if binaries:
                cost, output = by_swath(binaries, red, nir, folder, args.slots)
                ours.append(cost)
        print("| | wall s (median) | CPU s (median) | peak MiB (largest) | output MB |\n|---|---|---|---|---|")
        gdal_wall = row("gdal_calc.py + gdal_translate -of COG", theirs, reference)
        if binaries:
            wall = row(f"swath run ndvi --slots {args.slots}", ours, output)
            print(f"\nwall, swath / GDAL: {wall / gdal_wall:.2f}\n{compare(output, reference)}")
            if args.memory_size:
                large(args, binaries, folder, max(cost.peak_mib for cost in ours))


def large(args, binaries, folder, peak_mib):
    for old in folder.glob("*.tif"):
        old.unlink()
    scene = folder / "large"
    made = measured([binaries / "swath", "--quiet", "sample", scene, "--size", args.memory_size])
    cost, output = by_swath(binaries, cluster.named(scene, "red"), cluster.named(scene, "nir"), folder, args.slots)
    print(
        f"\n{args.memory_size} × {args.memory_size}: sample {made.wall:.0f} s, {made.peak_mib:.0f} MiB; "
        f"ndvi {cost.wall:.0f} s, {cost.peak_mib:.0f} MiB, {cost.peak_mib / peak_mib:.2f} × the peak above, "
        f"{output.stat().st_size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    cluster.main(main)
