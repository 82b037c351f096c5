//! Finding files: single ones, patterns, folders, hive-partitioned folders.
//!
//! - A path that exists is taken literally, whatever characters are in it; otherwise `*`, `?`, `**` and `[…]` make it a
//!   pattern, where `*` and `?` stop at `/`.
//! - A folder stands for all files below it. Names that begin with `_` or `.` are left out there, and by patterns
//!   whose own last part does not begin so: `_SUCCESS`, `_metadata`, temporary files.
//! - Folders named `name=value` at or below a given folder, or from the first wildcard of a pattern on, are columns.
//! - A folder of a bucket that has Swath's parts and no `_SUCCESS` is refused: its objects appear one after the other.
//! - Files come in the order of their paths, each once; the rows of a table are in this order.

use std::path::{Component, Path as FsPath, PathBuf};

use datafusion::execution::object_store::ObjectStoreUrl;
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::{Error, SourceContext};
use crate::sink::{SUCCESS, is_part};

/// A file of a table.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) store: ObjectStoreUrl,
    pub(super) meta: ObjectMeta,
    /// The path for people.
    pub(super) shown: String,
    /// Names and values of the folders above it.
    pub(super) hive: Vec<(String, String)>,
}

/// Folders within folders; a loop of links ends here.
const DEPTH_MAX: usize = 64;

const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Finds the files that the paths of a table stand for.
pub(super) async fn locate(paths: &[String], context: &SourceContext) -> Result<Vec<Found>, Error> {
    let mut found: Vec<Found> = Vec::new();
    for path in paths {
        let more = match path.split_once("://") {
            None => local(path.clone()).await?,
            Some(("file", _)) => local(file_url(path)?).await?,
            Some(("http" | "https", _)) => vec![http(path, context).await?],
            Some(("s3", _)) => bucket(path, context).await?,
            Some((scheme, _)) => {
                return Err(Error::Scheme {
                    path: path.clone(),
                    scheme: scheme.to_owned(),
                });
            }
        };
        found.extend(more);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|file| seen.insert((file.store.clone(), file.meta.location.clone())));
    match found.first() {
        None => Err(Error::NoPaths),
        Some(first) => match found.iter().find(|file| file.store != first.store) {
            Some(second) => Err(Error::MixedPlaces {
                first: first.shown.clone(),
                second: second.shown.clone(),
            }),
            None => Ok(found),
        },
    }
}

fn parse_url(path: &str) -> Result<Url, Error> {
    Url::parse(path).map_err(|source| Error::Url {
        path: path.to_owned(),
        source: source.into(),
    })
}

fn file_url(path: &str) -> Result<String, Error> {
    let file = parse_url(path)?.to_file_path().map_err(|()| Error::Url {
        path: path.to_owned(),
        source: "it names no file of this machine".into(),
    })?;
    Ok(file.to_string_lossy().into_owned())
}

/// Finds local files; walks folders on a thread that may block.
async fn local(path: String) -> Result<Vec<Found>, Error> {
    let shown = path.clone();
    tokio::task::spawn_blocking(move || walk_local(&path))
        .await
        .unwrap_or_else(|error| {
            Err(Error::Url {
                path: shown,
                source: error.into(),
            })
        })
}

fn walk_local(path: &str) -> Result<Vec<Found>, Error> {
    let failed = |source: std::io::Error| fetch_failed(path, io_error(source));
    let absolute = std::path::absolute(path).map_err(failed)?;
    match std::fs::metadata(&absolute) {
        Ok(meta) if meta.is_dir() => {
            let files = files_below(&absolute).map_err(failed)?;
            let kept = files.into_iter().filter(|(below, _)| !is_hidden(below));
            let found = kept.map(|(below, file)| local_file(&file, &below));
            some(found.collect::<Result<_, _>>()?, path)
        }
        Ok(_) => Ok(vec![local_file(&absolute, "")?]),
        Err(_) if wildcard(path).is_some() => {
            let whole = absolute.to_string_lossy();
            let at = wildcard(&whole).unwrap_or(0);
            let root = whole.get(..at).unwrap_or_default();
            let matches = matcher(whole.get(at..).unwrap_or_default(), path)?;
            let files = match std::fs::metadata(root) {
                Ok(_) => files_below(FsPath::new(root)).map_err(failed)?,
                Err(_) => Vec::new(),
            };
            let kept = files.into_iter().filter(|(below, _)| matches(below));
            let found = kept.map(|(below, file)| local_file(&file, &below));
            some(found.collect::<Result<_, _>>()?, path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound {
            path: path.to_owned(),
        }),
        Err(error) => Err(failed(error)),
    }
}

/// Returns the start of the first part of a path that has a wildcard in it.
fn wildcard(path: &str) -> Option<usize> {
    let at = path.find(['*', '?', '['])?;
    Some(path.get(..at)?.rfind('/').map_or(0, |slash| slash + 1))
}

/// Makes the test of a pattern on paths below its fixed part.
fn matcher(pattern: &str, shown: &str) -> Result<impl Fn(&str) -> bool, Error> {
    let last = pattern.rsplit('/').next().unwrap_or_default();
    let takes_hidden = last.starts_with(['_', '.']);
    let pattern = Pattern::new(pattern).map_err(|source| Error::Pattern {
        pattern: shown.to_owned(),
        source,
    })?;
    Ok(move |below: &str| {
        pattern.matches_with(below, MATCHING) && (takes_hidden || !is_hidden(below))
    })
}

/// Tells whether a file, or a folder above it, is none of the table's.
fn is_hidden(below: &str) -> bool {
    below.split('/').any(|part| {
        // `_year=2024` is a column, not a temporary folder.
        part.starts_with('.') || (part.starts_with('_') && !part.contains('='))
    })
}

fn some(found: Vec<Found>, pattern: &str) -> Result<Vec<Found>, Error> {
    match found.is_empty() {
        true => Err(Error::NoMatch {
            pattern: pattern.to_owned(),
        }),
        false => Ok(found),
    }
}

/// Lists the files below a folder: the path from there, with `/`, and the whole path; in order.
fn files_below(root: &FsPath) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), root.to_owned(), 0)];
    while let Some((below, folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let below = format!("{below}{}", entry.file_name().to_string_lossy());
            // Follows links; one that leads nowhere is no file.
            match std::fs::metadata(entry.path()) {
                Ok(meta) if meta.is_dir() && depth < DEPTH_MAX => {
                    folders.push((format!("{below}/"), entry.path(), depth + 1));
                }
                Ok(meta) if meta.is_file() => files.push((below, entry.path())),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

fn local_file(path: &FsPath, below: &str) -> Result<Found, Error> {
    let shown = path.to_string_lossy().into_owned();
    let failed = |e| fetch_failed(&shown, io_error(e));
    let meta = std::fs::metadata(path).map_err(failed)?;
    let location = without_parents(path).map_err(failed)?;
    let location = Path::from_absolute_path(location).map_err(|source| Error::Url {
        path: shown.clone(),
        source: source.into(),
    })?;
    let modified = meta.modified().unwrap_or(std::time::UNIX_EPOCH);
    Ok(Found {
        store: ObjectStoreUrl::local_filesystem(),
        meta: ObjectMeta {
            location,
            last_modified: modified.into(),
            size: meta.len(),
            e_tag: None,
            version: None,
        },
        shown,
        hive: hive_columns(below),
    })
}

/// Resolves `..` as the file system does, behind links, since an object's path may have none.
fn without_parents(path: &FsPath) -> std::io::Result<PathBuf> {
    let has_parents = path.components().any(|part| part == Component::ParentDir);
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if has_parents => Ok(folder.canonicalize()?.join(name)),
        _ => Ok(path.to_owned()),
    }
}

/// Reads `name=value` folders from a path.
fn hive_columns(below: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        decoded.into_owned()
    };
    let Some((folders, _)) = below.rsplit_once('/') else {
        return Vec::new();
    };
    let pairs = folders.split('/').filter_map(|part| part.split_once('='));
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

async fn http(path: &str, context: &SourceContext) -> Result<Found, Error> {
    let url = parse_url(path)?;
    let (store_url, location) = super::remote::split(&url).map_err(|source| Error::Url {
        path: path.to_owned(),
        source,
    })?;
    let shown = super::remote::shown(&url);
    let store = store(&store_url, context, &shown)?;
    let meta = store
        .head(&location)
        .await
        .map_err(|source| fetch_failed(&shown, source))?;
    Ok(Found {
        store: store_url,
        meta,
        shown,
        hive: Vec::new(),
    })
}

/// Finds objects of a bucket: one, a pattern, or all below a prefix that ends in `/` or is no object itself.
async fn bucket(path: &str, context: &SourceContext) -> Result<Vec<Found>, Error> {
    let rest = path.trim_start_matches("s3://");
    let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
    let bad = |source: crate::BoxError| Error::Url {
        path: path.to_owned(),
        source,
    };
    let store_url = ObjectStoreUrl::parse(format!("s3://{name}")).map_err(|e| bad(Box::new(e)))?;
    let store = store(&store_url, context, path)?;
    let found = |meta: ObjectMeta, below: &str| Found {
        store: store_url.clone(),
        shown: format!("s3://{name}/{}", meta.location),
        meta,
        hive: hive_columns(below),
    };
    let at = wildcard(key);
    if at.is_none() && !key.is_empty() && !key.ends_with('/') {
        let location = Path::parse(key).map_err(|e| bad(Box::new(e)))?;
        match store.head(&location).await {
            Ok(meta) => return Ok(vec![found(meta, "")]),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(fetch_failed(path, source)),
        }
    }
    let root = key.get(..at.unwrap_or(key.len())).unwrap_or_default();
    let root = Path::parse(root).map_err(|e| bad(Box::new(e)))?;
    let matches = at
        .map(|at| matcher(key.get(at..).unwrap_or_default(), path))
        .transpose()?;
    let mut metas: Vec<ObjectMeta> = store
        .list(Some(&root))
        .try_collect()
        .await
        .map_err(|source| fetch_failed(path, source))?;
    metas.sort_by(|a, b| a.location.cmp(&b.location));
    let below = |meta: &ObjectMeta| {
        let below = meta.location.as_ref().strip_prefix(root.as_ref())?;
        Some(below.trim_start_matches('/').to_owned())
    };
    if matches.is_none() && is_unfinished(&metas.iter().filter_map(below).collect::<Vec<_>>()) {
        return Err(Error::Unfinished {
            path: path.trim_end_matches('/').to_owned(),
        });
    }
    let kept = metas.into_iter().filter_map(|meta| {
        let below = below(&meta)?;
        let kept = match &matches {
            Some(matches) => matches(&below),
            None => !is_hidden(&below),
        };
        (kept && meta.size > 0).then(|| found(meta, &below))
    });
    some(kept.collect(), path)
}

/// Tells whether the objects of a folder are parts that some job wrote, without the manifest that comes last.
fn is_unfinished(names: &[String]) -> bool {
    names.iter().any(|name| is_part(name)) && !names.iter().any(|name| name == SUCCESS)
}

fn store(
    url: &ObjectStoreUrl,
    context: &SourceContext,
    shown: &str,
) -> Result<std::sync::Arc<dyn ObjectStore>, Error> {
    let url: &Url = url.as_ref();
    context.store(url).map_err(|source| Error::Url {
        path: shown.to_owned(),
        source: Box::new(source),
    })
}

pub(super) fn fetch_failed(shown: &str, source: object_store::Error) -> Error {
    Error::Fetch {
        path: shown.to_owned(),
        source: Box::new(source),
    }
}

fn io_error(source: std::io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "local",
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        root
    }

    async fn check(files: &[&str], pattern: &str, expected: &[&str]) {
        let root = tree(files);
        let path = format!("{}/{pattern}", root.path().display());
        let found = locate(&[path], &SourceContext::new()).await.unwrap();
        let prefix = format!("{}/", root.path().display());
        let names: Vec<&str> = found
            .iter()
            .map(|file| file.shown.strip_prefix(&prefix).unwrap())
            .collect();
        assert_eq!(names, expected, "{pattern}");
    }

    #[tokio::test]
    async fn paths_stand_for_the_files_that_they_should() {
        let files = [
            "b/2.csv",
            "b/1.csv",
            "b/_SUCCESS",
            "b/.hidden",
            "b/c/3.csv",
            "a[1].csv",
            "x.txt",
            "_tmp/4.csv",
        ];
        check(&files, "b/1.csv", &["b/1.csv"]).await;
        check(&files, "b", &["b/1.csv", "b/2.csv", "b/c/3.csv"]).await;
        check(&files, "b/*.csv", &["b/1.csv", "b/2.csv"]).await;
        check(&files, "*/?.csv", &["b/1.csv", "b/2.csv"]).await;
        check(
            &files,
            "**/*.csv",
            &["a[1].csv", "b/1.csv", "b/2.csv", "b/c/3.csv"],
        )
        .await;
        check(&files, "b/[2-9].csv", &["b/2.csv"]).await;
        check(&files, "b/_*", &["b/_SUCCESS"]).await;
        check(&files, "a[1].csv", &["a[1].csv"]).await;
        check(&files, "_tmp/../b/1.csv", &["_tmp/../b/1.csv"]).await;
        check(&files, "b/../b/?.csv", &["b/../b/1.csv", "b/../b/2.csv"]).await;
        check(
            &files,
            "b/c/..",
            &["b/c/../1.csv", "b/c/../2.csv", "b/c/../c/3.csv"],
        )
        .await;
    }

    #[tokio::test]
    async fn folders_named_by_values_are_columns() {
        let root = tree(&["y=1/m=a%20b/f.csv", "y=2/m=c/f.csv"]);
        let check = async |path: String, expected: &[&[(&str, &str)]]| {
            let found = locate(&[path], &SourceContext::new()).await.unwrap();
            let got: Vec<Vec<(&str, &str)>> = found
                .iter()
                .map(|f| {
                    f.hive
                        .iter()
                        .map(|(n, v)| (n.as_str(), v.as_str()))
                        .collect()
                })
                .collect();
            assert_eq!(got, expected);
        };
        let both: [&[(&str, &str)]; 2] = [&[("y", "1"), ("m", "a b")], &[("y", "2"), ("m", "c")]];
        let folder = root.path().display().to_string();
        check(folder.clone(), &both).await;
        check(format!("{folder}/*/*/*.csv"), &both).await;
        check(format!("{folder}/y=2/*/*.csv"), &[&[("m", "c")]]).await;
        check(format!("{folder}/y=2/m=c/f.csv"), &[&[]]).await;
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        let root = tree(&["a.csv"]);
        let folder = root.path().display().to_string();
        for (path, message) in [
            (format!("{folder}/b.csv"), "does not exist"),
            (format!("{folder}/*.parquet"), "no file matches"),
            (format!("{folder}/none/**/x"), "no file matches"),
            ("gs://b/x.csv".to_owned(), "gs:// cannot be read"),
        ] {
            let error = locate(std::slice::from_ref(&path), &SourceContext::new()).await;
            let text = error.unwrap_err().to_string();
            assert!(text.contains(message) && text.contains(&path), "{text}");
        }
    }
}
