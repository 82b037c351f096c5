//! The parts of a result become one file, or a folder of files.

use std::io::{BufWriter, Write};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_ipc::reader::StreamReader;
use swath_tables::BoxError;
use swath_tables::sink::{
    self, FileAssembler, OutputFormat, PartFile, PartFooter, manifest, part_name,
};

use super::engine::output_format;
use crate::ids::{ExecutionId, JobId};
use crate::io::commit::folder::{StagedFolder, check_folder};
use crate::io::commit::{self, Staged, WriteBehind, check_file};
use crate::spec::TableOutput;

/// The partition of a result task that holds the encoded rows.
pub(crate) const BODY: u32 = 0;
/// The partition that holds what is known of them.
pub(crate) const FOOTER: u32 = 1;

/// Bytes buffered before they go to a file.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What is known of the parts, before their bytes are moved.
#[derive(Debug)]
pub(crate) struct PartFooters {
    schema: SchemaRef,
    footers: Vec<PartFooter>,
}

impl PartFooters {
    /// Takes what is known of the parts, in order.
    pub(crate) fn new(schema: SchemaRef, footers: Vec<PartFooter>) -> Self {
        Self { schema, footers }
    }

    /// Reads the footer partitions of all parts, in order.
    pub(crate) fn read(partitions: &[RecordBatch]) -> Result<Self, BoxError> {
        let mut schema = None;
        let mut footers = Vec::with_capacity(partitions.len());
        for batch in partitions {
            footers.push(PartFooter::from_bytes(bytes_of(batch, 0, 0)?)?);
            if schema.is_none() {
                schema = Some(StreamReader::try_new(bytes_of(batch, 1, 0)?, None)?.schema());
            }
        }
        let schema = schema.ok_or("a result without parts")?;
        Ok(Self { schema, footers })
    }
}

/// Returns the bytes in one column of a row.
pub(crate) fn bytes_of(batch: &RecordBatch, column: usize, row: usize) -> Result<&[u8], BoxError> {
    let binary = batch
        .columns()
        .get(column)
        .and_then(|column| column.as_binary_opt::<i32>())
        .filter(|binary| row < binary.len());
    Ok(binary.ok_or("a part that holds no bytes")?.value(row))
}

/// Takes the bodies of the parts, in order, and writes the output.
pub(crate) struct Assembly {
    output: TableOutput,
    format: OutputFormat,
    job: JobId,
    parts: PartFooters,
    place: Place,
    started: usize,
    written: Vec<PartFile>,
}

type Assembler = FileAssembler<BufWriter<WriteBehind>>;

enum Place {
    File(Staged, Option<Assembler>),
    Folder(StagedFolder, Option<Assembler>),
}

impl Assembly {
    /// Begins to write under a temporary name.
    pub(crate) fn begin(
        output: &TableOutput,
        job: &JobId,
        execution: ExecutionId,
        parts: PartFooters,
    ) -> Result<Self, BoxError> {
        let path = Path::new(&output.path);
        let (_, folder) = output.layout();
        let format = output_format(output);
        // What is there may be this job's, of an execution that died before it said so: the commit compares.
        let place = if folder {
            check_folder(path, true)?;
            Place::Folder(StagedFolder::create(path, job, execution)?, None)
        } else {
            check_file(path, true)?;
            let mut staged = Staged::create(path, job, execution)?;
            let out = buffered(staged.file().try_clone()?);
            let file = FileAssembler::new(&format, &parts.schema, out)?;
            Place::File(staged, Some(file))
        };
        Ok(Self {
            output: output.clone(),
            format,
            job: job.clone(),
            parts,
            place,
            started: 0,
            written: Vec::new(),
        })
    }

    /// Begins the next part.
    pub(crate) fn part(&mut self) -> Result<(), BoxError> {
        let begun = self.begin_part();
        begun.map_err(|error| self.named(error))
    }

    fn begin_part(&mut self) -> Result<(), BoxError> {
        let footer = self.parts.footers.get(self.started);
        let footer = footer.ok_or("more parts than footers")?;
        match &mut self.place {
            Place::File(_, Some(file)) => file.part(footer)?,
            Place::File(_, None) => return Err("a part behind the end".into()),
            Place::Folder(folder, current) => {
                if let Some(part) = finish_part(current, self.started, &self.format)? {
                    folder.finish_file(self.output.overwrite)?;
                    self.written.push(part);
                }
                let name = part_name(self.started, &self.format);
                let out = buffered(folder.file(&name)?);
                let mut file = FileAssembler::new(&self.format, &self.parts.schema, out)?;
                file.part(footer)?;
                *current = Some(file);
            }
        }
        self.started += 1;
        Ok(())
    }

    /// Takes bytes of the part's body.
    pub(crate) fn body(&mut self, bytes: &[u8]) -> Result<(), BoxError> {
        let written = match &mut self.place {
            Place::File(_, Some(file)) | Place::Folder(_, Some(file)) => file.body(bytes),
            Place::File(_, None) | Place::Folder(_, None) => {
                return Err("a body without a part".into());
            }
        };
        written.map_err(|error| self.named(error.into()))
    }

    /// Ends the last file; nothing is visible yet.
    pub(crate) fn finish(&mut self) -> Result<(), BoxError> {
        let finished = self.finish_files();
        finished.map_err(|error| self.named(error))
    }

    /// Says which output the disk has no room for.
    fn named(&self, error: BoxError) -> BoxError {
        let error = match error.downcast::<sink::Error>().map(|error| *error) {
            Ok(sink::Error::Write { source }) => source,
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        match error.downcast::<std::io::Error>() {
            Ok(source) => Box::new(commit::Error::Step {
                step: "written",
                path: self.output.path.clone().into(),
                source: *source,
            }),
            Err(error) => error,
        }
    }

    fn finish_files(&mut self) -> Result<(), BoxError> {
        match &mut self.place {
            Place::File(_, file) => {
                if let Some(file) = file.take() {
                    file.finish()?.0.flush()?;
                }
            }
            Place::Folder(folder, current) => {
                if let Some(part) = finish_part(current, self.started, &self.format)? {
                    folder.finish_file(self.output.overwrite)?;
                    self.written.push(part);
                }
            }
        }
        Ok(())
    }

    /// Makes the output visible, once.
    pub(crate) fn commit(self) -> Result<(), BoxError> {
        match self.place {
            Place::File(staged, _) => Ok(staged.commit(self.output.overwrite)?),
            Place::Folder(folder, _) => {
                let manifest = manifest(&self.written, &self.format, &self.parts.schema);
                // Which job made it: so that the same job, run again, knows its own.
                let mut manifest: serde_json::Value = serde_json::from_str(&manifest)?;
                if let Some(members) = manifest.as_object_mut() {
                    members.insert("job".to_owned(), self.job.to_string().into());
                }
                let manifest = serde_json::to_vec_pretty(&manifest)?;
                Ok(folder.commit(&manifest, self.output.overwrite)?)
            }
        }
    }
}

fn finish_part(
    current: &mut Option<Assembler>,
    started: usize,
    format: &OutputFormat,
) -> Result<Option<PartFile>, BoxError> {
    let (Some(file), Some(index)) = (current.take(), started.checked_sub(1)) else {
        return Ok(None);
    };
    let (_, assembled) = file.finish()?;
    Ok(Some(PartFile {
        name: part_name(index, format),
        rows: assembled.rows,
        bytes: assembled.bytes,
    }))
}

fn buffered(file: std::fs::File) -> BufWriter<WriteBehind> {
    BufWriter::with_capacity(WRITE_BUFFER_BYTES, WriteBehind::new(file))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]))
    }

    #[test]
    fn an_execution_after_one_that_committed_and_died_has_succeeded() {
        let around = tempfile::tempdir().unwrap();
        for name in ["empty.parquet", "empty/"] {
            let path = around.path().join(name).display().to_string();
            let commit = |job: &str, execution| {
                let job = JobId::new(job).unwrap();
                let parts = PartFooters::new(schema(), Vec::new());
                let (output, execution) = (TableOutput::new(&*path), ExecutionId(execution));
                let mut assembly = Assembly::begin(&output, &job, execution, parts)?;
                assembly.finish()?;
                assembly.commit()
            };
            commit("a", 1).unwrap();
            commit("a", 2).unwrap();
        }
        let output = TableOutput::new(around.path().join("empty/").display().to_string());
        let job = JobId::new("b").unwrap();
        let parts = PartFooters::new(schema(), Vec::new());
        let other = Assembly::begin(&output, &job, ExecutionId(3), parts).unwrap();
        let refused = other.commit().unwrap_err().to_string();
        assert!(refused.contains("--overwrite"), "{refused}");
    }
}
