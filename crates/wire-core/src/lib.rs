//! What the protocols share: protobuf cursors, decompression with limits, client settings. Knows no single protocol.
