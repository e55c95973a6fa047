//! Which store: an address and the settings that its service needs, as they were read by the binary.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lovage_core::Invalid;
use url::Url;

/// How to open a store.
#[derive(Clone)]
pub struct StoreConfig {
    /// `file:///folder`, a plain path, `memory:`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// What the service's own tools read from the environment, by the same names: `AWS_ACCESS_KEY_ID`,
    /// `AWS_ENDPOINT_URL`, `AWS_REGION`, …
    pub settings: BTreeMap<String, String>,
    /// The address of an S3 service as those know it who are handed links, where it is another than
    /// `AWS_ENDPOINT_URL`: `https://files.example.com`. Nothing is sent there, links are signed for it.
    pub public_endpoint: Option<String>,
    /// How long a request is repeated inside before it is reported as a failure.
    pub retry_for: Duration,
    /// Whether a local folder is written with fsync, so that a published file survives a loss of power.
    pub durable: bool,
}

impl StoreConfig {
    /// The store at `url` with default settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            settings: BTreeMap::new(),
            public_endpoint: None,
            retry_for: Duration::from_secs(30),
            durable: true,
        }
    }

    /// Adds one of the service's settings.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// A setting by its name, whatever its case; an empty one counts as absent, as it does for the service's tools.
    #[cfg(any(feature = "s3", test))]
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are left out: most of them are secrets.
        let names: Vec<&String> = self.settings.keys().collect();
        f.debug_struct("StoreConfig")
            .field("url", &self.url)
            .field("settings", &names)
            .field("public_endpoint", &self.public_endpoint)
            .field("retry_for", &self.retry_for)
            .field("durable", &self.durable)
            .finish()
    }
}

/// Refuses what is not the address of a service: a signature covers host and port, and the path is ours.
#[cfg(any(feature = "s3", test))]
pub(crate) fn check_endpoint(text: &str) -> Result<(), Invalid> {
    let url = Url::parse(text).ok();
    let fits = url.is_some_and(|url| {
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none() && plain
    });
    if fits {
        return Ok(());
    }
    // The text is not repeated: whoever writes a password there does not want to see it in a log.
    let help = "use the address of the service alone, e.g. https://files.example.com";
    Err(Invalid::new("storage public endpoint", "is not an http or https address", help))
}

/// An address taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A folder, absolute.
    Local(PathBuf),
    /// Nothing outlives the process.
    Memory,
    /// A bucket of a service and a prefix within it, without slashes at its ends.
    Bucket { scheme: Scheme, bucket: String, prefix: String },
}

/// The services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    S3,
    Gcs,
    Azure,
}

impl Address {
    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |problem: String, help: &str| Err(Invalid::new("storage url", problem, help));
        if text.trim().is_empty() {
            return refuse("is empty".into(), "use a folder, file:///folder or s3://bucket/prefix");
        }
        if text == "memory:" || text == "memory://" || text == "memory:///" {
            return Ok(Self::Memory);
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Self::folder(text) };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let folder = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                return match folder {
                    Some(folder) => Ok(Self::Local(folder)),
                    None => refuse(format!("{text:?} is not an absolute file url"), "use file:///absolute/folder"),
                };
            }
            "s3" | "s3a" => Scheme::S3,
            "gs" | "gcs" => Scheme::Gcs,
            "az" | "azure" | "abfs" => Scheme::Azure,
            other => {
                let help =
                    "use a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";
                return refuse(format!("{text:?} has the unknown scheme {other:?}"), help);
            }
        };
        if rest.contains(['@', '?']) {
            let help = "pass credentials and options as settings (AWS_ACCESS_KEY_ID, …), not in the url";
            return refuse("contains `@` or `?`".into(), help);
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return refuse(format!("{text:?} names no bucket"), "use s3://bucket or s3://bucket/prefix");
        }
        Ok(Self::Bucket { scheme, bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    fn folder(text: &str) -> Result<Self, Invalid> {
        match std::path::absolute(text) {
            Ok(folder) => Ok(Self::Local(folder)),
            Err(error) => Err(Invalid::new("storage url", format!("{text:?}: {error}"), "use the path of a folder")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let bucket = |prefix: &str| Address::Bucket { scheme: Scheme::S3, bucket: "b".into(), prefix: prefix.into() };
        assert_eq!(Address::parse("s3://b").unwrap(), bucket(""));
        assert_eq!(Address::parse("s3://b/x/y/").unwrap(), bucket("x/y"));
        assert_eq!(Address::parse("file:///srv/a%20b").unwrap(), Address::Local("/srv/a b".into()));
        assert_eq!(Address::parse("/srv/files").unwrap(), Address::Local("/srv/files".into()));
        assert_eq!(Address::parse("memory:").unwrap(), Address::Memory);
        assert!(matches!(Address::parse("files").unwrap(), Address::Local(path) if path.is_absolute()));
    }

    #[test]
    fn a_wrong_address_says_what_would_work() {
        for (text, part) in [
            ("ftp://b/x", "unknown scheme \"ftp\""),
            ("s3:///x", "names no bucket"),
            ("s3://key:secret@b", "contains `@`"),
            ("file://relative/x", "not an absolute file url"),
            (" ", "is empty"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.field, "storage url");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn an_endpoint_is_an_address_and_nothing_more() {
        for good in ["https://files.example.com", "http://127.0.0.1:9000/"] {
            assert_eq!(check_endpoint(good), Ok(()));
        }
        for bad in ["files.example.com", "s3://b", "https://me:hunter2@x", "https://x?a=b", "https://x#y", ""] {
            let error = check_endpoint(bad).unwrap_err().to_string();
            assert!(error.starts_with("storage public endpoint: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let config = StoreConfig::new("s3://b").with("AWS_SECRET_ACCESS_KEY", "hunter2");
        let text = format!("{config:?}");
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("hunter2"), "{text}");
        assert_eq!(config.setting("aws_secret_access_key"), Some("hunter2"));
    }
}
