//! The last task: streams the encoded tiles of all stages into one file and commits it. It moves bytes and
//! never decodes.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::{Done, Error, Executor, addresses, check_cancelled, group, tiles};
use crate::broker;
use crate::exchange::PartitionAddress;
use crate::io::commit::{Staged, check_file};
use crate::io::raster::cog::CogWriter;
use crate::io::raster::encode::TileFormat;
use crate::job::JobState;
use crate::ops::TaskContext;
use crate::plan::stage::RasterStage;
use crate::wire::InputStage;

/// Partitions fetched at once.
const FETCHES_AT_ONCE: usize = 8;
/// Batches (of about a megabyte) that wait for the disk.
const BATCHES_WAITING: usize = 16;
/// Bytes buffered before they go to the file.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What the writer is sent.
enum ToWrite {
    /// A batch of encoded tiles of a level, and where it came from.
    Tiles(u32, PartitionAddress, RecordBatch),
    /// That was all: a sender that fails never says this.
    End,
}

impl Executor {
    pub(super) async fn run_commit(
        &self,
        raster: Arc<RasterStage>,
        (path, overwrite): (&str, bool),
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
        let writer = {
            let (raster, context, path) =
                (Arc::clone(&raster), context.clone(), PathBuf::from(path));
            tokio::task::spawn_blocking(move || {
                write(&raster, (&path, overwrite), receiver, &context)
            })
        };
        let sent = self.send_tiles(&raster, &inputs, &context, sender).await;
        let written = writer.await.map_err(|_| Error::Bug {
            what: "the writer of an output panicked",
        })?;
        match (sent, written) {
            // A writer that failed stops the sender; its error is the cause.
            (_, Err(error)) if !matches!(error, Error::Cancelled) => Err(error),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(staged)) => {
                check_cancelled(&context)?;
                self.check_wanted(&context).await?;
                tokio::task::spawn_blocking(move || staged.commit(overwrite))
                    .await
                    .map_err(|_| Error::Bug {
                        what: "the commit of an output panicked",
                    })??;
                Ok(Done::default())
            }
        }
    }

    /// Asks the log once more, just before the output appears, whether somebody has ended the job meanwhile.
    pub(super) async fn check_wanted(&self, context: &TaskContext) -> Result<(), Error> {
        let records = self.ports.broker.read_log(&context.job).await?;
        match broker::replay(&records).progress().state {
            JobState::Planned | JobState::Running => Ok(()),
            _ => Err(Error::Cancelled),
        }
    }

    /// Sends the tiles of all levels, the smallest level first, each level in the order of its tasks, so that the
    /// same job gives the same bytes.
    async fn send_tiles(
        &self,
        raster: &RasterStage,
        inputs: &[InputStage],
        context: &TaskContext,
        sender: mpsc::Sender<ToWrite>,
    ) -> Result<(), Error> {
        for (number, input) in inputs.iter().enumerate().rev() {
            let of = group(raster, number)?;
            for level in (of.first..=of.last).rev() {
                let partitions = addresses(&context.job, input, level - of.first)?;
                let mut streams = stream::iter(partitions)
                    .map(|(_, address)| async move {
                        let batches = self.ports.exchange.fetch(&address).await?;
                        Ok::<_, Error>((address, batches))
                    })
                    .buffered(FETCHES_AT_ONCE);
                while let Some((address, mut batches)) = streams.try_next().await? {
                    while let Some(batch) = batches.try_next().await? {
                        check_cancelled(context)?;
                        if sender
                            .send(ToWrite::Tiles(level, address.clone(), batch))
                            .await
                            .is_err()
                        {
                            // The writer has failed and says why.
                            return Err(Error::Cancelled);
                        }
                    }
                }
            }
        }
        // A writer that is gone has failed, and says why.
        let _ = sender.send(ToWrite::End).await;
        Ok(())
    }
}

/// Writes tiles into a staged file until the end is said.
fn write(
    raster: &RasterStage,
    (path, overwrite): (&Path, bool),
    mut receiver: mpsc::Receiver<ToWrite>,
    context: &TaskContext,
) -> Result<Staged, Error> {
    // What is there may be this job's, of an execution that died before it said so: the commit compares.
    check_file(path, true)?;
    let mut staged = Staged::create(path, &context.job, context.execution)?;
    let format = TileFormat::of(raster);
    let out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, staged.file());
    let mut writer = CogWriter::with_look(
        out,
        &raster.output,
        (&raster.layout, &format),
        &raster.look(),
    )?;
    let mut reader = tiles::TileReader::default();
    loop {
        match receiver.blocking_recv() {
            Some(ToWrite::Tiles(level, address, batch)) => {
                reader.read(&batch, &address, |col, row, encoded| {
                    Ok(writer.write_tile(level, col, row, encoded)?)
                })?;
            }
            Some(ToWrite::End) => break,
            None => return Err(Error::Cancelled),
        }
    }
    writer.finish()?;
    staged.prepare(overwrite, &|| context.is_cancelled())?;
    Ok(staged)
}
