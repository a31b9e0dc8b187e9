//! What the protocols share: protobuf cursors, decompression with limits, client settings. Knows no single protocol.

pub mod compression;
pub mod http_config;
pub mod protobuf;

pub use compression::{Compression, DecompressError, decompress};
pub use protobuf::{ProtoError, ProtoField, ProtoReader, ProtoValue, ProtoWriter};
