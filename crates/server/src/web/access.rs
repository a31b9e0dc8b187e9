//! Who calls: basic authentication of `web.config`, bearer tokens, and the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::TenantId;
use base64::Engine as _;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use parking_lot::Mutex;
use ring::digest;

use super::reply::plain_error;

pub(crate) const TENANT_HEADER: &str = "x-scope-orgid";

/// Password checks that are remembered, since bcrypt is slow on purpose. Only hashes of what was
/// offered are kept.
const REMEMBERED_CHECKS_MAX: usize = 100;

/// Hashed for unknown users, so that the time of an answer does not tell who exists.
const DUMMY_HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// The users of one listener. Empty: everybody may.
#[derive(Debug, Default)]
pub struct Users {
    /// bcrypt hashes by name.
    pub password_hashes: BTreeMap<String, String>,
    checks: Mutex<BTreeMap<[u8; 32], bool>>,
}

impl Users {
    pub fn new(password_hashes: BTreeMap<String, String>) -> Self {
        Self { password_hashes, checks: Mutex::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.password_hashes.is_empty()
    }

    fn check(&self, name: &str, password: &str) -> bool {
        let hash = self.password_hashes.get(name);
        let stored = hash.map_or(DUMMY_HASH, String::as_str);
        let mut key = [0u8; 32];
        let offered = format!("{}:{stored}{}:{name}{password}", stored.len(), name.len());
        key.copy_from_slice(digest::digest(&digest::SHA256, offered.as_bytes()).as_ref());
        if let Some(known) = self.checks.lock().get(&key) {
            return *known;
        }
        let matches = bcrypt::verify(password, stored).unwrap_or(false) && hash.is_some();
        let mut checks = self.checks.lock();
        if checks.len() >= REMEMBERED_CHECKS_MAX {
            checks.clear();
        }
        checks.insert(key, matches);
        matches
    }
}

/// Refuses requests that name no known user, when there are users.
pub(crate) async fn authenticate(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    if users.is_empty() {
        return next.run(request).await;
    }
    let offered = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(basic);
    let allowed = match offered {
        Some((name, password)) => {
            tokio::task::spawn_blocking(move || users.check(&name, &password)).await.unwrap_or(false)
        }
        None => false,
    };
    if allowed {
        return next.run(request).await;
    }
    let mut refusal = plain_error(StatusCode::UNAUTHORIZED, "Unauthorized");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    refusal
}

/// `(user, password)` of a `Basic` header.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The tenant a request acts for: `X-Scope-OrgID`, else `anonymous`.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let Some(value) = parts.headers.get(TENANT_HEADER) else {
            return Ok(Self { tenant: TenantId::anonymous() });
        };
        let named = value.to_str().map_err(|e| e.to_string());
        match named.and_then(|text| TenantId::new(text).map_err(|e| e.to_string())) {
            Ok(tenant) => Ok(Self { tenant }),
            Err(message) => Err(plain_error(StatusCode::BAD_REQUEST, &message).into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_checked_against_their_hashes() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let users = Users::new(BTreeMap::from([("alice".to_owned(), hash)]));
        for (name, password, expected) in [
            ("alice", "secret", true),
            ("alice", "secret", true),
            ("alice", "wrong", false),
            ("bob", "secret", false),
        ] {
            assert_eq!(users.check(name, password), expected, "{name}");
        }
        assert_eq!(basic("Basic YTpi"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(basic("Bearer YTpi"), None);
    }
}
