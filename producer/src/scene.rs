//! From a sensor and a scene to the file and band of each letter of a formula.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use swath::TaskOperation;
use swath::io::raster::read::RasterFile;
use swath::io::source::Sources;
use swath::ops::local::index::{self, Index};
use swath::ops::local::sensor::{self, Sensor, SensorBand, names_band};
use swath::spec::NamedInput;

use crate::failure::CliError;
use crate::job::{absolute, named_inputs};

/// Folders below a scene that are looked into.
const DEPTH_MAX: usize = 6;
/// Files of a scene that are looked at.
const FILES_MAX: usize = 10_000;

/// What `index` was given.
#[derive(Debug, clap::Args)]
pub(crate) struct IndexArguments {
    /// The name, such as EVI; several (NDVI,EVI) make a band each
    #[arg(
        value_name = "NAME[,NAME]",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    names: Vec<String>,
    /// A band of a formula and the file that holds it
    #[arg(
        short,
        long = "input",
        value_name = "BAND=FILE[@BAND]",
        required_unless_present = "scene"
    )]
    inputs: Vec<String>,
    /// What the scene is of: sentinel-2, landsat-4, -5, -7, -8, -9, modis or naip; also gives wavelengths
    #[arg(long, value_name = "NAME")]
    sensor: Option<String>,
    /// Folder with a file for each band, or one file with all of them; -i goes before it
    #[arg(long, value_name = "DIR|FILE", requires = "sensor")]
    scene: Option<String>,
    /// Multiply every sample by this first [default: 1; of a scene, what its product says]
    #[arg(long, allow_negative_numbers = true)]
    scale: Option<f64>,
    /// Then add this [default: 0; of a scene, what its product says]
    #[arg(long, allow_negative_numbers = true)]
    offset: Option<f64>,
    /// A constant of the formula, such as L=0.25 of SAVI
    #[arg(long = "constant", value_name = "NAME=NUMBER")]
    constants: Vec<String>,
}

impl IndexArguments {
    /// Makes the operation, with absolute paths.
    pub(crate) fn into_operation(self) -> Result<TaskOperation, CliError> {
        let mut inputs = named_inputs(&self.inputs)?;
        let mut constants = constants(&self.constants)?;
        let (mut scale, mut offset) = (1.0, 0.0);
        if let Some(name) = &self.sensor {
            let sensor = sensor::get(name).map_err(|error| asked("spec-sensor", &error))?;
            let indices = self.names.iter().map(|name| index::get(name));
            let indices: Vec<Index> = indices
                .collect::<Result<_, _>>()
                .map_err(|error| asked("spec-index", &error))?;
            for (constant, wavelength) in indices.iter().flat_map(|i| sensor.wavelengths_of(i)) {
                constants.entry(constant.to_owned()).or_insert(wavelength);
            }
            if let Some(scene) = &self.scene {
                let scene = Scene::open(&absolute(scene)?, sensor)?;
                for index in &indices {
                    scene.fill(index, &mut inputs)?;
                    check_thermal(index, self.scale)?;
                }
                let stored = sensor.reflectance(&scene.path);
                (scale, offset) = (stored.scale, stored.offset);
                if self.scale.is_none() || self.offset.is_none() {
                    let why = stored.why;
                    tracing::info!(scale, offset, why, "reflectance of the scene");
                }
            }
        }
        Ok(TaskOperation::Index {
            names: self.names,
            inputs,
            scale: self.scale.unwrap_or(scale),
            offset: self.offset.unwrap_or(offset),
            constants,
        })
    }
}

fn asked(code: &'static str, error: &dyn std::error::Error) -> CliError {
    CliError::asked(code, swath::job::failure::chain(error))
}

/// One scale is used for all bands, and a temperature has another one than a reflectance.
fn check_thermal(index: &Index, scale: Option<f64>) -> Result<(), CliError> {
    let thermal = index
        .bands
        .iter()
        .find(|band| matches!(**band, "T" | "T1" | "T2"));
    match (thermal, scale) {
        (Some(band), None) => Err(CliError::asked(
            "spec-scale",
            format!(
                "{} mixes a temperature ({band}) with reflectances, which products scale differently: bring the bands to kelvin and reflectance with calc first, or give --scale and --offset for all of them",
                index.name
            ),
        )),
        _ => Ok(()),
    }
}

fn constants(texts: &[String]) -> Result<BTreeMap<String, f64>, CliError> {
    let one = |text: &String| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    texts
        .iter()
        .map(|text| {
            one(text).ok_or_else(|| {
                let message = format!("'{text}' is not NAME=NUMBER, such as L=0.25");
                CliError::asked("spec-constant", message)
            })
        })
        .collect()
}

/// A scene: a file for each band, or one file.
struct Scene {
    path: String,
    sensor: &'static Sensor,
    files: Files,
}

enum Files {
    /// Sorted, the finest cells first where names tell.
    Each(Vec<PathBuf>),
    /// The names of the bands of one file, in order; empty where a band has none.
    One(Vec<String>),
}

impl Scene {
    fn open(path: &str, sensor: &'static Sensor) -> Result<Self, CliError> {
        let files = if Path::new(path).is_dir() {
            let mut files = Vec::new();
            collect(Path::new(path), DEPTH_MAX, &mut files);
            files.sort_by_key(|file| (cell_size(file), file.clone()));
            Files::Each(files)
        } else {
            Files::One(band_names(path, sensor)?)
        };
        Ok(Self {
            path: path.to_owned(),
            sensor,
            files,
        })
    }

    /// Adds the inputs that the formula needs and a person has not given.
    fn fill(&self, index: &Index, inputs: &mut Vec<NamedInput>) -> Result<(), CliError> {
        for letter in &index.bands {
            if inputs.iter().any(|input| input.name == *letter) {
                continue;
            }
            let Some(band) = self.sensor.band(letter) else {
                // Which says what the formula needs and the sensor has.
                let error = self.sensor.bands_of(index).err();
                let error = error.map_or_else(String::new, |error| error.to_string());
                return Err(CliError::asked("spec-sensor", error));
            };
            let (path, number) = self.find(index, band)?;
            inputs.push(NamedInput {
                name: (*letter).to_owned(),
                path,
                band: number,
            });
        }
        Ok(())
    }

    fn find(&self, index: &Index, band: &SensorBand) -> Result<(String, u16), CliError> {
        let found = match &self.files {
            Files::Each(files) => files
                .iter()
                .find(|file| {
                    let name = file.file_name().and_then(|name| name.to_str());
                    name.is_some_and(|name| names_band(name, band.name))
                })
                .and_then(|file| Some((file.to_str()?.to_owned(), 1))),
            Files::One(names) => names
                .iter()
                .position(|name| names_band(name, band.name))
                .and_then(|at| Some((self.path.clone(), u16::try_from(at + 1).ok()?))),
        };
        found.ok_or_else(|| {
            let what = match &self.files {
                Files::Each(files) => format!("none of the {} GeoTIFFs in", files.len()),
                Files::One(names) => format!("none of the bands ({}) of", names.join(", ")),
            };
            CliError::asked(
                "spec-scene",
                format!(
                    "{} needs {}; {what} {} is named {} ({} of {}): name it with -i {}=FILE@BAND",
                    index.name,
                    index.bands.join(", "),
                    self.path,
                    band.name,
                    band.letter,
                    self.sensor.name,
                    band.letter
                ),
            )
        })
    }
}

/// Lists the GeoTIFFs below a folder; what cannot be read is left out.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, files);
            }
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        let tiff =
            ending.is_some_and(|e| e.eq_ignore_ascii_case("tif") || e.eq_ignore_ascii_case("tiff"));
        if tiff && files.len() < FILES_MAX {
            files.push(path);
        }
    }
}

/// Reads the size of cells out of a name that ends in one: products have some bands in several.
fn cell_size(file: &Path) -> u32 {
    let stem = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("");
    let size = stem
        .rsplit('_')
        .next()
        .and_then(|word| word.strip_suffix('m'));
    size.and_then(|size| size.parse().ok()).unwrap_or(0)
}

/// Returns the names of a file's bands: those it states, else the sensor's order.
fn band_names(path: &str, sensor: &'static Sensor) -> Result<Vec<String>, CliError> {
    if sensor.one_file {
        return Ok(sensor
            .bands
            .iter()
            .map(|band| band.name.to_owned())
            .collect());
    }
    // Reading a header waits, and the command line has begun no job yet.
    let read = || -> Result<Vec<String>, swath::io::raster::read::Error> {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let file = RasterFile::open(&Sources::new()?, path).await?;
                let facts = file.facts();
                let names = facts.look.descriptions(facts.profile.bands);
                Ok(names)
            })
        })
    };
    read().map_err(|error| asked(error.code(), &error))
}
