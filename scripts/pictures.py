"""Rasters and zones as small pictures, to be looked at: independent of Swath."""

import math

import geopandas
import numpy
import rasterio
from PIL import Image, ImageDraw

# Dark blue, green, yellow: close to the colours of viridis, which keep their order in grey.
RAMP = numpy.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype="f8")
# Brown, pale, green: for indices of vegetation.
VEGETATION = numpy.array([(120, 80, 45), (205, 175, 120), (245, 240, 205), (120, 185, 90), (10, 95, 40)], dtype="f8")
GREY = numpy.array([(0, 0, 0), (255, 255, 255)], dtype="f8")
PAPER = (255, 255, 255)


def coloured(values, missing, ramp=RAMP, limits=None):
    """Returns RGB of values between their 2nd and 98th percentiles, or the limits given; white where there is none."""
    valid = values[~missing]
    if limits is None:
        limits = numpy.percentile(valid, [2, 98]) if valid.size else (0, 1)
    low, high = limits
    part = numpy.clip((values.astype("f8") - low) / max(high - low, 1e-12), 0, 1)
    part = numpy.where(missing, 0, part) * (len(ramp) - 1)
    first = numpy.minimum(part.astype("i8"), len(ramp) - 2)
    rest = (part - first)[..., None]
    colours = ramp[first] * (1 - rest) + ramp[first + 1] * rest
    colours[missing] = PAPER
    return colours.round().astype("u1")


def read_small(path, edge):
    """Reads a raster, from its overviews where it is large; returns bands and where there is no value."""
    with rasterio.open(path) as source:
        shrink = max(1.0, max(source.shape) / edge)
        shape = tuple(max(1, round(n / shrink)) for n in source.shape)
        bands = source.read(masked=True, out_shape=(source.count, *shape))
        missing = numpy.ma.getmaskarray(bands).copy()
        if bands.dtype.kind == "f":
            missing |= numpy.isnan(bands.data)
        return bands.data, missing


def picture_of(path, edge=360, ramp=None, limits=None):
    """Returns a picture of a raster: one band in colours (hillshades in grey), three and more as red, green, blue."""
    bands, missing = read_small(path, edge)
    if len(bands) >= 3:
        layers = [coloured(bands[n], missing[n], GREY, limits)[..., 0] for n in range(3)]
        return Image.fromarray(numpy.dstack(layers))
    if ramp is None:
        ramp = GREY if bands.dtype == numpy.uint8 else RAMP
    return Image.fromarray(coloured(bands[0], missing[0], ramp, limits))


def picture_of_zones(path, column, edge=360, ramp=RAMP):
    """Returns a picture of polygons, coloured by a column."""
    zones = geopandas.read_parquet(path)
    left, bottom, right, top = zones.total_bounds
    scale = edge / max(right - left, top - bottom)
    size = tuple(max(1, math.ceil(n * scale)) for n in (right - left, top - bottom))
    # Drawn larger and made small, so that edges are smooth.
    more = 3
    picture = Image.new("RGB", (size[0] * more, size[1] * more), PAPER)
    draw = ImageDraw.Draw(picture)
    values = zones[column].astype("f8").to_numpy()
    colours = coloured(values[None, :], numpy.isnan(values)[None, :], ramp)[0]
    for shape, value, colour in zip(zones.geometry, values, colours):
        fill = (190, 190, 190) if numpy.isnan(value) else tuple(int(c) for c in colour)
        for part in getattr(shape, "geoms", [shape]):
            ring = [((x - left) * scale * more, (top - y) * scale * more) for x, y, *_ in part.exterior.coords]
            draw.polygon(ring, fill=fill, outline=(70, 70, 70))
            for hole in part.interiors:
                draw.polygon([((x - left) * scale * more, (top - y) * scale * more) for x, y, *_ in hole.coords], fill=PAPER)
    return picture.resize(size, Image.Resampling.LANCZOS)


def contact_sheet(pictures, columns=5, edge=240):
    """Returns one picture of many, each with its name."""
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (edge + 8), rows * (edge + 24)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (name, picture) in enumerate(pictures.items()):
        small = picture.copy()
        small.thumbnail((edge, edge))
        left, top = number % columns * (edge + 8) + 4, number // columns * (edge + 24) + 2
        draw.text((left, top), name, fill=(0, 0, 0))
        sheet.paste(small, (left, top + 14))
    return sheet
