//! Rasters through the binary, checked by GDAL's own eyes: scripts that compare inputs and outputs through rasterio.

#[cfg(test)]
mod rasters {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    fn shared_data() -> Option<PathBuf> {
        let root = std::env::var_os("SWATH_TEST_DATA").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
            PathBuf::from,
        );
        if root.join("expected/tiff.json").is_file() {
            return Some(root);
        }
        let root = root.display();
        eprintln!("LEFT OUT: no shared data in '{root}'; set SWATH_TEST_DATA");
        None
    }

    fn script(name: &str, arguments: &[&str]) {
        let python = std::env::var("SWATH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../scripts")
            .join(name);
        let output = Command::new(python)
            .arg(path)
            .arg(env!("CARGO_BIN_EXE_swath"))
            .args(arguments)
            .env_remove("SWATH_NATS")
            .env_remove("NATS_URL")
            .output()
            .expect("python3 with rasterio, rio-cogeo, moto[server] and boto3 is on the PATH");
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    fn what_is_converted_has_the_cells_and_the_look_of_its_input() {
        let Some(root) = shared_data() else { return };
        script("convert_check.py", &[root.to_str().unwrap()]);
    }

    #[test]
    fn jobs_read_from_and_write_to_a_bucket_that_fails_now_and_then() {
        script("s3_check.py", &[]);
    }
}
