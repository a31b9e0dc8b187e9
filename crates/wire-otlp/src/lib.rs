//! OTLP metrics: export requests, protobuf or JSON, to series as Prometheus translates them.
//! Does no IO and knows no store. Deltas are refused, kept as they are, or added to totals that the
//! caller remembers, since nothing is remembered here.

mod decode;
mod decode_json;
mod deltas;
mod naming;
mod request;
mod response;
mod translate;

pub use decode::decode_protobuf;
pub use decode_json::decode_json;
pub use deltas::{DeltaDrop, DeltaStreams, DroppedDelta, RunningTotal, StreamId};
pub use naming::{LabelNamer, MetricNamer, NameError, TranslationStrategy, unit_name};
pub use request::{ExportRequest, OtlpError};
pub use response::{ResponseEncoding, encode_error, encode_response};
pub use translate::{
    OtlpOptions, PromotedAttributes, Translated, TranslationWarning, WarningCategory, translate,
};

#[cfg(test)]
mod tests;
