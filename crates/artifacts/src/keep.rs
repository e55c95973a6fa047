//! How long files are kept: what a job's kind says, and what its tenant was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::Tenant;

/// The rules by which a manifest gets its `expires_at`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// For files of which nobody else says it; for ever when absent.
    pub default: Option<Duration>,
    /// For how long at most the files of single tenants are kept.
    pub tenants: BTreeMap<Tenant, Duration>,
}

impl Keep {
    /// How long files of `tenant` are kept of which `own` was said; for ever when absent. What a tenant was promised holds for
    /// all its files, so of the two the shorter one counts, and the default only when there is neither.
    pub fn of(&self, tenant: Option<&Tenant>, own: Option<Duration>) -> Option<Duration> {
        let promised = tenant.and_then(|tenant| self.tenants.get(tenant)).copied();
        own.into_iter().chain(promised).min().or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_of_what_is_said_counts_and_the_default_only_when_nothing_is() {
        let days = |days: u64| Some(Duration::from_hours(24 * days));
        let acme: Tenant = "acme".parse().unwrap();
        let other: Tenant = "umbrella".parse().unwrap();
        let keep = Keep { default: days(90), tenants: BTreeMap::from([(acme.clone(), days(7).unwrap())]) };
        for (tenant, own, expected) in [
            (None, None, 90),
            (None, days(30), 30),
            (Some(&other), None, 90),
            (Some(&other), days(365), 365),
            (Some(&acme), None, 7),
            (Some(&acme), days(30), 7),
            (Some(&acme), days(1), 1),
        ] {
            assert_eq!(keep.of(tenant, own), days(expected), "{tenant:?} {own:?}");
        }
        assert_eq!(Keep::default().of(Some(&acme), None), None);
    }
}
