//! Record batches to frames, cut by rows so that no message meets a gRPC limit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_ipc::writer::{
    DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions,
};

use super::Error;
use super::frame::{FRAME_BYTES_MAX, FRAME_BYTES_WANTED, FRAME_ROWS_MAX, Frame, u64_of};

/// Encodes the batches of one partition; remembers the dictionaries already sent.
pub(super) struct BatchEncoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
}

impl BatchEncoder {
    /// Returns the encoder and the frame that holds the schema.
    pub(super) fn new(schema: SchemaRef) -> Result<(Self, Frame), Error> {
        let options = IpcWriteOptions::default();
        let generator = IpcDataGenerator::default();
        let mut dictionaries = DictionaryTracker::new(false);
        let mut context = IpcWriteContext::default();
        context.set_reserve_scratch(true);
        let encoded =
            generator.schema_to_bytes_with_dictionary_tracker(&schema, &mut dictionaries, &options);
        let frame = frame_of(encoded)?;
        let encoder = Self {
            schema,
            options,
            generator,
            dictionaries,
            context,
        };
        Ok((encoder, frame))
    }

    /// Encodes a batch; hands each frame and the rows in it to `sink` (a dictionary has `None`).
    pub(super) fn encode(
        &mut self,
        batch: &RecordBatch,
        sink: &mut impl FnMut(Frame, Option<u64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.cut(batch, estimate(batch), sink)
    }

    fn check(&self, batch: &RecordBatch) -> Result<(), Error> {
        let found = batch.schema_ref();
        if Arc::ptr_eq(found, &self.schema) || found.fields() == self.schema.fields() {
            return Ok(());
        }
        let message = format!(
            "a batch of schema {found:?} was written to a partition of schema {:?}",
            self.schema
        );
        Err(Error::Arrow(ArrowError::SchemaError(message)))
    }

    /// Halves a batch until its parts are of the size wanted, or have one row, or halving does not help
    /// because what is large is shared by all rows.
    fn cut(
        &mut self,
        batch: &RecordBatch,
        bytes: u64,
        sink: &mut impl FnMut(Frame, Option<u64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = batch.num_rows();
        let small = bytes <= FRAME_BYTES_WANTED && u64_of(rows) <= FRAME_ROWS_MAX;
        if rows <= 1 || small {
            return self.encode_whole(batch, sink);
        }
        let half = rows / 2;
        let left = batch.slice(0, half);
        let right = batch.slice(half, rows - half);
        let (left_bytes, right_bytes) = (estimate(&left), estimate(&right));
        let shared = left_bytes.saturating_add(right_bytes) > bytes.saturating_add(bytes / 2);
        if shared && u64_of(rows) <= FRAME_ROWS_MAX {
            return self.encode_whole(batch, sink);
        }
        self.cut(&left, left_bytes, sink)?;
        self.cut(&right, right_bytes, sink)
    }

    fn encode_whole(
        &mut self,
        batch: &RecordBatch,
        sink: &mut impl FnMut(Frame, Option<u64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = u64_of(batch.num_rows());
        let batch = compact(batch)?;
        let (dictionaries, encoded) = self.generator.encode(
            &batch,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        for dictionary in dictionaries {
            sink(frame_of(dictionary)?, None)?;
        }
        sink(frame_of(encoded)?, Some(rows))
    }
}

fn frame_of(encoded: EncodedData) -> Result<Frame, Error> {
    let bytes = u64_of(encoded.ipc_message.len()).saturating_add(u64_of(encoded.arrow_data.len()));
    if bytes > FRAME_BYTES_MAX {
        let limit_bytes = FRAME_BYTES_MAX;
        return Err(Error::RowTooLarge { bytes, limit_bytes });
    }
    // A boxed slice has no spare capacity, so what is kept is what is counted.
    Ok(Frame {
        header: encoded.ipc_message.into_boxed_slice().into(),
        body: encoded.arrow_data.into_boxed_slice().into(),
    })
}

/// Estimates the bytes of an encoded batch.
fn estimate(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &ArrayRef) -> u64 {
    let views = match column.data_type() {
        DataType::Utf8View => Some(column.as_string_view().views()),
        DataType::BinaryView => Some(column.as_binary_view().views()),
        _ => None,
    };
    match views {
        // The low 32 bits of a view are the length of the value; up to 12 bytes live in the view itself.
        Some(views) => views
            .iter()
            .map(|view| view & u128::from(u32::MAX))
            .map(|length| 16 + if length > 12 { length } else { 0 })
            .map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
            .sum(),
        None => column
            .to_data()
            .get_slice_memory_size()
            .map_or_else(|_| u64_of(column.get_array_memory_size()), u64_of),
    }
}

/// Copies views whose values lie in larger buffers: the IPC writer would send those buffers whole with
/// every frame.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let is_view = |column: &ArrayRef| {
        matches!(
            column.data_type(),
            DataType::Utf8View | DataType::BinaryView
        )
    };
    if !batch.columns().iter().any(is_view) {
        return Ok(batch.clone());
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
            _ => Arc::clone(column),
        });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryArray, BinaryViewArray, Int32Array};
    use arrow::datatypes::{Field, Schema};

    /// Encodes one column; returns the rows and the bytes of each batch frame.
    fn frames(column: ArrayRef) -> Result<Vec<(u64, u64)>, Error> {
        let field = Field::new("v", column.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let (mut encoder, _) = BatchEncoder::new(Arc::clone(&schema)).unwrap();
        let batch = RecordBatch::try_new(schema, vec![column]).unwrap();
        let mut frames = vec![];
        encoder.encode(&batch, &mut |frame, rows| {
            frames.extend(rows.map(|rows| (rows, frame.bytes())));
            Ok(())
        })?;
        Ok(frames)
    }

    #[test]
    fn a_batch_of_eight_mib_becomes_eight_frames_of_one() {
        let column = Int32Array::from_iter_values(0..2 << 20);
        let frames = frames(Arc::new(column)).unwrap();
        assert_eq!(frames.len(), 8);
        assert!(
            frames.iter().all(|(rows, _)| *rows == 1 << 18),
            "{frames:?}"
        );
    }

    #[test]
    fn rows_of_uneven_size_are_cut_alone_and_a_large_row_stays_whole() {
        let mut rows = vec![vec![1_u8; 10]; 1000];
        rows.insert(500, vec![2; 3 << 20]);
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        for column in [
            Arc::new(BinaryArray::from(rows.clone())) as ArrayRef,
            Arc::new(BinaryViewArray::from_iter_values(rows.clone())) as ArrayRef,
        ] {
            let frames = frames(column).unwrap();
            assert_eq!(frames.iter().map(|frame| frame.0).sum::<u64>(), 1001);
            let large: Vec<_> = frames.iter().filter(|frame| frame.1 > 2 << 20).collect();
            assert_eq!(large.len(), 1, "{frames:?}");
            assert_eq!(large[0].0, 1, "{frames:?}");
            assert!(frames.len() < 20, "{frames:?}");
        }
    }

    #[test]
    fn views_into_shared_buffers_are_sent_once_not_once_a_frame() {
        let rows = vec![vec![7_u8; 1 << 20]; 8];
        let column = BinaryViewArray::from_iter_values(&rows);
        let bytes: u64 = frames(Arc::new(column))
            .unwrap()
            .iter()
            .map(|frame| frame.1)
            .sum();
        assert!(bytes < 9 << 20, "{bytes}");
    }

    #[test]
    fn a_row_past_the_limit_of_a_message_is_refused() {
        let row = vec![0_u8; 256 << 20];
        let column = BinaryArray::from(vec![row.as_slice()]);
        let error = frames(Arc::new(column)).unwrap_err();
        assert!(matches!(error, Error::RowTooLarge { .. }), "{error}");
    }
}
