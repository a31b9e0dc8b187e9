//! Who calls: basic authentication, bearer tokens, and the tenant they act for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::TenantId;
use base::tenant::InvalidTenantId;
use base64::Engine as _;
use config::PasswordHash;
use config::sextant::{AuthConfig, Rights, Token};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use parking_lot::Mutex;
use ring::digest;
use tokio::sync::Semaphore;
use wire_core::http_config::Secret;

use super::reply::plain_error;
use super::web_config::InForce;

const TENANT_HEADER: &str = "x-scope-orgid";

/// Password checks that are remembered, since they are slow on purpose. Only hashes of what was
/// offered are kept.
const REMEMBERED_CHECKS_MAX: usize = 100;

/// Passwords that are compared at once: each takes a core, and with argon2 its memory too.
const PASSWORD_CHECKS_AT_ONCE: usize = 2;

/// Whether requests may name the tenant they act for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenancy {
    /// Everything belongs to `anonymous`.
    #[default]
    Single,
    /// `X-Scope-OrgID` names the tenant.
    ByHeader,
}

/// Why a request acts for no tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum TenantRefused {
    #[error("X-Scope-OrgID is not text")]
    NoText,
    #[error(transparent)]
    Invalid(#[from] InvalidTenantId),
    #[error("you may not act for tenant {0}")]
    NotYours(TenantId),
}

impl TenantRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoText | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotYours(_) => StatusCode::FORBIDDEN,
        }
    }
}

impl Tenancy {
    /// Without a header the tenant is the only one that the caller has, else `anonymous`.
    fn tenant_of(self, headers: &HeaderMap, rights: &Rights) -> Result<TenantId, TenantRefused> {
        if self == Self::Single {
            return Ok(TenantId::anonymous());
        }
        let tenant = match (headers.get(TENANT_HEADER), rights.tenants.as_slice()) {
            (Some(value), _) => TenantId::new(value.to_str().map_err(|_| TenantRefused::NoText)?)?,
            (None, [only]) => only.clone(),
            (None, _) => TenantId::anonymous(),
        };
        if rights.tenants.is_empty() || rights.tenants.contains(&tenant) {
            Ok(tenant)
        } else {
            Err(TenantRefused::NotYours(tenant))
        }
    }
}

/// The users and tokens of one listener. Empty: everybody may everything.
#[derive(Debug)]
pub struct Users {
    /// Without a hash nobody can log in by the name: upstream's files may hold what is no hash.
    by_name: BTreeMap<String, (Option<PasswordHash>, Rights)>,
    tokens: Vec<Token>,
    tenancy: Tenancy,
    checks: Mutex<BTreeMap<[u8; 32], bool>>,
    places: Semaphore,
}

impl Users {
    /// Joins the users of a web configuration, who may everything, with those of our own settings.
    pub fn new(web: &BTreeMap<String, Secret>, auth: &AuthConfig, tenancy: Tenancy) -> Self {
        let all = Rights { tenants: Vec::new(), admin: true };
        let of_web = web
            .iter()
            .map(|(name, hash)| (name.clone(), (PasswordHash::parse(hash.expose()).ok(), all.clone())));
        let own = auth
            .users
            .iter()
            .map(|(name, user)| (name.clone(), (Some(user.password_hash.clone()), user.rights.clone())));
        Self {
            by_name: of_web.chain(own).collect(),
            tokens: auth.tokens.clone(),
            tenancy,
            checks: Mutex::default(),
            places: Semaphore::new(PASSWORD_CHECKS_AT_ONCE),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.tokens.is_empty()
    }

    /// What whoever sent the headers may do; `None` if they are nobody we know.
    async fn recognise(self: &Arc<Self>, headers: &HeaderMap) -> Option<Rights> {
        if self.is_empty() {
            return Some(Rights { tenants: Vec::new(), admin: true });
        }
        let offered = offered(headers)?;
        match &offered {
            Offered::Token(_) => {
                // The file of a token is read off the connection's thread.
                let users = Arc::clone(self);
                tokio::task::spawn_blocking(move || users.token_rights(&offered)).await.ok().flatten()
            }
            Offered::Password { name, password } => {
                if let Some(matches) = self.remembered(name, password) {
                    return self.rights_of(name).filter(|_| matches);
                }
                let _place = self.places.acquire().await.ok()?;
                let users = Arc::clone(self);
                let check = move || users.password_rights(&offered);
                tokio::task::spawn_blocking(check).await.ok().flatten()
            }
        }
    }

    fn token_rights(&self, offered: &Offered) -> Option<Rights> {
        let Offered::Token(token) = offered else { return None };
        let digest = hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let is_it = |known: &&Token| {
            if known.file.is_empty() {
                return known.sha256.expose().eq_ignore_ascii_case(&digest);
            }
            // Read at each use, so that a rotated token needs no reload.
            std::fs::read_to_string(&known.file).is_ok_and(|text| text.trim() == token)
        };
        self.tokens.iter().find(is_it).map(|known| known.rights.clone())
    }

    fn password_rights(&self, offered: &Offered) -> Option<Rights> {
        let Offered::Password { name, password } = offered else { return None };
        // For unknown users somebody's hash is compared with, so that the time of an answer does not
        // tell who exists.
        let matches = self.compared_hash(name).is_some_and(|hash| hash.verify(password));
        let known = self.rights_of(name).filter(|_| matches);
        if let Some(key) = self.check_key(name, password) {
            let mut checks = self.checks.lock();
            if checks.len() >= REMEMBERED_CHECKS_MAX {
                checks.clear();
            }
            checks.insert(key, matches);
        }
        known
    }

    fn rights_of(&self, name: &str) -> Option<Rights> {
        let (hash, rights) = self.by_name.get(name)?;
        hash.as_ref().map(|_| rights.clone())
    }

    fn compared_hash(&self, name: &str) -> Option<&PasswordHash> {
        let own = self.by_name.get(name).and_then(|(hash, _)| hash.as_ref());
        own.or_else(|| self.by_name.values().find_map(|(hash, _)| hash.as_ref()))
    }

    fn remembered(&self, name: &str, password: &str) -> Option<bool> {
        self.checks.lock().get(&self.check_key(name, password)?).copied()
    }

    fn check_key(&self, name: &str, password: &str) -> Option<[u8; 32]> {
        let stored = self.compared_hash(name)?.expose();
        let offered = format!("{}:{stored}{}:{name}{password}", stored.len(), name.len());
        digest::digest(&digest::SHA256, offered.as_bytes()).as_ref().try_into().ok()
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

/// Refuses requests that name no known user, when there are users, and tenants they may not act for.
pub(crate) async fn authenticate(
    Extension(in_force): Extension<Arc<InForce>>,
    mut request: Request,
    next: Next,
) -> Response {
    let users = Arc::clone(&in_force.users);
    let Some(rights) = users.recognise(request.headers()).await else {
        let mut refusal = plain_error(StatusCode::UNAUTHORIZED, "Unauthorized");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        return refusal;
    };
    match users.tenancy.tenant_of(request.headers(), &rights) {
        Ok(tenant) => {
            request.extensions_mut().insert(Caller { tenant, admin: rights.admin });
            next.run(request).await
        }
        Err(refused) => plain_error(refused.status(), &refused.to_string()),
    }
}

/// Whom a request acts for, as [`authenticate`] found out.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    admin: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let unknown =
            || plain_error(StatusCode::INTERNAL_SERVER_ERROR, "nobody asked who calls").into_response();
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

/// Proof that the caller may do what touches everybody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin;

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.admin {
            return Ok(Self);
        }
        Err(plain_error(StatusCode::FORBIDDEN, "this needs an administrator (admin: true)").into_response())
    }
}

#[cfg(test)]
mod tests;
