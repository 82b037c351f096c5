//! A folder of parts while it is written: under a name that no other execution shares, or in a bucket as uploads.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::prefix::Parts;
use super::staged::{OLD, folder_of, prefix};
use super::{Error, check_around, check_writable, object, publish, sweep};
use crate::ids::{ExecutionId, JobId};

/// A temporary folder beside an output, removed when dropped before it is committed; in a bucket, uploads that are aborted.
#[derive(Debug)]
pub struct StagedFolder(Place);

#[derive(Debug)]
enum Place {
    Disk(TemporaryFolder),
    Bucket(Box<Parts>),
}

#[derive(Debug)]
struct TemporaryFolder {
    output: PathBuf,
    temporary: PathBuf,
    job: JobId,
}

/// The name of the file that a whole folder holds: what is in it, and which job made it.
pub const MANIFEST: &str = "_SUCCESS";

impl StagedFolder {
    /// Creates the temporary folder of one execution; for one in a bucket, call it where waiting is allowed, on a runtime.
    ///
    /// # Errors
    /// When `output` has no name, or the folder cannot be created.
    pub fn create(output: &Path, job: &JobId, execution: ExecutionId) -> Result<Self, Error> {
        if let Some((scheme, url)) = object::url_of(output) {
            object::check_scheme(scheme, output)?;
            return Ok(Self(Place::Bucket(Box::new(Parts::new(url, job)?))));
        }
        let folder = TemporaryFolder::create(output, job, execution)?;
        Ok(Self(Place::Disk(folder)))
    }

    /// Creates a file in it; [`StagedFolder::finish_file`] when it is written.
    ///
    /// # Errors
    /// What the system refused.
    pub fn file(&mut self, name: &str) -> Result<File, Error> {
        match &mut self.0 {
            Place::Disk(folder) => folder.file(name),
            Place::Bucket(parts) => parts.file(name),
        }
    }

    /// Sends the file that was written last to its bucket, where nobody sees it yet. On a disk there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Exists`] when another object has the name and `overwrite` is not set; else what the server refused.
    pub fn finish_file(&mut self, overwrite: bool) -> Result<(), Error> {
        match &mut self.0 {
            Place::Disk(_) => Ok(()),
            Place::Bucket(parts) => parts.send(overwrite),
        }
    }

    /// Makes the folder appear under the name of the output, whole and on disk. In a bucket the files appear one after the
    /// other, [`MANIFEST`] as the last.
    ///
    /// - `manifest`: what [`MANIFEST`] shall hold. An output that holds the same manifest was committed by an
    ///   earlier execution, and this one has succeeded too.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is another one and `overwrite` is not set; else what the system refused.
    pub fn commit(self, manifest: &[u8], overwrite: bool) -> Result<(), Error> {
        match self.0 {
            Place::Disk(folder) => folder.commit(manifest, overwrite),
            Place::Bucket(parts) => parts.commit(manifest, overwrite),
        }
    }
}

impl TemporaryFolder {
    fn create(output: &Path, job: &JobId, execution: ExecutionId) -> Result<Self, Error> {
        let mut name = prefix(output, job)?;
        name.push(format!("{:016x}.tmp", execution.0));
        let temporary = folder_of(output)?.join(name);
        fs::create_dir(&temporary).map_err(step("created", &temporary))?;
        Ok(Self {
            output: output.to_owned(),
            temporary,
            job: job.clone(),
        })
    }

    fn file(&self, name: &str) -> Result<File, Error> {
        let path = self.temporary.join(name);
        File::create_new(&path).map_err(step("created", &path))
    }

    fn commit(self, manifest: &[u8], overwrite: bool) -> Result<(), Error> {
        let path = self.temporary.join(MANIFEST);
        fs::write(&path, manifest).map_err(step("written", &path))?;
        self.sync()?;
        if !is_of(&self.output, manifest) {
            self.replace(manifest, overwrite)?;
        }
        publish::sync_folder(&folder_of(&self.output)?)?;
        sweep(&self.output, &self.job);
        Ok(())
    }

    /// Gives the folder its name. Another execution of the job may do the same at any moment, and sweep ours away.
    fn replace(&self, manifest: &[u8], overwrite: bool) -> Result<(), Error> {
        let old = self.temporary.with_extension(OLD);
        if overwrite {
            // Two steps: between them there is no output, and never half of one. Who dies there leaves the old one to be swept,
            // or brought back.
            match fs::rename(&self.output, &old) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(step("replaced", &self.output)(error)),
            }
        }
        let committed = match is_of(&old, manifest) {
            // It was the output of another execution.
            true => publish::rename_if_absent(&old, &self.output),
            false => publish::rename_if_absent(&self.temporary, &self.output),
        };
        let Err(source) = committed else {
            return Ok(());
        };
        // What is not to be replaced after all is brought back; where there is something by now, it was to be replaced.
        let _ = publish::rename_if_absent(&old, &self.output);
        if is_of(&self.output, manifest) {
            return Ok(());
        }
        match source.kind() {
            ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty if !overwrite => {
                let path = self.output.clone();
                Err(Error::Exists { path })
            }
            _ => Err(step("committed", &self.output)(source)),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        let failed = || step("written to disk", &self.temporary);
        for entry in fs::read_dir(&self.temporary).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(step("written to disk", &path))?;
        }
        publish::sync_folder(&self.temporary)
    }
}

/// Tells whether a folder was committed with a manifest.
fn is_of(folder: &Path, manifest: &[u8]) -> bool {
    fs::read(folder.join(MANIFEST)).is_ok_and(|found| found == manifest)
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // After a rename the name is gone already; a leftover is harmless and swept by the job's end.
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

/// Refuses, before any work, a folder of parts that could not be committed.
///
/// # Errors
/// When there is such a file or folder and it may not be replaced, or the folder around it is missing or not writable.
pub fn check_folder(path: &Path, overwrite: bool) -> Result<(), Error> {
    // Of what is in a bucket, only its server knows more.
    if let Some((scheme, _)) = object::url_of(path) {
        return object::check_scheme(scheme, path);
    }
    let parent = folder_of(path)?;
    check_around(&parent)?;
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.is_dir() => return Err(Error::IsFile { path }),
        Ok(_) if !overwrite => return Err(Error::Exists { path }),
        Ok(_) | Err(_) => {}
    }
    check_writable(parent)
}

fn step(step: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Step { step, path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn staged(output: &Path, execution: u64, text: &str) -> StagedFolder {
        let job = JobId::new("a").unwrap();
        let mut staged = StagedFolder::create(output, &job, ExecutionId(execution)).unwrap();
        let mut part = staged.file("part-00000.csv").unwrap();
        part.write_all(text.as_bytes()).unwrap();
        staged
    }

    fn read(output: &Path) -> String {
        fs::read_to_string(output.join("part-00000.csv")).unwrap()
    }

    #[test]
    fn a_folder_appears_whole_once_and_nothing_else_is_left() {
        let around = tempfile::tempdir().unwrap();
        let output = around.path().join("out");
        check_folder(&output, false).unwrap();
        staged(&output, 1, "one").commit(b"a", false).unwrap();
        // The same job again: it has succeeded already.
        staged(&output, 2, "two").commit(b"a", false).unwrap();
        assert_eq!(read(&output), "one");
        let error = staged(&output, 3, "three").commit(b"b", false).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }));
        assert!(matches!(
            check_folder(&output, false),
            Err(Error::Exists { .. })
        ));
        staged(&output, 4, "four").commit(b"b", true).unwrap();
        assert_eq!(read(&output), "four");
        drop(staged(&output, 5, "five"));
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_execution_had_moved_away_is_removed_or_brought_back() {
        let around = tempfile::tempdir().unwrap();
        let output = around.path().join("out");
        let old = around.path().join(".out.swath-a-0000000000000009.old");
        let left = || fs::read_dir(around.path()).unwrap().count();
        staged(&output, 1, "before").commit(b"x", false).unwrap();
        // It died between the two steps; the job ends otherwise.
        fs::rename(&output, &old).unwrap();
        sweep(&output, &JobId::new("a").unwrap());
        assert_eq!((read(&output).as_str(), left()), ("before", 1));
        // Another execution commits.
        fs::rename(&output, &old).unwrap();
        staged(&output, 2, "after").commit(b"y", true).unwrap();
        assert_eq!((read(&output).as_str(), left()), ("after", 1));
        // Leftovers go even when the job has been committed before.
        let leftover = staged(&output, 3, "late");
        std::mem::forget(leftover);
        staged(&output, 4, "again").commit(b"y", true).unwrap();
        assert_eq!((read(&output).as_str(), left()), ("after", 1));
    }

    #[test]
    fn an_execution_that_is_swept_while_it_replaces_brings_the_others_output_back() {
        let around = tempfile::tempdir().unwrap();
        let output = around.path().join("out");
        let frozen = staged(&output, 1, "same");
        let Place::Disk(frozen) = frozen.0 else {
            panic!("a folder on a disk");
        };
        staged(&output, 2, "same").commit(b"m", true).unwrap();
        assert!(!frozen.temporary.exists(), "swept");
        // It wakes after its look at the output.
        frozen.replace(b"m", true).unwrap();
        assert_eq!(read(&output), "same");
        // As a job of another output it fails, and leaves what is there.
        let error = frozen.replace(b"other", true).unwrap_err();
        assert!(matches!(error, Error::Step { .. }), "{error:?}");
        assert_eq!(read(&output), "same");
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_not_replaced_by_a_folder() {
        let around = tempfile::tempdir().unwrap();
        let output = around.path().join("out");
        fs::write(&output, "x").unwrap();
        assert!(matches!(
            check_folder(&output, true),
            Err(Error::IsFile { .. })
        ));
    }
}
