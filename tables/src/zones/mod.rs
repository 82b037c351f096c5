//! Polygons with attributes, to compute with: from every format that a table has, from Shapefile and `FlatGeobuf`.
//!
//! [`read_zones`] opens a file and gives its rows in order; [`Zones::polygons`] takes the polygons out of a batch.
//! Shapefile and `FlatGeobuf` are read whole, as GeoJSON is: a file of them takes its size of memory, twice for a moment.

mod columns;
mod error;
mod flatgeobuf;
mod shapefile;

use std::panic::AssertUnwindSafe;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use futures::{StreamExt, TryStreamExt};

pub use error::ZonesError;

use crate::geometry::{Crs, Encoding, GeometryColumn, Rings, polygons, primary_geometry};
use crate::sink::geometry_values;
use crate::source::{SourceContext, panic_text, whole_file};
use crate::{BatchStream, BoxError, Format, NamedTable};

/// Rows of a batch that is made here.
const BATCH_ROWS: usize = 8192;

/// The rows of a file of polygons.
pub struct Zones {
    path: String,
    /// The columns, the geometry among them.
    pub schema: SchemaRef,
    rows: BatchStream,
    geometry: GeometryColumn,
}

impl std::fmt::Debug for Zones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zones")
            .field("path", &self.path)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

/// Opens a file of polygons.
///
/// # Errors
/// When it cannot be read, is of no known format, or has no geometries.
pub async fn read_zones(
    path: &str,
    format: Option<Format>,
    sources: &SourceContext,
) -> Result<Zones, ZonesError> {
    let (schema, rows) = match (format, extension(path).as_str()) {
        (None, "gpkg") => {
            return Err(ZonesError::GeoPackage {
                path: path.to_owned(),
            });
        }
        (None, "shp") => {
            let files = shapefile::Files::fetch(path, sources).await?;
            in_memory(path, || files.batches())?
        }
        (None, "fgb") => {
            let bytes = fetch(path, sources).await?;
            in_memory(path, || flatgeobuf::batches(&bytes))?
        }
        (format, _) => {
            let table = NamedTable {
                name: "zones".to_owned(),
                paths: vec![path.to_owned()],
                format,
            };
            crate::read(&table, sources).await?
        }
    };
    let path = path.to_owned();
    match primary_geometry(&schema) {
        Some(geometry) => Ok(Zones {
            path,
            schema,
            rows,
            geometry,
        }),
        None => Err(ZonesError::NoGeometry { path }),
    }
}

fn extension(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.to_ascii_lowercase()
}

async fn fetch(path: &str, sources: &SourceContext) -> Result<bytes::Bytes, ZonesError> {
    let fetched = whole_file(path, sources).await;
    fetched.map_err(|source| ZonesError::File {
        source: Box::new(source),
    })
}

type Decoded = (SchemaRef, Vec<RecordBatch>);

/// Runs a decoder that may panic on a damaged file, and makes a stream of its batches.
fn in_memory(
    path: &str,
    decode: impl FnOnce() -> Result<Decoded, BoxError>,
) -> Result<(SchemaRef, BatchStream), ZonesError> {
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(decode));
    let failed = |source: BoxError| ZonesError::Decode {
        path: path.to_owned(),
        source,
    };
    let decoded = decoded.map_err(|panic| failed(panic_text(panic.as_ref()).into()))?;
    let (schema, batches) = decoded.map_err(failed)?;
    Ok((
        schema,
        futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
    ))
}

impl Zones {
    /// Returns the next rows, in the order of the file.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ZonesError> {
        let next = self.rows.try_next().await;
        next.map_err(|error| match error.downcast::<DataFusionError>() {
            Ok(source) => ZonesError::Table(crate::Error::Run { source }),
            Err(source) => ZonesError::Decode {
                path: self.path.clone(),
                source,
            },
        })
    }

    /// Returns the place of the geometry among the columns.
    #[must_use]
    pub fn geometry(&self) -> usize {
        self.geometry.index
    }

    /// Returns the CRS as a code (`EPSG:32633`), WKT or PROJJSON; `None` when the file does not say.
    #[must_use]
    pub fn crs(&self) -> Option<String> {
        match &self.geometry.crs {
            Crs::Unknown => None,
            crs => crs.code().or_else(|| match crs {
                Crs::Text(text) => Some(text.clone()),
                Crs::Projjson(object) => Some(object.to_string()),
                Crs::Wgs84 | Crs::Unknown => None,
            }),
        }
    }

    /// Returns the polygons of each row; none for a null or an empty geometry.
    ///
    /// - `rows_before`: rows of the file before the batch, to name one that is wrong.
    ///
    /// # Errors
    /// When a geometry is damaged, or is no polygon.
    pub fn polygons(
        &self,
        batch: &RecordBatch,
        rows_before: u64,
    ) -> Result<Vec<Vec<Rings>>, ZonesError> {
        let column = batch.column(self.geometry.index);
        let wrong = |row: usize, problem: &str| ZonesError::Geometry {
            path: self.path.clone(),
            row: rows_before + row as u64,
            problem: problem.to_owned(),
        };
        let converted = match self.geometry.encoding {
            Encoding::Wkb => column.clone(),
            Encoding::Wkt | Encoding::Native => {
                let field = batch.schema_ref().field(self.geometry.index).clone();
                crate::sink::to_wkb_column(&field.into(), column)
                    .map_err(|error| wrong(0, &error.to_string()))?
            }
        };
        debug_assert_eq!(converted.len(), batch.num_rows());
        let one = |(row, wkb): (usize, Option<&[u8]>)| match wkb {
            None => Ok(Vec::new()),
            Some(wkb) => polygons(wkb).map_err(|problem| wrong(row, problem)),
        };
        geometry_values(&converted).enumerate().map(one).collect()
    }
}
