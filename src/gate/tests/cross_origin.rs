//! Preflights, and what answers say to pages of other origins.

use super::*;

const ROUTES: &str = r#"
- id: shared
  path: /shared/{id}
  methods: [GET, PUT, DELETE]
  cors: { origins: [https://app.example, 'http://localhost:3000'], methods: [GET, PUT], headers: [Authorization, content-type], expose: [X-Total], max_age: 5m }
  rules: [ { id: signed-in, roles: [authenticated] } ]
- { id: sharing, path: '/shared/{id}', methods: [POST, OPTIONS], rules: [ { id: everyone, roles: [anyone] } ] }
- { id: own, path: /own, rules: [ { id: signed-in, roles: [authenticated] } ] }
- { id: open, path: /open, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: any, path: /any, cors: { origins: ['*'] }, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: cookies, path: /cookies, cors: { origins: ['https://app.example'], credentials: true }, rules: [ { id: signed-in, roles: [authenticated] } ] }
- { id: hidden, path: /hidden, on_deny: not_found, cors: { origins: ['https://app.example'] }, rules: [ { id: admins, roles: [boss] } ] }"#;

const APP: (&str, &str) = ("origin", "https://app.example");

/// How a preflight for that method and these fields is met: its fields in one text, or the code of the denial.
fn preflight(path: &str, method: &str, fields: &[(&str, &str)]) -> Result<String, &'static str> {
    let mut all = vec![("access-control-request-method", method)];
    all.extend_from_slice(fields);
    let (admission, seen) = ask(&generation_of("", ROUTES), &format!("OPTIONS {path}"), &all, Body::Unread);
    match admission {
        Ok(Admission::Preflight(preflight)) => {
            assert!(seen.is_preflight && seen.route.is_some() && seen.principal.is_none());
            Ok(render(preflight.fields()))
        }
        Ok(Admission::Permit(_)) => Ok("forwarded".to_owned()),
        Ok(Admission::NeedsBody { .. }) => panic!("no rule here needs a body"),
        Err(denial) => {
            assert!(denial != Denial::PreflightRefused || told(&seen).is_empty(), "{}", told(&seen));
            Err(denial.code())
        }
    }
}

fn render(fields: impl Iterator<Item = (HeaderName, HeaderValue)>) -> String {
    let short = |(name, value): (HeaderName, HeaderValue)| {
        format!("{}: {}", name.as_str().trim_start_matches("access-control-"), value.to_str().unwrap())
    };
    fields.map(short).collect::<Vec<_>>().join("; ")
}

/// The CORS fields of the answer.
fn told(seen: &Seen) -> String {
    seen.cross_origin.as_ref().map(|cross_origin| render(cross_origin.fields())).unwrap_or_default()
}

fn told_to(line: &str, fields: &[(&str, &str)]) -> String {
    told(&ask(&generation_of("", ROUTES), line, fields, Body::Unread).1)
}

#[test]
fn a_preflight_is_answered_with_what_the_route_lists() {
    assert_eq!(
        preflight("/shared/1", "PUT", &[APP, ("access-control-request-headers", "authorization,content-type")])
            .unwrap(),
        "allow-origin: https://app.example; allow-methods: GET, HEAD, PUT; allow-headers: authorization, content-type; max-age: 300"
    );
    assert_eq!(
        preflight("/shared/1", "GET", &[("origin", "http://localhost:3000")]).unwrap(),
        "allow-origin: http://localhost:3000; allow-methods: GET, HEAD, PUT; allow-headers: authorization, content-type; max-age: 300"
    );
    assert_eq!(
        preflight("/any", "PATCH", &[("origin", "https://whoever.example")]).unwrap(),
        "allow-origin: *; allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; max-age: 600"
    );
    assert_eq!(
        preflight("/cookies", "DELETE", &[APP]).unwrap(),
        "allow-origin: https://app.example; allow-credentials: true; \
         allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; max-age: 600"
    );
}

#[test]
fn announced_fields_are_compared_in_any_case_and_each_of_them() {
    let ask = |value: &str| preflight("/shared/1", "GET", &[APP, ("access-control-request-headers", value)]);
    for good in ["", " ", "Authorization", "AUTHORIZATION , content-TYPE", ",authorization,,"] {
        assert!(ask(good).is_ok(), "{good}");
    }
    for bad in ["x-other", "authorization, x-other", "authorization;content-type", "authorization content-type", "*"] {
        assert_eq!(ask(bad), Err("cross_site"), "{bad}");
    }
    let twice =
        [APP, ("access-control-request-headers", "authorization"), ("access-control-request-headers", "x-other")];
    assert_eq!(preflight("/shared/1", "GET", &twice), Err("cross_site"));
}

#[test]
fn a_preflight_for_what_is_not_listed_is_refused_and_says_nothing() {
    assert_eq!(preflight("/shared/1", "DELETE", &[APP]), Err("cross_site"), "the route takes it, `cors` does not");
    assert_eq!(preflight("/shared/1", "GET", &[("origin", "https://evil.example")]), Err("cross_site"));
    assert_eq!(preflight("/shared/1", "GET", &[APP, APP]), Err("cross_site"));
    assert_eq!(Denial::PreflightRefused.face().status, 403);
}

#[test]
fn a_preflight_is_never_forwarded_without_a_permit() {
    // Routes without `cors`, methods that none takes, methods that are none: the normal line.
    assert_eq!(preflight("/own", "GET", &[APP]), Err("credential_missing"));
    assert_eq!(preflight("/nowhere", "GET", &[APP]), Err("no_route"));
    assert_eq!(preflight("/open", "DELETE", &[APP]), Ok("forwarded".to_owned()), "OPTIONS is open there");
    assert_eq!(preflight("/shared/1", "POST", &[APP]), Ok("forwarded".to_owned()), "the route of POST has no `cors`");
    assert_eq!(preflight("/cookies", "PURGE", &[APP]), Err("credential_missing"));
    assert_eq!(preflight("/cookies", "get", &[APP]), Err("credential_missing"));
    let twice = [APP, ("access-control-request-method", "GET")];
    assert!(matches!(
        ask_with("/cookies", &[("access-control-request-method", "GET"), twice[0], twice[1]]),
        Err("credential_missing")
    ));
}

fn ask_with(path: &str, fields: &[(&str, &str)]) -> Result<(), &'static str> {
    let (admission, _) = ask(&generation_of("", ROUTES), &format!("OPTIONS {path}"), fields, Body::Unread);
    admission.map(drop).map_err(|denial| denial.code())
}

#[test]
fn options_without_the_fields_of_a_preflight_takes_the_normal_line() {
    assert_eq!(ask_with("/cookies", &[]), Err("credential_missing"));
    assert_eq!(ask_with("/cookies", &[APP]), Err("credential_missing"));
    assert_eq!(ask_with("/cookies", &[("access-control-request-method", "GET")]), Err("credential_missing"));
    let get = [APP, ("access-control-request-method", "DELETE")];
    let (admission, seen) = ask(&generation_of("", ROUTES), "GET /shared/1", &get, Body::Unread);
    assert_eq!(admission.unwrap_err().code(), "credential_missing", "only OPTIONS is a preflight");
    assert!(!seen.is_preflight);
}

#[test]
fn an_origin_that_is_almost_listed_is_not_allowed() {
    for origin in [
        "null",
        "https://evil.example",
        "https://app.example.evil",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://appxexample",
        "https://sub.app.example",
        "https://App.example",
        "HTTPS://app.example",
        "https://app.example.",
        "https://app.example/",
        "https://app.example:443",
        "https://app.example:8443",
        "http://app.example",
        "https://user@app.example",
        "https://app.example@evil.example",
        "https://app.example https://app.example",
        "https://app.example, https://evil.example",
        "https://app.example,https://app.example",
        "file://",
        "file:///app.example",
        "https://",
        "*",
        "",
        "app.example",
        "http://localhost",
        "http://localhost:3000/",
    ] {
        assert_eq!(told_to("GET /shared/1", &[("origin", origin)]), "", "{origin}");
        assert_eq!(preflight("/shared/1", "GET", &[("origin", origin)]), Err("cross_site"), "{origin}");
    }
    let other = ("origin", "https://evil.example");
    for two in [[APP, APP], [APP, other], [other, APP]] {
        assert_eq!(told_to("GET /shared/1", &two), "", "{two:?}");
    }
    assert_eq!(told_to("GET /shared/1", &[]), "");
    assert!(ask(&generation_of("", ROUTES), "GET /shared/1", &[], Body::Unread).1.cross_origin.is_some(), "for `Vary`");
}

#[test]
fn a_denial_of_a_listed_origin_can_be_read() {
    let listed = "allow-origin: https://app.example; expose-headers: x-total";
    assert_eq!(told_to("GET /shared/1", &[APP]), listed);
    assert_eq!(told_to("GET /shared/1", &[APP, ("authorization", "Bearer x")]), listed);
    // 405: another route of the path says who may read.
    assert_eq!(told_to("PATCH /shared/1", &[APP]), listed);
    assert_eq!(told_to("GET /cookies", &[APP]), "allow-origin: https://app.example; allow-credentials: true");
    assert_eq!(told_to("GET /any", &[("origin", "https://whoever.example")]), "allow-origin: *");
    // No policy says anything about these.
    for line in ["GET /nowhere", "GET /own", "GET /open", "POST /shared/1"] {
        assert_eq!(told_to(line, &[APP]), "", "{line}");
    }
}

#[test]
fn a_concealed_denial_says_nothing_to_other_origins() {
    let token = bearer(&token_of(&access()));
    let (admission, _) =
        ask(&generation_of("", ROUTES), "GET /hidden", &[APP, ("authorization", &token)], Body::Unread);
    let denial = admission.unwrap_err();
    assert!(matches!(denial, Denial::Concealed(_)));
    assert!(!denial.tells_policy() && Denial::NoRoute.tells_policy());
}
