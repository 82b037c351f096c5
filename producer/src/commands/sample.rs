//! `swath sample`: a generated scene to try things on.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use swath::io::sample::{Error, SampleOptions, write_sample};

use crate::arguments::Global;
use crate::failure::CliError;
use crate::interrupt::interrupted;
use crate::output::{self, say};

pub(crate) async fn sample(
    dir: &Path,
    (size, seed, overwrite): (u32, u64, bool),
    global: &Global,
) -> Result<(), CliError> {
    let show = std::io::stderr().is_terminal() && !global.quiet && !global.json;
    let bar = if show {
        ProgressBar::new(1)
    } else {
        ProgressBar::hidden()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (dir, stopped, shown) = (dir.to_owned(), Arc::clone(&stop), bar.clone());
    let mut progress = move |done, all| {
        shown.set_length(all);
        shown.set_position(done);
        match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let options = SampleOptions {
        size,
        seed,
        overwrite,
    };
    let work = move || write_sample(&dir, &options, &mut progress);
    let mut work = tokio::task::spawn_blocking(work);
    let written = tokio::select! {
        written = &mut work => written,
        () = interrupted() => {
            stop.store(true, Ordering::Relaxed);
            work.await
        }
    };
    let files = match written {
        Ok(Err(Error::Interrupted)) => {
            return Err(CliError::interrupted("interrupted; nothing was written"));
        }
        Ok(written) => written.map_err(|error| CliError::arguments("sample", &error))?,
        Err(error) => return Err(CliError::arguments("sample", &error)),
    };
    bar.finish_and_clear();
    if global.json {
        output::json(&files);
    } else {
        for file in files {
            say!("{}", file.display());
        }
    }
    Ok(())
}
