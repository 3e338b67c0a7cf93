//! Cases over real settings and policies: what the line answers on trial is what it would answer.

use super::*;
use crate::{
    policy::{
        suite::{Asking, SuiteResult, Suites, TestFolder, Vocabulary},
        testing::{compile, file, routes_file},
    },
    token::testing::NOW,
    yaml::SourceFile,
};

const SETTINGS: &str = r#"
identity:
  providers:
    - { id: main, cognito: { user_pool_id: eu-west-1_Main00000, client_ids: [client-1] } }
    - { id: ids, cognito: { user_pool_id: eu-west-1_Second000, client_ids: any, token_use: [id] }, role_prefix: "ids:" }
    - { id: rsa, issuer: "https://rsa.example", jwks: { file: keys.json }, oidc: { audiences: [api], algorithms: [PS384] } }
    - { id: p256, issuer: "https://p256.example", jwks: { file: keys.json }, oidc: { audiences: [api], algorithms: [ES256] } }
    - { id: p384, issuer: "https://p384.example", jwks: { file: keys.json }, oidc: { audiences: [api], algorithms: [ES384] } }
    - { id: ed, issuer: "https://ed.example", jwks: { file: keys.json }, oidc: { audiences: [api], algorithms: [EdDSA] } }
upstreams: [{ id: app, endpoints: ["http://127.0.0.1:9000"] }]
"#;

const ROUTES: &str = r#"
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: api, path: /api, rules: [ { id: signed-in, roles: [authenticated] } ] }
- { id: own, path: '/own/{user}', providers: [main], rules: [ { id: own, owner: { path: user } } ] }
- { id: admin, path: /admin, rules: [ { id: admins, roles: [admin, "ids:admin"] } ] }
- { id: hidden, path: /hidden, on_deny: not_found, rules: [ { id: admins, roles: [admin] } ] }
- { id: scoped, path: /scoped, rules: [ { id: readers, scopes: [read] } ] }
- { id: bodily, path: /bodily, providers: [main], methods: [POST], rules: [ { id: own, roles: [user], owner: { body: /owner } } ] }
- { id: asked, path: /asked, rules: [ { id: network, roles: [anyone], when: 'request.client_ip == "192.0.2.7" && request.headers["x-a"] == "b"' } ] }
- { id: late, path: /late, rules: [ { id: later, roles: [anyone], when: 'now() > timestamp("2100-01-01T00:00:00Z")' } ] }
- { id: rare, path: /rare, rate_limit: { requests: 1, per: 24h, key: route }, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: told, path: /told, rules: [ { id: forged, roles: [anyone], when: '"x-auth-request-user" in request.headers' } ] }
- { id: shared, path: /shared, cors: { origins: ["https://app.example"] }, rules: [ { id: everyone, roles: [anyone] } ] }
"#;

fn policies() -> Arc<PolicySet> {
    let (policies, report) = compile(&[file("routes.yaml", &routes_file(ROUTES))]);
    Arc::new(policies.unwrap_or_else(|| panic!("{report}")))
}

fn settings(text: &str) -> Settings {
    let (settings, report) = Settings::compile(&file("cogward.yaml", text), &|_| None);
    settings.unwrap_or_else(|| panic!("{report}"))
}

/// Runs cases, each as `request, more -> expectation`.
fn run(settings: &Settings, cases: &str) -> SuiteResult {
    let mut text = "apiVersion: cogward/v1\ncases:\n".to_owned();
    for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (asked, expected) = line.split_once(" -> ").unwrap();
        let (request, more) = asked.split_once(", ").unwrap_or((asked, ""));
        text += &format!("  - {{ name: case, request: '{request}', expect: {{ {expected} }}, {more} }}\n");
    }
    let folders = [TestFolder { suites: vec![SourceFile { name: "a_test.yaml".into(), text }], fixtures: Vec::new() }];
    let providers: Vec<_> = settings.identity.providers.iter().map(|one| one.provider.id.clone()).collect();
    let denials = denials();
    let suites = Suites::read(&folders, Vocabulary { providers: &providers, denials: &denials });
    let suites = suites.unwrap_or_else(|report| panic!("{report}"));
    let trial = Trial::new(settings, policies(), vec![None; providers.len()], NOW);
    let asking = Asking { engine: &|_| Err("none".to_owned()), request: &|case| trial.ask(case), filter: None };
    suites.run(&asking).suites.remove(0)
}

fn check(text: &str, cases: &str) {
    let suite = run(&settings(text), cases);
    let failed = suite.cases.iter().filter(|case| case.outcome != crate::policy::suite::Outcome::Passed);
    let failed: Vec<_> = failed.map(|case| format!("{:?}: {:?}", case.name, case.outcome)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn cases_meet_the_line_as_requests_do() {
    check(
        SETTINGS,
        "GET /open/x -> allow: open
         GET /open/x -> allow: open/everyone
         GET /nowhere -> deny: no_route
         PURGE /api -> status: 405
         GET /api -> deny: credential_missing
         GET /api -> status: 401
         GET /open/../api -> deny: target_ambiguous
         GET /api, claims: { sub: u-1 } -> allow: api/signed-in
         GET /own/u-1, claims: { sub: u-1 } -> allow: own
         GET /own/u-2, claims: { sub: u-1 } -> deny: not_owner
         GET /admin, claims: { sub: u-1, 'cognito:groups': [admin] } -> allow: admin
         GET /admin, claims: { sub: u-1, 'cognito:groups': [user] } -> deny: missing_role
         GET /hidden, claims: { sub: u-1 } -> status: 404
         GET /hidden, claims: { sub: u-1 } -> deny: missing_role
         GET /scoped, claims: { sub: u-1, scope: read } -> allow: scoped
         GET /scoped, claims: { sub: client-1, client_id: client-1, scope: write } -> deny: insufficient_scope
         GET /asked, client_ip: 192.0.2.7, headers: { X-A: b } -> allow: asked
         GET /asked, headers: { X-A: b } -> deny: credential_missing
         OPTIONS /shared, headers: { Origin: 'https://app.example', Access-Control-Request-Method: GET } -> status: 204
         OPTIONS /shared, headers: { Origin: 'https://evil.example', Access-Control-Request-Method: GET } -> deny: cross_site
         GET /open/x, headers: { Host: 'not a host' } -> deny: request_malformed",
    );
}

#[test]
fn claims_are_verified_on_trial_as_ever() {
    check(
        SETTINGS,
        "GET /api, claims: { sub: u-1, token_use: id } -> deny: wrong_use
         GET /api, claims: { sub: u-1, client_id: client-2 } -> deny: wrong_client
         GET /api, claims: { sub: u-1, iss: 'https://elsewhere.example' } -> deny: unknown_issuer
         GET /api, claims: { sub: u-1, exp: null } -> deny: claims_invalid
         GET /api, claims: { 'cognito:groups': [admin] } -> deny: claims_invalid
         GET /api, claims: { sub: u-1 }, now: '2030-01-01T00:00:00Z' -> allow: api
         GET /api, claims: { sub: u-1, exp: 1700000000 } -> deny: token_expired
         GET /api, claims: { sub: u-1, nbf: 1900000000 } -> deny: token_not_yet_valid
         GET /api, claims: { sub: u-1, iss: 'https://ed.example' } -> deny: token_malformed",
    );
}

#[test]
fn each_provider_has_a_key_of_its_own_algorithm() {
    check(
        SETTINGS,
        "GET /admin, provider: ids, claims: { sub: u-1, 'cognito:groups': [admin] } -> allow: admin
         GET /api, provider: rsa, claims: { sub: u-1 } -> allow: api
         GET /api, provider: p256, claims: { sub: u-1 } -> allow: api
         GET /api, provider: p384, claims: { sub: u-1 } -> allow: api
         GET /api, provider: ed, claims: { sub: u-1 } -> allow: api",
    );
}

#[test]
fn a_token_is_asked_under_the_keys_of_the_files_and_a_key_of_the_trial_is_not_among_them() {
    let trial = Trial::new(&settings(SETTINGS), policies(), vec![None; 6], NOW);
    let signer = trial.minting().map(|minting| &minting.signers[0]).unwrap();
    let provider = &trial.settings.identity.providers[0].provider;
    let claims = serde_json::json!({ "sub": "u-1" });
    let token = signer.mint(provider, claims.as_object().unwrap(), NOW).unwrap();
    check(
        SETTINGS,
        &format!("GET /api, token: {token} -> deny: keys_unavailable\nGET /api, token: x -> deny: token_malformed"),
    );
    // Under a key that the provider does have, the token of a trial names one that is not known, or is not signed with it.
    let keys = crate::token::testing::ring().get(0).cloned();
    let held = Trial::new(&settings(SETTINGS), policies(), vec![keys, None, None, None, None, None], NOW);
    let mut headers = HeaderMap::new();
    held.present(&token, &mut headers).unwrap();
    let generation = held.generation(held.keys.clone());
    let case = run_one("GET /api");
    let denied = held.admit(&generation, &case, &headers, NOW);
    assert_eq!(denied.unwrap_err().code(), "unknown_key");
}

fn run_one(line: &str) -> RequestCase {
    let (method, target) = line.split_once(' ').unwrap();
    RequestCase::anonymous(method.parse().unwrap(), target)
}

#[test]
fn a_body_is_read_when_the_decision_needs_it() {
    check(
        SETTINGS,
        "POST /bodily, claims: { sub: u-1, 'cognito:groups': [user] }, body: { owner: u-1 } -> allow: bodily/own
         POST /bodily, claims: { sub: u-1, 'cognito:groups': [user] }, body: { owner: u-2 } -> deny: not_owner
         POST /bodily, claims: { sub: u-1, 'cognito:groups': [user] } -> deny: body_unsupported
         POST /bodily, claims: { sub: u-1, 'cognito:groups': [user] }, body: { owner: u-1 }, headers: { Content-Type: text/plain } -> status: 415
         POST /bodily, claims: { sub: u-1, 'cognito:groups': [other] }, body: { owner: u-1 } -> deny: missing_role",
    );
}

#[test]
fn the_time_of_a_case_is_what_now_says() {
    check(
        SETTINGS,
        "GET /late -> deny: credential_missing
         GET /late, now: '2150-06-01T00:00:00Z' -> allow: late",
    );
}

#[test]
fn no_case_is_refused_for_those_before_it() {
    check(SETTINGS, &"GET /rare -> allow: rare\n".repeat(50));
}

#[test]
fn a_case_cannot_bring_an_identity_header() {
    check(
        SETTINGS,
        "GET /told, headers: { X-Auth-Request-User: admin, X_Auth_Request_User: admin } -> deny: credential_missing",
    );
}

#[test]
fn a_token_stands_where_the_settings_look_for_one() {
    for credentials in ["[{ header: X-Token }]", "[{ cookie: session }]", "[{ cookie: session }, bearer]"] {
        let text = SETTINGS.replace("upstreams:", &format!("  credentials: {credentials}\nupstreams:"));
        check(&text, "POST /api, claims: { sub: u-1 } -> allow: api");
    }
    let text = SETTINGS.replace("upstreams:", "  credentials: [{ cookie: session }]\nupstreams:");
    check(&text, "POST /api, claims: { sub: u-1 }, headers: { Sec-Fetch-Site: cross-site } -> deny: cross_site");
}
