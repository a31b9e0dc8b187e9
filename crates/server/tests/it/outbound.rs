//! The HTTP client against servers, proxies and token endpoints on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use server::outbound::client::{Environment, HttpClient, Outgoing};
use server::outbound::connections::Connections;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wire_core::http_config::{
    HttpClientConfig, JwtBearerGrant, OAuth2, OAuth2Grant, PemSource, ProxyConfig, Secret, SecretSource,
    TlsClientConfig,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a server was asked, one line per request, and what it answers next.
#[derive(Default)]
struct Asked {
    lines: Mutex<Vec<String>>,
    /// The lifetime of tokens, in seconds.
    lifetime_s: Mutex<i64>,
}

impl Asked {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock())
    }
}

async fn answer(
    State(asked): State<Arc<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let body = String::from_utf8_lossy(&body).into_owned();
    asked.lines.lock().push(format!("{method} {} {authorization} {body}", uri.path()).trim().to_owned());
    let text = if uri.path() == "/token" {
        let n = asked.lines.lock().iter().filter(|line| line.contains("/token")).count();
        let lifetime_s = *asked.lifetime_s.lock();
        format!("{{\"access_token\": \"t{n}\", \"token_type\": \"bearer\", \"expires_in\": {lifetime_s}}}")
    } else {
        "hello".to_owned()
    };
    Response::new(text.into())
}

fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/keys").join(name)
}

/// A server's TLS with one of the keys of the corpus, for clients whose certificate is `clients`.
fn server_tls(name: &str, clients: Option<&str>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(key_file(&format!("{name}.crt"))).unwrap().map(Result::unwrap).collect()
    };
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(clients));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_file(key_file(&format!("{name}.key"))).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(certificates(name), key).unwrap()))
}

async fn start(tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Asked::default());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (service, tls) = (TowerToHyperService::new(router.clone()), tls.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                // Clients come and go as the tests want it.
                match tls {
                    None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(builder.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    (address, asked)
}

fn environment(vars: &[(&str, String)]) -> Environment {
    let vars: BTreeMap<String, String> = vars.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    Environment { var: Arc::new(move |name| vars.get(name).cloned()), connections: Connections::within(1024) }
}

async fn get(client: &HttpClient, url: &str) -> Result<String, String> {
    let answer = client.send(Outgoing::get(url.parse().unwrap(), PATIENCE), 1000).await;
    answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).map_err(|e| e.to_string())
}

fn trusting(name: &str) -> TlsClientConfig {
    let ca = PemSource::File(key_file(&format!("{name}.crt")).display().to_string());
    TlsClientConfig { ca, ..TlsClientConfig::default() }
}

#[tokio::test]
async fn oauth2_tokens_are_fetched_over_tls_and_renewed_before_they_expire() {
    let (tokens_at, tokens) = start(Some(server_tls("rsa", None))).await;
    let (address, asked) = start(None).await;
    let key = std::fs::read_to_string(key_file("other.key")).unwrap();
    let secret = OAuth2Grant::ClientCredentials { client_secret: SecretSource::Inline(Secret::new("s:&")) };
    let bearer = OAuth2Grant::JwtBearer(Box::new(JwtBearerGrant {
        certificate_key: SecretSource::Inline(Secret::new(key)),
        certificate_key_id: "k".to_owned(),
        signature_algorithm: "RS256".to_owned(),
        issuer: String::new(),
        audience: String::new(),
        claims_json: BTreeMap::new(),
    }));
    for (grant, body) in [
        // `c:s%3A%26`, as RFC 6749 wants it.
        (secret, "POST /token Basic YzpzJTNBJTI2 grant_type=client_credentials&scope=a+b&extra=1%2F2"),
        (bearer, "POST /token  grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="),
    ] {
        let oauth2 = OAuth2 {
            client_id: "c".to_owned(),
            grant,
            scopes: vec!["a".to_owned(), "b".to_owned()],
            token_url: format!("https://{tokens_at}/token"),
            endpoint_params: BTreeMap::from([("extra".to_owned(), "1/2".to_owned())]),
            tls: trusting("rsa"),
            proxy: ProxyConfig::default(),
        };
        let config = HttpClientConfig { oauth2: Some(Box::new(oauth2)), ..HttpClientConfig::default() };
        // A token is renewed ten seconds before its end: the first is used again, the second never.
        for (lifetime_s, used) in [(60, ["t1", "t1"]), (9, ["t1", "t2"])] {
            *tokens.lifetime_s.lock() = lifetime_s;
            let client = HttpClient::new(config.clone(), &environment(&[]), None).unwrap();
            for token in used {
                assert_eq!(get(&client, &format!("http://{address}/x")).await.unwrap(), "hello");
                assert_eq!(asked.take(), [format!("GET /x Bearer {token}")], "{lifetime_s} s");
            }
            let fetched = tokens.take();
            assert_eq!(fetched.len(), if used[1] == "t1" { 1 } else { 2 });
            assert!(fetched[0].starts_with(body), "{fetched:?}");
        }
    }
    let untrusting = HttpClientConfig { tls: trusting("other"), ..HttpClientConfig::default() };
    let client = HttpClient::new(untrusting, &environment(&[]), None).unwrap();
    get(&client, &format!("https://{tokens_at}/token")).await.unwrap_err();
}

/// A proxy that answers plain requests itself, and opens every tunnel to one address.
async fn start_proxy(tunnels_to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let is_tunnel = head.starts_with("CONNECT");
                seen.lock().push(head);
                if !is_tunnel {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nproxied";
                    return stream.write_all(answer).await.unwrap();
                }
                let mut target = TcpStream::connect(tunnels_to).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                // Either end may hang up first.
                drop(tokio::io::copy_bidirectional(&mut stream, &mut target).await);
            });
        }
    });
    (address, heads)
}

#[tokio::test]
async fn proxies_are_used_as_configured() {
    let (secure, _) = start(Some(server_tls("rsa", None))).await;
    let (plain, _) = start(None).await;
    let (proxy, heads) = start_proxy(secure).await;
    let url = format!("http://ali:sesame@{proxy}");
    let own = |no_proxy: &str| ProxyConfig {
        proxy_url: url.clone(),
        no_proxy: no_proxy.to_owned(),
        connect_headers: BTreeMap::from([("X-Tunnel".to_owned(), vec![Secret::new("1"), Secret::new("2")])]),
        ..ProxyConfig::default()
    };
    let of_environment = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
    let credentials = "proxy-authorization: basic ywxponnlc2ftzq==";
    let check = async |config: &ProxyConfig, url: &str, answer: &str, head: Option<(&str, &[&str])>| {
        let config =
            HttpClientConfig { proxy: config.clone(), tls: trusting("rsa"), ..HttpClientConfig::default() };
        let vars = [
            ("HTTP_PROXY", format!("{proxy}")),
            ("https_proxy", format!("http://{proxy}")),
            ("NO_PROXY", "spared.test".to_owned()),
        ];
        let client = HttpClient::new(config, &environment(&vars), None).unwrap();
        assert_eq!(get(&client, url).await.as_deref(), Ok(answer), "{url}");
        let seen = std::mem::take(&mut *heads.lock());
        let Some((line, lines)) = head else { return assert!(seen.is_empty(), "{url}: {seen:?}") };
        assert_eq!(seen.len(), 1, "{url}: {seen:?}");
        let seen = seen[0].to_lowercase();
        assert_eq!(seen.lines().next(), Some(line), "{url}");
        for line in lines {
            assert!(seen.lines().any(|seen| seen == *line), "{url}: no {line:?} in {seen}");
        }
    };
    let absolute = "get http://example.test/a?b=c http/1.1";
    check(
        &own(""),
        "http://example.test/a?b=c",
        "proxied",
        Some((absolute, &["host: example.test", credentials])),
    )
    .await;
    let tunnel = ["host: example.test:443", credentials, "x-tunnel: 1", "x-tunnel: 2"];
    let connect = "connect example.test:443 http/1.1";
    check(&own(""), "https://example.test/a", "hello", Some((connect, &tunnel))).await;
    check(&own("other.test"), "https://example.test/a", "hello", Some((connect, &tunnel))).await;
    check(&own("10.0.0.0/8, 127.0.0.1"), &format!("http://{plain}/"), "hello", None).await;
    let to_loopback = format!("get http://{plain}/ http/1.1");
    check(&own(""), &format!("http://{plain}/"), "proxied", Some((&to_loopback, &[]))).await;
    check(&of_environment, "http://example.test/a?b=c", "proxied", Some((absolute, &["host: example.test"])))
        .await;
    check(&of_environment, "https://example.test/a", "hello", Some((connect, &[]))).await;
    check(&of_environment, &format!("http://{plain}/"), "hello", None).await;
}

/// A rotated certificate is used by the next connection, without a reload.
#[tokio::test]
async fn client_certificates_are_read_again_when_they_change() {
    let (address, asked) = start(Some(server_tls("rsa", Some("other")))).await;
    let dir = tempfile::tempdir().unwrap();
    let mut n_installed = 0;
    let mut install = |name: &str| {
        n_installed += 1;
        for kind in ["crt", "key"] {
            let to = dir.path().join(format!("client.{kind}"));
            std::fs::copy(key_file(&format!("{name}.{kind}")), &to).unwrap();
            // Two writes may fall into one tick of the file system's clock.
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + n_installed);
            std::fs::File::options().write(true).open(&to).unwrap().set_modified(at).unwrap();
        }
    };
    let file = |name: &str| PemSource::File(dir.path().join(name).display().to_string());
    let tls = TlsClientConfig { certificate: file("client.crt"), key: file("client.key"), ..trusting("rsa") };
    let config = HttpClientConfig { tls, ..HttpClientConfig::default() };
    let client = HttpClient::new(config, &environment(&[]), None).unwrap();
    let url = format!("https://{address}/x");
    assert!(get(&client, &url).await.unwrap_err().contains("unable to load specified client cert"));
    install("rsa");
    get(&client, &url).await.unwrap_err();
    assert!(asked.take().is_empty(), "a certificate that the server does not know");
    install("other");
    assert_eq!(get(&client, &url).await.as_deref(), Ok("hello"));
    std::fs::write(dir.path().join("client.key"), "no key").unwrap();
    assert!(get(&client, &url).await.unwrap_err().contains("unable to use specified client key"));
    install("other");
    assert_eq!(get(&client, &url).await.as_deref(), Ok("hello"));
}
