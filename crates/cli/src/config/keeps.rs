//! How long each tenant's files are kept: `acme=7d,umbrella=30d`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lovage_core::{Tenant, duration};

/// Tenants with the time after which their files go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeps(pub BTreeMap<Tenant, Duration>);

impl FromStr for Keeps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "use tenants with durations, e.g. acme=7d,umbrella=30d";
        let mut keeps = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (tenant, keep) = part.split_once('=').ok_or_else(|| format!("{part:?} has no duration; {help}"))?;
            let tenant: Tenant = tenant.trim().parse().map_err(|error: lovage_core::Invalid| error.to_string())?;
            let keep = duration::parse(keep.trim()).map_err(|problem| format!("of tenant {tenant}: {problem}"))?;
            if keep < Duration::from_secs(1) {
                return Err(format!("of tenant {tenant}: is less than a second; {help}"));
            }
            if keeps.insert(tenant.clone(), keep).is_some() {
                return Err(format!("tenant {tenant} is named twice; {help}"));
            }
        }
        Ok(Self(keeps))
    }
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (tenant, keep)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{tenant}={}", duration::exact(*keep))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_with_durations_are_read_and_written_back() {
        assert_eq!(" acme = 7d, umbrella=12h,".parse::<Keeps>().unwrap().to_string(), "acme=7d,umbrella=12h");
        assert_eq!("".parse::<Keeps>().unwrap(), Keeps::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("acme", "\"acme\" has no duration"),
            ("acme=soon", "of tenant acme"),
            ("acme=0s", "less than a second"),
            ("acme=1d,acme=2d", "twice"),
            ("a\u{7}=1d", "tenant:"),
        ] {
            let error = text.parse::<Keeps>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
