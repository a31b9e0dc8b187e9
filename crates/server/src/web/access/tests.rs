use config::sextant::User;

use super::*;

fn header(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn tenants(ids: &[&str]) -> Vec<TenantId> {
    ids.iter().map(|id| TenantId::new(id).unwrap()).collect()
}

#[test]
fn headers_offer_passwords_and_tokens() {
    let password = Offered::Password { name: "a".to_owned(), password: "b".to_owned() };
    assert_eq!(offered(&header("Basic YTpi")), Some(password));
    assert_eq!(offered(&header("bearer t")), Some(Offered::Token("t".to_owned())));
    assert_eq!(offered(&header("Digest x")), None);
}

#[tokio::test]
async fn users_and_tokens_are_recognised() {
    let bcrypt = Secret::new(bcrypt::hash("secret", 4).unwrap());
    let web = BTreeMap::from([("alice".to_owned(), bcrypt), ("broken".to_owned(), Secret::new("secret"))]);
    let digest = hex(digest::digest(&digest::SHA256, b"token").as_ref());
    let rights = Rights { tenants: tenants(&["a"]), admin: false };
    let token = Token {
        name: "ci".to_owned(),
        sha256: Secret::new(digest),
        file: String::new(),
        rights: rights.clone(),
    };
    let carol = User { password_hash: PasswordHash::make("secret", [1; 16]), rights: rights.clone() };
    let auth = AuthConfig {
        users: BTreeMap::from([("carol".to_owned(), carol)]),
        tokens: vec![token],
        ..AuthConfig::default()
    };
    let users = Arc::new(Users::new(&web, &auth, Tenancy::ByHeader));
    let all = Rights { tenants: Vec::new(), admin: true };
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    for (value, expected) in [
        (basic("alice:secret"), Some(&all)),
        (basic("alice:secret"), Some(&all)),
        (basic("alice:wrong"), None),
        (basic("alice:wrong"), None),
        (basic("carol:secret"), Some(&rights)),
        (basic("carol:"), None),
        // The hash that unknown names are compared with lets nobody in.
        (basic("bob:secret"), None),
        (basic("bob:secret"), None),
        (basic("broken:secret"), None),
        ("Bearer token".to_owned(), Some(&rights)),
        ("Bearer other".to_owned(), None),
        ("Digest x".to_owned(), None),
    ] {
        assert_eq!(users.recognise(&header(&value)).await.as_ref(), expected, "{value}");
    }
    let nobody = Arc::new(Users::new(&BTreeMap::new(), &AuthConfig::default(), Tenancy::Single));
    assert_eq!(nobody.recognise(&HeaderMap::new()).await, Some(all), "without users everybody may");
}

#[test]
fn the_tenant_is_named_by_header_and_rights() {
    let check = |tenancy: Tenancy, named: Option<&str>, own: &[&str], wanted: Result<&str, u16>| {
        let named = named.map(|id| (http::HeaderName::from_static(TENANT_HEADER), id.parse().unwrap()));
        let rights = Rights { tenants: tenants(own), admin: false };
        let found = tenancy.tenant_of(&HeaderMap::from_iter(named), &rights);
        let found = found.as_ref().map(TenantId::as_str).map_err(|refused| refused.status().as_u16());
        assert_eq!(found, wanted, "{tenancy:?} {own:?}");
    };
    check(Tenancy::Single, None, &[], Ok("anonymous"));
    check(Tenancy::Single, Some("a"), &[], Ok("anonymous"));
    check(Tenancy::Single, Some("../x"), &[], Ok("anonymous"));
    check(Tenancy::ByHeader, None, &[], Ok("anonymous"));
    check(Tenancy::ByHeader, Some("a"), &[], Ok("a"));
    check(Tenancy::ByHeader, Some("../x"), &[], Err(400));
    check(Tenancy::ByHeader, Some("a"), &["a", "b"], Ok("a"));
    check(Tenancy::ByHeader, Some("c"), &["a", "b"], Err(403));
    check(Tenancy::ByHeader, None, &["a"], Ok("a"));
    check(Tenancy::ByHeader, None, &["a", "b"], Err(403));
    check(Tenancy::ByHeader, None, &["a", "anonymous"], Ok("anonymous"));
}
