//! Scenes to combine: files, a list of them, or the items of a STAC catalogue.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use swath::spec::{Scene, SceneLayer, StatedGrid};

use crate::failure::CliError;
use crate::job::{absolute, file_and_band};

#[derive(Debug, Args)]
pub(crate) struct SceneArguments {
    /// The rasters, each with all its bands or one
    #[arg(value_name = "FILE[@BAND]")]
    files: Vec<String>,
    /// A text file that names a raster a line; or a table (.csv) with a raster in each column, named in its first line
    #[arg(long, value_name = "FILE", conflicts_with = "stac")]
    list: Option<PathBuf>,
    /// A STAC item collection (JSON): a scene an item, a raster an asset
    #[arg(long, value_name = "FILE")]
    stac: Option<PathBuf>,
    /// The assets of STAC items, or columns of a table, that are the bands of the output, such as B04,B08
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    assets: Vec<String>,
    /// A band of classes: an asset or column (SCL@1), a band of the scene's own file (@4), or a file for each scene
    #[arg(long, value_name = "NAME[@BAND]")]
    mask: Vec<String>,
    /// Classes whose cells are left out, such as 3,8,9,10
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    mask_values: Vec<f64>,
}

fn wrong(message: impl Into<String>) -> CliError {
    CliError::asked("spec-scenes", message.into())
}

impl SceneArguments {
    pub(crate) fn into_spec(self) -> Result<(Vec<Scene>, Vec<f64>), CliError> {
        let scenes = match (&self.stac, &self.list) {
            (Some(path), _) => self.named(&stac_items(path)?, path)?,
            (None, Some(path)) if path.extension().is_some_and(|e| e == "csv") => {
                self.named(&table_rows(path)?, path)?
            }
            (None, list) => {
                let mut files = self.files.clone();
                if let Some(path) = list {
                    files.extend(lines(path)?);
                }
                self.plain(&files)?
            }
        };
        if (self.stac.is_some() || self.list.is_some()) && scenes.is_empty() {
            return Err(wrong("the list names no scene"));
        }
        Ok((scenes, self.mask_values))
    }

    /// A scene a file.
    fn plain(&self, files: &[String]) -> Result<Vec<Scene>, CliError> {
        if let Some(name) = self.assets.first() {
            return Err(wrong(format!(
                "--assets {name} goes with --stac, or with --list TABLE.csv"
            )));
        }
        let own = |mask: &String| mask.starts_with('@');
        if !self.mask.is_empty()
            && self.mask.len() != files.len()
            && !(self.mask.len() == 1 && self.mask.iter().all(own))
        {
            return Err(wrong(format!(
                "{} masks for {} scenes: give one --mask for each scene, --mask @BAND for a band of the scenes' own files, or a table with --list TABLE.csv",
                self.mask.len(),
                files.len()
            )));
        }
        let mut scenes = Vec::with_capacity(files.len());
        for (number, file) in files.iter().enumerate() {
            let (path, band) = file_and_band(file)?;
            let mask = self.mask.get(number).or_else(|| self.mask.first());
            let mask = match mask {
                None => None,
                Some(mask) if own(mask) => Some(SceneLayer {
                    path: path.clone(),
                    band: Some(own_band(mask)?),
                    grid: None,
                }),
                Some(mask) => {
                    let (path, band) = file_and_band(mask)?;
                    Some(SceneLayer {
                        path,
                        band,
                        grid: None,
                    })
                }
            };
            scenes.push(Scene {
                layers: vec![SceneLayer {
                    path,
                    band,
                    grid: None,
                }],
                mask,
            });
        }
        Ok(scenes)
    }

    /// A scene a row, whose files have names.
    fn named(&self, rows: &[Row], source: &Path) -> Result<Vec<Scene>, CliError> {
        if let Some(file) = self.files.first() {
            return Err(wrong(format!(
                "{file} and {}: give files or a list, not both",
                source.display()
            )));
        }
        if self.assets.is_empty() {
            let names = rows.first().map(Row::names).unwrap_or_default();
            return Err(wrong(format!(
                "choose with --assets which of {names} are the bands of the output"
            )));
        }
        let mask = match self.mask.as_slice() {
            [] => None,
            [mask] => Some(name_and_band(mask)?),
            _ => return Err(wrong("one --mask names the band of classes of all scenes")),
        };
        let folder = source.parent().unwrap_or_else(|| Path::new(""));
        rows.iter()
            .map(|row| {
                let layer = |(name, band): (&str, Option<u16>)| {
                    let file = row.find(name, source)?;
                    Ok::<_, CliError>(SceneLayer {
                        path: place(&file.path, folder)?,
                        // A band asked for by its number goes before the one that the name stands for.
                        band: band.or_else(|| file.band_named(name)),
                        grid: file.grid.clone(),
                    })
                };
                let layers = self.assets.iter().map(|asset| layer(name_and_band(asset)?));
                Ok(Scene {
                    layers: layers.collect::<Result<_, _>>()?,
                    mask: mask.map(layer).transpose()?,
                })
            })
            .collect()
    }
}

/// The files of a scene, by name.
struct Row {
    label: String,
    files: Vec<NamedFile>,
}

/// A file of a scene.
struct NamedFile {
    name: String,
    path: String,
    /// Other names of its bands, such as `B04` and `red`; none where it does not say.
    bands: Vec<Vec<String>>,
    grid: Option<StatedGrid>,
}

impl NamedFile {
    /// Returns the number of the band that has another name than the file's own, in a file of several.
    fn band_named(&self, wanted: &str) -> Option<u16> {
        if self.name == wanted || self.bands.len() < 2 {
            return None;
        }
        let has = |names: &Vec<String>| names.iter().any(|name| name == wanted);
        let number = self.bands.iter().position(has)?;
        u16::try_from(number + 1).ok()
    }
}

impl Row {
    fn names(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        names.join(", ")
    }

    /// Finds a file by its name, or by that of one of its bands: pictures made of several bands come last.
    fn find(&self, wanted: &str, source: &Path) -> Result<&NamedFile, CliError> {
        let has = |file: &&NamedFile| file.bands.iter().flatten().any(|name| name == wanted);
        let by_band = self.files.iter().filter(has);
        let found = self.files.iter().find(|file| file.name == wanted);
        let found = found.or_else(|| by_band.min_by_key(|file| file.bands.len()));
        found.ok_or_else(|| {
            wrong(format!(
                "{}: {} has no '{wanted}'; it has {}",
                source.display(),
                self.label,
                self.names()
            ))
        })
    }
}

fn own_band(mask: &str) -> Result<u16, CliError> {
    let band = mask
        .trim_start_matches('@')
        .parse()
        .ok()
        .filter(|band| *band > 0);
    band.ok_or_else(|| wrong(format!("--mask {mask} is not a band; bands count from 1")))
}

fn name_and_band(text: &str) -> Result<(&str, Option<u16>), CliError> {
    match text.rsplit_once('@') {
        None => Ok((text, None)),
        Some((name, band)) => Ok((name, Some(own_band(band)?))),
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))
}

/// A path in a list is relative to the list; a URL stays as it is.
fn place(path: &str, folder: &Path) -> Result<String, CliError> {
    if let Some(local) = path.strip_prefix("file://") {
        return absolute(local);
    }
    if path.contains("://") {
        return Ok(path.to_owned());
    }
    absolute(&folder.join(path).to_string_lossy())
}

fn lines(path: &Path) -> Result<Vec<String>, CliError> {
    let text = read(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let named = text.lines().map(str::trim);
    named
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| place(line, folder))
        .collect()
}

fn table_rows(path: &Path) -> Result<Vec<Row>, CliError> {
    let text = read(path)?;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let split = |line: &str| -> Vec<String> {
        line.split(',')
            .map(|field| field.trim().trim_matches('"').to_owned())
            .collect()
    };
    let names = lines.next().map(split).unwrap_or_default();
    let mut rows = Vec::new();
    for (number, line) in lines.enumerate() {
        let fields = split(line);
        let label = format!("line {}", number + 2);
        if fields.len() != names.len() {
            return Err(wrong(format!(
                "{}: {label} has {} fields, the first line names {}",
                path.display(),
                fields.len(),
                names.len()
            )));
        }
        rows.push(Row {
            label,
            files: names
                .iter()
                .zip(fields)
                .map(|(name, path)| NamedFile {
                    name: name.clone(),
                    path,
                    bands: Vec::new(),
                    grid: None,
                })
                .collect(),
        });
    }
    Ok(rows)
}

fn stac_items(path: &Path) -> Result<Vec<Row>, CliError> {
    let not = |problem: &str| {
        let message = format!(
            "{} is not a STAC item collection: {problem}",
            path.display()
        );
        wrong(message)
    };
    let document: Value =
        serde_json::from_str(&read(path)?).map_err(|error| not(&error.to_string()))?;
    let single = document.get("type").and_then(Value::as_str) == Some("Feature");
    let items = match document.get("features").and_then(Value::as_array) {
        Some(items) => items.clone(),
        None if single => vec![document],
        None => return Err(not("it has no list 'features'")),
    };
    let row = |item: &Value| {
        let id = item.get("id").and_then(Value::as_str).unwrap_or("?");
        let assets = item
            .get("assets")
            .and_then(Value::as_object)
            .ok_or_else(|| not(&format!("item {id} has no assets")))?;
        let properties = item.get("properties");
        let href = |(name, asset): (&String, &Value)| {
            let href = asset.get("href")?.as_str()?;
            Some(NamedFile {
                name: name.clone(),
                path: href.to_owned(),
                bands: band_names(asset),
                grid: stated_grid(asset, properties),
            })
        };
        Ok(Row {
            label: format!("item {id}"),
            files: assets.iter().filter_map(href).collect(),
        })
    };
    items.iter().map(row).collect()
}

/// Returns the names of an asset's bands, by the extension `eo` or the field `bands` of STAC 1.1.
fn band_names(asset: &Value) -> Vec<Vec<String>> {
    let bands = asset.get("eo:bands").or_else(|| asset.get("bands"));
    let names = |band: &Value| {
        let keys = ["name", "common_name", "eo:common_name"];
        let found = keys.iter().filter_map(|key| band.get(key)?.as_str());
        found.map(str::to_owned).collect()
    };
    let bands = bands.and_then(Value::as_array).into_iter().flatten();
    bands.map(names).collect()
}

/// Returns where the cells of an asset are, by the fields of the extension `proj`: its own go before those of the item.
fn stated_grid(asset: &Value, properties: Option<&Value>) -> Option<StatedGrid> {
    let field = |name: &str| {
        let own = asset.get(name).filter(|value| !value.is_null());
        own.or_else(|| properties?.get(name))
    };
    let crs = match field("proj:code").and_then(Value::as_str) {
        Some(code) => code.to_owned(),
        None => format!("EPSG:{}", field("proj:epsg")?.as_u64()?),
    };
    let [height, width] = field("proj:shape")?.as_array()?.as_slice() else {
        return None;
    };
    let cells = |size: &Value| u32::try_from(size.as_u64()?).ok();
    let numbers = field("proj:transform")?.as_array()?.iter();
    let numbers: Option<Vec<f64>> = numbers.map(Value::as_f64).collect();
    // Row by row as matrices are written; GDAL has the offsets first.
    let [across, row_x, left, col_y, down, top, ..] = *numbers?.as_slice() else {
        return None;
    };
    Some(StatedGrid {
        crs,
        transform: [left, across, row_x, top, col_y, down],
        width: cells(width)?,
        height: cells(height)?,
    })
}
