//! `/api/v1/notifications`: what users should know now, and the live stream of changes.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::App;
use super::reply::{ApiResult, success};
use super::time::rfc3339;

/// Streams open at once, as upstream's `--web.max-notifications-subscribers`.
const SUBSCRIBERS_MAX: usize = 16;
const BACKLOG: usize = 64;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub text: String,
    pub t_ms: i64,
    pub active: bool,
}

impl Notice {
    fn json(&self) -> String {
        let value =
            serde_json::json!({ "text": self.text, "date": rfc3339(self.t_ms), "active": self.active });
        value.to_string()
    }
}

/// The notices in force, and whoever listens.
#[derive(Debug)]
pub struct Notices {
    active: Mutex<Vec<Notice>>,
    changes: broadcast::Sender<Notice>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { active: Mutex::default(), changes: broadcast::Sender::new(BACKLOG) }
    }
}

impl Notices {
    /// Shows a notice until it is taken back.
    pub fn show(&self, text: &str, now_ms: i64) {
        let mut active = self.active.lock();
        if active.iter().any(|notice| notice.text == text) {
            return;
        }
        let notice = Notice { text: text.to_owned(), t_ms: now_ms, active: true };
        active.push(notice.clone());
        // Nobody may be listening, which is no failure.
        drop(self.changes.send(notice));
    }

    pub fn take_back(&self, text: &str, now_ms: i64) {
        let mut active = self.active.lock();
        let before = active.len();
        active.retain(|notice| notice.text != text);
        if active.len() < before {
            drop(self.changes.send(Notice { text: text.to_owned(), t_ms: now_ms, active: false }));
        }
    }
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> ApiResult {
    let active = app.notices.active.lock().clone();
    success(|w| w.array(|w| active.iter().for_each(|notice| w.raw(notice.json().as_bytes()))))
}

pub(crate) async fn live(State(app): State<Arc<App>>) -> Response {
    if app.notices.changes.receiver_count() >= SUBSCRIBERS_MAX {
        return StatusCode::NO_CONTENT.into_response();
    }
    let receiver = app.notices.changes.subscribe();
    let first = app.notices.active.lock().clone();
    let shutdown = app.shutdown.clone();
    let stream = futures_util::stream::unfold(
        (first, receiver, shutdown),
        |(mut first, mut receiver, shutdown)| async move {
            if !first.is_empty() {
                let notice = first.remove(0);
                return Some((
                    Ok::<_, Infallible>(Event::default().data(notice.json())),
                    (first, receiver, shutdown),
                ));
            }
            loop {
                tokio::select! {
                    received = receiver.recv() => match received {
                        Ok(notice) => return Some((Ok(Event::default().data(notice.json())), (first, receiver, shutdown))),
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    },
                    () = shutdown.begun() => return None,
                }
            }
        },
    );
    Sse::new(stream).into_response()
}
