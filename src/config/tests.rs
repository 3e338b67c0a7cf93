use std::{collections::BTreeSet, time::Duration};

use expect_test::{Expect, expect, expect_file};

use super::*;
use crate::units::Span;
use crate::{
    identity::CredentialSource,
    token::{Clients, Dialect, TokenUses},
};

mod diagnostics;
mod pages;

/// The least that a settings file must say.
const IDENTITY: &str =
    "identity: { providers: [{ id: main, cognito: { user_pool_id: eu-west-1_EXAMPLE, client_ids: [web] } }] }\n";
const UPSTREAMS: &str = "upstreams: [{ id: api, endpoints: ['http://127.0.0.1:9000'] }]\n";

fn environment(name: &str) -> Option<String> {
    match name {
        "THREADS" => Some("8".into()),
        "AUTO" => Some("auto".into()),
        "TRUE" => Some("true".into()),
        "GRACE" => Some("45s".into()),
        "ANY" => Some("any".into()),
        "POOL" => Some("eu-west-1_FromEnv".into()),
        "PORT" => Some("9999".into()),
        _ => None,
    }
}

fn compile(text: &str) -> (Option<Settings>, Report) {
    let file = SourceFile { name: "etc/cogward.yaml".into(), text: text.into() };
    Settings::compile(&file, &environment)
}

fn compiled(text: &str) -> Settings {
    let (settings, report) = compile(text);
    settings.unwrap_or_else(|| panic!("{report}"))
}

/// The least file, and these lines.
fn with(lines: &str) -> String {
    format!("{lines}\n{IDENTITY}{UPSTREAMS}")
}

/// The least file, with this section `identity`.
fn identity(lines: &str) -> String {
    format!("identity:\n{lines}\n{UPSTREAMS}")
}

/// The least file, with this list of providers.
fn providers(lines: &str) -> String {
    identity(&format!("  providers:\n{lines}"))
}

#[test]
fn the_least_file_has_every_default_of_the_design() {
    let settings = compiled(&with(""));
    let text = format!("{settings:#?}");
    expect_file!["tests/defaults.txt"].assert_eq(&text);
}

#[test]
fn the_shipped_file_compiles_with_an_empty_environment_and_says_the_defaults() {
    let file =
        SourceFile { name: "config/cogward.yaml".into(), text: include_str!("../../config/cogward.yaml").into() };
    let (shipped, report) = Settings::compile(&file, &|_| None);
    assert!(report.is_empty(), "{report}");
    let least = "identity: { providers: [{ id: main, cognito: { user_pool_id: eu-west-1_EXAMPLE, client_ids: [example] } }] }\n\
                 upstreams: [{ id: contacts, endpoints: ['http://127.0.0.1:9000'] }]\n";
    let file = SourceFile { name: "config/cogward.yaml".into(), text: least.into() };
    let (least, report) = Settings::compile(&file, &|_| None);
    assert!(report.is_empty(), "{report}");
    assert_eq!(format!("{:#?}", shipped.unwrap()), format!("{:#?}", least.unwrap()));
}

#[test]
fn every_key_can_be_set() {
    let settings = compiled(include_str!("tests/full.yaml"));
    expect_file!["tests/full.txt"].assert_eq(&format!("{settings:#?}"));
}

#[test]
fn variables_are_replaced_before_typing() {
    let settings = compiled(&with(
        "threads: ${THREADS}\nforward_credential: ${TRUE}\nshutdown_grace: ${GRACE}\nadmin: { address: '127.0.0.1:${PORT}' }",
    ));
    assert_eq!(settings.threads, Some(8));
    assert!(settings.forward_credential);
    assert_eq!(settings.shutdown_grace, Duration::from_secs(45));
    assert_eq!(settings.admin.port(), 9999);
    assert_eq!(compiled(&with("threads: ${AUTO}")).threads, None);
    assert_eq!(compiled(&with("threads: ${NOWHERE:-12}")).threads, Some(12));
}

#[test]
fn a_number_of_threads_is_a_whole_one() {
    for text in ["2.0", "2.5", "'2.0'", "0", "-1", "1e1"] {
        assert!(compile(&with(&format!("threads: {text}"))).0.is_none(), "{text}");
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let settings = compiled(&with(
        "policies: { path: rules }\naudit: { destination: { file: /var/log/audit.jsonl } }\n\
         listeners: [{ address: '0.0.0.0:8443', tls: { certificate: ../tls/c.pem, private_key: k.pem } }]",
    ));
    assert_eq!(settings.policies.path, PathBuf::from("etc/rules"));
    assert_eq!(settings.audit, AuditDestination::File("/var/log/audit.jsonl".into()));
    let tls = settings.listeners[0].tls.clone().unwrap().default;
    assert_eq!((tls.certificate, tls.private_key), ("etc/../tls/c.pem".into(), "etc/k.pem".into()));
    assert_eq!(compiled(&with("")).policies.path, PathBuf::from("etc/../policies"));
    let file = SourceFile { name: "cogward.yaml".into(), text: with("policies: { path: rules }") };
    assert_eq!(Settings::compile(&file, &environment).0.unwrap().policies.path, PathBuf::from("rules"));
}

#[test]
fn the_common_keys_of_a_provider_may_stand_inside_its_block_or_beside_it() {
    let inside = compiled(&providers(
        "    - { id: a, oidc: { audiences: [api], issuer: 'https://a.example', jwks: { url: 'https://a.example/k' }, role_prefix: 'a:', principal_claim: uid, roles_claim: groups } }",
    ));
    let beside = compiled(&providers(
        "    - { id: a, oidc: { audiences: [api] }, issuer: 'https://a.example', jwks: { url: 'https://a.example/k' }, role_prefix: 'a:', principal_claim: uid, roles_claim: groups }",
    ));
    assert_eq!(format!("{inside:?}"), format!("{beside:?}"));
    let provider = &inside.identity.providers[0].provider;
    assert_eq!((&*provider.role_prefix, &*provider.principal_claim, &*provider.roles_claim), ("a:", "uid", "groups"));
}

#[test]
fn a_provider_says_its_own_claims_or_has_those_of_the_section() {
    let settings = compiled(&identity(
        "  principal_claim: uid\n  roles_claim: teams\n  leeway: 30s\n  max_lifetime: 1h\n  providers:\n\
         \x20   - { id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web], roles_claim: 'custom:roles' } }\n\
         \x20   - { id: b, cognito: { user_pool_id: eu-west-1_B, client_ids: [web], principal_claim: username } }",
    ));
    let claims = |place: usize| {
        let provider = &settings.identity.providers[place].provider;
        assert_eq!((provider.leeway, provider.max_lifetime), (Duration::from_secs(30), Duration::from_secs(3600)));
        (provider.principal_claim.as_str(), provider.roles_claim.as_str())
    };
    assert_eq!(claims(0), ("uid", "custom:roles"));
    assert_eq!(claims(1), ("username", "teams"));
}

#[test]
fn an_emulator_needs_an_issuer_and_no_pool() {
    let settings = compiled(&providers(
        "    - { id: a, cognito: { issuer: 'http://127.0.0.1:9229/local_1', client_ids: any, token_use: [id, access] } }",
    ));
    let provider = &settings.identity.providers[0];
    assert_eq!(provider.provider.issuers, [crate::token::Issuer::new("http://127.0.0.1:9229/local_1")]);
    assert_eq!(provider.keys, KeySource::Url("http://127.0.0.1:9229/local_1/.well-known/jwks.json".parse().unwrap()));
    assert_eq!(provider.provider.dialect, Dialect::Cognito { clients: Clients::Any, token_use: TokenUses::Both });
    for pool in ["local_1", "eu-west-1_abc"] {
        compiled(&providers(&format!(
            "    - {{ id: a, cognito: {{ user_pool_id: {pool}, issuer: 'https://a.example', client_ids: [web] }} }}"
        )));
    }
}

#[test]
fn a_variable_cannot_accept_every_client() {
    for list in ["'${ANY}'", "['${ANY}']", "[any]", "[web, any]"] {
        let (settings, report) = compile(&providers(&format!(
            "    - {{ id: a, cognito: {{ user_pool_id: eu-west-1_A, client_ids: {list} }} }}"
        )));
        assert!(settings.is_none(), "{list}");
        assert_eq!(report.findings()[0].code, "C019", "{list}");
    }
}

#[test]
fn the_admin_listener_never_shares_a_public_port() {
    for (listener, admin) in [
        ("0.0.0.0:8080", "0.0.0.0:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("[::]:8080", "127.0.0.1:8080"),
        ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"),
    ] {
        let text = with(&format!("listeners: [{{ address: '{listener}' }}]\nadmin: {{ address: '{admin}' }}"));
        assert_eq!(compile(&text).1.findings()[0].code, "C011", "{listener} {admin}");
    }
    assert!(
        compile(&with("listeners: [{ address: '127.0.0.1:9901' }]")).0.is_none(),
        "the default admin address counts"
    );
    compiled(&with(
        "listeners: [{ address: '127.0.0.1:0' }, { address: '127.0.0.1:0' }]\nadmin: { address: '127.0.0.1:0' }",
    ));
    compiled(&with("listeners: [{ address: '127.0.0.1:80' }, { address: '127.0.0.2:80' }]"));
}

#[test]
fn trusting_the_whole_internet_is_refused() {
    for network in ["0.0.0.0/0", "::/0", "10.0.0.0/0", "::ffff:0:0/96", "0.0.0.0/1', '128.0.0.0/1"] {
        let (settings, report) = compile(&with(&format!("trusted_proxies: ['{network}']")));
        assert!(settings.is_none() && report.findings()[0].code == "C012", "{network}");
    }
    compiled(&with("trusted_proxies: [10.0.0.0/8, 192.0.2.1, 'fd00::/8']"));
}

#[test]
fn one_issuer_never_has_two_providers() {
    let pool = "    - { id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }\n";
    for issuer in [
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A",
        "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A",
    ] {
        let oidc =
            format!("    - {{ id: b, oidc: {{ issuer: '{issuer}', jwks: {{ file: k.json }}, audiences: [api] }} }}\n");
        for text in [format!("{pool}{oidc}"), format!("{oidc}{pool}")] {
            let (settings, report) = compile(&providers(&text));
            assert!(settings.is_none() && report.findings()[0].code == "C017", "{report}");
        }
    }
}

#[test]
fn keys_are_never_fetched_in_plain_text_over_a_network() {
    let jwks = |jwks: &str| {
        compile(&providers(&format!(
            "    - {{ id: a, cognito: {{ user_pool_id: eu-west-1_A, client_ids: [web] }}, jwks: {jwks} }}"
        )))
    };
    for refused in [
        "{ url: 'http://keys.example/k' }",
        "{ url: 'http://10.0.0.1/k', allow_insecure: false }",
        "{ url: 'http://localhost.example/k' }",
    ] {
        let (settings, report) = jwks(refused);
        assert!(settings.is_none() && report.findings()[0].code == "C016", "{refused}");
    }
    for accepted in [
        "{ url: 'http://127.0.0.1:5000/k' }",
        "{ url: 'http://[::1]/k' }",
        "{ url: 'http://localhost/k' }",
        "{ url: 'https://keys.example/k?v=1' }",
        "{ url: 'http://keys/k', allow_insecure: true }",
        "{ file: k.json }",
    ] {
        assert!(jwks(accepted).0.is_some(), "{accepted}");
    }
}

#[test]
fn none_and_shared_secret_algorithms_are_refused() {
    for algorithm in ["none", "NONE", "HS256", "HS384", "HS512", "rs256", "ES512", "ES256K"] {
        let (settings, report) = compile(&providers(&format!(
            "    - {{ id: a, oidc: {{ issuer: 'https://a.example', jwks: {{ file: k.json }}, audiences: [api], algorithms: [RS256, {algorithm}] }} }}"
        )));
        assert!(settings.is_none() && report.findings()[0].code == "C031", "{algorithm}");
    }
    let (settings, report) = compile(&providers(
        "    - { id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web], algorithms: [ES256] } }",
    ));
    assert!(settings.is_none() && report.findings()[0].code == "Y007", "cognito signs with RS256 only");
}

#[test]
fn a_header_with_a_meaning_of_its_own_is_no_identity_header() {
    for name in [
        "Connection",
        "Keep-Alive",
        "TE",
        "Transfer-Encoding",
        "Transfer_Encoding",
        "Upgrade",
        "Content-Length",
        "content.length",
        "Host",
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "x_forwarded_user",
        "X-Request-Id",
        "Origin",
        "Sec-Fetch-Site",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "bad name",
        "",
    ] {
        let (settings, report) = compile(&with(&format!("identity_headers: {{ '{name}': id }}")));
        assert!(settings.is_none() && report.findings()[0].code == "C022", "{name}");
    }
}

#[test]
fn two_identity_headers_that_an_upstream_cannot_tell_apart_are_refused() {
    for (a, b) in [("X-User", "x-user"), ("X-User-Id", "X_User_Id"), ("X-User-Id", "X.User-Id")] {
        let (settings, report) = compile(&with(&format!("identity_headers: {{ {a}: id, {b}: email }}")));
        assert!(settings.is_none() && report.findings()[0].code == "C023", "{a} {b}");
    }
}

#[test]
fn no_identity_header_at_all_can_be_meant() {
    assert!(compiled(&with("identity_headers: {}")).identity_headers.is_empty());
}

#[test]
fn a_credential_header_is_never_one_that_is_removed_or_means_something_else() {
    for name in
        ["Authorization", "Cookie", "X-Auth-Request-Token", "x_auth_request_user", "X-Tenant", "X_Tenant", "Host"]
    {
        let text = format!(
            "identity_headers: {{ X-Tenant: 'custom:tenant' }}\n{}",
            identity(&format!(
                "  providers: [{{ id: a, cognito: {{ user_pool_id: eu-west-1_A, client_ids: [web] }} }}]\n  credentials: [{{ header: {name} }}]"
            ))
        );
        let (settings, report) = compile(&text);
        assert!(settings.is_none() && report.findings()[0].code == "C022", "{name}");
    }
    let settings = compiled(&identity(
        "  providers: [{ id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }]\n  credentials: [bearer, { header: X-Amzn-Oidc-Accesstoken }, { cookie: session }]",
    ));
    let header = CredentialSource::Header("x-amzn-oidc-accesstoken".parse().unwrap());
    assert_eq!(
        settings.identity.credentials,
        [CredentialSource::Bearer, header, CredentialSource::Cookie("session".into())]
    );
}

#[test]
fn a_limit_is_never_switched_off_by_a_zero() {
    for key in KEYS {
        let Some(name) = key.pointer.strip_prefix("limits.") else { continue };
        for zero in ["0", "0s", "0B", "'0'", "-1", "off", "none"] {
            assert!(compile(&with(&format!("limits: {{ {name}: {zero} }}"))).0.is_none(), "{name}: {zero}");
        }
    }
}

#[test]
fn a_report_that_is_full_is_a_refusal() {
    let warnings: String = (0..Report::MOST)
        .map(|n| format!("    - {{ id: p{n}, cognito: {{ user_pool_id: eu-west-1_A{n}, client_ids: [web] }}, principal_claim: email }}\n"))
        .collect();
    let (settings, report) = compile(&providers(&warnings));
    assert!(!report.has_errors());
    assert!(settings.is_none());
}

#[test]
fn files_of_a_listener_are_taken_over_while_it_serves_and_other_listeners_are_not() {
    let tls = |address: &str, name: &str| {
        format!("{{ address: '{address}', tls: {{ certificate: {name}, private_key: k }} }}")
    };
    let settings = |items: &[String]| compiled(&with(&format!("listeners: [{}]", items.join(", "))));
    let (a, b, plain) = (tls("1.1.1.1:1", "a"), tls("1.1.1.1:2", "b"), "{ address: '1.1.1.1:3' }".to_owned());
    let old = settings(&[a.clone(), b.clone(), plain.clone()]);
    let names = |settings: &Settings| {
        let name = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.default.certificate.display().to_string());
        settings.listeners.iter().map(name).collect::<Vec<_>>()
    };
    let some = |name: &str| Some(format!("etc/{name}"));
    let c = tls("1.1.1.1:2", "c");
    for (items, kept, left) in [
        (vec![a.clone(), c.clone(), plain.clone()], &[][..], [some("a"), some("c"), None]),
        // In another order, and beside listeners that need a restart.
        (vec![plain.clone(), c.clone(), a.clone()], &[], [some("a"), some("c"), None]),
        (vec![c.clone(), tls("1.1.1.1:9", "d")], &["listeners"], [some("a"), some("c"), None]),
        (vec![a, c, tls("1.1.1.1:3", "d")], &["listeners.tls"], [some("a"), some("c"), None]),
        (vec!["{ address: '1.1.1.1:1' }".to_owned(), b, plain], &["listeners.tls"], [some("a"), some("b"), None]),
    ] {
        let mut new = settings(&items);
        assert_eq!(new.keep_until_restart(&old), kept, "{items:?}");
        assert_eq!(names(&new), left, "{items:?}");
        assert_eq!(new.continued_listeners(&old), [Some(0), Some(1), Some(2)], "{items:?}");
    }
}

#[test]
fn a_change_of_listeners_or_threads_needs_a_restart() {
    let old = compiled(&with(""));
    for (lines, keys) in [
        ("", &[][..]),
        ("threads: 3", &["threads"][..]),
        ("admin: { address: '127.0.0.1:1' }", &["admin.address"]),
        ("upgrade_socket: run/upgrade.sock", &["upgrade_socket"]),
        ("listeners: [{ address: '0.0.0.0:8081' }]", &["listeners"]),
        (
            "listeners: [{ address: '0.0.0.0:8080', tls: { certificate: a, private_key: b } }]\nthreads: 1",
            &["listeners.tls", "threads"],
        ),
        ("limits: { headers: 5 }\nforward_credential: true\npolicies: { poll: 1s }", &[]),
    ] {
        let mut new = compiled(&with(lines));
        assert_eq!(new.keep_until_restart(&old), keys, "{lines}");
        assert_eq!(new.keep_until_restart(&old), [""; 0], "{lines}: what needs a restart was not put back");
    }
}

#[test]
fn a_password_in_a_url_is_not_repeated_in_a_report() {
    for text in [
        with("").replace("http://127.0.0.1:9000", "http://user:hunter2@127.0.0.1:9000"),
        with("").replace("http://127.0.0.1:9000", "redis://user:hunter2@127.0.0.1:9000"),
        providers(
            "    - { id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] }, jwks: { url: 'https://user:hunter2@keys.example' } }",
        ),
        providers("    - { id: a, cognito: { issuer: 'https://user:hunter2@pool.example', client_ids: [web] } }"),
        identity(
            "  providers: [{ id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }]\n  cookie_origins: ['https://user:hunter2@app.example']",
        ),
    ] {
        let (settings, report) = compile(&text);
        assert!(settings.is_none() && !report.to_string().contains("hunter2"), "{report}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_makes_the_compiler_panic_or_fail_without_a_reason(
        line in 0..80usize,
        text in "[ a-z0-9:_${}\\[\\]'\"#,.é/-]{0,24}",
    ) {
        let full = include_str!("tests/full.yaml");
        let changed: Vec<&str> = full.lines().enumerate().map(|(at, old)| if at == line { text.as_str() } else { old }).collect();
        let (settings, report) = compile(&changed.join("\n"));
        proptest::prop_assert_eq!(settings.is_none(), report.has_errors());
    }
}
