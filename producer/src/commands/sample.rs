//! `swath sample`: a generated scene to try things on.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::ProgressBar;
use swath::io::sample::{SampleOptions, write_sample};

use crate::arguments::Global;
use crate::failure::CliError;
use crate::output;

pub(crate) fn sample(
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
    let mut progress = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let options = SampleOptions {
        size,
        seed,
        overwrite,
    };
    let files = write_sample(dir, &options, &mut progress)
        .map_err(|error| CliError::arguments("sample", &error))?;
    bar.finish_and_clear();
    if global.json {
        output::json(&files);
    } else {
        for file in files {
            println!("{}", file.display());
        }
    }
    Ok(())
}
