//! Where the objects of an input lie: a folder of the store and a pattern for the names in it.

use lovage_core::Invalid;

/// The folder of everything that belongs to jobs: what lies there has an owner and is named as an artifact.
const JOBS: &str = "jobs";
/// Longest pattern in bytes: keys end at 1,024.
const MAX_BYTES: usize = 1_024;

/// A checked pattern like `raw/orders/*.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The folder, without a slash at its end.
    pub folder: String,
    /// The last part of the key, with or without `*`.
    name: String,
}

impl Place {
    /// Reads a pattern.
    pub fn parse(field: &str, pattern: &str) -> Result<Self, Invalid> {
        let help = "use a key below a folder of the artifact store, not below jobs/, with `*` in its last part only, \
                    e.g. raw/orders/*.parquet";
        let refuse = |problem: &str| Err(Invalid::new(field, format!("{pattern:?} {problem}"), help));
        if pattern.len() > MAX_BYTES {
            return Err(Invalid::new(field, format!("is {} bytes long", pattern.len()), help));
        }
        let Some((folder, name)) = pattern.rsplit_once('/') else { return refuse("names no folder") };
        if pattern.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return refuse("has an empty part, `.` or `..`");
        }
        if pattern.contains('\\') || pattern.chars().any(char::is_control) {
            return refuse("contains a backslash or a control character");
        }
        if folder.contains('*') {
            return refuse("has `*` before its last part");
        }
        if folder.split('/').next() == Some(JOBS) {
            let help = "name a job's file as an artifact: {\"artifact\": {\"queue\": …, \"job\": …}}";
            return Err(Invalid::new(field, format!("{pattern:?} lies in the folder of jobs"), help));
        }
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// The key, if the pattern names exactly one.
    pub fn key(&self) -> Option<String> {
        (!self.name.contains('*')).then(|| format!("{}/{}", self.folder, self.name))
    }

    /// Whether a name in the folder is meant.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.name.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_below_a_folder_outside_of_jobs_are_taken() {
        for (pattern, part) in [
            ("orders.csv", "names no folder"),
            ("/etc/passwd", "empty part"),
            ("raw/../jobs/x/1/1-1/a.csv", "`..`"),
            ("raw/./a.csv", "`.`"),
            ("raw//a.csv", "empty part"),
            ("raw/orders/", "empty part"),
            ("raw\\..\\a.csv", "names no folder"),
            ("raw/a\\b.csv", "backslash"),
            ("raw/a\0.csv", "control character"),
            ("raw/*/a.csv", "before its last part"),
            ("jobs/exports/1/1-1/a.csv", "folder of jobs"),
            ("jobs/*", "folder of jobs"),
        ] {
            let error = Place::parse("inputs.a.files", pattern).unwrap_err().to_string();
            assert!(error.contains(part), "{pattern}: {error}");
        }
        assert!(Place::parse("f", &format!("raw/{}", "a".repeat(1_024))).is_err());
        assert_eq!(Place::parse("f", "raw/订单/a.csv").unwrap().key().as_deref(), Some("raw/订单/a.csv"));
        assert!(Place::parse("f", "jobs-of-others/a.csv").is_ok());
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        let fits = |pattern: &str, name: &str| Place::parse("f", &format!("raw/{pattern}")).unwrap().fits(name);
        for (pattern, name) in
            [("*", "a"), ("*.csv", ".csv"), ("a*b*c", "abc"), ("a*b*c", "a-bb-cc"), ("a.csv", "a.csv"), ("订*", "订单")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.csv", "a.csv.gz"), ("a*a", "a"), ("a.csv", "b.csv"), ("a*b*c", "acb"), ("a", "ab")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
