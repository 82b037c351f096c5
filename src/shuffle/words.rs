//! Copying chosen strings: most are short, and sixteen bytes at once cost less than asking how many they are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, GenericByteArray, OffsetSizeTrait, UInt32Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{ArrowNativeType, ByteArrayType};
use arrow::error::ArrowError;

/// Bytes that are copied at once; what is too many is written over by the next string.
const CHUNK: usize = 16;

/// Copies the strings of these rows, as `take` does.
///
/// # Errors
/// When the copies pass what offsets can say, or a row is not there.
pub(super) fn take_words<T: ByteArrayType>(
    words: &GenericByteArray<T>,
    rows: &UInt32Array,
) -> Result<ArrayRef, ArrowError> {
    let too_long = || ArrowError::OffsetOverflowError(words.value_data().len());
    let offsets = words.value_offsets();
    let ends = ends(offsets, rows.values()).ok_or_else(too_long)?;
    let end = ends.last().map_or(0, |end| end.as_usize());
    let mut copies = vec![0; end + CHUNK];
    copy(
        words.value_data(),
        offsets,
        rows.values(),
        &ends,
        &mut copies,
    )
    .ok_or_else(too_long)?;
    copies.truncate(end);
    let nulls = words
        .nulls()
        .filter(|nulls| nulls.null_count() > 0)
        .map(|nulls| chosen(nulls, rows))
        .transpose()?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    let taken = GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(copies), nulls)?;
    Ok(Arc::new(taken))
}

/// Returns where the copy of each row's string ends, a 0 before the first.
fn ends<O: OffsetSizeTrait>(offsets: &[O], rows: &[u32]) -> Option<Vec<O>> {
    let mut ends = vec![O::zero(); rows.len() + 1];
    let mut end = 0;
    for (row, slot) in rows.iter().zip(ends.iter_mut().skip(1)) {
        let &[from, to] = offsets.get(*row as usize..)?.first_chunk()?;
        end += to.as_usize().checked_sub(from.as_usize())?;
        *slot = O::from_usize(end)?;
    }
    Some(ends)
}

fn copy<O: OffsetSizeTrait>(
    words: &[u8],
    offsets: &[O],
    rows: &[u32],
    ends: &[O],
    copies: &mut [u8],
) -> Option<()> {
    for (row, copy) in rows.iter().zip(ends.windows(2)) {
        let &[at, end] = copy.first_chunk()?;
        let length = end.as_usize() - at.as_usize();
        let word = words.get(offsets.get(*row as usize)?.as_usize()..)?;
        let to = copies.get_mut(at.as_usize()..)?;
        if let (Some(word), Some(to)) = (word.first_chunk::<CHUNK>(), to.first_chunk_mut()) {
            *to = *word;
            if length <= CHUNK {
                continue;
            }
        }
        to.get_mut(..length)?.copy_from_slice(word.get(..length)?);
    }
    Some(())
}

fn chosen(nulls: &NullBuffer, rows: &UInt32Array) -> Result<NullBuffer, ArrowError> {
    let valid = BooleanArray::new(nulls.inner().clone(), None);
    let valid = take(&valid, rows, None)?;
    Ok(NullBuffer::new(valid.as_boolean().values().clone()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{LargeBinaryArray, StringArray};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_copies_are_those_of_arrow(
            words in prop::collection::vec(prop::option::of("[a-zäß]{0,40}"), 1..50),
            from in 0_usize..10,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let bytes: LargeBinaryArray = words.iter().map(|word| word.as_ref().map(String::as_bytes)).collect();
            let words: StringArray = words.into_iter().collect();
            let from = from.min(words.len() - 1);
            let (words, bytes) = (words.slice(from, words.len() - from), bytes.slice(from, bytes.len() - from));
            let rows = UInt32Array::from_iter_values(picks.iter().map(|pick| pick.index(words.len()) as u32));
            prop_assert_eq!(&take_words(&words, &rows).unwrap(), &take(&words, &rows, None).unwrap());
            prop_assert_eq!(&take_words(&bytes, &rows).unwrap(), &take(&bytes, &rows, None).unwrap());
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        let words = StringArray::from(vec!["a", "b"]);
        assert!(take_words(&words, &UInt32Array::from(vec![2])).is_err());
    }
}
