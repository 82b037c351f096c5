//! A file while it is written: under a name that no other execution shares.

use std::ffi::{OsStr, OsString};
use std::fs::{DirEntry, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::object::{self, IfThere, Upload};
use super::{Error, publish};
use crate::ids::{ExecutionId, JobId};
use crate::io::source::Sources;

/// Ends the name of an output that was moved away to be replaced.
pub(super) const OLD: &str = "old";
/// The digits of an execution in a temporary name.
const EXECUTION_DIGITS: usize = 16;

/// How long the temporary file of another job is left alone after it was last written to: as long as logs are kept by default.
const LEFT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A temporary file in the folder of an output, `.{file name}.swath-{job}-{execution}.tmp`; removed when
/// dropped before it is committed.
///
/// For an object of a bucket it is a nameless file in the system's folder of temporary files, and then an upload in parts.
#[derive(Debug)]
pub struct Staged {
    file: File,
    output: PathBuf,
    place: Place,
    job: JobId,
}

#[derive(Debug)]
enum Place {
    /// The temporary file.
    Disk(PathBuf),
    Bucket(Upload),
}

impl Staged {
    /// Creates the temporary file of one execution.
    ///
    /// # Errors
    /// When `output` names no file, or the file cannot be created.
    pub fn create(output: &Path, job: &JobId, execution: ExecutionId) -> Result<Self, Error> {
        if let Some((scheme, url)) = object::url_of(output) {
            object::check_scheme(scheme, output)?;
            let sources = Sources::new().map_err(|source| Error::Remote {
                path: output.to_owned(),
                source,
            })?;
            return Self::in_bucket(sources, url, job);
        }
        let mut name = prefix(output, job)?;
        name.push(format!("{:016x}.tmp", execution.0));
        let temporary = folder_of(output)?.join(name);
        let created = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary);
        match created {
            Ok(file) => Ok(Self {
                file,
                output: output.to_owned(),
                place: Place::Disk(temporary),
                job: job.clone(),
            }),
            Err(source) => Err(Error::Step {
                step: "created",
                path: temporary,
                source,
            }),
        }
    }

    /// As [`Staged::create`], for an object; call it where waiting is allowed, on a runtime.
    pub(super) fn in_bucket(sources: Sources, url: &str, job: &JobId) -> Result<Self, Error> {
        let upload = Upload::new(sources, url, job)?;
        let file = tempfile::tempfile().map_err(|source| Error::Step {
            step: "created",
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(Self {
            file,
            output: PathBuf::from(url),
            place: Place::Bucket(upload),
            job: job.clone(),
        })
    }

    /// Does what takes long before the commit: sends an object's parts, which nobody sees yet. On a disk there is nothing to
    /// do.
    ///
    /// - `cancelled`: asked between parts; when it says yes, an error follows.
    ///
    /// # Errors
    /// As [`Staged::commit`].
    pub fn prepare(&mut self, overwrite: bool, cancelled: &dyn Fn() -> bool) -> Result<(), Error> {
        match &mut self.place {
            Place::Disk(_) => Ok(()),
            Place::Bucket(upload) => upload.send(&mut self.file, overwrite, cancelled),
        }
    }

    /// Returns the file to write into; it is not buffered.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the file appear under the name of the output, whole and on disk, and removes what earlier
    /// executions of the job left behind.
    ///
    /// Without `overwrite` an existing file stays as it is. If it holds the same bytes, an earlier execution
    /// committed it, and this one has succeeded too.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is another file and `overwrite` is not set; else what the system refused.
    pub fn commit(mut self, overwrite: bool) -> Result<(), Error> {
        let temporary = match &mut self.place {
            Place::Disk(temporary) => temporary.clone(),
            Place::Bucket(upload) => {
                upload.send(&mut self.file, overwrite, &|| false)?;
                return upload.complete(IfThere::of(overwrite));
            }
        };
        self.file.sync_all().map_err(|source| Error::Step {
            step: "written to disk",
            path: temporary.clone(),
            source,
        })?;
        publish::publish(&mut self.file, &temporary, &self.output, overwrite)?;
        publish::sync_folder(&folder_of(&self.output)?)?;
        sweep(&self.output, &self.job);
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Place::Disk(temporary) = &self.place {
            // After a rename the name is gone already; a leftover is harmless and swept by the job's end.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Removes the temporary files and folders that executions of a job left behind for an output. It is for jobs that ended: a
/// live execution would lose its file. What any job left in the same folder, and nobody has written to for a week, goes as
/// well: that job was forgotten before it ended.
pub fn sweep(output: &Path, job: &JobId) {
    sweep_older(output, job, LEFT_MAX);
}

pub(super) fn sweep_older(output: &Path, job: &JobId, left_max: Duration) {
    let (Ok(folder), Ok(prefix)) = (folder_of(output), prefix(output, job)) else {
        return;
    };
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let left = |entry: &DirEntry| {
        let name = entry.file_name();
        is_staged(&name, &prefix) || (is_anyones(&name) && is_older(entry, left_max))
    };
    for entry in entries.filter(left) {
        let (path, name) = (entry.path(), entry.file_name());
        // An output that was moved away for another one which never came.
        if path.extension().is_some_and(|it| it == OLD)
            && let Some(output) = output_of(&name)
            && publish::rename_if_absent(&path, &folder.join(output)).is_ok()
        {
            continue;
        }
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        if let Err(error) = removed {
            let gone = error.kind() == std::io::ErrorKind::NotFound;
            if !gone {
                tracing::warn!(path = %entry.path().display(), %error, "leftover not removed");
            }
        }
    }
}

/// Tells whether a name is the prefix, the digits of an execution and the ending, and nothing else: the id of a job may
/// begin with that of another.
fn is_staged(name: &OsStr, prefix: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.strip_prefix(prefix.as_encoded_bytes())
        .and_then(|rest| {
            let old = || rest.strip_suffix(b".old");
            rest.strip_suffix(b".tmp").or_else(old)
        })
        .is_some_and(|digits| {
            digits.len() == EXECUTION_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
        })
}

/// Tells whether a name is that of a temporary file, or folder, of any job and output.
fn is_anyones(name: &OsStr) -> bool {
    output_of(name).is_some()
}

/// Returns the name of the output from that of a temporary file or folder, of any job.
fn output_of(name: &OsStr) -> Option<&str> {
    let name = name.to_str()?.strip_prefix('.')?;
    let rest = name
        .strip_suffix(".tmp")
        .or_else(|| name.strip_suffix(".old"))?;
    let (output, run) = rest.rsplit_once(".swath-")?;
    let (job, digits) = run.rsplit_once('-')?;
    let digits =
        digits.len() == EXECUTION_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    (!output.is_empty() && JobId::new(job).is_ok() && digits).then_some(output)
}

fn is_older(entry: &DirEntry, age: Duration) -> bool {
    let changed = entry.metadata().and_then(|file| file.modified());
    changed.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age))
}

pub(super) fn prefix(output: &Path, job: &JobId) -> Result<OsString, Error> {
    let name = output.file_name().ok_or_else(|| Error::NoFileName {
        path: output.to_owned(),
    })?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(format!(".swath-{job}-"));
    Ok(prefix)
}

/// Returns the folder of an output: `.` for a bare name.
pub(super) fn folder_of(output: &Path) -> Result<PathBuf, Error> {
    match (output.file_name(), output.parent()) {
        (Some(_), Some(folder)) if folder.as_os_str().is_empty() => Ok(PathBuf::from(".")),
        (Some(_), Some(folder)) => Ok(folder.to_owned()),
        _ => Err(Error::NoFileName {
            path: output.to_owned(),
        }),
    }
}
