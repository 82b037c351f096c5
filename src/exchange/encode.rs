//! Record batches to frames, cut by rows so that no message meets a gRPC limit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AnyDictionaryArray, Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::{
    DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions,
};
use arrow_select::dictionary::garbage_collect_any_dictionary;

use super::Error;
use super::frame::{FRAME_BYTES_MAX, FRAME_BYTES_WANTED, FRAME_ROWS_MAX, Frame, u64_of};

/// Encodes the batches of partitions of one schema; remembers the dictionaries already sent with each.
pub(super) struct BatchEncoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    dictionaries: HashMap<usize, DictionaryTracker>,
    context: IpcWriteContext,
}

/// A dictionary with more values than this for each row is cut down to the values that the rows use.
///
/// Otherwise a shuffle would send a large dictionary whole to each of its partitions. Smaller ones are sent as
/// they are: the frames that follow then need not send theirs again.
const DICTIONARY_VALUES_PER_ROW: usize = 4;

impl BatchEncoder {
    /// Returns the encoder and the frame that holds the schema, with which each partition begins.
    pub(super) fn new(schema: SchemaRef) -> Result<(Self, Frame), Error> {
        let mut context = IpcWriteContext::default();
        context.set_reserve_scratch(true);
        let encoder = Self {
            schema,
            options: IpcWriteOptions::default(),
            generator: IpcDataGenerator::default(),
            dictionaries: HashMap::new(),
            context,
        };
        let (_, encoded) = encoder.begin();
        Ok((encoder, frame_of(encoded)?))
    }

    /// Begins a stream: the tracker gives the dictionaries the numbers that the schema says.
    fn begin(&self) -> (DictionaryTracker, EncodedData) {
        let mut tracker = DictionaryTracker::new(false);
        let encoded = self.generator.schema_to_bytes_with_dictionary_tracker(
            &self.schema,
            &mut tracker,
            &self.options,
        );
        (tracker, encoded)
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Encodes a batch of a partition; hands each frame and the rows in it to `sink` (a dictionary has `None`).
    pub(super) fn encode(
        &mut self,
        partition: usize,
        batch: &RecordBatch,
        sink: &mut impl FnMut(Frame, Option<u64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut tracker = match self.dictionaries.remove(&partition) {
            Some(tracker) => tracker,
            None => self.begin().0,
        };
        self.cut(&mut tracker, batch, estimate(batch), sink)?;
        self.dictionaries.insert(partition, tracker);
        Ok(())
    }

    /// Refuses a batch of another schema.
    pub(super) fn check(&self, batch: &RecordBatch) -> Result<(), Error> {
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
        tracker: &mut DictionaryTracker,
        batch: &RecordBatch,
        bytes: u64,
        sink: &mut impl FnMut(Frame, Option<u64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = batch.num_rows();
        let small = bytes <= FRAME_BYTES_WANTED && u64_of(rows) <= FRAME_ROWS_MAX;
        if rows <= 1 || small {
            return self.encode_whole(tracker, batch, sink);
        }
        let half = rows / 2;
        let left = batch.slice(0, half);
        let right = batch.slice(half, rows - half);
        let (left_bytes, right_bytes) = (estimate(&left), estimate(&right));
        let shared = left_bytes.saturating_add(right_bytes) > bytes.saturating_add(bytes / 2);
        if shared && u64_of(rows) <= FRAME_ROWS_MAX {
            return self.encode_whole(tracker, batch, sink);
        }
        self.cut(tracker, &left, left_bytes, sink)?;
        self.cut(tracker, &right, right_bytes, sink)
    }

    fn encode_whole(
        &mut self,
        tracker: &mut DictionaryTracker,
        batch: &RecordBatch,
        sink: &mut impl FnMut(Frame, Option<u64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = u64_of(batch.num_rows());
        let batch = compact(batch)?;
        let (dictionaries, encoded) =
            self.generator
                .encode(&batch, tracker, &self.options, &mut self.context)?;
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
pub(super) fn estimate(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &ArrayRef) -> u64 {
    match column.data_type() {
        DataType::Utf8View => views_bytes(column.as_string_view().views()),
        DataType::BinaryView => views_bytes(column.as_binary_view().views()),
        DataType::Dictionary(..) => dictionary_bytes(column.as_any_dictionary()),
        _ => slice_bytes(column),
    }
}

fn slice_bytes(column: &dyn Array) -> u64 {
    column
        .to_data()
        .get_slice_memory_size()
        .map_or_else(|_| u64_of(column.get_array_memory_size()), u64_of)
}

/// The low 32 bits of a view are the length of the value; up to 12 bytes live in the view itself.
fn views_bytes(views: &[u128]) -> u64 {
    views
        .iter()
        .map(|view| view & u128::from(u32::MAX))
        .map(|length| 16 + if length > 12 { length } else { 0 })
        .map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
        .sum()
}

fn dictionary_bytes(dictionary: &dyn AnyDictionaryArray) -> u64 {
    let values = dictionary.values();
    let mut values_bytes = column_bytes(values);
    if is_oversized(dictionary) {
        let rows = u64_of(dictionary.len());
        values_bytes = values_bytes / u64_of(values.len()).max(1) * rows;
    }
    slice_bytes(dictionary.keys()).saturating_add(values_bytes)
}

fn is_oversized(dictionary: &dyn AnyDictionaryArray) -> bool {
    let wanted = dictionary.len().saturating_mul(DICTIONARY_VALUES_PER_ROW);
    dictionary.values().len() > wanted
}

/// Cuts columns down to what their rows use, where the IPC writer would send all that they were cut from: the
/// buffers behind views, and the values of large dictionaries.
pub(super) fn compact(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let columns = batch.columns().iter().map(|column| {
        Ok(match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
            DataType::Dictionary(..) if is_oversized(column.as_any_dictionary()) => {
                garbage_collect_any_dictionary(column.as_any_dictionary())?
            }
            _ => Arc::clone(column),
        })
    });
    let columns = columns.collect::<Result<_, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        batch.schema(),
        columns,
        &options,
    )?)
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
        encoder.encode(0, &batch, &mut |frame, rows| {
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
