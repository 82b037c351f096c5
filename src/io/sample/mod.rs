//! A generated scene to try things on: five bands, elevation, zones.
//!
//! Every cell depends on the seed and its own place only, so the scene is made tile by tile, on all cores, in
//! bounded memory, and the same options give the same bytes. `landscape` says what is where, `noise` is
//! its randomness, `zones` the polygons.

mod landscape;
mod noise;
mod zones;

use std::fs::File;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::landscape::{Landscape, NO_DATA};
use crate::grid::pyramid::PyramidLayout;
use crate::grid::{Affine, Block, Crs, DataType, RasterProfile, Samples};
use crate::io::raster::cog::{self, CogWriter};
use crate::io::raster::encode::{self, TileEncoder, TileFormat};
use crate::spec::Compression;

/// Cells along the edge of a tile.
const TILE: u32 = 512;
/// Tiles in memory at once.
const TILES_AT_ONCE: usize = 32;
/// The largest scene, in cells along an edge.
pub const SIZE_MAX: u32 = 200_000;
/// Metres along the edge of a cell.
const CELL_M: f64 = 10.0;
/// The upper left corner, in metres of EPSG:32630.
const CORNER_M: (f64, f64) = (300_000.0, 5_900_000.0);
/// The rasters, in the order in which [`Landscape`] gives the bands, elevation last.
const RASTERS: [&str; 6] = [
    "blue.tif",
    "green.tif",
    "red.tif",
    "nir.tif",
    "swir.tif",
    "dem.tif",
];

/// What scene to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleOptions {
    /// Cells along each edge, 1 to [`SIZE_MAX`].
    pub size: u32,
    /// Which landscape: the same seed and size give the same bytes.
    pub seed: u64,
    /// Whether existing files may be replaced.
    pub overwrite: bool,
}

/// Says why no scene was generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The size is none that can be made.
    #[error("a scene of {size} cells cannot be made; give --size from 1 to {SIZE_MAX}")]
    Size {
        /// The size asked for.
        size: u32,
    },
    /// A file is there already.
    #[error("{} exists; give --overwrite to replace it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `progress` said so.
    #[error("the scene was not written to its end")]
    Interrupted,
    /// A tile cannot be encoded.
    #[error("a tile of the scene cannot be encoded")]
    Encode(#[from] encode::Error),
    /// A raster cannot be written.
    #[error("a raster of the scene cannot be written")]
    Cog(#[from] cog::Error),
    /// The zones cannot be written.
    #[error("the zones cannot be written")]
    Zones(#[from] parquet::errors::ParquetError),
    /// The zones cannot be put into columns.
    #[error("the zones cannot be put into columns")]
    Columns(#[from] arrow::error::ArrowError),
}

/// Generates a scene in a folder, which is made when it is not there.
///
/// The files are `blue`, `green`, `red`, `nir` and `swir.tif` (reflectance × 10,000 as u16, 0 is no data),
/// `dem.tif` (metres as f32), `zones.parquet` (GeoParquet) and `zones.geojson` (with a `crs` member: its
/// coordinates are metres of EPSG:32630, as those of all files). Each appears under its name when it is whole.
///
/// - `progress` is told rows of tiles done, and how many there are; when it breaks, nothing is written.
/// - Returns the files.
///
/// # Errors
/// When a file exists and may not be replaced, or cannot be written.
pub fn write_sample(
    dir: &Path,
    options: &SampleOptions,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Vec<PathBuf>, Error> {
    let SampleOptions {
        size,
        seed,
        overwrite,
    } = *options;
    if !(1..=SIZE_MAX).contains(&size) {
        return Err(Error::Size { size });
    }
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    let names = RASTERS.iter().chain(&["zones.parquet", "zones.geojson"]);
    let paths: Vec<PathBuf> = names.map(|name| dir.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| !overwrite && path.exists()) {
        return Err(Error::Exists { path: path.clone() });
    }
    // Temporary files in the same folder, removed when anything fails.
    let files = paths.iter().map(|_| tempfile::NamedTempFile::new_in(dir));
    let files = files.collect::<Result<Vec<_>, _>>().map_err(at(dir))?;
    write_rasters(&files, size, seed, progress)?;
    let zones = zones::zones(size, seed);
    if let [.., parquet, geojson] = files.as_slice() {
        zones::write_parquet(parquet.as_file(), &zones)?;
        zones::write_geojson(geojson.as_file(), &zones).map_err(at(dir))?;
    }
    for (file, path) in files.into_iter().zip(&paths) {
        readable(file.as_file()).map_err(at(path))?;
        file.persist(path).map_err(|error| Error::Write {
            path: path.clone(),
            source: error.error,
        })?;
    }
    Ok(paths)
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Write { path, source }
}

/// Temporary files are for their owner only; a scene is for everybody.
fn readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// What the raster of a number holds.
fn profile(size: u32, number: usize) -> RasterProfile {
    let dem = number + 1 == RASTERS.len();
    RasterProfile {
        width: size,
        height: size,
        bands: 1,
        dtype: if dem {
            DataType::Float32
        } else {
            DataType::UInt16
        },
        nodata: Some(if dem { -9999.0 } else { f64::from(NO_DATA) }),
        crs: Crs {
            epsg: Some(32630),
            // Version 1.1.0 with three keys: a projected model, cells are areas, the code of the CRS.
            key_directory: vec![1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32630],
            double_params: Vec::new(),
            ascii_params: String::new(),
        },
        transform: Some(Affine::north_up(CORNER_M.0, CORNER_M.1, CELL_M, CELL_M)),
        pixel_is_point: false,
    }
}

fn format(profile: &RasterProfile) -> TileFormat {
    TileFormat {
        tile: TILE,
        dtype: profile.dtype,
        bands: 1,
        compression: Compression::Deflate,
        nodata: profile.nodata,
    }
}

fn write_rasters(
    files: &[tempfile::NamedTempFile],
    size: u32,
    seed: u64,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let layout = PyramidLayout::new(size, size, TILE, false, (TILE, TILE));
    let mut writers = Vec::with_capacity(RASTERS.len());
    for (number, file) in files.iter().take(RASTERS.len()).enumerate() {
        let profile = profile(size, number);
        let out = BufWriter::with_capacity(1 << 20, file.as_file());
        writers.push(CogWriter::new(out, &profile, &layout, &format(&profile))?);
    }
    let landscape = Landscape::new(size, seed);
    let (across, down) = layout.level_tiles(0);
    for row in 0..down {
        let cols: Vec<u32> = (0..across).collect();
        for cols in cols.chunks(TILES_AT_ONCE) {
            let tiles: Vec<_> = cols
                .par_iter()
                .map(|col| encode_tile(&landscape, size, (*col, row)))
                .collect::<Result<_, _>>()?;
            for (col, tiles) in cols.iter().zip(tiles) {
                for (writer, tile) in writers.iter_mut().zip(tiles) {
                    writer.write_tile(0, *col, row, &tile)?;
                }
            }
        }
        if progress(u64::from(row) + 1, u64::from(down)).is_break() {
            return Err(Error::Interrupted);
        }
    }
    for writer in writers {
        writer.finish()?;
    }
    Ok(())
}

/// Makes a tile of every raster.
fn encode_tile(
    landscape: &Landscape,
    size: u32,
    (col, row): (u32, u32),
) -> Result<Vec<Vec<u8>>, Error> {
    let (left, top) = (col * TILE, row * TILE);
    let (cols, rows) = (TILE.min(size - left), TILE.min(size - top));
    let tile = landscape.tile((left, top), (cols, rows));
    let bands = tile.bands.into_iter().map(Samples::UInt16);
    let samples = bands.chain([Samples::Float32(tile.elevation_m)]);
    samples
        .enumerate()
        .map(|(number, samples)| {
            let profile = profile(size, number);
            let nodata = profile.nodata;
            let block = Block {
                cols,
                rows,
                bands: vec![samples],
                nodata,
                mask: None,
            };
            Ok(TileEncoder::new(format(&profile)).encode(&block, 0, 0)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(size: u32, seed: u64) -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let options = SampleOptions {
            size,
            seed,
            overwrite: false,
        };
        let files =
            write_sample(dir.path(), &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
        let again =
            write_sample(dir.path(), &options, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(again, Error::Exists { .. }));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), files.len());
        files
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let first = sample(600, 5);
        assert_eq!(first.len(), 8);
        assert!(first == sample(600, 5));
        let other = sample(600, 6);
        assert!(first.iter().zip(&other).all(|(a, b)| a != b));
    }

    #[test]
    fn a_scene_that_is_interrupted_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let options = SampleOptions {
            size: 1200,
            seed: 1,
            overwrite: false,
        };
        let mut stop_at_two = |done, _| match done {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let error = write_sample(dir.path(), &options, &mut stop_at_two).unwrap_err();
        assert!(matches!(error, Error::Interrupted));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_scene_without_cells_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let options = SampleOptions {
            size: 0,
            seed: 1,
            overwrite: false,
        };
        let error =
            write_sample(dir.path(), &options, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
        assert!(error.to_string().contains("--size"));
    }

    #[test]
    fn a_cell_does_not_depend_on_the_tile_that_it_is_made_in() {
        let landscape = Landscape::new(1000, 3);
        let whole = landscape.tile((100, 200), (40, 30));
        let part = landscape.tile((110, 205), (5, 4));
        for row in 0..4 {
            for col in 0..5 {
                let (a, b) = (row * 5 + col, (row + 5) * 40 + col + 10);
                assert_eq!(part.elevation_m[a], whole.elevation_m[b]);
                for (part, whole) in part.bands.iter().zip(&whole.bands) {
                    assert_eq!(part[a], whole[b]);
                }
            }
        }
    }
}
