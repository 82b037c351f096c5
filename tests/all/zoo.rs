//! Every raster of the shared data against what GDAL makes of it: read to the last bit, or refused by name.
//!
//! Expected values: `expected/tiff.json`, made with rasterio (see the data folder's README).

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use swath::for_samples;
use swath::grid::{Block, Samples, Window};
use swath::io::raster::read::RasterFile;
use swath::io::source::Sources;

use crate::shared::shared_data;

#[derive(Debug, Deserialize)]
struct Expected {
    tier: String,
    width: u32,
    height: u32,
    bands: u16,
    dtype: String,
    geotransform: Option<[f64; 6]>,
    epsg: Option<u32>,
    nodata: Option<String>,
    masks: Vec<String>,
    pixels_sha256: String,
    dataset_mask_sha256: Option<String>,
}

/// Files of tier `core` that are refused, each with a part of the reason. It must not grow silently.
const CORE_REFUSED: &[(&str, &str)] = &[
    ("zoo/gdal/geomatrix.tif", "rotated"),
    (
        "zoo/gdal/size_of_stripbytecount_at_1_and_lower_than_stripcount.tif",
        "lists 1 of 3 chunks",
    ),
    ("zoo/gdal/test3_with_mask_1bit.tif", "mask of 3 bands"),
    ("zoo/gdal/test3_with_mask_8bit.tif", "mask of 3 bands"),
    ("zoo/rasterio/rotated.tif", "rotated"),
    ("zoo_multi/nir_rot__u16_rotated_transform.tif", "rotated"),
];

/// Files whose CRS code is another than GDAL's: ours, then GDAL's.
///
/// We take the code that the keys name for the horizontal CRS. GDAL also looks definitions up in its database.
const EPSG_DIFFERS: &[(&str, Option<u32>, Option<u32>)] = &[
    // The keys spell a definition out without a code; GDAL finds the one it belongs to.
    ("zonal/rasterstats/all_nodata.tif", None, Some(9674)),
    ("zonal/rasterstats/dataset_mask.tif", None, Some(9674)),
    ("zonal/rasterstats/slope.tif", None, Some(9674)),
    ("zonal/rasterstats/slope_classes.tif", None, Some(9674)),
    ("zonal/rasterstats/slope_nodata.tif", None, Some(9674)),
    (
        "zoo/gdal/WGS_1984_Web_Mercator_Auxiliary_Sphere.tif",
        None,
        Some(3857),
    ),
    // Other keys change what the code means, so that GDAL drops the code.
    ("zoo/gdal/citation_mixedcase.tif", Some(2838), None),
    // Horizontal and vertical together: GDAL names the pair, or nothing.
    ("zoo/gdal/compdcrs_no_citation.tif", Some(32617), None),
    ("zoo/gdal/epsg32631_4979_geotiff1_1.tif", Some(32631), None),
    (
        "zoo/gdal/epsg4326_5030_geotiff1_1.tif",
        Some(4326),
        Some(4979),
    ),
    ("zoo/gdal/epsg4979_geotiff1_1.tif", Some(4326), Some(4979)),
    // As citation_mixedcase.tif.
    ("zoo/gdal/epsg_2193_override.tif", Some(2193), None),
    // As rasterstats above.
    (
        "zoo/gdal/esri_pcs_gcs_ellipsoid_names.tif",
        None,
        Some(3024),
    ),
    ("zoo/gdal/projection_3856.tif", None, Some(3857)),
    ("zoo/gdal/spaf27_correct.tif", None, Some(26746)),
    ("zoo/gdal/spaf27_markedcorrect.tif", None, Some(26746)),
    ("zoo/libgeotiff_crs/cassini_soldner.tif", None, Some(28191)),
    (
        "zoo/libgeotiff_crs/hotine_oblique_mercator_variant_a.tif",
        None,
        Some(6808),
    ),
    (
        "zoo/libgeotiff_crs/lambert_azimuthal_equal_area.tif",
        None,
        Some(3035),
    ),
    ("zoo/libgeotiff_crs/lcc1sp.tif", None, Some(5456)),
    ("zoo/libgeotiff_crs/mercator1sp.tif", None, Some(5329)),
    (
        "zoo/libgeotiff_crs/new_zealand_mapping_grid.tif",
        None,
        Some(27200),
    ),
    (
        "zoo/libgeotiff_crs/oblique_stereographic.tif",
        None,
        Some(5588),
    ),
    (
        "zoo/libgeotiff_crs/polar_stereographic_variant_b.tif",
        None,
        Some(3032),
    ),
    (
        "zoo/libgeotiff_crs/transverse_mercator.tif",
        None,
        Some(3814),
    ),
    // The keys are of its control points.
    ("zoo/rio-tiler/cog_gcps_ovr.tif", Some(4326), None),
];

fn load_expected(root: &Path) -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(root.join("expected/tiff.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn read(file: &RasterFile, bands: &[u16], window: Window) -> Result<Block, String> {
    let text = |e: &dyn std::error::Error| swath::job::failure::chain(e);
    let encoded = file.fetch(bands, window).await.map_err(|e| text(&e))?;
    let promised = encoded.decoded_bytes();
    let block = encoded.decode().map_err(|e| text(&e))?;
    let masked = block.mask.as_ref().map_or(0, Vec::len);
    let held: usize = block
        .bands
        .iter()
        .map(|b| b.len() * b.dtype().bytes())
        .sum();
    assert!(
        (held + masked) as u64 <= promised,
        "{promised} bytes are promised"
    );
    Ok(block)
}

fn sha256_of_bands(block: &Block) -> String {
    let mut hash = Sha256::new();
    for band in &block.bands {
        for_samples!(band, v => {
            let bytes: Vec<u8> = v.iter().flat_map(|s| s.to_le_bytes()).collect();
            hash.update(&bytes);
        });
    }
    format!("{:x}", hash.finalize())
}

fn sha256_of_mask(block: &Block) -> String {
    let cells = block.cols as usize * block.rows as usize;
    let mask: Vec<u8> = match &block.mask {
        Some(mask) => mask.iter().map(|v| if *v { 255 } else { 0 }).collect(),
        None => vec![255; cells],
    };
    format!("{:x}", Sha256::digest(&mask))
}

/// Cuts a length at random places, so that windows begin and end within chunks.
fn cuts(rng: &mut StdRng, len: u32) -> Vec<(u32, u32)> {
    let mut at: Vec<u32> = (0..3).map(|_| rng.random_range(0..len)).collect();
    at.extend([0, len]);
    at.sort_unstable();
    at.dedup();
    at.windows(2).map(|w| (w[0], w[1] - w[0])).collect()
}

/// Compares random windows, each with its bands in random order, with the same cells of the whole.
async fn check_windows(file: &RasterFile, whole: &Block, seed: u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    for (row, rows) in cuts(&mut rng, whole.rows) {
        for (col, cols) in cuts(&mut rng, whole.cols) {
            let window = Window {
                col,
                row,
                cols,
                rows,
            };
            let mut bands: Vec<u16> = (1..=whole.bands.len() as u16).collect();
            bands.shuffle(&mut rng);
            bands.truncate(rng.random_range(1..=bands.len()));
            let part = read(file, &bands, window).await?;
            for (slot, band) in bands.iter().enumerate() {
                let expected = cut(&whole.bands[*band as usize - 1], whole.cols, &window);
                if !same(&part.bands[slot], &expected) {
                    return Err(format!(
                        "window {window} of band {band} differs (seed {seed})"
                    ));
                }
            }
            let all = |len| vec![true; len];
            let mask = whole
                .mask
                .clone()
                .unwrap_or_else(|| all(whole.bands[0].len()));
            let expected = cut_vec(&mask, whole.cols, &window);
            if part.mask.unwrap_or_else(|| all(expected.len())) != expected {
                return Err(format!("the mask of window {window} differs (seed {seed})"));
            }
        }
    }
    Ok(())
}

fn cut_vec<T: Copy>(all: &[T], width: u32, w: &Window) -> Vec<T> {
    (w.row..w.row_end())
        .flat_map(|row| {
            let start = row as usize * width as usize + w.col as usize;
            all[start..start + w.cols as usize].to_vec()
        })
        .collect()
}

fn cut(all: &Samples, width: u32, window: &Window) -> Vec<u8> {
    for_samples!(all, v => cut_vec(v, width, window).iter().flat_map(|s| s.to_ne_bytes()).collect())
}

fn same(samples: &Samples, bytes: &[u8]) -> bool {
    for_samples!(samples, v => v.iter().flat_map(|s| s.to_ne_bytes()).eq(bytes.iter().copied()))
}

/// What became of one file.
enum Outcome {
    Read { epsg: Option<u32> },
    Refused(String),
    Wrong(String),
}

async fn check(root: &Path, name: &str, expected: &Expected) -> Outcome {
    let sources = Sources::new().unwrap();
    let path = root.join(name);
    let file = match RasterFile::open(&sources, path.to_str().unwrap()).await {
        Ok(file) => file,
        Err(error) => return Outcome::Refused(swath::job::failure::chain(&error)),
    };
    let facts = file.facts();
    let profile = &facts.profile;
    let mut wrong = Vec::new();
    let mut compare = |what: &str, got: String, wanted: String| {
        if got != wanted {
            wrong.push(format!("{what} is {got}, not {wanted}"));
        }
    };
    compare(
        "size",
        format!("{}x{}x{}", profile.width, profile.height, profile.bands),
        format!("{}x{}x{}", expected.width, expected.height, expected.bands),
    );
    compare("type", profile.dtype.to_string(), expected.dtype.clone());
    compare(
        "transform",
        format!("{:?}", profile.transform.map(|t| t.0)),
        format!("{:?}", expected.geotransform),
    );
    let number = |text: &String| text.parse::<f64>().unwrap();
    compare(
        "nodata",
        format!("{:?}", profile.nodata),
        format!("{:?}", expected.nodata.as_ref().map(number)),
    );
    let bands: Vec<u16> = (1..=profile.bands).collect();
    let window = Window::whole(profile.width, profile.height);
    match read(&file, &bands, window).await {
        Err(error) => return Outcome::Refused(error),
        Ok(block) => {
            compare(
                "pixels",
                sha256_of_bands(&block),
                expected.pixels_sha256.clone(),
            );
            if expected.masks == ["per_dataset"] {
                assert!(facts.masked || profile.bands > 1, "{name} has a mask");
            }
            if facts.masked {
                let wanted = expected.dataset_mask_sha256.clone().unwrap_or_default();
                compare("mask", sha256_of_mask(&block), wanted);
            }
            // Large rasters take their time in a debug build; one cut each is enough of them.
            let seeds = if window.cells() > 500_000 { 1 } else { 3 };
            for seed in 0..seeds {
                if let Err(problem) = check_windows(&file, &block, seed).await {
                    compare("windows", problem, "the same".to_owned());
                }
            }
        }
    }
    if !wrong.is_empty() {
        return Outcome::Wrong(wrong.join("; "));
    }
    Outcome::Read {
        epsg: profile.crs.epsg,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_raster_of_the_zoo_is_read_right_or_refused_by_name() {
    let Some(root) = shared_data() else { return };
    let expected = load_expected(&root);
    let mut refused = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut epsg_differs = Vec::new();
    let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for (name, expected) in &expected {
        let outcome = check(&root, name, expected).await;
        let verdict = match &outcome {
            Outcome::Read { epsg } => {
                if *epsg != expected.epsg {
                    epsg_differs.push((name.as_str(), *epsg, expected.epsg));
                }
                "read"
            }
            Outcome::Refused(_) => "refused",
            Outcome::Wrong(_) => "WRONG",
        };
        *counts.entry((expected.tier.clone(), verdict)).or_default() += 1;
        let why = match outcome {
            Outcome::Read { .. } => String::new(),
            Outcome::Refused(why) => {
                if expected.tier == "core" {
                    refused.insert(name.as_str(), why.clone());
                }
                why.split("as a raster: ")
                    .last()
                    .unwrap_or_default()
                    .to_owned()
            }
            Outcome::Wrong(why) => {
                wrong.push(format!("{name}: {why}"));
                why
            }
        };
        println!("| {name} | {} | {verdict} | {why} |", expected.tier);
    }
    println!("{counts:?}");
    println!("EPSG differs: {epsg_differs:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let listed: Vec<&str> = CORE_REFUSED.iter().map(|(name, _)| *name).collect();
    let found: Vec<&str> = refused.keys().copied().collect();
    assert_eq!(found, listed, "{refused:#?}");
    for (name, reason) in CORE_REFUSED {
        let why = &refused[name];
        assert!(why.contains(reason), "{name}: {why}");
    }
    assert_eq!(epsg_differs, EPSG_DIFFERS);
}
