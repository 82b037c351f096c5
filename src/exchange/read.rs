//! Pieces to a stream of batches: the one reader of local and of fetched partitions.

use futures::stream::{self, BoxStream, StreamExt};

use super::decode::{Corrupt, FrameDecoder};
use super::frame::Piece;
use super::{BatchStream, Error, PartitionAddress};
use crate::job::failure::chain;

/// The pieces of one partition; whatever fails is an error of the exchange.
pub(super) type PieceStream = BoxStream<'static, Result<Piece, Error>>;

/// Returns the error which says that a partition is lost.
pub(super) fn lost(address: &PartitionAddress, reason: impl Into<String>) -> Error {
    Error::Lost {
        address: Box::new(address.clone()),
        reason: reason.into(),
    }
}

struct Reader {
    address: PartitionAddress,
    pieces: PieceStream,
    decoder: FrameDecoder,
    ended: bool,
}

/// Decodes and checks pieces; `summed` says whether the checksum is checked too.
///
/// Errors are [`Error::Lost`], whatever failed: nothing but making the partition again helps.
pub(super) fn batches(address: PartitionAddress, pieces: PieceStream, summed: bool) -> BatchStream {
    let reader = Reader {
        address,
        pieces,
        decoder: FrameDecoder::new(summed),
        ended: false,
    };
    stream::try_unfold(reader, |mut reader| async move {
        let batch = reader.next().await?;
        Ok(batch.map(|batch| (batch, reader)))
    })
    .boxed()
}

impl Reader {
    async fn next(&mut self) -> Result<Option<arrow::record_batch::RecordBatch>, Error> {
        while !self.ended {
            let piece = self.pieces.next().await;
            let batch = match piece {
                None => Err(self.corrupt(&Corrupt::NoTrailer)),
                Some(Err(error @ Error::Lost { .. })) => Err(error),
                Some(Err(error)) => Err(lost(&self.address, chain(&error))),
                Some(Ok(Piece::Frame(frame))) => {
                    self.decoder.accept(frame).map_err(|why| self.corrupt(&why))
                }
                Some(Ok(Piece::Trailer(trailer))) => {
                    self.ended = true;
                    let last = self.decoder.end(&trailer);
                    let last = last.map_err(|why| self.corrupt(&why))?;
                    self.expect_end().await?;
                    Ok(last)
                }
            }?;
            if batch.is_some() {
                return Ok(batch);
            }
        }
        Ok(None)
    }

    /// Nothing may follow the trailer. A connection that breaks now took nothing away.
    async fn expect_end(&mut self) -> Result<(), Error> {
        match self.pieces.next().await {
            Some(Ok(_)) => Err(self.corrupt(&Corrupt::AfterTrailer)),
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn corrupt(&self, why: &Corrupt) -> Error {
        lost(&self.address, chain(why))
    }
}
