//! The one signal that everything listens to when the process is to end.

use std::sync::Arc;

use tokio::sync::watch;

/// Cloned into every task; once begun, it stays begun.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)) }
    }

    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    pub fn has_begun(&self) -> bool {
        *self.sender.borrow()
    }

    /// Returns when shutdown begins; at once if it has.
    pub async fn begun(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        if receiver.wait_for(|begun| *begun).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
