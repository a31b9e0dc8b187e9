//! Credentials of clouds: record → struct.

use wire_core::http_config::{AzureAd, AzureCloud, AzureMethod, CloudAuth, GoogleIam, Secret, SigV4};

use crate::decode::Record;
use crate::schema::remote::AZURE_TOKEN_FILE;

/// `sigv4`, `azuread` or `google_iam` of whoever may have them.
pub(super) fn cloud_auth(owner: &Record) -> Option<CloudAuth> {
    if let Some(sigv4) = owner.section("sigv4") {
        return Some(CloudAuth::SigV4(sigv4_of(sigv4)));
    }
    if let Some(azure) = owner.section("azuread") {
        return azure_of(azure).map(CloudAuth::AzureAd);
    }
    let credentials_file = owner.section("google_iam")?.str("credentials_file").to_owned();
    Some(CloudAuth::GoogleIam(GoogleIam { credentials_file }))
}

fn sigv4_of(section: &Record) -> SigV4 {
    let text = |name: &str| section.str(name).to_owned();
    SigV4 {
        region: text("region"),
        access_key: text("access_key"),
        secret_key: Secret::new(section.str("secret_key")),
        profile: text("profile"),
        role_arn: text("role_arn"),
        external_id: text("external_id"),
        use_fips_sts_endpoint: section.bool("use_fips_sts_endpoint"),
        service_name: text("service_name"),
    }
}

fn azure_of(section: &Record) -> Option<AzureAd> {
    let cloud = match section.str("cloud") {
        "AzureGovernment" => AzureCloud::Government,
        "AzureChina" => AzureCloud::China,
        _ => AzureCloud::Public,
    };
    Some(AzureAd { cloud, scope: section.str("scope").to_owned(), method: azure_method(section)? })
}

/// The one method that the check has found.
fn azure_method(azure: &Record) -> Option<AzureMethod> {
    let text = |section: &Record, name: &str| section.str(name).to_owned();
    if let Some(identity) = azure.section("managed_identity") {
        return Some(AzureMethod::ManagedIdentity { client_id: text(identity, "client_id") });
    }
    if let Some(identity) = azure.section("workload_identity") {
        // The environment may know better than the default that the check has filled in.
        let token_file = text(identity, "token_file_path");
        return Some(AzureMethod::WorkloadIdentity {
            client_id: text(identity, "client_id"),
            tenant_id: text(identity, "tenant_id"),
            token_file: if token_file == AZURE_TOKEN_FILE { String::new() } else { token_file },
        });
    }
    if let Some(oauth) = azure.section("oauth") {
        return Some(AzureMethod::OAuth {
            client_id: text(oauth, "client_id"),
            client_secret: Secret::new(oauth.str("client_secret")),
            tenant_id: text(oauth, "tenant_id"),
        });
    }
    if let Some(certificate) = azure.section("certificate") {
        return Some(AzureMethod::Certificate {
            client_id: text(certificate, "client_id"),
            tenant_id: text(certificate, "tenant_id"),
            certificate: text(certificate, "certificate_path"),
            key: text(certificate, "certificate_key_path"),
            password: Secret::new(certificate.str("certificate_password")),
            send_chain: certificate.bool("send_certificate_chain"),
        });
    }
    azure.section("sdk").map(|sdk| AzureMethod::Sdk { tenant_id: text(sdk, "tenant_id") })
}

/// What of these credentials will not work, for the log.
pub(super) fn unsupported(owner: &Record) -> Option<&'static str> {
    let azure = owner.section("azuread")?;
    if azure.section("sdk").is_some() {
        return Some("azuread: sdk does not ask the command line tools of developers for tokens");
    }
    let certificate = azure.section("certificate")?;
    let path = certificate.str("certificate_path").to_lowercase();
    let is_pfx = path.ends_with(".pfx") || path.ends_with(".p12") || certificate.has("certificate_password");
    is_pfx.then_some("azuread: certificates in PFX files are not supported, requests will fail: use PEM")
}
