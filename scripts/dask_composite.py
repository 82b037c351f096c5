"""Median of scenes by Dask + rioxarray on two worker processes: the peer of scripts/bench_rasters.py.

dask_composite.py OUT.tif SCENE.tif…
"""

import sys

import rioxarray
import xarray
from dask.distributed import Client, LocalCluster, Lock

if __name__ == "__main__":
    output, *paths = sys.argv[1:]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        chunks = {"x": 1024, "y": 1024}
        scenes = [rioxarray.open_rasterio(path, chunks=chunks, masked=True, lock=False) for path in paths]
        stack = xarray.concat(scenes, dim="time", join="exact").chunk({"time": -1})
        median = stack.median(dim="time", skipna=True).astype("float32")
        median.rio.write_crs(scenes[0].rio.crs, inplace=True)
        median.rio.to_raster(output, tiled=True, compress="deflate", predictor=3, lock=Lock("out"))
