//! Against one server on loopback that stands in for all clouds: it checks what proves who asks, and says
//! what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex as Lock;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpListener;
use wire_core::http_config::{AzureAd, AzureCloud, AzureMethod, GoogleIam, Secret, SigV4};

use super::sigv4::{AwsKeys, Scope, signature_holds};
use super::*;
use crate::outbound::connections::Connections;

const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/keys/rsa.key");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/keys/rsa.crt");

/// Everything that was asked, one line each.
#[derive(Default)]
struct Cloud {
    asked: Lock<Vec<String>>,
    /// How long what it gives is good for, in seconds.
    lifetime_s: Lock<i64>,
}

async fn start() -> (SocketAddr, Arc<Cloud>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cloud = Arc::new(Cloud { asked: Lock::default(), lifetime_s: Lock::new(3600) });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&cloud));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, cloud)
}

fn keys(name: &str) -> AwsKeys {
    let token = if name == "static" { String::new() } else { format!("{name}-token") };
    AwsKeys {
        access_key: name.to_owned(),
        secret_key: Secret::new(format!("{name}-secret")),
        session_token: Secret::new(token),
    }
}

/// By whom a request is signed, when the signature holds.
fn signer(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8], service: &str) -> String {
    let authorization = headers.get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    let Some(credential) = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=") else {
        return authorization.to_owned();
    };
    let name = credential.split('/').next().unwrap();
    let region = credential.split('/').nth(2).unwrap();
    let date = headers["x-amz-date"].to_str().unwrap();
    let now = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    let now_ms = now.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
    let host = headers["host"].to_str().unwrap();
    let whole: Uri = format!("http://{host}{}", uri.path_and_query().unwrap()).parse().unwrap();
    let scope = Scope { region, service, now_ms };
    let holds = signature_holds(method, &whole, headers, body, &keys(name), scope);
    format!("{name} in {region} ({})", if holds { "signature holds" } else { "WRONG SIGNATURE" })
}

async fn answer(
    State(cloud): State<Arc<Cloud>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let service = if text.contains("Action=") { "sts" } else { "aps" };
    let by = signer(&method, &uri, &headers, &body, service);
    let lifetime_s = *cloud.lifetime_s.lock();
    let expires = Timestamp::now() + jiff::SignedDuration::from_secs(lifetime_s);
    let agent = |name: &str| {
        format!(
            "{{\"Code\":\"Success\",\"AccessKeyId\":\"{name}\",\"SecretAccessKey\":\"{name}-secret\",\
             \"Token\":\"{name}-token\",\"Expiration\":\"{expires}\"}}"
        )
    };
    let sts = |name: &str| {
        format!(
            "<R><Credentials><AccessKeyId>{name}</AccessKeyId><SecretAccessKey>{name}-secret</SecretAccessKey>\
             <SessionToken>{name}-token</SessionToken><Expiration>{expires}</Expiration></Credentials></R>"
        )
    };
    let (asked, answer) = match uri.path() {
        "/write" => (format!("write by {by}"), String::new()),
        "/latest/api/token" if method == Method::PUT => ("machine token".to_owned(), "session".to_owned()),
        path if path.starts_with("/latest/meta-data") && header("x-aws-ec2-metadata-token") != "session" => {
            let mut refusal = Response::new("no token".into());
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            return refusal;
        }
        "/latest/meta-data/iam/security-credentials/" => ("machine role".to_owned(), "own-role\n".to_owned()),
        "/latest/meta-data/iam/security-credentials/own-role" => {
            ("machine keys".to_owned(), agent("machine"))
        }
        "/container" => (format!("container keys for {by}"), agent("container")),
        _ if text.contains("Action=AssumeRoleWithWebIdentity") => {
            let token = text.split("WebIdentityToken=").nth(1).unwrap().to_owned();
            (format!("role for token {token}"), sts("web"))
        }
        _ if text.contains("Action=AssumeRole") => {
            let named =
                |name: &str| text.split('&').find(|pair| pair.starts_with(name)).unwrap_or("").to_owned();
            (format!("role {} {} for {by}", named("RoleArn"), named("ExternalId")), sts("role"))
        }
        _ => {
            let metadata =
                format!("{}{}{}", header("metadata"), header("x-identity-header"), header("metadata-flavor"));
            let expires_on = expires.as_second();
            let token = format!(
                "{{\"access_token\":\"t\",\"expires_in\":\"{lifetime_s}\",\"expires_on\":\"{expires_on}\"}}"
            );
            (format!("{method} {uri} {metadata} {text}"), token)
        }
    };
    cloud.asked.lock().push(asked);
    Response::new(answer.into())
}

fn environment(vars: &[(&str, &str)]) -> Environment {
    let vars: BTreeMap<String, String> =
        vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Environment { var: Arc::new(move |name| vars.get(name).cloned()), connections: Connections::within(1024) }
}

/// Sends one request with the given authentication; what the cloud was asked meanwhile.
async fn asked(
    at: (SocketAddr, &Cloud),
    auth: CloudAuth,
    vars: &[(&str, &str)],
    n_requests: usize,
) -> Result<Vec<String>, ClientError> {
    at.1.asked.lock().clear();
    let config = HttpClientConfig { cloud_auth: Some(Box::new(auth)), ..HttpClientConfig::default() };
    let client = HttpClient::new(config, &environment(vars), None)?;
    for _ in 0..n_requests {
        let uri = format!("http://{}/write?b=2&a=%20x", at.0).parse().unwrap();
        let mut request = Outgoing::post(uri, Bytes::from_static(b"samples"), FETCH_TIMEOUT);
        request.headers.insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        client.send(request, 1000).await?;
    }
    Ok(at.1.asked.lock().clone())
}

#[tokio::test]
async fn aws_keys_come_from_where_the_sdk_looks_and_sign() {
    let (address, cloud) = start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let token_file = path("token", "projected\n");
    let credentials =
        path("credentials", "[named]\naws_access_key_id = static\naws_secret_access_key = static-secret\n");
    let config = path(
        "config",
        "[profile assumes]\nregion = eu-north-1\nrole_arn = arn:p\nsource_profile = named\nexternal_id = e\n\
         [profile machine]\nrole_arn = arn:m\ncredential_source = Ec2InstanceMetadata\n\
         [profile sso]\nsso_start_url = x\n[profile loop]\nrole_arn = r\nsource_profile = loop2\n\
         [profile loop2]\nrole_arn = r\nsource_profile = loop\n",
    );
    let url = format!("http://{address}");
    let container = format!("{url}/container");
    let base = [
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
        ("AWS_SHARED_CREDENTIALS_FILE", &credentials),
        ("AWS_CONFIG_FILE", &config),
    ];
    let in_us = SigV4 { region: "us-east-1".to_owned(), ..SigV4::default() };
    let own =
        SigV4 { access_key: "static".to_owned(), secret_key: Secret::new("static-secret"), ..in_us.clone() };
    let profile = |name: &str| SigV4 { profile: name.to_owned(), ..in_us.clone() };
    let holds = |name: &str| format!("write by {name} in us-east-1 (signature holds)");
    let check = async |config: SigV4, vars: &[(&str, &str)], wanted: Result<&[&str], &str>| {
        let vars = [&base[..], vars].concat();
        let got = asked((address, &cloud), CloudAuth::SigV4(config.clone()), &vars, 1).await;
        match (got, wanted) {
            (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{config:?}"),
            (Err(got), Err(wanted)) => assert!(got.to_string().contains(wanted), "{got}"),
            (got, wanted) => panic!("{config:?}: {got:?} and not {wanted:?}"),
        }
    };
    check(own.clone(), &[], Ok(&[&holds("static")])).await;
    let role = SigV4 { role_arn: "arn:r".to_owned(), external_id: "x".to_owned(), ..own.clone() };
    let assumed = "role RoleArn=arn%3Ar ExternalId=x for static in us-east-1 (signature holds)";
    check(role, &[], Ok(&[assumed, &holds("role")])).await;
    let in_environment = [
        ("AWS_ACCESS_KEY_ID", "env"),
        ("AWS_SECRET_ACCESS_KEY", "env-secret"),
        ("AWS_SESSION_TOKEN", "env-token"),
    ];
    check(in_us.clone(), &in_environment, Ok(&[&holds("env")])).await;
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.as_str()), ("AWS_ROLE_ARN", "arn:w")];
    check(in_us.clone(), &web, Ok(&["role for token projected", &holds("web")])).await;
    // A profile that the configuration names is asked before the environment.
    check(profile("named"), &in_environment, Ok(&[&holds("static")])).await;
    let by_profile = [("AWS_PROFILE", "named"), ("AWS_REGION", "eu-west-1")];
    check(SigV4::default(), &by_profile, Ok(&["write by static in eu-west-1 (signature holds)"])).await;
    let assumed = "role RoleArn=arn%3Ap ExternalId=e for static in eu-north-1 (signature holds)";
    let assumes = SigV4 { profile: "assumes".to_owned(), ..SigV4::default() };
    check(assumes, &[], Ok(&[assumed, "write by role in eu-north-1 (signature holds)"])).await;
    let machine = ["machine token", "machine role", "machine keys"];
    check(in_us.clone(), &[], Ok(&[&machine[..], &[&holds("machine")]].concat())).await;
    let assumed = "role RoleArn=arn%3Am  for machine in us-east-1 (signature holds)";
    check(profile("machine"), &[], Ok(&[&machine[..], &[assumed, &holds("role")]].concat())).await;
    let in_container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pass"),
    ];
    check(in_us.clone(), &in_container, Ok(&["container keys for pass", &holds("container")])).await;

    check(SigV4::default(), &[], Err("region not configured in sigv4")).await;
    check(profile("sso"), &[], Err("single sign-on, which is not supported")).await;
    check(profile("loop"), &[], Err("profiles name each other")).await;
    check(profile("absent"), &[], Err("failed to get shared config profile, absent")).await;
    check(in_us.clone(), &[("AWS_EC2_METADATA_DISABLED", "true")], Err("is disabled")).await;
    let far = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/keys")];
    check(in_us.clone(), &far, Err("not fetched over plain HTTP")).await;
}

#[tokio::test]
async fn keys_and_tokens_are_kept_until_shortly_before_they_expire() {
    let (address, cloud) = start().await;
    let url = format!("http://{address}");
    let vars = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    let in_us = CloudAuth::SigV4(SigV4 { region: "us-east-1".to_owned(), ..SigV4::default() });
    for (lifetime_s, n_fetched) in [(3600, 1), (20, 3)] {
        *cloud.lifetime_s.lock() = lifetime_s;
        let asked = asked((address, &cloud), in_us.clone(), &vars, 3).await.unwrap();
        assert_eq!(asked.iter().filter(|line| *line == "machine keys").count(), n_fetched, "{lifetime_s} s");
    }
    let vars = [("GCE_METADATA_HOST", &url["http://".len()..])];
    for (lifetime_s, n_fetched) in [(3600, 1), (200, 2)] {
        *cloud.lifetime_s.lock() = lifetime_s;
        let google = CloudAuth::GoogleIam(GoogleIam::default());
        let asked = asked((address, &cloud), google, &vars, 2).await.unwrap();
        assert_eq!(asked.len(), 2 + n_fetched, "{asked:?}");
        assert!(asked[0].contains("GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fmonitoring.write Google"), "{asked:?}");
        assert_eq!(asked[1], "write by Bearer t");
    }
}

/// Header and claims of a token whose signature holds.
fn verified(
    token: &str,
    algorithm: &'static dyn VerificationAlgorithm,
) -> (serde_json::Value, serde_json::Value) {
    let pem = std::fs::read(KEY).unwrap();
    let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(&pem).unwrap() else {
        panic!("not PKCS #8")
    };
    let key = ring::signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(algorithm, key.public().as_ref()).verify(signed.as_bytes(), &signature).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(claims))
}

fn field<'a>(asked: &'a str, name: &str) -> &'a str {
    let rest = asked.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {asked}"));
    rest.split('&').next().unwrap()
}

#[tokio::test]
async fn google_accepts_what_a_service_account_signs() {
    let (address, cloud) = start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("account.json");
    let token_url = format!("http://{address}/token");
    let account = serde_json::json!({
        "type": "service_account", "client_email": "me@example", "private_key_id": "k1",
        "private_key": std::fs::read_to_string(KEY).unwrap(), "token_uri": token_url,
    });
    std::fs::write(&file, account.to_string()).unwrap();
    let file = file.display().to_string();
    let named = GoogleIam { credentials_file: file.clone() };
    for (config, vars) in
        [(named, &[][..]), (GoogleIam::default(), &[("GOOGLE_APPLICATION_CREDENTIALS", file.as_str())])]
    {
        let asked = asked((address, &cloud), CloudAuth::GoogleIam(config), vars, 1).await.unwrap();
        assert_eq!(asked[1], "write by Bearer t");
        let (header, claims) = verified(field(&asked[0], "assertion"), &RSA_PKCS1_2048_8192_SHA256);
        assert_eq!((header["kid"].as_str(), header["alg"].as_str()), (Some("k1"), Some("RS256")));
        assert_eq!(
            (claims["iss"].as_str(), claims["aud"].as_str()),
            (Some("me@example"), Some(token_url.as_str()))
        );
        assert_eq!(claims["scope"], "https://www.googleapis.com/auth/monitoring.write");
    }
}

#[tokio::test]
async fn azure_tokens_come_by_every_method() {
    let (address, cloud) = start().await;
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "projected\n").unwrap();
    let token_file = token_file.display().to_string();
    let url = format!("http://{address}");
    let ask = async |method: AzureMethod, scope: &str, vars: &[(&str, &str)]| {
        cloud.asked.lock().clear();
        let config = AzureAd { cloud: AzureCloud::Public, scope: scope.to_owned(), method };
        let web = Web::new(&environment(vars)).unwrap();
        let tokens = AzureTokens::new(config, web, azure::Endpoints::all_at(&url));
        assert_eq!(tokens.token().await.unwrap(), "t");
        assert_eq!(tokens.token().await.unwrap(), "t");
        let asked = cloud.asked.lock().clone();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    };
    let (client, tenant) = ("c".to_owned(), "t1".to_owned());
    let secret = AzureMethod::OAuth {
        client_id: client.clone(),
        client_secret: Secret::new("s&"),
        tenant_id: tenant.clone(),
    };
    let scope = "https%3A%2F%2Fmonitor.azure.com%2F%2F.default";
    let head = "POST /t1/oauth2/v2.0/token  client_id=c&grant_type=client_credentials&scope=";
    assert_eq!(ask(secret.clone(), "", &[]).await, format!("{head}{scope}&client_secret=s%26"));
    assert_eq!(ask(secret, "own", &[]).await, format!("{head}own&client_secret=s%26"));
    let jwt_type = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let by_token = format!("{head}{scope}&client_assertion=projected&{jwt_type}");
    let workload = AzureMethod::WorkloadIdentity {
        client_id: client.clone(),
        tenant_id: tenant.clone(),
        token_file: token_file.clone(),
    };
    assert_eq!(ask(workload, "", &[]).await, by_token);
    let identity = [("AZURE_FEDERATED_TOKEN_FILE", token_file.as_str())];
    let workload = AzureMethod::WorkloadIdentity {
        client_id: client.clone(),
        tenant_id: tenant.clone(),
        token_file: String::new(),
    };
    assert_eq!(ask(workload, "", &identity).await, by_token);
    let in_pod = [&identity[..], &[("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t1")]].concat();
    let sdk = AzureMethod::Sdk { tenant_id: String::new() };
    assert_eq!(ask(sdk.clone(), "", &in_pod).await, by_token);
    let resource = "resource=https%3A%2F%2Fmonitor.azure.com%2F";
    let machine = format!("GET /metadata/identity/oauth2/token?api-version=2018-02-01&{resource}");
    let managed = |client: &str| AzureMethod::ManagedIdentity { client_id: client.to_owned() };
    assert_eq!(ask(managed(""), "", &[]).await, format!("{machine} true "));
    assert_eq!(ask(managed("c"), "", &[]).await, format!("{machine}&client_id=c true "));
    assert_eq!(ask(sdk, "", &[]).await, format!("{machine} true "));
    let agent = format!("{url}/msi");
    let app_service = [("IDENTITY_ENDPOINT", agent.as_str()), ("IDENTITY_HEADER", "h")];
    let wanted = format!("GET /msi?api-version=2019-08-01&{resource} h ");
    assert_eq!(ask(managed(""), "", &app_service).await, wanted);

    let certificate = AzureMethod::Certificate {
        client_id: client,
        tenant_id: tenant,
        certificate: CERTIFICATE.to_owned(),
        key: KEY.to_owned(),
        password: Secret::default(),
        send_chain: true,
    };
    let asked = ask(certificate, "", &[]).await;
    let (header, claims) = verified(field(&asked, "client_assertion"), &RSA_PSS_2048_8192_SHA256);
    assert!(header["x5t#S256"].is_string() && header["x5c"].as_array().is_some_and(|chain| chain.len() == 1));
    let about = (claims["iss"].as_str(), claims["sub"].as_str(), claims["aud"].as_str());
    assert_eq!(about, (Some("c"), Some("c"), Some(format!("{url}/t1/oauth2/v2.0/token").as_str())));
}
