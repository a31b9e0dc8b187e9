//! The `web.config` of one listener while it runs: read again when its file changes, so that a user who
//! was taken out of it is refused from the next request on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base::Clock;
use config::WebConfig;
use config::sextant::AuthConfig;
use http::HeaderMap;
use parking_lot::Mutex;

use super::access::{Tenancy, Users};
use super::around::{RateGate, fixed_headers};
use super::server_tls::{ServerTls, ServerTlsError};

/// A file whose time and size say that it did not change is read nevertheless this often.
const READ_EVERY_NS: u64 = 1_000_000_000;

/// What a listener does with requests at the moment.
#[derive(Debug)]
pub struct InForce {
    pub(crate) users: Arc<Users>,
    pub(crate) gate: RateGate,
    pub(crate) headers: HeaderMap,
    pub(crate) tls: Option<Arc<ServerTls>>,
}

/// Why a changed file is not put in force.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Tls(#[from] ServerTlsError),
    #[error("without users everybody could use an address that other machines reach")]
    OpenToTheWorld,
}

/// What stays the same whatever the file says.
pub struct ListenerParts {
    /// `None`: what the listener started with stays.
    pub file: Option<PathBuf>,
    pub web: WebConfig,
    pub auth: AuthConfig,
    pub tenancy: Tenancy,
    /// Refuses a file that would leave the listener without users.
    pub needs_users: bool,
    pub clock: Arc<dyn Clock>,
}

/// The configuration of a listener, followed.
pub struct ListenerConfig {
    file: Option<PathBuf>,
    auth: AuthConfig,
    tenancy: Tenancy,
    needs_users: bool,
    clock: Arc<dyn Clock>,
    state: Mutex<Followed>,
}

struct Followed {
    stamp: Option<(SystemTime, u64)>,
    read_at_ns: u64,
    /// `None` before the first reading; the inner `None` is a file that could not be read.
    text: Option<Option<String>>,
    in_force: Arc<InForce>,
}

impl ListenerConfig {
    pub fn new(parts: ListenerParts) -> Result<Arc<Self>, ServerTlsError> {
        let in_force =
            Arc::new(build(&parts.web, tls(&parts.web)?, &parts.auth, parts.tenancy, &parts.clock));
        // Without a text and a time the first request reads the file, so no change before it is missed.
        let state = Followed { stamp: None, read_at_ns: 0, text: None, in_force };
        Ok(Arc::new(Self {
            file: parts.file,
            auth: parts.auth,
            tenancy: parts.tenancy,
            needs_users: parts.needs_users,
            clock: parts.clock,
            state: Mutex::new(state),
        }))
    }

    /// What is in force now; a file that cannot be used leaves the last good one in force.
    pub fn current(&self) -> Arc<InForce> {
        let mut state = self.state.lock();
        if let Some(file) = &self.file {
            let metadata = std::fs::metadata(file).ok();
            let stamp = metadata.and_then(|m| Some((m.modified().ok()?, m.len())));
            let now_ns = self.clock.monotonic_ns();
            if stamp != state.stamp || now_ns.saturating_sub(state.read_at_ns) >= READ_EVERY_NS {
                (state.stamp, state.read_at_ns) = (stamp, now_ns);
                self.read_again(file, &mut state);
            }
        }
        Arc::clone(&state.in_force)
    }

    fn read_again(&self, file: &std::path::Path, state: &mut Followed) {
        let text = std::fs::read_to_string(file);
        let known = Some(text.as_ref().ok().cloned());
        if known == state.text {
            return;
        }
        state.text = known;
        let path = file.display().to_string();
        match text.map_err(Refused::from).and_then(|text| self.parse(&text, &path, &state.in_force)) {
            Ok(fresh) => {
                state.in_force = Arc::new(fresh);
                tracing::info!(path, "web configuration loaded");
            }
            Err(error) => {
                tracing::error!(path, %error, "web configuration not loaded, the old one stays in force");
            }
        }
    }

    fn parse(&self, text: &str, path: &str, old: &InForce) -> Result<InForce, Refused> {
        let web = WebConfig::parse(text, path).map_err(|error| Refused::Config(error.located()))?;
        // Whether a listener speaks TLS is decided when it begins to listen, as upstream has it.
        let tls = if web.tls.is_some() == old.tls.is_some() {
            tls(&web)?
        } else {
            tracing::warn!(path, "switching TLS on or off needs a restart; the rest is in force");
            old.tls.clone()
        };
        let fresh = build(&web, tls, &self.auth, self.tenancy, &self.clock);
        if self.needs_users && fresh.users.is_empty() {
            return Err(Refused::OpenToTheWorld);
        }
        Ok(fresh)
    }
}

fn tls(web: &WebConfig) -> Result<Option<Arc<ServerTls>>, ServerTlsError> {
    let tls = web.tls.as_ref().map(|tls| ServerTls::new(tls.clone(), web.http2)).transpose()?;
    Ok(tls.map(Arc::new))
}

fn build(
    web: &WebConfig,
    tls: Option<Arc<ServerTls>>,
    auth: &AuthConfig,
    tenancy: Tenancy,
    clock: &Arc<dyn Clock>,
) -> InForce {
    InForce {
        users: Arc::new(Users::new(&web.basic_auth_users, auth, tenancy)),
        gate: RateGate::new(web.rate_limit, Arc::clone(clock)),
        headers: fixed_headers(&web.headers),
        tls,
    }
}

/// Hands what is in force to the layers within.
pub(crate) async fn put_in_force(
    State(listener): State<Arc<ListenerConfig>>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(listener.current());
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use base::ManualClock;

    use super::*;

    const USERS: &str =
        "basic_auth_users:\n  ali: $2y$05$EkTgMN5mJ3YEhkeLDZ87uugcZciP0WaUxokpide08tIYqYurM6DXe\n";
    const HEADERS: &str = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";

    #[test]
    fn a_changed_file_is_in_force_with_the_next_request_unless_it_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.yml");
        std::fs::write(&file, USERS).unwrap();
        let clock = Arc::new(ManualClock::new(0));
        let listener = ListenerConfig::new(ListenerParts {
            file: Some(file.clone()),
            web: WebConfig::parse(USERS, "web.yml").unwrap(),
            auth: AuthConfig { tokens: Vec::new(), users: BTreeMap::new(), ..AuthConfig::default() },
            tenancy: Tenancy::Single,
            needs_users: true,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        })
        .unwrap();
        let both = format!("{USERS}{HEADERS}");
        // Switching TLS on waits for a restart, and the rest of the file does not.
        let with_tls = format!("{USERS}tls_server_config:\n  cert_file: none\n  key_file: none\n");
        for (text, users, headers) in [
            (Some(USERS), true, 0),
            (Some(both.as_str()), true, 1),
            (Some("basic_auth_users: 7\n"), true, 1),
            (Some(with_tls.as_str()), true, 0),
            (Some(both.as_str()), true, 1),
            (Some(HEADERS), true, 1),
            (Some("tls_server_config:\n  cert_file: none\n  key_file: none\n"), true, 1),
            (None, true, 1),
            (Some(USERS), true, 0),
        ] {
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            clock.advance(Duration::from_secs(1));
            let now = listener.current();
            assert_eq!((!now.users.is_empty(), now.headers.len()), (users, headers), "{text:?}");
        }
    }
}
