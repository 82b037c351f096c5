//! What several topics need: a scene, specs, and reading an output back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use swath::grid::{Block, Samples, Window};
use swath::ids::OperationName;
use swath::io::raster::read::RasterFile;
use swath::io::sample::{SampleOptions, write_sample};
use swath::io::source::Sources;
use swath::spec::{JobOptions, NamedInput, Output, RasterOutput, SPEC_VERSION, TaskList};
use swath::{JobSpec, TaskOperation};

/// Generates a scene of `size × size` cells.
pub(crate) fn scene(dir: &Path, size: u32) {
    let options = SampleOptions {
        size,
        seed: 7,
        overwrite: false,
    };
    write_sample(dir, &options, &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
}

/// NDVI of a generated scene, in tiles of 64 cells so that a small scene has many tasks.
pub(crate) fn ndvi(dir: &Path, output: &Path) -> JobSpec {
    let band = |name: &str, file: &str| NamedInput {
        name: name.to_owned(),
        path: dir.join(file).display().to_string(),
        band: 1,
    };
    let operation = TaskOperation::Index {
        names: vec!["NDVI".to_owned()],
        inputs: vec![band("N", "nir.tif"), band("R", "red.tif")],
        scale: 1.0,
        offset: 0.0,
        constants: std::collections::BTreeMap::new(),
    };
    JobSpec {
        version: SPEC_VERSION,
        operation,
        output: Some(RasterOutput::new(output.display().to_string()).into()),
        options: JobOptions::default(),
    }
}

/// Returns the output of a raster job, to be changed.
pub(crate) fn raster_output(spec: &mut JobSpec) -> &mut RasterOutput {
    match &mut spec.output {
        Some(Output::Raster(output)) => output,
        other => panic!("{other:?}"),
    }
}

/// One task for each set of parameters.
pub(crate) fn tasks(operation: &str, params: &[serde_json::Value]) -> JobSpec {
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Custom {
            operation: OperationName::new(operation).unwrap(),
            tasks: TaskList::new(params),
        },
        output: None,
        options: JobOptions::default(),
    }
}

/// Opens a raster.
pub(crate) async fn raster_file(path: &Path) -> Arc<RasterFile> {
    RasterFile::open(&Sources::new().unwrap(), path.to_str().unwrap())
        .await
        .unwrap()
}

/// Reads a whole raster.
pub(crate) async fn read(path: &Path, bands: &[u16]) -> Block {
    let file = raster_file(path).await;
    let profile = &file.facts().profile;
    let window = Window::whole(profile.width, profile.height);
    file.fetch(bands, window).await.unwrap().decode().unwrap()
}

/// Asserts that an output is the NDVI of its scene, computed here cell by cell in doubles.
pub(crate) async fn assert_ndvi(dir: &Path, output: &Path) {
    let red = read(&dir.join("red.tif"), &[1]).await;
    let nir = read(&dir.join("nir.tif"), &[1]).await;
    let out = read(output, &[1]).await;
    let (Samples::UInt16(red), Samples::UInt16(nir), Samples::Float32(out)) =
        (&red.bands[0], &nir.bands[0], &out.bands[0])
    else {
        panic!("bands of other types");
    };
    assert_eq!((red.len(), nir.len()), (out.len(), out.len()));
    let mut valid = 0;
    for ((red, nir), out) in red.iter().zip(nir).zip(out) {
        // No data is 0 in the scene.
        if *red == 0 || *nir == 0 {
            assert!(out.is_nan(), "red {red}, nir {nir} gave {out}");
        } else {
            let (red, nir) = (f64::from(*red), f64::from(*nir));
            assert_eq!(*out, ((nir - red) / (nir + red)) as f32);
            valid += 1;
        }
    }
    assert!(
        valid * 2 > out.len(),
        "a scene with little in it proves little"
    );
}

/// Lists the hidden files of a folder: what a job left behind.
pub(crate) fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let hidden = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    entries.filter(hidden).collect()
}
