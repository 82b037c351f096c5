//! Encoding one task's share of an output.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::writer::StreamWriter;

use super::columns::{Columns, encode_failed};
use super::geo::GeometryFacts;
use super::parquet::RowGroups;
use super::{Error, OutputFormat, PartFooter, text};
use crate::ports::BoxError;
use crate::query::Format;

/// Encodes the rows of one part; its bytes go out in pieces while they are made.
///
/// Of Parquet a row group is in memory, of other formats a batch.
#[derive(Debug)]
pub struct PartEncoder {
    columns: Columns,
    encoder: Encoder,
    geometry: Vec<GeometryFacts>,
    rows: u64,
    body_bytes: u64,
}

enum Encoder {
    Parquet(Box<RowGroups>),
    Csv,
    Ndjson,
    /// The place of the geometry.
    Geojson(usize),
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Parquet(_) => "Parquet",
            Self::Csv => "Csv",
            Self::Ndjson => "Ndjson",
            Self::Geojson(_) => "Geojson",
            Self::Arrow(_) => "Arrow",
        })
    }
}

/// Takes the bytes of a body, piece by piece.
pub type TakeBytes<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), BoxError>;

impl PartEncoder {
    /// Makes an encoder of rows of a schema; geometry columns are found by their fields.
    ///
    /// # Errors
    /// When the format cannot hold a column.
    pub fn new(format: &OutputFormat, schema: &SchemaRef) -> Result<Self, Error> {
        Self::within(format, schema, usize::MAX)
    }

    /// Makes an encoder that takes about so much memory at most: row groups of Parquet, which have 64 MiB otherwise,
    /// become smaller.
    ///
    /// # Errors
    /// As [`PartEncoder::new`].
    pub fn within(
        format: &OutputFormat,
        schema: &SchemaRef,
        memory_bytes: usize,
    ) -> Result<Self, Error> {
        let columns = Columns::new(format, schema)?;
        let failed = |source: BoxError| encode_failed(format.format, source);
        let encoder = match format.format {
            Format::Parquet => {
                let groups = RowGroups::new(&columns.schema, format.compression, memory_bytes);
                Encoder::Parquet(Box::new(groups.map_err(|e| failed(e.into()))?))
            }
            Format::Csv => Encoder::Csv,
            Format::Ndjson => Encoder::Ndjson,
            Format::Geojson => {
                let primary = columns.geometry.first().ok_or(Error::NoGeometry)?;
                Encoder::Geojson(primary.index)
            }
            Format::Arrow => {
                let writer = StreamWriter::try_new(Vec::new(), &columns.schema);
                Encoder::Arrow(Box::new(writer.map_err(|e| failed(e.into()))?))
            }
        };
        Ok(Self {
            geometry: vec![GeometryFacts::default(); columns.geometry.len()],
            columns,
            encoder,
            rows: 0,
            body_bytes: 0,
        })
    }

    /// Encodes rows, and hands on what is ready.
    ///
    /// # Errors
    /// When a value cannot be encoded, or `take` fails.
    pub fn write(&mut self, batch: &RecordBatch, take: TakeBytes<'_>) -> Result<(), Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.columns.change(batch, self.rows)?;
        for (column, facts) in self.columns.geometry.iter().zip(&mut self.geometry) {
            facts.add(column, batch.column(column.index), self.rows)?;
        }
        let first = self.rows == 0;
        let (format, encoded) = match &mut self.encoder {
            Encoder::Parquet(groups) => (Format::Parquet, groups.write(&batch).map_err(Into::into)),
            Encoder::Csv => (Format::Csv, text::csv(&batch, false).map_err(Into::into)),
            Encoder::Ndjson => (
                Format::Ndjson,
                text::ndjson(&batch, false).map_err(Into::into),
            ),
            Encoder::Geojson(geometry) => {
                let features = text::features(&batch, *geometry);
                let joined = features.map(|mut features| {
                    if !first {
                        features.splice(..0, *b",\n");
                    }
                    features
                });
                (Format::Geojson, joined)
            }
            Encoder::Arrow(stream) => {
                let written = stream.write(&batch).map_err(Into::into);
                (
                    Format::Arrow,
                    written.map(|()| std::mem::take(stream.get_mut())),
                )
            }
        };
        self.rows += batch.num_rows() as u64;
        let encoded: Vec<u8> = encoded.map_err(|source: BoxError| encode_failed(format, source))?;
        self.hand_on(&encoded, take)
    }

    /// Ends the part; hands on the rest of its bytes.
    ///
    /// # Errors
    /// As [`PartEncoder::write`].
    pub fn finish(mut self, take: TakeBytes<'_>) -> Result<PartFooter, Error> {
        let encoder = std::mem::replace(&mut self.encoder, Encoder::Csv);
        let (body, parquet) = match encoder {
            Encoder::Parquet(groups) => groups
                .finish()
                .map_err(|e| encode_failed(Format::Parquet, e))?,
            Encoder::Arrow(mut stream) => {
                stream
                    .finish()
                    .map_err(|e| encode_failed(Format::Arrow, e))?;
                (std::mem::take(stream.get_mut()), Vec::new())
            }
            Encoder::Csv | Encoder::Ndjson | Encoder::Geojson(_) => Default::default(),
        };
        self.hand_on(&body, take)?;
        Ok(PartFooter {
            rows: self.rows,
            body_bytes: self.body_bytes,
            geometry: self.geometry,
            parquet,
        })
    }

    fn hand_on(&mut self, bytes: &[u8], take: TakeBytes<'_>) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.body_bytes += bytes.len() as u64;
        take(bytes).map_err(|source| Error::Write { source })
    }
}
