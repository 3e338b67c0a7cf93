//! How `cors` is read: what compiles, and each mistake with its place and the way out.

use crate::policy::testing::{compile, file, policies, report, routes_file};

const ANYONE: &str = "rules: [ { id: x, roles: [anyone] } ]";

/// What is found in a route with this `cors`.
fn found(cors: &str) -> String {
    report(&format!("- {{ id: a, path: /a, methods: [GET, PUT], cors: {cors}, {ANYONE} }}"))
}

/// A route with this `cors` is refused with a finding that says this.
#[track_caller]
fn refused(cors: &str, says: &str) {
    let found = found(cors);
    assert!(found.starts_with("error[") && found.contains(says), "{cors}: {found}");
}

#[test]
fn origins_are_read_as_browsers_write_them() {
    for good in [
        "['https://app.example']",
        "['http://localhost:3000', 'http://127.0.0.1:8080', 'http://[::1]:3000']",
        "['chrome-extension://abcdefghijklmnop', 'https://a_b.example']",
        "['*']",
    ] {
        assert_eq!(found(&format!("{{ origins: {good} }}")), "", "{good}");
    }
    for bad in [
        "https://app.example/",
        "https://app.example/page",
        "https://App.example",
        "HTTPS://app.example",
        "app.example",
        "//app.example",
        "https://",
        "https://app.example:65536",
        "https://user@app.example",
        "https://app.example https://b.example",
        "https://app.example, https://b.example",
        "https://app.example?x",
        "file://",
    ] {
        refused(&format!("{{ origins: ['{bad}'] }}"), &format!("`{bad}` is not an origin"));
    }
    refused("{ origins: ['https://app.example:443'] }", "names the scheme's own port");
    refused("{ origins: ['http://app.example:80'] }", "names the scheme's own port");
    refused(
        "{ origins: ['https://a.example', 'https://b.example', 'https://a.example'] }",
        "the origin is listed twice",
    );
    refused("{ origins: [] }", "the list is empty");
    refused("{ credentials: true }", "`origins` is missing");
}

#[test]
fn the_null_origin_cannot_be_listed() {
    refused("{ origins: ['null'] }", "everybody's sandboxed pages");
}

#[test]
fn a_wildcard_stands_alone_or_not_at_all() {
    refused("{ origins: ['*', 'https://app.example'] }", "`*` stands beside other origins");
    refused("{ origins: ['https://*.example'] }", "has a wildcard");
    refused("{ origins: ['https://app.example'], headers: ['*'] }", "`*` is no header name");
    refused("{ origins: ['https://app.example'], expose: ['*'] }", "`*` is no header name");
    refused("{ origins: ['https://app.example'], methods: ['*'] }", "`*` is no method");
}

#[test]
fn any_origin_with_credentials_does_not_compile() {
    refused("{ origins: ['*'], credentials: true }", "any origin would read what the cookie of a user opens");
    assert_eq!(found("{ origins: ['*'], credentials: false }"), "");
}

#[test]
fn what_could_never_be_used_does_not_compile() {
    refused(
        "{ origins: ['https://app.example'], methods: [GET, POST] }",
        "`cors` names POST, which the route does not take",
    );
    refused("{ origins: ['https://app.example'], methods: [get] }", "not in upper case");
    refused("{ origins: ['https://app.example'], headers: ['a b'] }", "is not a header name");
    refused("{ origins: ['https://app.example'], max_age: 25h }", "longer than a day");
    refused("{ origins: ['https://app.example'], max_age: 1500ms }", "no whole seconds");
    refused("{ origins: ['https://app.example'], origin: x }", "did you mean `origins`?");
    refused("any", "write `none`");
    let edits = "response_headers: { set: { Access-Control-Allow-Origin: '*' } }";
    let route = |cors| report(&format!("- {{ id: a, path: /a, {edits}, {cors} {ANYONE} }}"));
    assert!(route("cors: { origins: ['https://app.example'] },").contains("is changed beside `cors`"));
    assert_eq!(route(""), "");
}

#[test]
fn a_file_says_it_for_its_routes_and_a_route_otherwise() {
    let text = routes_file(&format!(
        "- {{ id: plain, path: /plain, methods: [POST], {ANYONE} }}\n\
         - {{ id: other, path: /other, cors: {{ origins: ['https://other.example'] }}, {ANYONE} }}\n\
         - {{ id: without, path: /without, cors: none, {ANYONE} }}"
    ));
    let defaults = "defaults: { cors: { origins: ['https://app.example'], methods: [GET, POST] } }\nroutes:";
    let (set, report) = compile(&[file("routes.yaml", &text.replace("routes:", defaults))]);
    assert!(report.is_empty(), "{report}");
    let set = set.unwrap();
    let listed = |place: usize| set.routes()[place].cors.as_ref().map(|cors| format!("{cors:?}"));
    assert!(listed(0).unwrap().contains("https://app.example"));
    assert!(listed(0).unwrap().contains("\"access-control-allow-methods\", \"POST\""), "those that the route takes");
    assert!(listed(1).unwrap().contains("https://other.example"));
    assert_eq!(listed(2), None);
    assert!(policies(&format!("- {{ id: a, path: /a, {ANYONE} }}")).routes()[0].cors.is_none());
}
