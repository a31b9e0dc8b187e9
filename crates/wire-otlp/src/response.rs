//! Answers to export requests.

use wire_core::ProtoWriter;

/// Which encoding a client speaks; it is answered in the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseEncoding {
    Protobuf,
    Json,
}

impl ResponseEncoding {
    /// From a request's `Content-Type`; `None` is to be answered with status 415.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// An `ExportMetricsServiceResponse`. With nothing refused and no message it is the empty success.
pub fn encode_response(encoding: ResponseEncoding, rejected_data_points: usize, message: &str) -> Vec<u8> {
    let is_partial = rejected_data_points > 0 || !message.is_empty();
    match encoding {
        ResponseEncoding::Protobuf => {
            let mut w = ProtoWriter::new();
            if is_partial {
                w.message_field(1, |w| {
                    w.u64_field(1, rejected_data_points as u64);
                    w.str_field(2, message);
                });
            }
            w.finish()
        }
        ResponseEncoding::Json if is_partial => serde_json::json!({
            "partialSuccess": {
                "rejectedDataPoints": rejected_data_points.to_string(),
                "errorMessage": message,
            }
        })
        .to_string()
        .into_bytes(),
        ResponseEncoding::Json => b"{}".to_vec(),
    }
}

/// A `google.rpc.Status`, the body of failures.
pub fn encode_error(encoding: ResponseEncoding, grpc_code: u32, message: &str) -> Vec<u8> {
    match encoding {
        ResponseEncoding::Protobuf => {
            let mut w = ProtoWriter::new();
            w.u64_field(1, u64::from(grpc_code));
            w.str_field(2, message);
            w.finish()
        }
        ResponseEncoding::Json => {
            serde_json::json!({ "code": grpc_code, "message": message }).to_string().into_bytes()
        }
    }
}
