//! Characters in a URL that people type and clients do not escape: `curl -g '…?query=up{job="x"}'`.
//!
//! Go's server takes `"`, `<` and `>` as they stand, the library under ours refuses the request before
//! anybody can answer it. They are escaped here in the first request line of a connection. That is where
//! they come from in practice: whatever keeps a connection open builds its URLs with a library.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A longer line goes through as it is.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes that are asked for at a time while the line is awaited.
const CHUNK_BYTES: usize = 2 << 10;

/// A stream whose first line is read as leniently as Go reads it.
#[derive(Debug)]
pub(super) struct LenientLine<S> {
    inner: S,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What came so far, without a line break.
    Awaiting(Vec<u8>),
    /// Bytes to hand out from a position on.
    Handing(Vec<u8>, usize),
    Through,
}

impl<S> LenientLine<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, state: State::Awaiting(Vec::new()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LenientLine<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Awaiting(seen) => {
                    let mut chunk = [0; CHUNK_BYTES];
                    let mut chunk = ReadBuf::new(&mut chunk);
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))?;
                    let is_end = chunk.filled().is_empty();
                    seen.extend_from_slice(chunk.filled());
                    if is_end || chunk.filled().contains(&b'\n') || seen.len() >= LINE_BYTES_MAX {
                        this.state = State::Handing(escape_target(std::mem::take(seen)), 0);
                    }
                }
                State::Handing(bytes, at) => {
                    let rest = &bytes[*at..];
                    let n = rest.len().min(buf.remaining());
                    buf.put_slice(&rest[..n]);
                    *at += n;
                    if *at == bytes.len() {
                        this.state = State::Through;
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Through => return Pin::new(&mut this.inner).poll_read(cx, buf),
            }
        }
    }
}

/// Escapes what is between the first and the last space of the first line.
fn escape_target(bytes: Vec<u8>) -> Vec<u8> {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let first = line.iter().position(|b| *b == b' ');
    let last = line.iter().rposition(|b| *b == b' ');
    let (Some(first), Some(last)) = (first, last) else { return bytes };
    let target = first..last;
    if !bytes[target.clone()].iter().any(|b| b"\"<>".contains(b)) {
        return bytes;
    }
    let mut escaped = Vec::with_capacity(bytes.len() + 64);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if target.contains(&at) => escaped.extend_from_slice(b"%22"),
            b'<' if target.contains(&at) => escaped.extend_from_slice(b"%3C"),
            b'>' if target.contains(&at) => escaped.extend_from_slice(b"%3E"),
            other => escaped.push(*other),
        }
    }
    escaped
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LenientLine<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_first_line_is_escaped_and_the_rest_is_not() {
        let long = format!("GET /{}\" HTTP/1.1\r\n", "x".repeat(LINE_BYTES_MAX));
        for (sent, expected) in [
            (
                "GET /q?query=up{a=\"b\"}>0<1 HTTP/1.1\r\nX: \"<>\"\r\n\r\n\"body\" <",
                "GET /q?query=up{a=%22b%22}%3E0%3C1 HTTP/1.1\r\nX: \"<>\"\r\n\r\n\"body\" <",
            ),
            ("GET / HTTP/1.1\r\n\r\nGET /\" HTTP/1.1\r\n", "GET / HTTP/1.1\r\n\r\nGET /\" HTTP/1.1\r\n"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\""),
            ("\"", "\""),
            ("GET /\"", "GET /\""),
            ("", ""),
            (&long, &long),
        ] {
            for piece in [1, 7, 100_000] {
                let (mut client, server) = tokio::io::duplex(1 << 20);
                for part in sent.as_bytes().chunks(piece) {
                    client.write_all(part).await.unwrap();
                }
                drop(client);
                let mut read = String::new();
                LenientLine::new(server).read_to_string(&mut read).await.unwrap();
                assert_eq!(read, expected, "in pieces of {piece}");
            }
        }
    }
}
