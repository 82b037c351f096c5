//! The table of a job, copied over Flight from the workers that serve it into a file, or a folder of files, here.

use std::io::{Read, Seek, Write};

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use swath_tables::BoxError;
use swath_tables::sink::{PartEncoder, PartFooter};
use tempfile::SpooledTempFile;

use super::assemble::{Assembly, PartFooters};
use super::engine::output_format;
use crate::exchange::flight::find_result;
use crate::exchange::{Exchange, FetchConfig, FlightExchange, PartitionAddress};
use crate::ids::{ExecutionId, JobId, WorkerRef};
use crate::io::commit;
use crate::job::failure::chain;
use crate::spec::TableOutput;

/// Bytes of encoded rows that stay in memory; the rest waits in a temporary file.
const SPOOL_BYTES: usize = 64 << 20;
/// Bytes moved at once.
const PIECE_BYTES: usize = 1 << 20;
/// Encoded batches that wait for the encoder.
const BATCHES_WAITING: usize = 4;

/// Says why a table was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The job has none.
    #[error("job {job} has no table to fetch")]
    NoTable {
        /// The job.
        job: JobId,
    },
    /// The place is taken, or cannot be written.
    #[error(transparent)]
    Commit(#[from] commit::Error),
    /// A worker cannot be reached, or its part does not come through.
    #[error("the table of job {job} could not be fetched")]
    Fetch {
        /// The job.
        job: JobId,
        /// What was met.
        source: BoxError,
    },
}

/// What was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Rows of all parts.
    pub rows: u64,
    /// Parts of the table, each a file where the output is a folder.
    pub parts: usize,
}

/// Copies the table that a job committed to `output`, in that output's own format; it appears there as a whole.
///
/// # Errors
/// When no part of `output` may be written, the job has no table, or one of its parts does not come through.
pub async fn fetch(
    from: &WorkerRef,
    job: &JobId,
    output: &TableOutput,
) -> Result<Fetched, FetchError> {
    let failed = |source: BoxError| match source.downcast::<commit::Error>() {
        Ok(error) => FetchError::Commit(*error),
        Err(source) => FetchError::Fetch {
            job: job.clone(),
            source,
        },
    };
    check_place(output)?;
    let found = find_result(from, job).await.map_err(|e| failed(e.into()))?;
    let result = found.ok_or_else(|| FetchError::NoTable { job: job.clone() })?;
    let exchange = FlightExchange::of_reader(from.clone(), FetchConfig::default());
    let mut encoded = Vec::with_capacity(result.parts.len());
    let mut rows = 0;
    for address in &result.parts {
        let part = fetch_part(&*exchange, address, output)
            .await
            .map_err(failed)?;
        rows += part.rows;
        encoded.push(part);
    }
    let (parts, job_id, output) = (encoded.len(), job.clone(), output.clone());
    let schema = result.schema;
    let written = tokio::task::spawn_blocking(move || {
        let footers = encoded.iter().map(|part| part.footer.clone()).collect();
        let footers = PartFooters::new(schema, footers);
        let execution = ExecutionId(rand::random());
        let mut assembly = Assembly::begin(&output, &job_id, execution, footers)?;
        for part in &mut encoded {
            assembly.part()?;
            part.body.rewind()?;
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                let count = part.body.read(&mut piece)?;
                match piece.get(..count) {
                    None | Some([]) => break,
                    Some(bytes) => assembly.body(bytes)?,
                }
            }
        }
        assembly.finish()?;
        assembly.commit()
    });
    match written.await {
        Ok(written) => written.map_err(failed)?,
        Err(error) => return Err(failed(error.into())),
    }
    Ok(Fetched { rows, parts })
}

/// Refuses a place that is taken before anything is fetched.
fn check_place(output: &TableOutput) -> Result<(), commit::Error> {
    let path = std::path::Path::new(&output.path);
    match output.layout().1 {
        true => commit::folder::check_folder(path, output.overwrite),
        false => commit::check_file(path, output.overwrite),
    }
}

/// A part, encoded for its file.
struct EncodedPart {
    body: SpooledTempFile,
    footer: PartFooter,
    rows: u64,
}

/// Fetches a part here, and encodes it on a thread that may compute.
async fn fetch_part(
    exchange: &dyn Exchange,
    address: &PartitionAddress,
    output: &TableOutput,
) -> Result<EncodedPart, BoxError> {
    let format = output_format(output);
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<RecordBatch>(BATCHES_WAITING);
    let encoder = tokio::task::spawn_blocking(move || {
        let mut body = tempfile::spooled_tempfile(SPOOL_BYTES);
        let mut open: Option<PartEncoder> = None;
        let mut rows = 0;
        while let Some(batch) = receiver.blocking_recv() {
            let mut encoder = match open.take() {
                Some(encoder) => encoder,
                None => PartEncoder::new(&format, &batch.schema())?,
            };
            encoder.write(&batch, &mut |bytes| Ok(body.write_all(bytes)?))?;
            rows += batch.num_rows() as u64;
            open = Some(encoder);
        }
        let encoder = open.ok_or("a part without a batch")?;
        let footer = encoder.finish(&mut |bytes| Ok(body.write_all(bytes)?))?;
        Ok::<_, BoxError>(EncodedPart { body, footer, rows })
    });
    let sent = async {
        let mut batches = exchange.fetch(address).await?;
        while let Some(batch) = batches.try_next().await? {
            // An encoder that is gone has failed, and says why.
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok::<_, crate::exchange::Error>(())
    }
    .await;
    drop(sender);
    let encoded = encoder.await?;
    sent.map_err(|error| chain(&error))?;
    encoded
}
