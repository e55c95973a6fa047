//! What people and scrapers see of the queues. Today that is the gauges of depth and age for Prometheus and the number
//! that scales workers; pages, live events and the rest of the HTTP API have their place here.
//!
//! All of it reads one snapshot of the broker (`snapshot`), a second old at the most, so that many who look cost one
//! read. Nothing here changes a job.

mod gauges;
mod scaling;
mod snapshot;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use lovage_broker::Connect;
use lovage_core::{Probed, QueueName};
use lovage_probes::{Gather, Problem, ok};
use prometheus::proto::MetricFamily;
use serde_json::json;

use crate::snapshot::Snapshots;

/// The parts of this role that a door is made of.
#[derive(Clone)]
pub struct Dashboard {
    snapshots: Arc<Snapshots>,
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").finish_non_exhaustive()
    }
}

impl Dashboard {
    /// Opens its connection when it is first needed, and again for as long as there is none.
    pub fn new(connect: Connect) -> Self {
        Self { snapshots: Arc::new(Snapshots::new(connect)) }
    }

    /// How it stands.
    pub fn probed(&self) -> Arc<dyn Probed> {
        Arc::clone(&self.snapshots) as Arc<dyn Probed>
    }

    /// Its routes; they ask for the door's token.
    pub fn routes(&self) -> Router {
        let snapshots = Arc::clone(&self.snapshots);
        let answer = async move |queue: Result<Path<String>, PathRejection>| scaling(&snapshots, queue).await;
        Router::new().route("/api/v1/scaling/{queue}", get(answer))
    }

    /// Looks at the broker now and then, for the probes, also while nobody asks for numbers. Never ends.
    pub async fn keep_looking(self) {
        self.snapshots.keep_fresh().await;
    }
}

impl Gather for Dashboard {
    async fn gather(&self) -> Vec<MetricFamily> {
        gauges::families(self.snapshots.latest().await.ok().as_deref())
    }
}

async fn scaling(snapshots: &Snapshots, queue: Result<Path<String>, PathRejection>) -> Response {
    let name = match queue
        .map_err(|error| error.body_text())
        .and_then(|Path(text)| text.parse::<QueueName>().map_err(|error| error.to_string()))
    {
        Ok(name) => name,
        Err(detail) => {
            let errors = json!([{ "pointer": "/queue", "detail": detail }]);
            return Problem::invalid(detail).with("errors", errors).into_response();
        }
    };
    match snapshots.latest().await {
        Ok(seen) => ok(scaling::signal(&name, &seen)),
        Err(away) => Problem::unavailable(away.to_string()).into_response(),
    }
}
