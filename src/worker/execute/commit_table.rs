//! The last task of a query: streams the encoded parts of the result into one file, or a folder of files, and
//! commits it.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::{Done, Error, Executor, addresses, check_cancelled};
use crate::exchange::PartitionAddress;
use crate::ops::TaskContext;
use crate::spec::TableOutput;
use crate::tables::{self, Assembly, BODY, FOOTER, PartFooters, bytes_of};
use crate::wire::InputStage;

/// Partitions fetched at once.
const FETCHES_AT_ONCE: usize = 8;
/// Pieces (of about a megabyte) that wait for the disk.
const PIECES_WAITING: usize = 16;

/// What the writer is sent.
enum ToWrite {
    /// The next part begins.
    Part,
    /// Bytes of it.
    Piece(RecordBatch),
    /// That was all: a sender that fails never says this.
    End,
}

impl Executor {
    pub(super) async fn run_commit_table(
        &self,
        output: Arc<TableOutput>,
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let result = inputs.first().ok_or(Error::Bug {
            what: "a commit without a result",
        })?;
        let footers = self.footers(result, &context).await?;
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let writer = {
            let (output, context) = (Arc::clone(&output), context.clone());
            tokio::task::spawn_blocking(move || write(&output, footers, receiver, &context))
        };
        let sent = self.send_bodies(result, &context, sender).await;
        let written = writer.await.map_err(|_| Error::Bug {
            what: "the writer of an output panicked",
        })?;
        match (sent, written) {
            // A writer that failed stops the sender; its error is the cause.
            (_, Err(error)) if !matches!(error, Error::Cancelled) => Err(error),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(assembly)) => {
                check_cancelled(&context)?;
                self.check_wanted(&context).await?;
                tokio::task::spawn_blocking(move || assembly.commit())
                    .await
                    .map_err(|_| Error::Bug {
                        what: "the commit of an output panicked",
                    })?
                    .map_err(tables::Error::from)?;
                Ok(Done::default())
            }
        }
    }

    async fn footers(
        &self,
        result: &InputStage,
        context: &TaskContext,
    ) -> Result<PartFooters, Error> {
        let footers: Vec<RecordBatch> = stream::iter(addresses(&context.job, result, FOOTER)?)
            .map(|(_, address)| async move {
                let batches = self.ports.exchange.fetch(&address).await?;
                let mut batches: Vec<RecordBatch> = batches.try_collect().await?;
                batches.pop().ok_or(Error::Partition {
                    address: Box::new(address),
                    what: "no footer",
                })
            })
            .buffered(FETCHES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(PartFooters::read(&footers).map_err(tables::Error::from)?)
    }

    async fn send_bodies(
        &self,
        result: &InputStage,
        context: &TaskContext,
        sender: mpsc::Sender<ToWrite>,
    ) -> Result<(), Error> {
        let open = |address: PartitionAddress| async move {
            Ok::<_, Error>(self.ports.exchange.fetch(&address).await?)
        };
        let mut bodies = stream::iter(addresses(&context.job, result, BODY)?)
            .map(|(_, address)| open(address))
            .buffered(FETCHES_AT_ONCE);
        while let Some(mut pieces) = bodies.try_next().await? {
            send(&sender, ToWrite::Part).await?;
            while let Some(piece) = pieces.try_next().await? {
                check_cancelled(context)?;
                if piece.num_rows() > 0 {
                    send(&sender, ToWrite::Piece(piece)).await?;
                }
            }
        }
        send(&sender, ToWrite::End).await
    }
}

/// Sends to the writer; one that is gone has failed, and says why.
async fn send(sender: &mpsc::Sender<ToWrite>, what: ToWrite) -> Result<(), Error> {
    sender.send(what).await.map_err(|_| Error::Cancelled)
}

/// Writes parts under a temporary name until the end is said.
fn write(
    output: &TableOutput,
    footers: PartFooters,
    mut receiver: mpsc::Receiver<ToWrite>,
    context: &TaskContext,
) -> Result<Assembly, Error> {
    let failed = tables::Error::from;
    let mut assembly =
        Assembly::begin(output, &context.job, context.execution, footers).map_err(failed)?;
    loop {
        match receiver.blocking_recv() {
            Some(ToWrite::Part) => assembly.part().map_err(failed)?,
            Some(ToWrite::Piece(batch)) => {
                for row in 0..batch.num_rows() {
                    let bytes = bytes_of(&batch, 0, row).map_err(failed)?;
                    assembly.body(bytes).map_err(failed)?;
                }
            }
            Some(ToWrite::End) => break,
            None => return Err(Error::Cancelled),
        }
    }
    assembly.finish().map_err(failed)?;
    Ok(assembly)
}
