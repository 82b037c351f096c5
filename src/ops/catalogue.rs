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
        "float32; convert: the input's",
    ),
    optional(
        "--nodata VALUE",
        "the value that means no data; integer types need one",
        "NaN; convert: the input's",
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
        summary: "any spectral index of the catalogue, by name",
        parameters: &[
            required(
                "NAME",
                "short name of the index, in any case: EVI, SAVI, NDWI, ...",
            ),
            required(
                "-i BAND=FILE[@BAND]",
                "each band of the formula, once: N, R, G, B, S1, S2, RE1, T, VV, ...; or --sensor and --scene",
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
        summary: "band math: one expression over the cells of any number of bands",
        parameters: &[
            required(
                "-i NAME=FILE[@BAND]",
                "an input and its name in the expression",
            ),
            required(
                "--calc EXPR",
                "infix math, comparisons, c ? a : b, where min max abs sqrt log clamp isnan ...; no data propagates",
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
        assert_eq!(find("hillshade"), None);
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
