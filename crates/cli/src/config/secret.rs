//! Text that must not be shown: URLs with passwords, keys.

use std::fmt;

/// A secret. `Debug` and `Display` show what may be shown; [`Secret::reveal`] gives the text to whoever connects.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL keeps everything but its password and the values of its query; any other text is hidden whole.
fn redact(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return with_several_hosts(text).unwrap_or_else(|| "***".to_owned());
    };
    if url.cannot_be_a_base() {
        return "***".to_owned();
    }
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    if url.query().is_some() {
        let names: Vec<String> = url.query_pairs().map(|(name, _)| format!("{name}=***")).collect();
        url.set_query(Some(&names.join("&")));
    }
    url.to_string()
}

/// A URL with a list of hosts is no URL to the standard: it is redacted with one of them, and gets the others back.
fn with_several_hosts(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    // An @ behind the hosts may belong to a password with a slash in it.
    if !hosts.contains(',') || tail.contains('@') {
        return None;
    }
    let redacted = redact(&format!("{scheme}://{user}hosts{tail}"));
    redacted.contains("hosts").then(|| redacted.replacen("hosts", hosts, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_where_but_not_the_password() {
        let shown = |text: &str| format!("{:?}", Secret::new(text));
        assert_eq!(shown("redis://app:s3cret@db.example:6379/1"), "redis://app:***@db.example:6379/1");
        assert_eq!(shown("postgres://db/x?password=s3cret"), "postgres://db/x?password=***");
        assert_eq!(shown("s3cret"), "***");
        assert_eq!(shown("user:s3cret@host"), "***");
        assert_eq!(shown("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        let sentinels = "redis+sentinel://app:s3cret@a:26379,b:26379/jobs/0?sentinel_password=s3cret";
        assert_eq!(shown(sentinels), "redis+sentinel://app:***@a:26379,b:26379/jobs/0?sentinel_password=***");
        assert_eq!(shown("redis+cluster://a:7000,b:7001"), "redis+cluster://a:7000,b:7001");
        assert_eq!(shown("redis+cluster://app:s3/cr,et@a:7000,b:7001"), "***");
    }
}
