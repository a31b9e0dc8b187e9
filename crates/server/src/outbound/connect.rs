//! Opens connections for the client: directly, through a unix socket, or through a proxy; with TLS
//! where the URL says `https`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::connections::{Connections, OpenConnection};
use super::proxy::ProxyRules;
use super::tls::ClientTls;

/// The longest answer to `CONNECT` that is read before the proxy is given up.
const CONNECT_RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Everything a connection depends on; shared by all connections of a client.
#[derive(Debug)]
pub(super) struct ConnectSettings {
    pub(super) tls: ClientTls,
    pub(super) proxy: ProxyRules,
    /// Header lines for `CONNECT`, each `Name: value`.
    pub(super) connect_header_lines: Vec<String>,
    /// Set when every connection goes to this socket, whatever the URL's host is.
    pub(super) unix_socket: Option<String>,
    pub(super) connections: Connections,
}

/// The connector handed to the pool.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Arc<ConnectSettings>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let settings = Arc::clone(&self.0);
        Box::pin(async move { settings.connect(&destination).await.map(TokioIo::new) })
    }
}

impl ConnectSettings {
    async fn connect(&self, destination: &Uri) -> io::Result<Stream> {
        let secure = destination.scheme_str() == Some("https");
        let host = destination.host().ok_or_else(|| io::Error::other("no host in request URL"))?;
        let port = destination.port_u16().unwrap_or(if secure { 443 } else { 80 });
        if let Some(path) = &self.unix_socket {
            let stream =
                UnixStream::connect(path).await.map_err(|e| named(&format!("dial unix {path}"), &e))?;
            return self.finish(Box::new(stream), host, secure, false).await;
        }
        let Some(proxy) = self.proxy.proxy_for(destination) else {
            let stream = dial(host, port).await?;
            return self.finish(Box::new(stream), host, secure, false).await;
        };
        let proxy_host = proxy.host().ok_or_else(|| io::Error::other("no host in proxy URL"))?;
        let mut tunnel: Box<dyn Io> = match proxy.scheme_str() {
            Some("http") => Box::new(dial(proxy_host, proxy.port_u16().unwrap_or(80)).await?),
            Some("https") => {
                let tcp = dial(proxy_host, proxy.port_u16().unwrap_or(443)).await?;
                self.finish(Box::new(tcp), proxy_host, true, false).await?.io
            }
            Some("socks5" | "socks5h") => {
                let tcp = dial(proxy_host, proxy.port_u16().unwrap_or(1080)).await?;
                let stream = socks5(tcp, host, port).await?;
                return self.finish(Box::new(stream), host, secure, false).await;
            }
            other => return Err(io::Error::other(format!("unsupported proxy scheme {other:?}"))),
        };
        if secure {
            self.open_tunnel(&mut tunnel, proxy, host, port).await?;
            return self.finish(tunnel, host, true, false).await;
        }
        self.finish(tunnel, host, false, true).await
    }

    async fn finish(&self, io: Box<dyn Io>, host: &str, secure: bool, proxied: bool) -> io::Result<Stream> {
        if !secure {
            return Ok(self.counted(io, false, proxied));
        }
        let config = self.tls.client_config().map_err(io::Error::other)?;
        let name = self.tls.server_name(host).map_err(io::Error::other)?;
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, io).await?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(self.counted(Box::new(tls), http2, proxied))
    }

    fn counted(&self, io: Box<dyn Io>, http2: bool, proxied: bool) -> Stream {
        Stream { io, http2, proxied, _open: self.connections.open() }
    }

    async fn open_tunnel(&self, io: &mut Box<dyn Io>, proxy: &Uri, host: &str, port: u16) -> io::Result<()> {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(credentials) = proxy_credentials(proxy) {
            request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        for line in &self.connect_header_lines {
            request.push_str(line);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        io.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= CONNECT_RESPONSE_BYTES_MAX {
                return Err(io::Error::other("the proxy's answer to CONNECT is too long"));
            }
            answer.push(io.read_u8().await?);
        }
        let status = String::from_utf8_lossy(&answer);
        let status = status.lines().next().unwrap_or_default();
        match status.split(' ').nth(1) {
            Some("200") => Ok(()),
            _ => Err(io::Error::other(format!("proxy refused CONNECT: {status}"))),
        }
    }
}

/// `user:password` of a proxy URL, encoded for `Proxy-Authorization: Basic`.
pub(super) fn proxy_credentials(proxy: &Uri) -> Option<String> {
    let (userinfo, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    Some(base64::engine::general_purpose::STANDARD.encode(userinfo))
}

async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|_| {
            io::Error::new(io::ErrorKind::NotFound, format!("dial tcp: lookup {bare}: no such host"))
        })?
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("dial tcp: lookup {bare}: no such host"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = named(&format!("dial tcp {address}"), &error),
        }
    }
    Err(last)
}

/// The cause in the words that users of Go programs know.
fn named(what: &str, error: &io::Error) -> io::Error {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::NotFound => "connect: no such file or directory".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{what}: {cause}"))
}

/// RFC 1928 without authentication, the destination given by name.
async fn socks5(mut io: TcpStream, host: &str, port: u16) -> io::Result<TcpStream> {
    let name = host.trim_start_matches('[').trim_end_matches(']').as_bytes();
    let length = u8::try_from(name.len()).map_err(|_| io::Error::other("host name too long for SOCKS5"))?;
    io.write_all(&[5, 1, 0]).await?;
    let mut choice = [0u8; 2];
    io.read_exact(&mut choice).await?;
    if choice != [5, 0] {
        return Err(io::Error::other("the SOCKS5 proxy wants authentication"));
    }
    let mut request = vec![5, 1, 0, 3, length];
    request.extend_from_slice(name);
    request.extend_from_slice(&[(port >> 8) as u8, (port & 0xff) as u8]);
    io.write_all(&request).await?;
    let mut head = [0u8; 4];
    io.read_exact(&mut head).await?;
    if head[1] != 0 {
        return Err(io::Error::other(format!("the SOCKS5 proxy refused: code {}", head[1])));
    }
    let address_bytes = match head[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(io.read_u8().await?),
    };
    let mut skipped = vec![0u8; address_bytes + 2];
    io.read_exact(&mut skipped).await?;
    Ok(io)
}

/// Any byte stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// An open connection, with what the pool must know of it.
pub(super) struct Stream {
    io: Box<dyn Io>,
    http2: bool,
    /// Requests on it use the absolute form, since a proxy reads them.
    proxied: bool,
    _open: OpenConnection,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
