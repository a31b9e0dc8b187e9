//! Accepting connections: a bound on how many, TLS where configured, and an orderly end.

mod reading;
mod request_line;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::web_config::ListenerConfig;
use crate::shutdown::Shutdown;
use reading::{FirstRequest, TimedRequests, until_first_request};
use request_line::LenientLine;

/// What one listener allows its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenLimits {
    pub(crate) connections_max: usize,
    /// For the head and for the body of each request.
    pub(crate) read_timeout: Duration,
}

/// How long open requests may go on after the server was told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// After `accept` fails for want of file descriptors, we wait before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until shutdown begins, then drains.
pub(crate) async fn serve(
    listener: TcpListener,
    config: Arc<ListenerConfig>,
    router: Router,
    limits: ListenLimits,
    shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max.max(1)));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.begun() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let watcher = graceful.watcher();
        let (router, config) = (router.clone(), Arc::clone(&config));
        tokio::spawn(async move {
            let timed = TimedRequests {
                inner: TowerToHyperService::new(router.layer(axum::Extension(ConnectInfo(peer)))),
                first: FirstRequest::default(),
                timeout: limits.read_timeout,
            };
            let first = timed.first.clone();
            let served = connection(stream, peer, &config, timed, watcher);
            until_first_request(served, &first, limits.read_timeout).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("closing connections that did not end in time");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    config: &ListenerConfig,
    service: TimedRequests<TowerToHyperService<Router>>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Answers are written whole; waiting to fill a packet only delays the last one.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(service.timeout);
    builder.http2().timer(TokioTimer::new());
    let outcome = match config.current().tls.clone() {
        None => {
            let served =
                builder.serve_connection_with_upgrades(TokioIo::new(LenientLine::new(stream)), service);
            watcher.watch(served.into_owned()).await
        }
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => {
                let served =
                    builder.serve_connection_with_upgrades(TokioIo::new(LenientLine::new(stream)), service);
                watcher.watch(served.into_owned()).await
            }
            Err(error) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
        },
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "connection ended with an error");
    }
}
