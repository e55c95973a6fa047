//! The routes that every role has, and what all routes keep: headers, limits, the shape of what is not there.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use lovage_core::{Check, Probed};

use crate::answer::{Problem, ok};
use crate::exposition::{Exposition, Gather};
use crate::token::Token;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;

/// What every answer carries. Nothing here is a page: nothing may be loaded, framed, guessed or kept.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The routes of a role.
pub struct Door<G = ()> {
    probed: Vec<Arc<dyn Probed>>,
    exposition: Exposition,
    gather: Arc<G>,
    token: Option<Token>,
    more: Router,
}

impl<G> std::fmt::Debug for Door<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Door {
    /// Probes of these parts, and these metrics.
    pub fn new(probed: Vec<Arc<dyn Probed>>, exposition: Exposition) -> Self {
        Self { probed, exposition, gather: Arc::new(()), token: None, more: Router::new() }
    }

    /// The same with metrics that have to be looked up.
    #[must_use]
    pub fn gathering<G: Gather + 'static>(self, gather: Arc<G>) -> Door<G> {
        let Self { probed, exposition, token, more, .. } = self;
        Door { probed, exposition, gather, token, more }
    }
}

impl<G: Gather + 'static> Door<G> {
    /// The same where all but the probes asks for this token.
    #[must_use]
    pub fn token(mut self, token: Option<Token>) -> Self {
        self.token = token;
        self
    }

    /// The same with further routes, which ask for the token too.
    #[must_use]
    pub fn with(mut self, routes: Router) -> Self {
        self.more = self.more.merge(routes);
        self
    }

    /// The routes, ready to be served.
    pub fn routes(self) -> Router {
        let Self { probed, exposition, gather, token, more } = self;
        let metrics = Router::new().route(
            "/metrics",
            get(async move || {
                let looked_up = gather.gather().await;
                exposition.page(looked_up)
            }),
        );
        let guarded = metrics.merge(more).layer(middleware::from_fn_with_state(token, guard));
        probes(&probed.into())
            .merge(guarded)
            .fallback(async || Problem::not_found())
            .method_not_allowed_fallback(async || Problem::method_not_allowed())
            .layer(middleware::from_fn(keep))
    }
}

fn probes(probed: &Arc<[Arc<dyn Probed>]>) -> Router {
    type Ask = fn(&dyn Probed) -> Vec<Check>;
    let asks: [(&str, Ask); 4] = [
        ("/livez", |part| part.live()),
        ("/healthz", |part| part.live()),
        ("/readyz", |part| part.ready()),
        ("/startupz", |part| part.started()),
    ];
    let mut routes = Router::new();
    for (path, ask) in asks {
        let probed = Arc::clone(probed);
        let answer = async move |RawQuery(query): RawQuery| {
            let checks: Vec<Check> = probed.iter().flat_map(|part| ask(&**part)).collect();
            judge(
                &checks,
                query.is_some_and(|query| {
                    query.split('&').any(|part| matches!(part, "verbose" | "verbose=" | "verbose=1" | "verbose=true"))
                }),
            )
        };
        routes = routes.route(path, get(answer));
    }
    routes
}

/// 200 if all is well. A refusal always names what is not; `verbose` lists all that was looked at.
fn judge(checks: &[Check], verbose: bool) -> Response {
    let failing: Vec<String> =
        checks.iter().filter(|check| !check.ok).map(|check| format!("{} {}", check.name, check.detail)).collect();
    match (failing.is_empty(), verbose) {
        (true, true) => ok(serde_json::json!({ "checks": checks })),
        (true, false) => ok(serde_json::Value::Null),
        (false, true) => Problem::not_well(failing.join("; ")).with("checks", checks).into_response(),
        (false, false) => Problem::not_well(failing.join("; ")).into_response(),
    }
}

async fn guard(State(token): State<Option<Token>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    if token.is_some_and(|token| !token.is_in(&headers)) {
        return Problem::unauthorized().into_response();
    }
    next.run(request).await
}

/// Bounds the time of an answer and adds what every answer carries.
async fn keep(request: Request, next: Next) -> Response {
    let visible = |id: &&HeaderValue| id.len() <= MAX_REQUEST_ID && id.to_str().is_ok();
    let request_id = request.headers().get(REQUEST_ID).filter(visible).cloned();
    let answer = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    let mut answer = answer.unwrap_or_else(|_| Problem::too_slow().into_response());
    answer.headers_mut().extend(HEADERS);
    answer.headers_mut().extend(request_id.map(|id| (REQUEST_ID, id)));
    answer
}
