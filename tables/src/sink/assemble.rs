//! One file from the parts of many tasks: bytes are moved, not decoded (but for Arrow, whose footer holds every batch).

use std::io::Write;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};

use super::columns::{Columns, encode_failed};
use super::format::Compression;
use super::geo::GeometryFacts;
use super::parquet::{Footers, MAGIC};
use super::{Error, OutputFormat, PartEncoder, PartFooter, text};
use crate::ports::BoxError;
use crate::query::Format;

/// Puts parts together into one file, in the order in which they are given; one part makes a file too.
#[derive(Debug)]
pub struct FileAssembler<W: Write> {
    format: OutputFormat,
    columns: Columns,
    out: Out<W>,
    footers: Footers,
    geometry: Vec<GeometryFacts>,
    stream: StreamDecoder,
    parts: usize,
    rows: u64,
    /// Bytes of the present part that are still to come.
    missing: u64,
    bytes: u64,
}

enum Out<W: Write> {
    Plain(W),
    Arrow(Box<FileWriter<W>>),
}

impl<W: Write> std::fmt::Debug for Out<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Arrow(_) => "Arrow",
        })
    }
}

/// What an assembled file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assembled {
    /// Rows of all parts.
    pub rows: u64,
    /// Bytes of all parts and what stands around them; of Arrow, bytes of the parts.
    pub bytes: u64,
}

impl<W: Write> FileAssembler<W> {
    /// Begins a file of rows of a schema: that which the parts' encoders were given.
    ///
    /// # Errors
    /// When `out` fails, or the format cannot hold a column.
    pub fn new(format: &OutputFormat, schema: &SchemaRef, out: W) -> Result<Self, Error> {
        let columns = Columns::new(format, schema)?;
        let out = match format.format {
            Format::Arrow => Out::Arrow(Box::new(arrow_file(format, &columns, out)?)),
            _ => Out::Plain(out),
        };
        let mut assembler = Self {
            format: *format,
            out,
            footers: Footers::default(),
            geometry: vec![GeometryFacts::default(); columns.geometry.len()],
            columns,
            stream: StreamDecoder::new(),
            parts: 0,
            rows: 0,
            missing: 0,
            bytes: 0,
        };
        let start = match format.format {
            Format::Parquet => MAGIC.to_vec(),
            Format::Csv => text::csv_header(&assembler.columns.schema)
                .map_err(|e| encode_failed(Format::Csv, e))?,
            Format::Geojson => text::features_start(&assembler.columns.schema).into_bytes(),
            Format::Ndjson | Format::Arrow => Vec::new(),
        };
        assembler.put(&start)?;
        Ok(assembler)
    }

    /// Begins the next part, whose body follows.
    ///
    /// # Errors
    /// When bytes of the part before are missing, or the footer does not fit the file.
    pub fn part(&mut self, footer: &PartFooter) -> Result<(), Error> {
        self.check_whole()?;
        if self.format.format == Format::Geojson && self.rows > 0 && footer.rows > 0 {
            self.put(b",\n")?;
        }
        if self.format.format == Format::Parquet {
            let added = self.footers.add(&footer.parquet, self.bytes);
            added.map_err(|error| damaged(error.to_string()))?;
        }
        if footer.geometry.len() != self.geometry.len() {
            return Err(damaged("it has other geometry columns".to_owned()));
        }
        for (all, part) in self.geometry.iter_mut().zip(&footer.geometry) {
            all.merge(part);
        }
        self.stream = StreamDecoder::new();
        self.parts += 1;
        self.rows += footer.rows;
        self.missing = footer.body_bytes;
        Ok(())
    }

    /// Adds bytes of the present part's body.
    ///
    /// # Errors
    /// When there are more than the part's footer says, or they cannot be written.
    pub fn body(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.missing = self
            .missing
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| damaged("it is longer than its footer says".to_owned()))?;
        match &mut self.out {
            Out::Plain(_) => self.put(bytes),
            Out::Arrow(file) => {
                self.bytes += bytes.len() as u64;
                let mut buffer = Buffer::from(bytes);
                let failed = |error: arrow::error::ArrowError| damaged(error.to_string());
                while let Some(batch) = self.stream.decode(&mut buffer).map_err(failed)? {
                    file.write(&batch).map_err(write_failed)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When bytes of the last part are missing, or the end cannot be written.
    pub fn finish(mut self) -> Result<(W, Assembled), Error> {
        self.check_whole()?;
        if self.parts == 0 && self.format.format == Format::Parquet {
            // The footer of a file without parts is that of a part without rows.
            let empty = PartEncoder::new(&self.format, &self.columns.schema)?;
            let footer = empty.finish(&mut |_| Ok(()))?;
            self.part(&footer)?;
        }
        let end = match self.format.format {
            Format::Parquet => std::mem::take(&mut self.footers)
                .finish(&self.columns.schema, &self.geometry)
                .map_err(|e| encode_failed(Format::Parquet, e))?,
            Format::Geojson => text::FEATURES_END.to_vec(),
            Format::Csv | Format::Ndjson | Format::Arrow => Vec::new(),
        };
        self.put(&end)?;
        let assembled = Assembled {
            rows: self.rows,
            bytes: self.bytes,
        };
        let mut out = match self.out {
            Out::Plain(out) => out,
            Out::Arrow(file) => file.into_inner().map_err(write_failed)?,
        };
        out.flush().map_err(write_failed)?;
        Ok((out, assembled))
    }

    fn check_whole(&self) -> Result<(), Error> {
        match self.missing {
            0 => Ok(()),
            missing => Err(damaged(format!("{missing} bytes of its body are missing"))),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        match &mut self.out {
            Out::Plain(out) => out.write_all(bytes).map_err(write_failed),
            Out::Arrow(_) => Ok(()),
        }
    }
}

fn arrow_file<W: Write>(
    format: &OutputFormat,
    columns: &Columns,
    out: W,
) -> Result<FileWriter<W>, Error> {
    let codec = match format.compression {
        Compression::Default | Compression::None => None,
        Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
        Compression::Zstd => Some(CompressionType::ZSTD),
        Compression::Snappy | Compression::Gzip => {
            let text = "Arrow IPC is compressed with lz4 or zstd, or not at all";
            return Err(encode_failed(Format::Arrow, text));
        }
    };
    IpcWriteOptions::default()
        .try_with_compression(codec)
        .and_then(|options| FileWriter::try_new_with_options(out, &columns.schema, options))
        .map_err(|e| encode_failed(Format::Arrow, e))
}

fn damaged(problem: String) -> Error {
    Error::Part { problem }
}

fn write_failed(source: impl Into<BoxError>) -> Error {
    Error::Write {
        source: source.into(),
    }
}
