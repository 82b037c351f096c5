//! Parquet in parts: row groups whose bytes need not change when they move.
//!
//! A part is written as a file of its own; its body is what stands between the magic and the footer. Offsets are all in
//! the footer, so that whoever assembles a file shifts those and moves bytes. Indexes of pages are not written: theirs
//! are spread over the file.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::arrow::encode_arrow_schema;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::columns::plain_type;
use super::format::Compression;
use super::geo::{GeometryFacts, metadata};

/// The first bytes of a file, and its last.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";
const ROW_GROUP_ROWS: usize = 1 << 20;
const ROW_GROUP_BYTES: usize = 64 << 20;
const ROW_GROUP_BYTES_MIN: usize = 1 << 20;
/// A row group is in memory as encoded pages, and once more as the bytes that are handed on; dictionaries come on top.
const ROW_GROUPS_IN_MEMORY: usize = 3;
/// Length and magic behind a footer.
const TAIL_BYTES: usize = 8;

/// Encodes row groups.
#[derive(Debug)]
pub(super) struct RowGroups {
    writer: ArrowWriter<Vec<u8>>,
    magic_left: usize,
}

impl RowGroups {
    /// - `memory_bytes`: what the encoder may take; a row group is the smaller for it.
    pub(super) fn new(
        schema: &SchemaRef,
        compression: Compression,
        memory_bytes: usize,
    ) -> Result<Self, ParquetError> {
        let group_bytes = memory_bytes / ROW_GROUPS_IN_MEMORY;
        let codec = match compression {
            Compression::Default | Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Lz4 => Codec::LZ4_RAW,
            Compression::Gzip => Codec::GZIP(GzipLevel::default()),
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(
                group_bytes.clamp(ROW_GROUP_BYTES_MIN, ROW_GROUP_BYTES),
            ))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(concat!("swath ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        Ok(Self {
            writer: ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?,
            magic_left: MAGIC.len(),
        })
    }

    /// Encodes rows; returns the bytes of row groups that are complete.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
        let groups = self.writer.flushed_row_groups().len();
        self.writer.write(batch)?;
        match self.writer.flushed_row_groups().len() > groups {
            true => self.take(),
            false => Ok(Vec::new()),
        }
    }

    /// Ends the last row group; returns its bytes, and the footer.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<u8>), ParquetError> {
        self.writer.flush()?;
        let body = self.take()?;
        self.writer.finish()?;
        let mut footer = self.take()?;
        footer.truncate(footer.len().saturating_sub(TAIL_BYTES));
        Ok((body, footer))
    }

    fn take(&mut self) -> Result<Vec<u8>, ParquetError> {
        self.writer.sync()?;
        let mut bytes = std::mem::take(self.writer.inner_mut());
        let magic = self.magic_left.min(bytes.len());
        self.magic_left -= magic;
        bytes.drain(..magic);
        Ok(bytes)
    }
}

/// Gathers footers of parts into one.
#[derive(Debug, Default)]
pub(super) struct Footers {
    groups: Vec<RowGroupMetaData>,
    first: Option<FileMetaData>,
    rows: i64,
}

impl Footers {
    /// Adds a part whose body begins at an offset of the file.
    pub(super) fn add(&mut self, footer: &[u8], body_start: u64) -> Result<(), ParquetError> {
        let metadata = ParquetMetaDataReader::decode_metadata(footer)?;
        let magic = i64::try_from(MAGIC.len())?;
        let shift = i64::try_from(body_start)? - magic;
        for group in metadata.row_groups() {
            let ordinal = i16::try_from(self.groups.len()).ok();
            self.groups.push(shifted(group, shift, ordinal)?);
        }
        self.rows += metadata.file_metadata().num_rows();
        if self.first.is_none() {
            self.first = Some(metadata.file_metadata().clone());
        }
        Ok(())
    }

    /// Returns the bytes behind the last body.
    pub(super) fn finish(
        self,
        schema: &Schema,
        geometry: &[GeometryFacts],
    ) -> Result<Vec<u8>, ParquetError> {
        let first = self
            .first
            .ok_or_else(|| ParquetError::General("no part".to_owned()))?;
        let plain = |field: &Arc<Field>| {
            let data_type = plain_type(field.data_type(), false);
            field.as_ref().clone().with_data_type(data_type)
        };
        let fields: Vec<Field> = schema.fields().iter().map(plain).collect();
        let arrow = encode_arrow_schema(&Schema::new(fields));
        let mut pairs = vec![KeyValue::new("ARROW:schema".to_owned(), arrow)];
        let geo = metadata(schema, geometry);
        pairs.extend(geo.map(|geo| KeyValue::new("geo".to_owned(), geo)));
        let file = FileMetaData::new(
            first.version(),
            self.rows,
            first.created_by().map(str::to_owned),
            Some(pairs),
            first.schema_descr_ptr(),
            first.column_orders().cloned(),
        );
        let whole = ParquetMetaData::new(file, self.groups);
        let mut bytes = Vec::new();
        ParquetMetaDataWriter::new(&mut bytes, &whole).finish()?;
        Ok(bytes)
    }
}

fn shifted(
    group: &RowGroupMetaData,
    shift: i64,
    ordinal: Option<i16>,
) -> Result<RowGroupMetaData, ParquetError> {
    let column = |column: &ColumnChunkMetaData| {
        let dictionary = column.dictionary_page_offset().map(|at| at + shift);
        column
            .clone()
            .into_builder()
            .set_data_page_offset(column.data_page_offset() + shift)
            .set_dictionary_page_offset(dictionary)
            .build()
    };
    let columns = group.columns().iter().map(column);
    let mut builder = group
        .clone()
        .into_builder()
        .set_column_metadata(columns.collect::<Result<_, _>>()?);
    // A file may have more row groups than ordinals.
    if let Some(ordinal) = ordinal {
        builder = builder.set_ordinal(ordinal);
    }
    if let Some(at) = group.file_offset() {
        builder = builder.set_file_offset(at + shift);
    }
    builder.build()
}
