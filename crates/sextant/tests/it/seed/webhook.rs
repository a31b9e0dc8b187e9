//! The webhook behind Alertmanager: keeps every alert it is told of.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::SOON;
use crate::waiting::until;

#[derive(Debug)]
pub(crate) struct Webhook {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    alerts: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    #[expect(clippy::disallowed_methods, reason = "the receiver lives as long as the test's process")]
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let alerts = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&alerts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(body) = answer(&stream) {
                    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
                    seen.lock().extend(told["alerts"].as_array().into_iter().flatten().cloned());
                }
            }
        });
        Self { address, alerts }
    }

    /// Waits until the webhook was told of an alert in this state; the alert.
    pub(crate) fn until_told(&self, name: &str, status: &str) -> Value {
        until(SOON, &format!("{name} {status} at the webhook"), || {
            let alerts = self.alerts.lock();
            let found = alerts.iter().rfind(|a| a["labels"]["alertname"] == name && a["status"] == status);
            let seen = || alerts.iter().map(|a| format!("{} {}", a["labels"]["alertname"], a["status"]));
            found.cloned().ok_or_else(|| seen().collect::<Vec<_>>().join(", "))
        })
    }
}

/// Reads one request and says 200.
fn answer(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut out = stream;
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some(body)
}
