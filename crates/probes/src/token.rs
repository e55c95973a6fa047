//! The one token of a door: compared in a time that says nothing about it, shown nowhere.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A bearer token, kept as its digest: of equal length for all, so that not even its length shows.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// A token with this text.
    pub fn new(text: &str) -> Self {
        Self(digest(text.as_bytes()))
    }

    /// Whether a request carries it.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
        let (scheme, text) = sent.split_at(sent.len().min(SCHEME.len()));
        scheme.eq_ignore_ascii_case(SCHEME) && bool::from(digest(text.trim_ascii()).ct_eq(&self.0))
    }
}

const SCHEME: &[u8] = b"Bearer ";

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepts(sent: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.extend(sent.map(|sent| (AUTHORIZATION, HeaderValue::from_static(sent))));
        Token::new("s3cret").is_in(&headers)
    }

    #[test]
    fn only_the_whole_token_opens() {
        assert!(accepts(Some("Bearer s3cret")));
        assert!(accepts(Some("bearer s3cret")), "schemes have no case");
        let refused = [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Bearer s3cre"), Some("Bearer s3crets")];
        for sent in refused.into_iter().chain([Some("Basic s3cret"), Some("s3cret"), Some("Bearer S3CRET")]) {
            assert!(!accepts(sent), "{sent:?}");
        }
    }

    #[test]
    fn it_is_shown_nowhere() {
        assert_eq!(format!("{:?}", Token::new("s3cret")), "Token(***)");
    }
}
