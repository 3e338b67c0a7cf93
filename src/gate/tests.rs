//! The line over real settings, policies and tokens: each step that can refuse, and what a permit carries.

mod cross_origin;
mod metering;

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Settings,
    policy::{PolicySet, World},
    request::{Headers, Host, Target},
    time::Moment,
    token::{
        KeyRing,
        testing::{NOW, access, id_token, machine, mint, mint_second, ring, token_of, with, without},
    },
    yaml::SourceFile,
};

const SETTINGS: &str = r#"
identity:
  providers:
    - { id: main, cognito: { user_pool_id: eu-west-1_Main00000, client_ids: [client-1, client-2] } }
    - { id: second, cognito: { user_pool_id: eu-west-1_Second000, client_ids: any, token_use: [access, id] }, role_prefix: "second:" }
    - { id: cold, cognito: { user_pool_id: eu-west-1_Cold00000, client_ids: [client-1] } }
  credentials: [bearer, { cookie: session }, { header: X-Token }]
upstreams: [{ id: app, endpoints: ["http://127.0.0.1:9000"] }]
"#;

const ROUTES: &str = r#"
- { id: page, path: /page, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: api, path: '/api/{rest..}', rules: [ { id: signed-in, roles: [authenticated] } ] }
- { id: admin, path: /admin, methods: [GET], rules: [ { id: admins, roles: [admin] } ] }
- { id: hidden, path: /hidden, on_deny: not_found, rules: [ { id: admins, roles: [boss] } ] }
- { id: own, path: '/own/{user}', providers: [main], rules: [ { id: own, owner: { path: user } } ] }
- { id: asked, path: /asked, providers: [main], methods: [GET], rules: [ { id: own, owner: { query: user } } ] }
- { id: scoped, path: /scoped, rules: [ { id: readers, scopes: [contacts/read] } ] }
- { id: bodily, path: /bodily, providers: [main], methods: [POST], rules: [ { id: own, roles: [user], owner: { body: /owner } } ] }
- { id: erring, path: /erring, rules: [ { id: odd, roles: [authenticated], when: 'principal.claims["nothing"] == "x"' } ] }
- id: barred
  path: /barred
  rules:
    - { id: everyone, roles: [authenticated] }
    - { id: nobody, effect: deny, when: 'principal.id == "u-1"' }"#;

fn source(name: &str, text: String) -> SourceFile {
    SourceFile { name: name.to_owned(), text }
}

/// The generation of [`SETTINGS`] with these lines before them.
fn generation_with(lines: &str) -> Generation {
    generation_of(lines, ROUTES)
}

fn generation_of(lines: &str, routes: &str) -> Generation {
    let (settings, report) = Settings::compile(&source("cogward.yaml", format!("{lines}{SETTINGS}")), &|_| None);
    let settings = Arc::new(settings.unwrap_or_else(|| panic!("{report}")));
    let providers: Vec<_> = settings.identity.providers.iter().map(|one| one.provider.id.clone()).collect();
    let identity_headers: Vec<_> = settings.identity_headers.iter().map(|header| header.name.clone()).collect();
    let world = World {
        providers: &providers,
        upstreams: &["app".to_owned()],
        identity_headers: &identity_headers,
        credential_headers: &[HeaderName::from_static("x-token")],
        cerbos: &crate::policy::cerbos::Options::default(),
        schemas: &[],
        allow_empty: false,
    };
    let (policies, report) = PolicySet::compile(
        &[source("routes.yaml", format!("apiVersion: cogward/v1\ndefaults: {{ upstream: app }}\nroutes:{routes}\n"))],
        &world,
    );
    let policies = policies.unwrap_or_else(|| panic!("{report}"));
    let keys = ring();
    let keys = KeyRing::new((0..3).map(|place| keys.get(place).cloned()).collect());
    Generation::new(7, settings, Arc::new(policies), Arc::new(keys))
}

fn generation() -> Generation {
    generation_with("")
}

/// Asks with these fields; a body where there is one.
fn ask(
    generation: &Generation,
    line: &str,
    fields: &[(&str, &str)],
    body: Body<'_>,
) -> (Result<Admission, Denial>, Seen) {
    let (method, target) = line.split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let host = Host::parse(b"app").unwrap();
    let target = Target::parse(target.as_bytes(), &host).unwrap();
    let view = RequestView {
        method: &method,
        host: &host,
        path: &target.path,
        query: target.query(),
        headers: Headers::new(&map),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: true,
        websocket: false,
        client_certificate: None,
    };
    let mut seen = Seen::default();
    let now = Now { time: NOW, moment: Moment::default() };
    (generation.admit(&view, body, now, &mut seen), seen)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn admit(line: &str, token: Option<&str>) -> Result<Admission, Denial> {
    let authorization = token.map(bearer).unwrap_or_default();
    let fields = [("authorization", authorization.as_str())];
    ask(&generation(), line, if token.is_some() { &fields } else { &[] }, Body::Unread).0
}

/// The code of the denial.
fn denial(line: &str, token: Option<&str>) -> Denial {
    match admit(line, token) {
        Err(denial) => denial,
        Ok(admission) => panic!("{line}: {admission:?}"),
    }
}

fn permit(line: &str, token: Option<&str>) -> Permit {
    match admit(line, token) {
        Ok(Admission::Permit(permit)) => permit,
        other => panic!("{line}: {other:?}"),
    }
}

/// What the upstream would be told of a principal with these claims beside the usual ones.
fn told(claims: &Value) -> Result<Vec<(String, Vec<u8>)>, Denial> {
    told_by(&generation(), claims)
}

fn told_by(generation: &Generation, claims: &Value) -> Result<Vec<(String, Vec<u8>)>, Denial> {
    let mut payload = without(access(), "cognito:groups");
    for (name, value) in claims.as_object().unwrap() {
        payload = if value.is_null() { without(payload, name) } else { with(payload, name, value.clone()) };
    }
    let fields = [("authorization", &*bearer(&token_of(&payload)))];
    match ask(generation, "GET /api/a", &fields, Body::Unread).0? {
        Admission::Permit(permit) => Ok(permit
            .identity()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect()),
        other @ (Admission::NeedsBody { .. } | Admission::Preflight(_)) => panic!("{other:?}"),
    }
}

fn expect_told(claims: &Value, expect: &[(&str, &str)]) {
    let expect: Vec<_> = expect.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    assert_eq!(told(claims).unwrap(), expect, "{claims}");
}

const USER: (&str, &str) = ("x-auth-request-user", "u-1");
const NAME: (&str, &str) = ("x-auth-request-preferred-username", "ada");

#[test]
fn a_permit_says_what_was_decided() {
    let permit = permit("GET /own/u-1", Some(&token_of(&access())));
    assert_eq!((&*permit.route().id, permit.rule().as_str()), ("own", "own/own"));
    assert!(permit.is_authenticated());
    let identity: Vec<_> =
        permit.identity().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(identity, [USER, NAME, ("x-auth-request-groups", "admin,user")]);
}

#[test]
fn a_permit_without_a_principal_carries_no_identity() {
    let permit = permit("GET /page", None);
    assert!(permit.identity().is_empty() && !permit.is_authenticated());
}

#[test]
fn each_step_of_the_line_refuses_with_its_own_code() {
    let good = token_of(&access());
    let expired = token_of(&with(access(), "exp", NOW.seconds()));
    for (line, token, code, status) in [
        ("GET /nowhere", None, "no_route", 404),
        ("POST /admin", None, "method_not_allowed", 405),
        ("GET /admin", None, "credential_missing", 401),
        ("GET /admin", Some("x"), "token_malformed", 401),
        ("GET /admin", Some(&*expired), "token_expired", 401),
        ("GET /page", Some(&*expired), "token_expired", 401),
        ("GET /asked?user=u-1&user=u-1", Some(&*good), "attribute_malformed", 400),
        ("GET /own/u-2", Some(&*good), "not_owner", 403),
        ("GET /asked", Some(&*good), "not_owner", 403),
        ("GET /scoped", Some(&*token_of(&with(access(), "scope", "openid"))), "insufficient_scope", 403),
        ("GET /erring", Some(&*good), "evaluation_error", 403),
        ("GET /barred", Some(&*good), "explicit_deny", 403),
        ("GET /admin", Some(&*token_of(&without(access(), "cognito:groups"))), "missing_role", 403),
        ("GET /hidden", Some(&*good), "missing_role", 404),
    ] {
        let denial = denial(line, token);
        assert_eq!((denial.code(), denial.face().status), (code, status), "{line}");
    }
}

#[test]
fn a_refused_method_is_told_those_that_are_taken() {
    assert_eq!(denial("POST /admin", None).allow().unwrap(), "GET, HEAD");
    assert!(Denial::connect().allow().is_some_and(|methods| methods.as_bytes().starts_with(b"GET, HEAD, POST")));
    assert_eq!(denial("GET /nowhere", None).allow(), None);
}

#[test]
fn a_request_that_fails_at_two_steps_is_refused_at_the_first() {
    // No route beats a bad token, a bad token beats an attribute, an attribute beats a rule.
    assert_eq!(denial("GET /nowhere", Some("x")).code(), "no_route");
    assert_eq!(denial("GET /asked?user=1&user=2", Some("x")).code(), "token_malformed");
    assert_eq!(denial("POST /bodily", Some(&token_of(&without(access(), "cognito:groups")))).code(), "missing_role");
}

#[test]
fn keys_that_are_not_held_are_no_fault_of_the_token() {
    let cold = with(access(), "iss", crate::token::testing::COLD);
    let denial = denial("GET /api/a", Some(&token_of(&cold)));
    assert_eq!((denial.code(), denial.face().status, denial.face().challenge), ("keys_unavailable", 503, None));
    assert_eq!(denial.face().retry_after, Some(RetryAfter::Soon));
}

#[test]
fn two_credentials_are_refused_before_either_is_looked_at() {
    let (one, two) = (bearer(&token_of(&access())), token_of(&with(access(), "sub", "u-2")));
    let fields = [("authorization", &*one), ("x-token", &*two)];
    let refused = ask(&generation(), "GET /api/a", &fields, Body::Unread).0.unwrap_err();
    assert_eq!((refused.code(), refused.face().status), ("credential_conflict", 400));
    let cookie = format!("session={two}");
    let refused = ask(&generation(), "POST /api/a", &[("cookie", &*cookie)], Body::Unread).0.unwrap_err();
    assert_eq!((refused.code(), refused.face().status), ("cross_site", 403));
}

#[test]
fn a_denial_is_anonymous_for_whoever_has_not_signed_in() {
    // Also where the route hides itself: who could know is asked to say who it is.
    for path in ["/admin", "/hidden", "/own/u-1", "/barred"] {
        let denial = denial(&format!("GET {path}"), None);
        assert_eq!((denial.code(), denial.face().status), ("credential_missing", 401), "{path}");
        assert_eq!(denial.face().challenge, Some("Bearer realm=\"cogward\""));
    }
}

#[test]
fn a_concealed_denial_has_the_face_of_no_route() {
    let concealed = denial("GET /hidden", Some(&token_of(&access())));
    assert_eq!(concealed, Denial::Concealed(DenyReason::MissingRole));
    assert_eq!(concealed.face(), Denial::NoRoute.face());
    assert_eq!(concealed.face().body("id"), denial("GET /nowhere", None).face().body("id"));
}

#[test]
fn a_body_is_asked_for_only_when_all_else_has_passed() {
    let generation = generation();
    let (user, other) = (bearer(&token_of(&access())), bearer(&token_of(&with(access(), "sub", "u-2"))));
    let ask = |authorization: &str, body: Body<'_>| {
        ask(&generation, "POST /bodily", &[("authorization", authorization)], body).0
    };
    assert!(matches!(ask(&user, Body::Unread), Ok(Admission::NeedsBody { limit: 65536 })));
    let mine = json!({ "owner": "u-1" });
    assert!(matches!(ask(&user, Body::Json(&mine)), Ok(Admission::Permit(_))));
    for (authorization, body) in
        [(&other, mine), (&user, json!({})), (&user, json!({ "owner": "" })), (&user, json!([]))]
    {
        assert_eq!(ask(authorization, Body::Json(&body)).unwrap_err().code(), "not_owner", "{body}");
    }
}

#[test]
fn a_machine_owns_nothing_and_has_no_groups() {
    let token = token_of(&with(machine(), "cognito:groups", vec!["admin"]));
    assert_eq!(denial("GET /own/client-2", Some(&token)).code(), "not_owner");
    assert_eq!(denial("GET /admin", Some(&token)).code(), "missing_role");
    let permit = permit("GET /scoped", Some(&token));
    let identity: Vec<_> =
        permit.identity().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(identity, [("x-auth-request-user", "client-2")]);
}

#[test]
fn an_absent_claim_makes_no_header() {
    expect_told(&json!({}), &[USER, NAME]);
    expect_told(&json!({ "username": "", "cognito:groups": [] }), &[USER]);
    let named = generation_with(
        "identity_headers: { X-Level: custom:level, X-Kind: kind, X-Client: client_id, X-Pool: provider }\n",
    );
    let told = told_by(&named, &json!({})).unwrap();
    let names: Vec<_> = told.iter().map(|(name, value)| (name.as_str(), str::from_utf8(value).unwrap())).collect();
    assert_eq!(names, [("x-kind", "user"), ("x-client", "client-1"), ("x-pool", "main")]);
}

#[test]
fn an_unverified_email_makes_no_header() {
    let email = |verified: Value| json!({ "email": "ada@example.com", "email_verified": verified });
    for verified in [json!(true), json!("true")] {
        expect_told(&email(verified), &[USER, NAME, ("x-auth-request-email", "ada@example.com")]);
    }
    for verified in [json!(false), json!("false"), json!("yes"), json!(1), json!([true])] {
        expect_told(&email(verified), &[USER, NAME]);
    }
    expect_told(&json!({ "email": "ada@example.com" }), &[USER, NAME]);
}

#[test]
fn utf8_passes_as_its_bytes() {
    expect_told(
        &json!({ "username": "Adá 🦀", "cognito:groups": ["Gäste"] }),
        &[USER, ("x-auth-request-preferred-username", "Adá 🦀"), ("x-auth-request-groups", "Gäste")],
    );
}

#[test]
fn a_line_break_in_a_username_is_refused() {
    for username in [
        "ada\r\nX-Auth-Request-Groups: admin",
        "ada\n",
        "\rada",
        "a\0da",
        "a\u{7f}da",
        "a\u{85}da",
        "a\tda",
        " ada",
        "ada ",
        "\u{a0}ada",
    ] {
        assert_eq!(told(&json!({ "username": username })), Err(Denial::IdentityNotRepresentable), "{username:?}");
    }
}

#[test]
fn a_comma_in_a_group_name_is_refused() {
    for group in ["user,admin", ",", "user, admin", " user", "user ", ""] {
        let refused = told(&json!({ "cognito:groups": ["staff", group] }));
        assert_eq!(refused, Err(Denial::IdentityNotRepresentable), "{group:?}");
    }
    // A name that only looks like two is one.
    expect_told(&json!({ "cognito:groups": ["a;b", "c d"] }), &[USER, NAME, ("x-auth-request-groups", "a;b,c d")]);
}

#[test]
fn sixty_kilobytes_of_groups_are_refused() {
    let groups = |count: usize| json!({ "cognito:groups": vec!["g".repeat(99); count] });
    let roomy = generation_with("limits: { token_bytes: 64KiB }\n");
    assert_eq!(told_by(&roomy, &groups(450)), Err(Denial::IdentityNotRepresentable));
    // All fields count together, and their names with them.
    assert_eq!(told_by(&roomy, &groups(82)), Err(Denial::IdentityNotRepresentable));
    assert!(told_by(&roomy, &groups(80)).is_ok());
    // To the byte: `x-claim` and so many others.
    let named = generation_with("identity_headers: { X-Claim: custom:claim }\nlimits: { token_bytes: 64KiB }\n");
    let claim = |bytes: usize| told_by(&named, &json!({ "custom:claim": "c".repeat(bytes - "x-claim".len()) }));
    assert!(claim(8 * 1024).is_ok());
    assert_eq!(claim(8 * 1024 + 1), Err(Denial::IdentityNotRepresentable));
}

#[test]
fn a_name_that_only_the_pool_gives_is_told() {
    expect_told(
        &json!({ "username": null, "cognito:username": "eve" }),
        &[USER, ("x-auth-request-preferred-username", "eve")],
    );
}

#[test]
fn a_generation_shows_what_it_was_made_of() {
    let generation = generation_with("identity_headers: { X-Who: id }\n");
    assert!(generation.keys().get(0).is_some_and(|keys| !keys.is_empty()));
    assert!(generation.reserved_headers().is_reserved(&HeaderName::from_static("x-who")));
}

#[test]
fn a_claim_without_a_text_of_its_own_is_refused() {
    let named = generation_with("identity_headers: { X-Claim: custom:claim }\n");
    let value_of = |claim: Value| told_by(&named, &json!({ "custom:claim": claim }));
    for (claim, text) in [(json!("a"), "a"), (json!(7), "7"), (json!(true), "true"), (json!(["a", "b"]), "a,b")] {
        assert_eq!(value_of(claim).unwrap(), [("x-claim".to_owned(), text.as_bytes().to_vec())]);
    }
    for claim in [json!({ "a": 1 }), json!([1]), json!([["a"]]), json!(["a,b"])] {
        assert_eq!(value_of(claim.clone()), Err(Denial::IdentityNotRepresentable), "{claim}");
    }
    for claim in [json!(""), json!([])] {
        assert_eq!(value_of(claim).unwrap(), []);
    }
}

#[test]
fn a_prefix_keeps_the_groups_of_two_pools_apart() {
    let generation = generation();
    let fields = [("authorization", &*bearer(&mint_second(&id_token())))];
    let refused = ask(&generation, "GET /admin", &fields, Body::Unread).0.unwrap_err();
    assert_eq!(refused.code(), "missing_role");
    let (admitted, seen) = ask(&generation, "GET /api/a", &fields, Body::Unread);
    let Ok(Admission::Permit(permit)) = admitted else { panic!("{admitted:?}") };
    assert!(permit.identity().iter().any(|(name, value)| name == "x-auth-request-groups" && value == "second:admin"));
    assert_eq!(seen.principal.unwrap().verified().unwrap().provider().as_str(), "second");
    // Another pool's user of the same id owns nothing here.
    let refused = ask(&generation, "GET /own/u-1", &fields, Body::Unread).0.unwrap_err();
    assert_eq!(refused.face().status, 401);
}

#[test]
fn what_was_seen_is_told_for_denials_too() {
    let generation = generation();
    let fields = [("authorization", &*bearer(&token_of(&access())))];
    let (refused, seen) = ask(&generation, "GET /own/u-2", &fields, Body::Unread);
    assert!(refused.is_err());
    assert_eq!(
        (&*seen.route.unwrap().id, seen.principal.unwrap().id(), seen.cache_hit),
        ("own", Some("u-1"), Some(false))
    );
    assert_eq!(seen.findings.owner_source, Some("path"));
    let (_, seen) = ask(&generation, "GET /own/u-1", &fields, Body::Unread);
    assert_eq!(seen.cache_hit, Some(true));
    let (_, seen) = ask(&generation, "GET /nowhere", &fields, Body::Unread);
    assert!(seen.route.is_none() && seen.principal.is_none());
}

#[test]
fn a_generation_is_one_from_start_to_end() {
    let cell = Live::new(generation());
    let held = cell.load();
    let token = bearer(&token_of(&access()));
    let fields = [("authorization", &*token)];
    assert!(ask(&held, "GET /api/a", &fields, Body::Unread).0.is_ok());

    // A new one without keys: who holds the old one is not touched, and the token it has verified is not known to the new one.
    let (settings, policies) = (Arc::clone(held.settings()), Arc::clone(held.policies()));
    let keys = Arc::new(KeyRing::new(vec![None, None, None]));
    cell.swap(Arc::new(Generation::new(8, settings, policies, keys)));
    assert!(ask(&held, "GET /api/a", &fields, Body::Unread).0.is_ok());
    let now = cell.load();
    assert_eq!((held.number(), now.number()), (7, 8));
    assert_eq!(ask(&now, "GET /api/a", &fields, Body::Unread).0.unwrap_err().code(), "keys_unavailable");
}

#[test]
fn a_token_of_an_unknown_key_says_whose_keys_to_fetch() {
    let token = mint(&json!({ "kid": "new", "alg": "RS256" }), &access());
    let denial = denial("GET /api/a", Some(&token));
    let unknown = crate::token::TokenError::UnknownKey { provider: 0 };
    assert_eq!(denial, Denial::Authentication(AuthenticationError::Token(unknown)));
}

#[test]
fn every_face_is_a_whole_problem_document() {
    let token = |error| Denial::Authentication(AuthenticationError::Token(error));
    for denial in [
        Denial::NoRoute,
        Denial::AttributeMalformed,
        Denial::Overloaded,
        Denial::Internal,
        Denial::Concealed(DenyReason::NotOwner),
        Denial::Forbidden(DenyReason::InsufficientScope),
        Denial::Authentication(AuthenticationError::Missing),
        token(crate::token::TokenError::BadSignature),
        token(crate::token::TokenError::KeysUnavailable { provider: 0 }),
    ] {
        let face = denial.face();
        let document: Value = serde_json::from_slice(&face.body("the-id")).unwrap();
        assert_eq!(
            document,
            json!({
                "type": format!("urn:cogward:problem:{}", face.code), "title": face.title, "status": face.status, "code": face.code,
                "request_id": "the-id",
            })
        );
        assert_eq!(face.retry_after.is_some(), face.status == 503, "{denial}");
        assert!(face.status != 401 || face.challenge.is_some(), "{denial}");
    }
}
