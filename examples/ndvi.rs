//! Computes the NDVI of a generated scene in this process: embedded broker, worker, no server.
//!
//! `cargo run --release --example ndvi -- data/sample`

use std::error::Error;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::io::sample::{SampleOptions, write_sample};
use swath::spec::{JobOptions, NamedInput, RasterOutput, SPEC_VERSION};
use swath::{JobSpec, TaskOperation};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "data/sample".to_owned());
    let output = run(Path::new(&dir), 2048).await?;
    println!("{}", output.display());
    Ok(())
}

/// Generates a scene of `size × size` cells in `dir`, and its NDVI.
pub(crate) async fn run(dir: &Path, size: u32) -> Result<PathBuf, Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let dir = std::path::absolute(dir)?;
    let sample = SampleOptions {
        size,
        seed: 1,
        overwrite: true,
    };
    write_sample(&dir, &sample, &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })?;

    let band = |name: &str, file: &str| NamedInput {
        name: name.to_owned(),
        path: dir.join(file).display().to_string(),
        band: 1,
    };
    let output = dir.join("ndvi.tif");
    let spec = JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Index {
            names: vec!["NDVI".to_owned()],
            inputs: vec![band("N", "nir.tif"), band("R", "red.tif")],
            scale: 1.0,
            offset: 0.0,
            constants: std::collections::BTreeMap::new(),
        },
        output: Some(
            RasterOutput {
                overwrite: true,
                ..RasterOutput::new(output.display().to_string())
            }
            .into(),
        ),
        options: JobOptions::default(),
    };

    let cluster = LocalCluster::start(LocalOptions::default()).await?;
    let client = cluster.client();
    let job = client.submit(&spec, SubmitOptions::default()).await?;
    let mut progress = client.watch(&job).await?;
    let mut succeeded = false;
    while let Some(item) = progress.next().await {
        let item = item?;
        let (done, all) = item.tasks();
        eprintln!("{done} of {all} tasks, the job {}", item.sentence());
        succeeded = item.succeeded();
    }
    cluster.stop().await;
    if succeeded {
        Ok(output)
    } else {
        Err("the job did not succeed".into())
    }
}
