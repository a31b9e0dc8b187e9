//! Who calls: basic authentication, bearer tokens, and the tenant they act for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::TenantId;
use base64::Engine as _;
use config::sextant::{AuthConfig, Token};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use parking_lot::Mutex;
use ring::digest;
use wire_core::http_config::Secret;

use super::reply::plain_error;
use super::web_config::InForce;

pub(crate) const TENANT_HEADER: &str = "x-scope-orgid";

/// Password checks that are remembered, since bcrypt is slow on purpose. Only hashes of what was
/// offered are kept.
const REMEMBERED_CHECKS_MAX: usize = 100;

/// Checked for unknown users, so that the time of an answer does not tell who exists.
const DUMMY_HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Somebody who was recognised, and the tenants they may act for; none named means all.
#[derive(Debug, Clone, Default)]
struct Rights {
    tenants: Vec<String>,
}

/// The users and tokens of one listener. Empty: everybody may.
#[derive(Debug, Default)]
pub struct Users {
    by_name: BTreeMap<String, (Secret, Rights)>,
    tokens: Vec<Token>,
    checks: Mutex<BTreeMap<[u8; 32], bool>>,
}

impl Users {
    /// Joins the users of a web configuration with those of our own settings.
    pub fn new(web: &BTreeMap<String, Secret>, auth: &AuthConfig) -> Self {
        let of_web = web.iter().map(|(name, hash)| (name.clone(), (hash.clone(), Rights::default())));
        let own = auth.users.iter().map(|(name, user)| {
            (name.clone(), (user.password_hash.clone(), Rights { tenants: user.tenants.clone() }))
        });
        Self { by_name: of_web.chain(own).collect(), tokens: auth.tokens.clone(), checks: Mutex::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.tokens.is_empty()
    }

    fn recognise(&self, offered: &Offered) -> Option<Rights> {
        match offered {
            Offered::Password { name, password } => {
                let known = self.by_name.get(name);
                let stored = known.map_or(DUMMY_HASH, |(hash, _)| hash.expose());
                let matches = self.check(name, password, stored);
                known.filter(|_| matches).map(|(_, rights)| rights.clone())
            }
            Offered::Token(token) => {
                let digest = hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
                let is_it = |known: &&Token| {
                    if known.file.is_empty() {
                        return known.sha256.expose().eq_ignore_ascii_case(&digest);
                    }
                    // Read at each use, so that a rotated token needs no reload.
                    std::fs::read_to_string(&known.file).is_ok_and(|text| text.trim() == token)
                };
                self.tokens.iter().find(is_it).map(|known| Rights { tenants: known.tenants.clone() })
            }
        }
    }

    fn check(&self, name: &str, password: &str, stored: &str) -> bool {
        let mut key = [0u8; 32];
        let offered = format!("{}:{stored}{}:{name}{password}", stored.len(), name.len());
        key.copy_from_slice(digest::digest(&digest::SHA256, offered.as_bytes()).as_ref());
        if let Some(known) = self.checks.lock().get(&key) {
            return *known;
        }
        let matches = bcrypt::verify(password, stored).unwrap_or(false);
        let mut checks = self.checks.lock();
        if checks.len() >= REMEMBERED_CHECKS_MAX {
            checks.clear();
        }
        checks.insert(key, matches);
        matches
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
        out
    })
}

/// What an `Authorization` header offers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Offered {
    Password { name: String, password: String },
    Token(String),
}

fn offered(headers: &HeaderMap) -> Option<Offered> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Offered::Token(rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Offered::Password { name: name.to_owned(), password: password.to_owned() })
}

/// Refuses requests that name no known user, when there are users, and tenants they may not see.
pub(crate) async fn authenticate(
    Extension(in_force): Extension<Arc<InForce>>,
    request: Request,
    next: Next,
) -> Response {
    let users = Arc::clone(&in_force.users);
    if users.is_empty() {
        return next.run(request).await;
    }
    let rights = match offered(request.headers()) {
        // bcrypt takes tens of milliseconds, which belong off the connection's thread.
        Some(offered) => tokio::task::spawn_blocking(move || users.recognise(&offered)).await.ok().flatten(),
        None => None,
    };
    let Some(rights) = rights else {
        let mut refusal = plain_error(StatusCode::UNAUTHORIZED, "Unauthorized");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        return refusal;
    };
    match tenant_of(request.headers()) {
        Ok(tenant) if !rights.tenants.is_empty() && !rights.tenants.iter().any(|t| t == tenant.as_str()) => {
            plain_error(StatusCode::FORBIDDEN, &format!("you may not act for tenant {tenant}"))
        }
        _ => next.run(request).await,
    }
}

fn tenant_of(headers: &HeaderMap) -> Result<TenantId, String> {
    let Some(value) = headers.get(TENANT_HEADER) else { return Ok(TenantId::anonymous()) };
    let text = value.to_str().map_err(|e| e.to_string())?;
    TenantId::new(text).map_err(|e| e.to_string())
}

/// The tenant a request acts for: `X-Scope-OrgID`, else `anonymous`.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        match tenant_of(&parts.headers) {
            Ok(tenant) => Ok(Self { tenant }),
            Err(message) => Err(plain_error(StatusCode::BAD_REQUEST, &message).into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn headers_offer_passwords_and_tokens() {
        let password = Offered::Password { name: "a".to_owned(), password: "b".to_owned() };
        assert_eq!(offered(&header("Basic YTpi")), Some(password));
        assert_eq!(offered(&header("bearer t")), Some(Offered::Token("t".to_owned())));
        assert_eq!(offered(&header("Digest x")), None);
    }

    #[test]
    fn users_and_tokens_are_recognised() {
        let hash = Secret::new(bcrypt::hash("secret", 4).unwrap());
        let digest = hex(digest::digest(&digest::SHA256, b"token").as_ref());
        let token = Token {
            name: "ci".to_owned(),
            sha256: Secret::new(digest),
            file: String::new(),
            tenants: vec!["a".to_owned()],
            admin: false,
        };
        let auth = AuthConfig { tokens: vec![token], ..AuthConfig::default() };
        let users = Users::new(&BTreeMap::from([("alice".to_owned(), hash)]), &auth);
        let password = |name: &str, password: &str| Offered::Password {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        for (offered, expected) in [
            (password("alice", "secret"), true),
            (password("alice", "secret"), true),
            (password("alice", "wrong"), false),
            (password("bob", "secret"), false),
            (Offered::Token("token".to_owned()), true),
            (Offered::Token("other".to_owned()), false),
        ] {
            assert_eq!(users.recognise(&offered).is_some(), expected, "{offered:?}");
        }
    }
}
