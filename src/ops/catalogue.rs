//! What `swath operations` lists: each operation with its parameters and an example.

use super::task::Registry;

/// One operation, for a person who looks for what Swath can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationInfo {
    /// The name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it takes, without the options that every raster output has.
    pub parameters: &'static [Parameter],
    /// Whether its output is a raster, which has [`RASTER_OUTPUT`]'s options.
    pub raster_output: bool,
    /// A command line that works.
    pub example: &'static str,
}

/// One parameter of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// As it is typed, such as `--red FILE[@BAND]`.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What holds when it is not given; `None` when it must be given.
    pub default: Option<&'static str>,
}

/// Shorthand for a parameter that must be given.
const fn required(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter {
        name,
        meaning,
        default: None,
    }
}

/// Shorthand for a parameter with a default.
const fn optional(name: &'static str, meaning: &'static str, default: &'static str) -> Parameter {
    Parameter {
        name,
        meaning,
        default: Some(default),
    }
}

/// The options of every operation with a raster output.
pub const RASTER_OUTPUT: &[Parameter] = &[
    required("-o FILE", "the Cloud Optimized GeoTIFF to write"),
    optional("--overwrite", "replace an existing output", "refuse"),
    optional(
        "--dtype TYPE",
        "sample type: uint8 to uint64, int8 to int64, float32, float64",
        "float32; convert, focal min and max: the input's",
    ),
    optional(
        "--nodata VALUE",
        "the value that means no data; integer types need one",
        "NaN; convert, focal min and max: the input's",
    ),
    optional("--compress NAME", "deflate, lzw, zstd or none", "deflate"),
    optional(
        "--blocksize CELLS",
        "edge of a tile: a multiple of 16, 16 to 4096",
        "512",
    ),
    optional(
        "--overviews NAME",
        "auto: halved until one tile holds the raster; none",
        "auto",
    ),
    optional(
        "--overview-resampling NAME",
        "nearest or average",
        "average; nearest for palettes and single bits",
    ),
];

const SCALE: Parameter = optional("--scale NUMBER", "each sample is multiplied by this", "1");
const OFFSET: Parameter = optional("--offset NUMBER", "then this is added", "0");

const DEM: Parameter = required("DEM[@BAND]", "the elevation raster; band 1 unless given");
const EDGES: Parameter = optional(
    "--compute-edges",
    "compute cells at the edge of the raster and beside cells without data too",
    "no value there",
);
const GRADIENT: Parameter = optional(
    "--alg NAME",
    "Horn (eight neighbours) or ZevenbergenThorne (four)",
    "Horn",
);
const GROUND: Parameter = optional(
    "--scale NUMBER",
    "vertical units in a horizontal one (--xscale and --yscale apart), such as 111120",
    "from the units that the file states, at the latitude of its middle",
);
const WINDOW_INPUT: Parameter =
    required("FILE[@BAND]", "the raster; all bands unless one is given");
const RES: Parameter = optional(
    "--res R[,R]",
    "size of a cell in the output's unit",
    "as fine as the inputs",
);
const EXTENT: Parameter = optional(
    "--extent L,B,R,T",
    "left, bottom, right, top in the output's CRS",
    "all that the inputs cover",
);
const RESAMPLING: Parameter = optional(
    "--resampling METHOD",
    "nearest, bilinear, cubic, cubicspline, lanczos, average, mode, min, max, med, q1, q3, sum, rms: gdalwarp's",
    "nearest",
);
const THRESHOLD: Parameter = optional(
    "--error-threshold CELLS",
    "by how many cells of an input a position may be off",
    "0.125",
);
const EXACT: Parameter = optional("--exact", "compute every position exactly", "off");
const SRC_CRS: Parameter = optional(
    "--src-crs CRS",
    "CRS of inputs that do not say theirs",
    "the inputs'",
);
const FILES: Parameter = optional(
    "FILE[@BAND]...",
    "the rasters, each with all its bands or one",
    "a list",
);
const LIST: Parameter = optional(
    "--list FILE",
    "a raster a line; or a table (.csv) whose first line names its columns",
    "none",
);
const STAC: Parameter = optional(
    "--stac FILE",
    "a STAC item collection (JSON): an item is a scene",
    "none",
);
const ASSETS: Parameter = optional(
    "--assets NAMES",
    "the assets or columns that are the output's bands, such as B04,B08",
    "with --stac and tables: required",
);
const MASK: Parameter = optional(
    "--mask NAME[@BAND]",
    "a band of classes: an asset or column, @BAND of the scene's own file, or a file for each scene",
    "none",
);
const MASK_VALUES: Parameter = optional(
    "--mask-values LIST",
    "classes whose cells are left out, such as 3,8,9,10",
    "none",
);
const DST_CRS: Parameter = optional(
    "--dst-crs CRS",
    "CRS of the output, such as EPSG:3857",
    "that of the first input",
);

const OPERATIONS: &[OperationInfo] = &[
    OperationInfo {
        name: "ndvi",
        summary: "normalised difference vegetation index, (NIR - red) / (NIR + red)",
        parameters: &[
            required("--red FILE[@BAND]", "red reflectance; band 1 unless given"),
            required(
                "--nir FILE[@BAND]",
                "near-infrared reflectance; band 1 unless given",
            ),
        ],
        raster_output: true,
        example: "swath run ndvi --red B04.tif --nir B08.tif -o ndvi.tif",
    },
    OperationInfo {
        name: "index",
        summary: "any spectral indices of the catalogue, by name",
        parameters: &[
            required(
                "NAME[,NAME]",
                "short name of the index, in any case: EVI, SAVI, NDWI, ...; several make a band each",
            ),
            required(
                "-i BAND=FILE[@BAND]",
                "each band of the formulas, once: N, R, G, B, S1, S2, RE1, T, VV, ...; or --sensor and --scene",
            ),
            optional(
                "--sensor NAME",
                "sentinel-2, landsat-4, -5, -7, -8, -9, modis or naip: names of bands in files, wavelengths",
                "none",
            ),
            optional(
                "--scene DIR|FILE",
                "folder with a file for each band, or one file: bands, scale and offset are found there",
                "none",
            ),
            optional(
                "--constant NAME=NUMBER",
                "a constant of the formula",
                "the catalogue's",
            ),
            SCALE,
            OFFSET,
        ],
        raster_output: true,
        example: "swath run index EVI -i N=B08.tif -i R=B04.tif -i B=B02.tif --scale 0.0001 -o evi.tif",
    },
    OperationInfo {
        name: "calc",
        summary: "band math: an expression over the cells of any number of bands for each band of the output",
        parameters: &[
            required(
                "-i NAME=FILE[@BAND]",
                "an input and its name in the expression",
            ),
            required(
                "--calc EXPR",
                "infix math, comparisons, c ? a : b, where min max abs sqrt log clamp isnan ...; no data propagates; given again, it makes another band",
            ),
        ],
        raster_output: true,
        example: "swath run calc -i A=red.tif -i B=nir.tif --calc '(B - A) / (B + A)' -o out.tif",
    },
    OperationInfo {
        name: "convert",
        summary: "any readable GeoTIFF, all bands, to a Cloud Optimized GeoTIFF; colours, palette, opacity and metadata stay",
        parameters: &[required("FILE", "path or URL of the raster")],
        raster_output: true,
        example: "swath run convert scene.tif -o scene_cog.tif --compress zstd",
    },
    OperationInfo {
        name: "zonal-stats",
        summary: "statistics of a raster's cells by zone: a table with a row for each polygon",
        parameters: &[
            required("-i RASTER[@BAND]", "the raster; band 1 unless given"),
            required(
                "--zones POLYGONS",
                "GeoParquet, GeoJSON, GeoArrow, FlatGeobuf (.fgb) or Shapefile (.shp); reprojected to the raster",
            ),
            optional(
                "--stats LIST",
                "count sum mean min max range std variance median pNN variety majority minority categories nodata",
                "count,min,max,mean",
            ),
            optional(
                "--pixels NAME",
                "default: cells whose centre lies in the zone; all-touched; fractional: by the share covered",
                "default",
            ),
            optional(
                "--geometry",
                "keep the zones' geometry; GeoJSON always does, CSV never",
                "no",
            ),
            optional(
                "--column-prefix TEXT",
                "stands before the names of the statistics' columns",
                "nothing",
            ),
            optional(
                "--zones-crs CRS",
                "EPSG:CODE, or raster for the raster's own",
                "what the zones' file says",
            ),
            required(
                "-o FILE",
                "the table to write: .parquet, .csv, .geojson, .arrow, or a folder of parts",
            ),
        ],
        raster_output: false,
        example: "swath run zonal-stats -i ndvi.tif --zones fields.parquet --stats mean,p90,count -o fields_ndvi.parquet",
    },
    OperationInfo {
        name: "hillshade",
        summary: "shaded relief of elevations, 1 (dark) to 255, as gdaldem makes it; uint8, no data 0",
        parameters: &[
            DEM,
            optional("--z-factor NUMBER", "heights are multiplied by this", "1"),
            GROUND,
            optional(
                "--azimuth DEGREES",
                "where the light comes from, clockwise from north",
                "315",
            ),
            optional(
                "--altitude DEGREES",
                "height of the light over the horizon",
                "45",
            ),
            GRADIENT,
            optional(
                "--multidirectional",
                "lights from 225, 270, 315 and 360 degrees; or --combined, or --igor",
                "one light",
            ),
            EDGES,
        ],
        raster_output: true,
        example: "swath run hillshade dem.tif --z-factor 2 -o hillshade.tif",
    },
    OperationInfo {
        name: "slope",
        summary: "steepness of elevations in degrees or percent; float32, no data -9999",
        parameters: &[
            DEM,
            optional("--unit NAME", "degree or percent", "degree"),
            GROUND,
            GRADIENT,
            EDGES,
        ],
        raster_output: true,
        example: "swath run slope dem.tif --unit percent -o slope.tif",
    },
    OperationInfo {
        name: "aspect",
        summary: "direction that slopes face, clockwise from north; float32, no data (and flat) -9999",
        parameters: &[
            DEM,
            optional(
                "--trigonometric",
                "degrees anticlockwise from east",
                "clockwise from north",
            ),
            optional(
                "--zero-for-flat",
                "flat cells are 0",
                "flat cells are no data",
            ),
            GRADIENT,
            EDGES,
        ],
        raster_output: true,
        example: "swath run aspect dem.tif -o aspect.tif",
    },
    OperationInfo {
        name: "roughness",
        summary: "largest less smallest elevation of 3 × 3 cells; float32, no data -9999",
        parameters: &[DEM, EDGES],
        raster_output: true,
        example: "swath run roughness dem.tif -o roughness.tif",
    },
    OperationInfo {
        name: "tri",
        summary: "terrain ruggedness index: how elevations differ from their neighbours; float32, no data -9999",
        parameters: &[
            DEM,
            optional(
                "--alg NAME",
                "Riley (root of the sum of squares) or Wilson (mean of absolutes)",
                "Riley",
            ),
            EDGES,
        ],
        raster_output: true,
        example: "swath run tri dem.tif -o tri.tif",
    },
    OperationInfo {
        name: "tpi",
        summary: "topographic position index: elevations less the mean of their neighbours; float32, no data -9999",
        parameters: &[DEM, EDGES],
        raster_output: true,
        example: "swath run tpi dem.tif -o tpi.tif",
    },
    OperationInfo {
        name: "focal",
        summary: "a statistic of the valid cells of the window around each cell; no value where the cell has none",
        parameters: &[
            required(
                "STATISTIC",
                "mean, median, min, max, std (population) or sum",
            ),
            WINDOW_INPUT,
            required(
                "--size N",
                "cells along the edge of the window: odd, 3 to 1001",
            ),
            optional(
                "--shape NAME",
                "square, or circle: cells no farther than (N - 1) / 2",
                "square",
            ),
        ],
        raster_output: true,
        example: "swath run focal median dem.tif --size 5 -o median.tif",
    },
    OperationInfo {
        name: "convolve",
        summary: "a weighted sum of the cells around each cell; no value where a weighted cell has none",
        parameters: &[
            WINDOW_INPUT,
            required(
                "--kernel FILE",
                "weights as they lie on the raster: a row a line, between blanks or commas, odd numbers of both; # starts a comment",
            ),
            optional(
                "--normalize",
                "the sum over valid cells, divided by their weights",
                "the plain sum; all cells valid",
            ),
        ],
        raster_output: true,
        example: "swath run convolve dem.tif --kernel sobel.txt -o edges.tif",
    },
    OperationInfo {
        name: "reproject",
        summary: "a raster, all bands, on another grid: CRS, resolution, extent",
        parameters: &[
            required("FILE", "path or URL of the raster"),
            DST_CRS,
            RES,
            EXTENT,
            RESAMPLING,
            THRESHOLD,
            EXACT,
            SRC_CRS,
        ],
        raster_output: true,
        example: "swath run reproject scene.tif --dst-crs EPSG:3857 --resampling bilinear -o web.tif",
    },
    OperationInfo {
        name: "mosaic",
        summary: "many rasters of any grids on one grid, side by side",
        parameters: &[
            FILES,
            LIST,
            STAC,
            ASSETS,
            optional(
                "--order NAME",
                "which raster wins where several have a value: first or last",
                "last",
            ),
            MASK,
            MASK_VALUES,
            DST_CRS,
            RES,
            EXTENT,
            RESAMPLING,
            THRESHOLD,
            EXACT,
            SRC_CRS,
        ],
        raster_output: true,
        example: "swath run mosaic north.tif south.tif --dst-crs EPSG:3035 --res 10 -o all.tif",
    },
    OperationInfo {
        name: "composite",
        summary: "many rasters of any grids on one grid, one value for each cell",
        parameters: &[
            required(
                "HOW",
                "median, mean, min, max, first or last of the valid values",
            ),
            FILES,
            LIST,
            STAC,
            ASSETS,
            MASK,
            MASK_VALUES,
            DST_CRS,
            RES,
            EXTENT,
            RESAMPLING,
            THRESHOLD,
            EXACT,
            SRC_CRS,
        ],
        raster_output: true,
        example: "swath run composite median --stac items.json --assets B04 --mask SCL --mask-values 3,8,9,10 -o clear.tif",
    },
    OperationInfo {
        name: "tasks",
        summary: "a plain queue: one task a line, for an operation that the workers know",
        parameters: &[
            required(
                "--operation NAME",
                "noop, sleep, fail, or one that a program registered",
            ),
            required(
                "--params FILE.ndjson",
                "the parameters of each task, one JSON a line",
            ),
        ],
        raster_output: false,
        example: "swath run tasks --operation sleep --params sleeps.ndjson",
    },
    OperationInfo {
        name: "noop",
        summary: "task: does nothing; returns `value` if given",
        parameters: &[optional("value", "any JSON, returned as it is", "null")],
        raster_output: false,
        example: r#"echo '{"value": 7}' > p.ndjson && swath run tasks --operation noop --params p.ndjson"#,
    },
    OperationInfo {
        name: "sleep",
        summary: "task: sleeps, holding its slot",
        parameters: &[required("ms", "how long, in milliseconds")],
        raster_output: false,
        example: r#"echo '{"ms": 100}' > p.ndjson && swath run tasks --operation sleep --params p.ndjson"#,
    },
    OperationInfo {
        name: "fail",
        summary: "task: fails, to see what a failure does",
        parameters: &[
            optional("times", "how many tries fail before one succeeds", "all"),
            optional("kind", "retry, fatal or panic", "retry"),
            optional(
                "message",
                "what the failure says",
                "failed as it was asked to",
            ),
        ],
        raster_output: false,
        example: r#"echo '{"times": 2}' > p.ndjson && swath run tasks --operation fail --params p.ndjson"#,
    },
];

/// Lists every operation.
#[must_use]
pub fn operations() -> &'static [OperationInfo] {
    OPERATIONS
}

/// Finds an operation by its name, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static OperationInfo> {
    let mut all = OPERATIONS.iter();
    all.find(|operation| operation.name.eq_ignore_ascii_case(name))
}

/// Lists the operations that `registry` knows and this catalogue does not: those a program registered, with their summaries.
pub fn registered(registry: &Registry) -> impl Iterator<Item = (&str, &'static str)> {
    registry.list().filter(|(name, _)| find(name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_task_is_listed() {
        assert_eq!(registered(&Registry::built_in()).count(), 0);
        for (name, _) in Registry::built_in().list() {
            assert!(
                find(name).is_some_and(|known| known.summary.starts_with("task: ")),
                "{name}"
            );
        }
    }

    #[test]
    fn an_operation_is_found_by_name_in_any_case() {
        assert_eq!(find("NDVI").map(|known| known.name), Some("ndvi"));
        assert_eq!(find("no-such-thing"), None);
    }

    #[test]
    fn an_example_names_its_operation_and_every_flag_it_must_have() {
        for operation in operations() {
            assert!(
                operation.example.contains(operation.name),
                "{}",
                operation.name
            );
            let raster: &[Parameter] = if operation.raster_output {
                RASTER_OUTPUT
            } else {
                &[]
            };
            for parameter in operation.parameters.iter().chain(raster) {
                let flag = parameter.name.split(' ').next().unwrap_or_default();
                let shown = !flag.starts_with('-') || operation.example.contains(flag);
                assert!(
                    parameter.default.is_some() || shown,
                    "{} {flag}",
                    operation.name
                );
            }
        }
    }
}
