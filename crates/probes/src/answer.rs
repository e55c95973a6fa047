//! The shape of every answer: `{"code": 0, "message": "ok", "data": …}`, and for errors the same envelope that is at the
//! same time a problem document (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

/// A success with its data.
pub fn ok(data: impl Serialize) -> Response {
    Json(json!({ "code": 0, "message": "ok", "data": data })).into_response()
}

/// An error. The status is part of the code: HTTP status times 100, plus a number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    number: u16,
    slug: &'static str,
    message: String,
    retry_after_s: Option<u64>,
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    fn new(status: StatusCode, number: u16, slug: &'static str, message: impl Into<String>) -> Self {
        Self { status, number, slug, message: message.into(), retry_after_s: None, members: Vec::new() }
    }

    /// 400: something that was sent cannot be read.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 0, "invalid", message)
    }

    /// 401: a token is missing or wrong.
    pub fn unauthorized() -> Self {
        let message = "a token is needed: send the header `Authorization: Bearer …` with the one of metrics_token";
        Self::new(StatusCode::UNAUTHORIZED, 0, "unauthorized", message)
    }

    /// 404: there is no such route.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, 0, "not_found", "there is nothing at this address")
    }

    /// 405: the route is only read.
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, 0, "method_not_allowed", "this address is only read: use GET")
    }

    /// 503: the answer took too long.
    pub fn too_slow() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 2, "too_slow", "the answer took too long; try again").retry_after(1)
    }

    /// 503: the store cannot be reached.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 0, "unavailable", message).retry_after(1)
    }

    /// 503: a probe says no.
    pub fn not_well(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 1, "not_well", message)
    }

    /// 500: a fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 0, "internal", message)
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        // What cannot be written as JSON is left out: the problem itself is worth more.
        self.members.extend(serde_json::to_value(value).map(|value| (name, value)));
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "code": u32::from(self.status.as_u16()) * 100 + u32::from(self.number),
            "error": self.slug,
            "message": self.message,
            "data": null,
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.message,
        });
        if let Some(seconds) = self.retry_after_s {
            body["retry_after_ms"] = json!(seconds * 1_000);
        }
        for (name, value) in self.members {
            body[name] = value;
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        (self.status, headers, body.to_string()).into_response()
    }
}
