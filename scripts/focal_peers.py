#!/usr/bin/env python3
"""Runs every terrain and focal operation on real elevations and tables how far its cells are from those of GDAL, numpy and scipy.

    python3 scripts/focal_peers.py --swath target/release/swath --data ../shared/data [--only n43]

Needs gdaldem in the path, and rasterio, numpy and scipy. Ends with 1 when a cell is farther off than the table's last column
allows, or has a value where the peer has none.
"""

import argparse
import itertools
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import rasterio
from scipy import ndimage

# gdaldem adds elevations up in single precision, where ours and numpy have double: nearly flat cells turn by as much.
ASPECT = 0.25
DEMS = {"n43": 111120, "srtm_zion": 111120, "exploradores_aster": 1, "srtm_ref": 111120}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--swath", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(options.swath, pathlib.Path(folder))
        for name, scale in DEMS.items():
            if options.only in (None, name):
                peers.terrain(name, options.data / "dem" / f"{name}.tif", scale)
                peers.focal(name, options.data / "dem" / f"{name}.tif")
    for row in sorted(peers.rows, key=lambda row: (row[1], row[0])):
        print("| " + " | ".join(row) + " |")
    print(f"{len(peers.rows)} comparisons, {peers.wrong} beyond what is allowed")
    return 1 if peers.wrong else 0


def read(path):
    """All bands as doubles, NaN for no data."""
    with rasterio.open(path) as file:
        bands = file.read().astype(float)
        if file.nodata is not None:
            bands[bands == file.nodata] = np.nan
        return bands


class Peers:
    def __init__(self, swath, folder):
        self.swath, self.folder, self.rows, self.wrong = swath, folder, [], 0
        print("| raster | operation | peer | cells | with a value here or there only | differing | largest difference | allowed |")
        print("|---|---|---|---|---|---|---|---|")

    def run(self, *arguments):
        out = self.folder / "swath.tif"
        command = [self.swath, "run", *map(str, arguments), "-o", out, "--overwrite", "--quiet"]
        subprocess.run(command, check=True)
        return read(out)

    def compare(self, raster, operation, peer, found, expected, allowed, around=None):
        """Notes how far two arrays are apart; `around` is the length of a circle that values lie on."""
        lone = np.isnan(found) != np.isnan(expected)
        apart = np.abs(found - expected)[~np.isnan(found) & ~np.isnan(expected)]
        if around:
            apart = np.minimum(apart, around - apart)
        differing, largest = np.count_nonzero(apart), apart.max(initial=0)
        bad = lone.any() or largest > allowed
        self.wrong += bad
        cells = [f"{found.size:,}", f"{np.count_nonzero(lone):,}", f"{differing:,}", f"{largest:.2g}", f"{allowed:g}"]
        self.rows.append([raster, operation, peer, *cells[:-1], cells[-1] + (" **NO**" if bad else "")])

    def terrain(self, name, path, scale):
        edges = ([], ["-compute_edges"])
        gradients = ([], ["-alg", "ZevenbergenThorne"])
        shades = ([], ["-combined"], ["-multidirectional"], ["-igor"], ["-az", "200", "-alt", "30"])
        runs = []
        for shade, gradient, edge in itertools.product(shades, gradients, edges):
            runs.append(("hillshade", ["-z", "3", "-s", scale, *shade, *gradient, *edge], 1, None))
        for unit, gradient, edge in itertools.product(([], ["-p"]), gradients, edges):
            # In percent what is allowed is relative to steep slopes of some hundred.
            runs.append(("slope", ["-s", scale, *unit, *gradient, *edge], 1e-2 if unit else 1e-3, None))
        for turn, gradient, edge in itertools.product(([], ["-trigonometric"]), gradients, edges):
            runs.append(("aspect", [*turn, *gradient, *edge], ASPECT, 360))
        for formula, edge in itertools.product(([], ["-alg", "Wilson"]), edges):
            runs.append(("TRI", [*formula, *edge], 2e-3, None))
        for operation, edge in itertools.product(("TPI", "roughness"), edges):
            runs.append((operation, edge, 1e-3, None))
        spelled = {"-z": "--z-factor", "-s": "--scale", "-az": "--azimuth", "-alt": "--altitude", "-p": "--unit=percent"}
        for operation, options, allowed, around in runs:
            options = [str(option) for option in options]
            peer = self.folder / "gdal.tif"
            subprocess.run(["gdaldem", operation, path, peer, "-q", *options], check=True)
            ours = [spelled.get(o, o.replace("-", "--", 1).replace("_", "-") if o.startswith("-") else o) for o in options]
            found = self.run(operation.lower(), path, *ours)
            title = " ".join([operation, *(o for o in options)])
            self.compare(name, title, "gdaldem", found, read(peer), allowed, around)
        # GDAL writes 0 for cells without a value too when flat ones are 0; ours stay without.
        peer = self.folder / "gdal.tif"
        subprocess.run(["gdaldem", "aspect", path, peer, "-q", "-zero_for_flat"], check=True)
        found, expected = self.run("aspect", path, "--zero-for-flat"), read(peer)
        expected[np.isnan(found)] = np.nan
        self.compare(name, "aspect -zero_for_flat", "gdaldem", found, expected, ASPECT, 360)
        self.aspect_in_double(name, path)
        self.by_latitude(name, path)

    def aspect_in_double(self, name, path):
        dem = read(path)[0]
        cell = lambda row, col: dem[row : dem.shape[0] - 2 + row, col : dem.shape[1] - 2 + col]
        east = cell(0, 2) + 2 * cell(1, 2) + cell(2, 2) - cell(0, 0) - 2 * cell(1, 0) - cell(2, 0)
        south = cell(2, 0) + 2 * cell(2, 1) + cell(2, 2) - cell(0, 0) - 2 * cell(0, 1) - cell(0, 2)
        turn = np.degrees(np.arctan2(south, -east))
        expected = np.full(dem.shape, np.nan)
        expected[1:-1, 1:-1] = np.where((east == 0) & (south == 0), np.nan, (450 - turn) % 360) + 0 * cell(1, 1)
        self.compare(name, "aspect", "numpy", self.run("aspect", path)[0], expected, 1e-4, 360)

    def by_latitude(self, name, path):
        """The scale that GDAL 3.11 and later work out themselves, here by its formula."""
        with rasterio.open(path) as file:
            dem, transform, geographic = file.read(1).astype(float), file.transform, file.crs.is_geographic
            dem[dem == file.nodata] = np.nan
        x = y = 1.0
        if geographic:
            y = np.radians(1) * 6378137
            x = y * np.cos(np.radians(transform.f + transform.e * dem.shape[0] / 2))
        cell = lambda row, col: dem[row : dem.shape[0] - 2 + row, col : dem.shape[1] - 2 + col]
        east = (cell(0, 2) + 2 * cell(1, 2) + cell(2, 2) - cell(0, 0) - 2 * cell(1, 0) - cell(2, 0)) / (8 * transform.a * x)
        south = (cell(2, 0) + 2 * cell(2, 1) + cell(2, 2) - cell(0, 0) - 2 * cell(0, 1) - cell(0, 2)) / (8 * transform.e * y)
        expected = np.full(dem.shape, np.nan)
        expected[1:-1, 1:-1] = np.degrees(np.arctan(np.hypot(east, south))) + 0 * cell(1, 1)
        self.compare(name, "slope, scale by itself", "numpy", self.run("slope", path)[0], expected, 1e-5)

    def focal(self, name, path):
        dem = read(path)[0]
        for size, shape in ((3, "square"), (5, "square"), (9, "square"), (5, "circle"), (9, "circle")):
            windows, footprint = self.windows(dem, size, shape)
            numpy = {
                "mean": lambda w: np.nanmean(w, axis=1),
                "median": lambda w: np.nanmedian(w, axis=1),
                "min": lambda w: np.nanmin(w, axis=1),
                "max": lambda w: np.nanmax(w, axis=1),
                "std": lambda w: np.nanstd(w, axis=1),
                "sum": lambda w: np.nansum(w, axis=1),
            }
            valid = ~np.isnan(dem)
            for statistic, of in numpy.items():
                found = self.run("focal", statistic, "--size", size, "--shape", shape, "--dtype", "float64", "--nodata", "nan", path)[0]
                expected = np.full(dem.shape, np.nan)
                rows = np.flatnonzero(valid.any(axis=1))
                for part in np.array_split(rows, max(1, rows.size // 64)):
                    expected[part] = np.where(valid[part], self.apply(of, windows[part], footprint), np.nan)
                # Sums of numpy lose some bits of their own.
                allowed = 1e-6 if statistic in ("mean", "sum", "std") else 0
                self.compare(name, f"focal {statistic} {size} {shape}", "numpy", found, expected, allowed)
        self.against_scipy(name, path, dem)

    @staticmethod
    def windows(dem, size, shape):
        half = size // 2
        padded = np.pad(dem, half, constant_values=np.nan)
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        footprint = np.ones((size, size), bool) if shape == "square" else x * x + y * y <= half * half
        return np.lib.stride_tricks.sliding_window_view(padded, (size, size)), footprint

    @staticmethod
    def apply(of, windows, footprint):
        cells = windows[:, :, footprint]
        flat = cells.reshape(-1, cells.shape[-1]).copy()
        # Windows of nothing would only make noise; their centres have no value anyway.
        flat[np.isnan(flat).all(axis=1)] = 0
        return of(flat).reshape(cells.shape[:2])

    def against_scipy(self, name, path, dem):
        """Where no hole and no edge is near, scipy's filters do the same."""
        size, half = 7, 3
        whole = ndimage.minimum_filter(~np.isnan(dem), size=size, mode="constant", cval=False)
        filled = np.nan_to_num(dem)
        filters = {
            "mean": lambda a: ndimage.uniform_filter(a, size),
            "median": lambda a: ndimage.median_filter(a, size),
            "min": lambda a: ndimage.minimum_filter(a, size),
            "max": lambda a: ndimage.maximum_filter(a, size),
        }
        for statistic, of in filters.items():
            found = self.run("focal", statistic, "--size", size, "--dtype", "float64", "--nodata", "nan", path)[0]
            there = lambda cells: np.where(whole, cells, np.nan)
            # scipy's running mean carries rounding errors along each row.
            allowed = 1e-6 if statistic == "mean" else 0
            self.compare(name, f"focal {statistic} {size}", "scipy", there(found), there(of(filled)), allowed)
        kernel = self.folder / "kernel.txt"
        for title, weights in {
            "Sobel": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
            "5 × 3": [[0.1, 0.2, 0.3], [1, 2, 3], [4, 9, 4], [0.5, 0, -1], [2, 2, 2]],
        }.items():
            weights = np.array(weights, float)
            np.savetxt(kernel, weights)
            whole = ndimage.minimum_filter(~np.isnan(dem), size=weights.shape, mode="constant", cval=False)
            expected = np.where(whole, ndimage.correlate(filled, weights), np.nan)
            found = self.run("convolve", "--kernel", kernel, "--dtype", "float64", "--nodata", "nan", path)[0]
            # A weight of 0 does not look: ours may have a value where a cell without weight has none.
            found = np.where(whole, found, np.nan)
            self.compare(name, f"convolve {title}", "scipy", found, expected, 1e-6)
        np.savetxt(kernel, [[1, 4, 1], [4, 12, 4], [1, 4, 1]])
        weights = np.loadtxt(kernel)
        shares = lambda cells: ndimage.correlate(cells, weights, mode="constant", cval=0)
        expected = np.where(np.isnan(dem), np.nan, shares(filled) / np.maximum(shares((~np.isnan(dem)).astype(float)), 1e-9))
        found = self.run("convolve", "--kernel", kernel, "--normalize", "--dtype", "float64", "--nodata", "nan", path)[0]
        self.compare(name, "convolve --normalize", "scipy", found, expected, 1e-6)


if __name__ == "__main__":
    sys.exit(main())
