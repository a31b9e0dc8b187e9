//! `--web.read-timeout`: a client that is slow to send loses its connection, and with it its place.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio::time::Sleep;

/// Says of a connection whether a request has arrived on it.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstRequest(Arc<AtomicBool>);

/// Runs a connection, and gives it up when no request has come by the end of `timeout`: hyper's own
/// timer starts only when the TLS handshake and the protocol's first bytes are through.
pub(super) async fn until_first_request(
    connection: impl Future<Output = ()>,
    first: &FirstRequest,
    timeout: Duration,
) {
    let too_late = async {
        tokio::time::sleep(timeout).await;
        if first.0.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = connection => {}
        () = too_late => tracing::debug!("a client sent no request in time"),
    }
}

/// Passes requests on with bodies that must arrive in time.
#[derive(Debug, Clone)]
pub(super) struct TimedRequests<S> {
    pub(super) inner: S,
    pub(super) first: FirstRequest,
    pub(super) timeout: Duration,
}

impl<S: Service<Request<TimedBody>>> Service<Request<Incoming>> for TimedRequests<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.first.0.store(true, Ordering::Release);
        let limit = self.timeout;
        self.inner.call(request.map(|body| TimedBody { body, limit, timer: None }))
    }
}

/// A request body that ends with an error when it is not complete in time.
#[derive(Debug)]
pub(super) struct TimedBody {
    body: Incoming,
    limit: Duration,
    /// Made when the body is first waited for: most are there with the head.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Self::Error::from)));
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let cause = io::Error::new(io::ErrorKind::TimedOut, "the body did not arrive in time");
                Poll::Ready(Some(Err(cause.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
