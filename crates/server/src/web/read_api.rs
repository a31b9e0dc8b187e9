//! `POST /api/v1/read`: remote read, as samples in one message or as a stream of chunk frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use base::{CancelToken, ShardSet};
use engine::{JoinedSource, StoreSource, TenantShare};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use model::{Labels, MatchOp, Matcher};
use ql_promql::source::{SelectRequest, SeriesBuffer, SeriesSet, SeriesSource as _, SourceError};
use tokio::sync::mpsc;
use wire_core::{Compression, decompress};
use wire_prom::api_json::SampleValue;
use wire_prom::remote_read::{
    FrameWriter, ReadQuery, ReadRequest, ReadResponseType, SamplesResponse, decode_request, encode_chunks,
};

use super::App;
use super::access::Caller;
use super::query_api::CancelOnDrop;
use super::reply::plain_error;

const DECODED_BYTES_MAX: usize = 32 << 20;

/// Frames that may wait for a slow client; the reader pauses beyond that.
const FRAMES_WAITING_MAX: usize = 4;

/// Why a read failed, and the status that says so.
struct ReadFailure {
    status: StatusCode,
    message: String,
}

impl From<SourceError> for ReadFailure {
    fn from(error: SourceError) -> Self {
        let status = match error {
            SourceError::Budget(_) => StatusCode::TOO_MANY_REQUESTS,
            SourceError::Cancelled(_) | SourceError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: error.to_string() }
    }
}

pub(crate) async fn read(State(app): State<Arc<App>>, caller: Caller, body: Bytes) -> Response {
    let Ok(place) = Arc::clone(&app.read_places).acquire_owned().await else {
        return plain_error(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    };
    let request = match decompress(Compression::Snappy, &body, DECODED_BYTES_MAX) {
        Ok(plain) => decode_request(&plain).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let request = match request {
        Ok(request) => request,
        Err(message) => return plain_error(StatusCode::BAD_REQUEST, &message),
    };
    let external =
        app.reload.current().map(|config| config.global.external_labels.clone()).unwrap_or_default();
    let cancel = CancelToken::unbounded();
    let (share, budget) = app.engine.share_of(&caller.tenant, "remote read");
    let source =
        StoreSource { view: app.store.view(), tenant: caller.tenant, budget, cancel: cancel.clone() };
    // As upstream, what remotes hold is handed on too.
    let source = app.engine.joined_source(source);
    let reader =
        Reader { source, _share: share, external, samples_max: app.settings.remote_read_samples_max };
    let content_type = HeaderValue::from_static(request.response_type.content_type());
    let mut response = match request.response_type {
        ReadResponseType::Samples => {
            let _hang_up = CancelOnDrop(cancel);
            let work = move || {
                let answer = reader.samples(&request);
                reader.log_warnings();
                drop(place);
                answer
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(packed)) => {
                    let mut response = Response::new(Body::from(packed));
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
                    response
                }
                Ok(Err(failure)) => return plain_error(failure.status, &failure.message),
                Err(panic) => return plain_error(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
            }
        }
        ReadResponseType::StreamedXorChunks => {
            let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(FRAMES_WAITING_MAX);
            let frame_bytes = app.settings.remote_read_frame_bytes_max;
            tokio::task::spawn_blocking(move || {
                if let Err(failure) = reader.stream(&request, frame_bytes, &sender) {
                    tracing::warn!(error = failure.message, "a streamed remote read ended early");
                }
                reader.log_warnings();
                drop(place);
            });
            let hang_up = CancelOnDrop(cancel);
            let frames = futures_util::stream::poll_fn(move |cx| {
                let _held = &hang_up;
                receiver.poll_recv(cx).map(|frame| frame.map(Ok::<_, std::convert::Infallible>))
            });
            Response::new(Body::from_stream(frames))
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

struct Reader {
    source: JoinedSource,
    /// Held while the source charges to it.
    _share: TenantShare,
    external: Labels,
    samples_max: usize,
}

impl Reader {
    fn select(&self, query: &ReadQuery) -> Result<Box<dyn SeriesSet>, SourceError> {
        let matchers: Vec<Matcher> = query.matchers.iter().map(|m| self.without_external(m)).collect();
        let request = SelectRequest {
            matchers: &matchers,
            start_ms: query.start_ms,
            end_ms: query.end_ms,
            with_start_timestamps: false,
            shards: &ShardSet::ALL,
        };
        self.source.select(&request)
    }

    /// The protocol has no place for them.
    fn log_warnings(&self) {
        for warning in self.source.warnings() {
            tracing::warn!(warning, "a remote read was answered without one of our own remotes");
        }
    }

    /// External labels are not stored, so asking for one by its value asks for its absence.
    fn without_external(&self, matcher: &Matcher) -> Matcher {
        let is_external =
            matcher.op == MatchOp::Equal && self.external.get(&matcher.name) == Some(&matcher.value);
        if is_external { Matcher::equal(&matcher.name, "") } else { matcher.clone() }
    }

    fn labelled(&self, own: &Labels) -> Labels {
        let mut pairs: BTreeMap<&str, &str> = self.external.iter().collect();
        pairs.extend(own.iter());
        Labels::from_sorted(pairs)
    }

    fn samples(&self, request: &ReadRequest) -> Result<Vec<u8>, ReadFailure> {
        let mut response = SamplesResponse::new();
        let mut buffer = SeriesBuffer::default();
        let mut n_samples = 0;
        for query in &request.queries {
            let set = self.select(query)?;
            let mut outcome = Ok(());
            response.result(|writer| {
                for idx in 0..set.len() {
                    if let Err(error) = set.read(idx, &mut buffer) {
                        outcome = Err(ReadFailure::from(error));
                        return;
                    }
                    n_samples += buffer.n_samples();
                    if self.samples_max > 0 && n_samples > self.samples_max {
                        let message = format!("exceeded sample limit ({})", self.samples_max);
                        outcome = Err(ReadFailure { status: StatusCode::BAD_REQUEST, message });
                        return;
                    }
                    writer.series(&self.labelled(set.labels(idx)), merged(&buffer));
                }
            });
            outcome?;
        }
        let plain = response.finish();
        snap::raw::Encoder::new()
            .compress_vec(&plain)
            .map_err(|e| ReadFailure { status: StatusCode::INTERNAL_SERVER_ERROR, message: e.to_string() })
    }

    fn stream(
        &self,
        request: &ReadRequest,
        frame_bytes: usize,
        to: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), ReadFailure> {
        let mut buffer = SeriesBuffer::default();
        for (query_idx, query) in request.queries.iter().enumerate() {
            let set = self.select(query)?;
            let mut writer = FrameWriter::new(frame_bytes);
            for idx in 0..set.len() {
                set.read(idx, &mut buffer)?;
                let mut frames = Vec::new();
                writer.series(
                    &mut frames,
                    query_idx,
                    &self.labelled(set.labels(idx)),
                    &encode_chunks(merged(&buffer)),
                );
                // The client is gone; nobody wants the rest.
                if !frames.is_empty() && to.blocking_send(frames).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Floats and histograms in one time order.
fn merged(buffer: &SeriesBuffer) -> impl Iterator<Item = (i64, SampleValue<'_>)> {
    let mut floats = buffer.float_ts.iter().zip(&buffer.float_values).peekable();
    let mut histograms = buffer.histogram_ts.iter().zip(&buffer.histograms).peekable();
    std::iter::from_fn(move || {
        let float_first = match (floats.peek(), histograms.peek()) {
            (Some((ft, _)), Some((ht, _))) => ft < ht,
            (next, _) => next.is_some(),
        };
        if float_first {
            floats.next().map(|(t, v)| (*t, SampleValue::Float(*v)))
        } else {
            histograms.next().map(|(t, h)| (*t, SampleValue::Histogram(h)))
        }
    })
}
