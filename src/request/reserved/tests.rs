use super::*;

fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}

fn reserved() -> ReservedHeaders {
    ReservedHeaders::new(&[name("X-User-Sub"), name("X-Auth-Request-User"), name("X_Odd.Name")])
}

fn check(names: &[&str], rule: impl Fn(&HeaderName) -> bool, expect: bool) {
    for text in names {
        assert_eq!(rule(&name(text)), expect, "{text}");
    }
}

#[test]
fn an_identity_header_in_any_case_is_reserved() {
    check(&["x-user-sub", "X-User-Sub", "X-USER-SUB", "x-UsEr-sUb"], |name| reserved().is_reserved(name), true);
}

#[test]
fn an_identity_header_spelled_with_underscores_is_reserved() {
    check(&["X_User_Sub", "X-User_Sub", "x_user-sub", "x_odd_name", "x-odd-name"], |n| reserved().is_reserved(n), true);
}

#[test]
fn an_identity_header_spelled_with_dots_is_reserved() {
    check(
        &["X.User.Sub", "x-user.sub", "x_user.sub", "X-Auth.Request-User"],
        |name| reserved().is_reserved(name),
        true,
    );
}

#[test]
fn an_identity_header_spelled_with_any_other_token_character_is_reserved() {
    for separator in "!#$%&'*+^`|~".chars() {
        check(&[&format!("x{separator}user{separator}sub")], |name| reserved().is_reserved(name), true);
    }
}

#[test]
fn the_default_identity_headers_are_reserved_without_being_configured() {
    let names = [
        "X-Auth-Request-User",
        "X-Auth-Request-Preferred-Username",
        "X-Auth-Request-Email",
        "X-Auth-Request-Groups",
        "X_Auth_Request_User",
        "x.auth.request.groups",
    ];
    check(&names, |name| ReservedHeaders::default().is_reserved(name), true);
}

#[test]
fn an_unknown_header_with_the_reserved_prefix_is_reserved() {
    let names = ["x-auth-request-", "x-auth-request-access-token", "x_auth_request_anything", "X-Auth_Request.Z"];
    check(&names, |name| ReservedHeaders::default().is_reserved(name), true);
}

#[test]
fn an_ordinary_header_is_not_reserved() {
    let names = [
        "host",
        "user-agent",
        "accept",
        "x-user",
        "x-user-su",
        "x-user-subs",
        "xx-user-sub",
        "x-auth-request",
        "x-auth-requests",
        "authorization",
        "cookie",
        "x-request-id",
        "xusersub",
        "x-tenant",
        "x_tenant",
    ];
    check(&names, |name| reserved().is_reserved(name), false);
}

#[test]
fn a_framing_header_spelled_with_an_underscore_or_a_dot_is_an_alias() {
    let names = [
        "transfer_encoding",
        "Transfer.Encoding",
        "content_length",
        "CONTENT.LENGTH",
        "content~length",
        "proxy_authorization",
        "proxy.connection",
        "content_type",
        "content_encoding",
        "keep_alive",
        "sec_fetch_site",
        "sec-fetch_site",
        "sec_websocket_key",
        "x_request_id",
        "http2_settings",
    ];
    check(&names, is_framing_alias, true);
}

#[test]
fn a_framing_header_under_its_own_name_is_no_alias() {
    let names = FRAMING.into_iter().chain(["host", "te", "cookie", "authorization", "x_custom", "content__length"]);
    check(&names.collect::<Vec<_>>(), is_framing_alias, false);
}

#[test]
fn a_method_override_header_is_removed() {
    let names = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "x.method.override",
        "X-Original-Method",
        "X-Forwarded-Method",
    ];
    check(&names, is_override, true);
}

#[test]
fn a_path_override_header_is_removed() {
    let names = [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-URI",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
        "X-Forwarded-Path",
        "x_original_url",
        "x_forwarded_uri",
        "x.rewrite.url",
    ];
    check(&names, is_override, true);
}

#[test]
fn a_host_or_client_override_header_is_removed() {
    let names = [
        "X-Host",
        "X-Original-Host",
        "X-Forwarded-Server",
        "X-Forwarded-Port",
        "X-Forwarded",
        "Forwarded",
        "X-Real-IP",
        "True-Client-IP",
        "Client-IP",
        "x_real_ip",
        "Front_End_Https",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "Proxy",
    ];
    check(&names, is_override, true);
}

#[test]
fn a_client_certificate_that_a_client_only_claims_is_removed() {
    let names = [
        "Client-Cert",
        "Client-Cert-Chain",
        "CLIENT-CERT",
        "client_cert",
        "client.cert",
        "Client_Cert-Chain",
        "client.cert_chain",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
    ];
    check(&names, is_override, true);
    check(&names, |name| ReservedHeaders::default().removes(name), true);
    check(&["client-certs", "client-cert-", "client-certificate"], is_override, false);
}

#[test]
fn an_alias_of_a_header_that_trusted_proxies_send_is_removed() {
    check(&["X_Forwarded_For", "X-Forwarded_Proto", "x.forwarded.host", "x_forwarded-for"], is_override, true);
    check(&["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"], is_override, false);
}

#[test]
fn an_ordinary_header_is_not_removed() {
    let names = [
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "transfer-encoding",
        "cookie",
        "authorization",
        "x-request-id",
        "x-tenant",
        "x_tenant",
        "x-hosts",
        "x-forward",
        "traceparent",
        "forwarded-by",
        "prefer",
        "pragma",
        "origin",
        "te",
        "x-amzn-trace-id",
    ];
    check(&names, |name| reserved().removes(name), false);
}

#[test]
fn each_reason_alone_removes_a_header() {
    check(&["x_user_sub", "x-original-url", "transfer_encoding"], |name| reserved().removes(name), true);
}

#[test]
fn the_lists_are_folded_and_reachable() {
    for listed in OVERRIDES.iter().chain(&FRAMING) {
        assert!(listed.bytes().all(|byte| fold(byte) == byte), "{listed}");
    }
    for listed in OVERRIDES {
        assert!(is_override(&name(listed)), "{listed}");
    }
    for listed in FRAMING {
        assert!(is_framing_alias(&name(&listed.replace('-', "_"))), "{listed}");
    }
}

#[test]
fn an_alias_is_another_name_that_folds_to_the_same() {
    assert!(is_alias(&name("x_tenant"), &name("x-tenant")));
    assert!(is_alias(&name("x-tenant"), &name("x_tenant")));
    assert!(!is_alias(&name("x-tenant"), &name("X-Tenant")));
    assert!(!is_alias(&name("x-tenants"), &name("x-tenant")));
}
