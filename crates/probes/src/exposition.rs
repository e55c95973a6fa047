//! The page of metrics: what all parts of a process count, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder};

use crate::answer::Problem;
use crate::error::ProbesError;

/// A part that brings its metrics when it is asked to, because it has to look them up.
pub trait Gather: Send + Sync {
    /// The metrics now.
    fn gather(&self) -> impl Future<Output = Vec<MetricFamily>> + Send;
}

/// Nothing to look up.
impl Gather for () {
    async fn gather(&self) -> Vec<MetricFamily> {
        Vec::new()
    }
}

/// The metrics of a process.
#[derive(Clone)]
pub struct Exposition {
    registries: Arc<[Registry]>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition").field("registries", &self.registries.len()).finish()
    }
}

impl Exposition {
    /// The metrics of these registries, and `lovage_build_info` of this build.
    pub fn new(version: &str, revision: &str, registries: Vec<Registry>) -> Result<Self, ProbesError> {
        let own = Registry::new();
        let help = "The build that answers; always 1.";
        let build = IntGaugeVec::new(Opts::new("lovage_build_info", help), &["version", "revision"])?;
        build.with_label_values(&[version, revision]).set(1);
        own.register(Box::new(build))?;
        Ok(Self { registries: std::iter::once(own).chain(registries).collect() })
    }

    pub(crate) fn page(&self, more: Vec<MetricFamily>) -> Response {
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        for family in self.registries.iter().flat_map(Registry::gather).chain(more) {
            // The first that has a name keeps it: a page with the same family twice is refused as a whole.
            families.entry(family.name().to_owned()).or_insert(family);
        }
        let families: Vec<MetricFamily> = families.into_values().collect();
        match TextEncoder::new().encode_to_string(&families) {
            Ok(page) => ([(CONTENT_TYPE, TEXT_FORMAT)], page).into_response(),
            Err(error) => Problem::internal(format!("the metrics cannot be written: {error}")).into_response(),
        }
    }
}
