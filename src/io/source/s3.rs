//! Objects in buckets of S3: where they are and who asks, as signed URLs.
//!
//! `AWS_ENDPOINT_URL_S3` (or `AWS_ENDPOINT_URL`), `AWS_REGION` (or `AWS_DEFAULT_REGION`), `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` say where and who; without a key, or with `AWS_NO_SIGN_REQUEST`, requests
//! are anonymous. Signing computes only; the requests are `http`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, DeleteObject, GetObject,
    HeadObject, ListObjectsV2, S3Action, UploadPart,
};
use rusty_s3::{Credentials, UrlStyle};
use url::Url;

use super::Error;

/// How long a signature holds; it is made right before its request, and a part may take its time.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// The header that says which job made an object; it is part of the signature.
pub(crate) const JOB_HEADER: &str = "x-amz-meta-swath-job";
/// What the environment may say.
const SETTINGS: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_NO_SIGN_REQUEST",
];

/// Settings by the names that the environment has for them.
#[derive(Clone)]
pub(super) struct Settings(BTreeMap<String, String>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    pub(super) fn new<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(settings.into_iter().map(own).collect())
    }

    pub(super) fn of_environment() -> Self {
        let known = SETTINGS.into_iter();
        Self(
            known
                .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }
}

/// An object of a bucket, and who asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    bucket: rusty_s3::Bucket,
    credentials: Option<Credentials>,
    key: String,
    shown: String,
}

impl Object {
    /// Reads `s3://BUCKET/KEY`; the key is taken as it is written.
    pub(super) fn new(path: &str, settings: &Settings) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Bucket {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let rest = path.strip_prefix("s3://").unwrap_or_default();
        let (name, key) = rest
            .split_once('/')
            .filter(|(name, key)| !name.is_empty() && !key.is_empty())
            .ok_or_else(|| wrong("it is not s3://BUCKET/KEY"))?;
        let region = settings
            .get("AWS_REGION")
            .or_else(|| settings.get("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = settings
            .get("AWS_ENDPOINT_URL_S3")
            .or_else(|| settings.get("AWS_ENDPOINT_URL"));
        // A name with dots does not match Amazon's certificate as a host, and other servers have no host per bucket.
        let style = match endpoint.is_none() && !name.contains('.') {
            true => UrlStyle::VirtualHost,
            false => UrlStyle::Path,
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint: Url = endpoint
            .parse()
            .map_err(|_| wrong("AWS_ENDPOINT_URL is not a URL"))?;
        let bucket = rusty_s3::Bucket::new(endpoint, style, name.to_owned(), region)
            .map_err(|_| wrong("AWS_ENDPOINT_URL cannot have buckets"))?;
        let anonymous = settings.get("AWS_NO_SIGN_REQUEST").is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "yes" | "true" | "1")
        });
        let credentials = settings
            .get("AWS_ACCESS_KEY_ID")
            .zip(settings.get("AWS_SECRET_ACCESS_KEY"))
            .filter(|_| !anonymous)
            .map(|(key, secret)| match settings.get("AWS_SESSION_TOKEN") {
                Some(token) => Credentials::new_with_token(key, secret, token),
                None => Credentials::new(key, secret),
            });
        Ok(Self {
            bucket,
            credentials,
            key: key.to_owned(),
            shown: path.to_owned(),
        })
    }

    /// Returns the path, for people.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Tells one object of one server from another.
    pub(super) fn identity(&self) -> String {
        self.bucket.object_url(&self.key).into()
    }

    fn who(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Returns an object of the folder that has this key.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self {
            key: format!("{}/{name}", self.key),
            shown: format!("{}/{name}", self.shown),
            ..self.clone()
        }
    }

    /// Signs a question for the objects of the folder that has this key, from the page of a token.
    pub(crate) fn list_url(&self, token: Option<&str>) -> Url {
        let mut list = ListObjectsV2::new(&self.bucket, self.who());
        list.with_prefix(format!("{}/", self.key));
        if let Some(token) = token {
            list.with_continuation_token(token.to_owned());
        }
        list.sign(SIGNED_FOR)
    }

    /// Reads the answer to [`Object::list_url`]: names below the folder, and the token of the next page.
    pub(crate) fn listed(&self, answer: &str) -> Option<(Vec<String>, Option<String>)> {
        let parsed = ListObjectsV2::parse_response(answer).ok()?;
        let names = parsed.contents.iter().filter_map(|object| {
            let name = object.key.strip_prefix(&self.key)?.strip_prefix('/')?;
            // Consoles mark empty folders by an object without a name.
            (!name.is_empty()).then(|| name.to_owned())
        });
        Some((names.collect(), parsed.next_continuation_token))
    }

    /// Signs its removal.
    pub(crate) fn delete_url(&self) -> Url {
        DeleteObject::new(&self.bucket, self.who(), &self.key).sign(SIGNED_FOR)
    }

    /// Signs a request for its bytes.
    pub(super) fn get_url(&self) -> Url {
        GetObject::new(&self.bucket, self.who(), &self.key).sign(SIGNED_FOR)
    }

    /// Signs a question whether it exists.
    pub(crate) fn head_url(&self) -> Url {
        HeadObject::new(&self.bucket, self.who(), &self.key).sign(SIGNED_FOR)
    }

    /// Signs the begin of an upload in parts; the request must have [`JOB_HEADER`].
    pub(crate) fn create_url(&self, job: &str) -> Url {
        let mut create = CreateMultipartUpload::new(&self.bucket, self.who(), &self.key);
        create.headers_mut().insert(JOB_HEADER, job.to_owned());
        create.sign(SIGNED_FOR)
    }

    /// Reads the answer to [`Object::create_url`]: the upload's id.
    pub(crate) fn upload_id(answer: &str) -> Option<String> {
        let parsed = CreateMultipartUpload::parse_response(answer).ok()?;
        Some(parsed.upload_id().to_owned())
    }

    /// Signs the upload of a part, counted from 1.
    pub(crate) fn part_url(&self, upload: &str, number: u16) -> Url {
        UploadPart::new(&self.bucket, self.who(), &self.key, number, upload).sign(SIGNED_FOR)
    }

    /// Signs the end of an upload: URL and body.
    pub(crate) fn complete(&self, upload: &str, etags: &[String]) -> (Url, String) {
        let tags = etags.iter().map(String::as_str);
        let complete =
            CompleteMultipartUpload::new(&self.bucket, self.who(), &self.key, upload, tags);
        (complete.sign(SIGNED_FOR), complete.body())
    }

    /// Signs the end of an upload that is not wanted any more.
    pub(crate) fn abort_url(&self, upload: &str) -> Url {
        AbortMultipartUpload::new(&self.bucket, self.who(), &self.key, upload).sign(SIGNED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str, settings: &[(&str, &str)]) -> Object {
        Object::new(path, &Settings::new(settings.iter().copied())).unwrap()
    }

    #[test]
    fn names_below_a_folder_are_listed_page_by_page() {
        let folder = object("s3://b/a b/out", &[]);
        assert_eq!(folder.below("_SUCCESS").shown(), "s3://b/a b/out/_SUCCESS");
        let url = folder.list_url(Some("t")).to_string();
        assert!(url.contains("prefix=a%20b%2Fout%2F"), "{url}");
        assert!(url.contains("continuation-token=t"), "{url}");
        // As in Amazon's API reference, with a folder as consoles mark it.
        let page = |keys: &[&str], more: &str| {
            let contents: String = keys
                .iter()
                .map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>"))
                .collect();
            format!(
                "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>{contents}{more}</ListBucketResult>"
            )
        };
        let keys = ["a+b/out/", "a+b/out/part-00000.csv", "a+b/out/x/y"];
        let more =
            "<IsTruncated>true</IsTruncated><NextContinuationToken>u</NextContinuationToken>";
        let (names, next) = folder.listed(&page(&keys, more)).unwrap();
        assert_eq!(names, ["part-00000.csv", "x/y"]);
        assert_eq!(next.as_deref(), Some("u"));
        let last = page(&[], "<IsTruncated>false</IsTruncated>");
        assert_eq!(folder.listed(&last), Some((Vec::new(), None)));
        assert_eq!(folder.listed("<html>"), None);
    }

    #[test]
    fn an_object_without_a_key_of_ours_is_asked_for_anonymously() {
        let key = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let url = object("s3://scenes/a b/c.tif", &[("AWS_REGION", "eu-west-1")]).get_url();
        assert_eq!(
            url.as_str(),
            "https://scenes.s3.eu-west-1.amazonaws.com/a%20b/c.tif"
        );
        assert!(object("s3://b/k", &key).get_url().query().is_some());
        let unsigned = [&key[..], &[("AWS_NO_SIGN_REQUEST", "YES")]].concat();
        assert_eq!(object("s3://b/k", &unsigned).get_url().query(), None);
        let own = [("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")];
        assert_eq!(
            object("s3://b/k", &own).get_url().as_str(),
            "http://127.0.0.1:9000/b/k"
        );
    }

    #[test]
    fn a_path_without_bucket_or_key_is_refused() {
        for path in ["s3://", "s3://b", "s3://b/", "s3:///k"] {
            let error = Object::new(path, &Settings::new([])).unwrap_err();
            assert!(matches!(error, Error::Bucket { .. }), "{path}");
        }
    }
}
