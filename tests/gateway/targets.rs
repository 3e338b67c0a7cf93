//! Path confusion: a target with two readings is refused, and what is forwarded is what was decided on.

use http::Method;

use crate::support::{Gateway, H2, H2Request, House, Upstream, token};

/// Everything is open, so only the reading of the target can refuse.
const OPEN: &str = "
- { id: root, path: /, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: all, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

/// Targets that must be refused, as bytes.
const REFUSED: &[&[u8]] = &[
    // Not origin-form.
    b"admin",
    b"\\admin",
    b"@evil/admin",
    b"h:80",
    b"?x",
    b"*",
    b"foo://app/admin",
    b"app",
    b"//",
    b"http:/admin",
    b"http://other/admin",
    b"http://app@other/admin",
    b"http://app:81/admin",
    b"https://app:80/admin",
    // Dot segments.
    b"/public/../admin",
    b"/..",
    b"/.",
    b"/a/./b",
    b"/a/.",
    b"/a/..",
    b"/%2e%2e/admin",
    b"/.%2e/admin",
    b"/%2E./admin",
    b"/a/%2e/b",
    b"/a/%2e",
    b"/../../../etc/passwd",
    // Encoded separators.
    b"/public/..%2fadmin",
    b"/public%2fadmin",
    b"/public%2Fadmin",
    b"/public%5cadmin",
    b"/public%5Cadmin",
    b"/public\\admin",
    b"/public/..\\admin",
    // Empty segments.
    b"//admin",
    b"/api//v1",
    b"/api///",
    b"/a//",
    // Path parameters, fragments and queries in disguise.
    b"/admin;x=1",
    b"/;/admin",
    b"/public/..;/admin",
    b"/admin%3bx",
    b"/admin%3Bx",
    b"/public#/../admin",
    b"/a%23b",
    b"/a%3fb",
    b"/a%3Fb",
    // Twice encoded.
    b"/%252e%252e/admin",
    b"/a%252fb",
    b"/%2525",
    b"/%25%32%66",
    b"/%25%36%31dmin",
    // Controls.
    b"/a%00b",
    b"/a%0d%0ab",
    b"/a%0ab",
    b"/a%09b",
    b"/a%7fb",
    b"/a\x01b",
    b"/a\x7fb",
    b"/a\tb",
    b"/a\x00b",
    // Broken escapes, overlong and invalid UTF-8.
    b"/%",
    b"/%2",
    b"/%zz",
    b"/a%",
    b"/%c0%ae%c0%ae/admin",
    b"/%e0%80%ae",
    b"/%ff",
    b"/%ed%a0%80",
    b"/\xff",
    b"/\xc3\xa9",
    b"/%u002e",
    b"/%c0%af",
    // Bytes that no path may hold.
    b"/a\"b",
    b"/a<b",
    b"/a>b",
    b"/a^b",
    b"/a`b",
    b"/a{b",
    b"/a}b",
    b"/a|b",
    b"/a[b",
    b"/a]b",
    // Queries.
    b"/a?b#c",
    b"/a?\x01",
    b"/a?\xff",
];

/// Targets that pass, and how they arrive.
const ACCEPTED: &[(&str, &str)] = &[
    ("/", "/"),
    ("/admin", "/admin"),
    ("/admin/", "/admin/"),
    ("/ADMIN", "/ADMIN"),
    ("/admin.", "/admin."),
    ("/admin...", "/admin..."),
    ("/..a/.b/c..", "/..a/.b/c.."),
    ("/%61dmin", "/admin"),
    ("/%41%2d%2E%5f%7e%30", "/A-._~0"),
    ("/a%20b", "/a%20b"),
    ("/caf%c3%a9", "/caf%C3%A9"),
    ("/%f0%9f%a6%80", "/%F0%9F%A6%80"),
    ("/100%25", "/100%25"),
    ("/a%25zz", "/a%25zz"),
    ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ("/a%3a%40%2c", "/a%3A%40%2C"),
    // The query goes as it came.
    ("/a?", "/a?"),
    ("/a?b=%2e%2e/%2f&c=%zz&&=", "/a?b=%2e%2e/%2f&c=%zz&&="),
    ("/a?x=/../admin;y=//", "/a?x=/../admin;y=//"),
    ("/public?x=/admin", "/public?x=/admin"),
    ("/a?b?c=d[]|{}^`\\", "/a?b?c=d[]|{}^`\\"),
    ("/a?_method=DELETE", "/a?_method=DELETE"),
    ("/a?b=\"<c>\"", "/a?b=%22%3Cc%3E%22"),
    // Absolute form agrees with Host.
    ("http://app/admin?x=1", "/admin?x=1"),
    ("HTTP://APP/admin", "/admin"),
    ("http://app:80/admin", "/admin"),
    ("https://app/admin", "/admin"),
    ("http://app", "/"),
    ("http://app?x", "/?x"),
];

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, OPEN).start();
    (upstream, gateway)
}

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: app\r\n\r\n"].concat()
}

#[test]
fn a_target_with_two_readings_is_refused() {
    let (upstream, gateway) = house();
    for target in REFUSED {
        let answer = gateway.ask(get(target));
        let shown = String::from_utf8_lossy(target);
        assert_eq!((answer.status, answer.field("server")), (400, None), "{shown}");
        let code = answer.problem().1;
        // A byte that no request line can hold is refused with the line.
        assert!(["target_ambiguous", "request_malformed"].contains(&code.as_str()), "{shown}: {code}");
    }
    assert_eq!(gateway.get_anonymously("/last").status, 200);
    assert_eq!(upstream.one().target(), "/last");
}

#[test]
fn a_target_with_two_readings_is_refused_over_http2() {
    let (upstream, gateway) = house();
    let mut client = H2::connect(gateway.listener);
    let mut said = 0;
    for target in REFUSED.iter().filter_map(|target| str::from_utf8(target).ok()) {
        // `:path` is only a path in HTTP/2; what the client's library would change or refuse cannot be said.
        if !target.starts_with('/') || !H2::can_say(target) {
            continue;
        }
        said += 1;
        client.get(target, None).unwrap_or_else(|error| panic!("{target}: {error}")).is(400, "target_ambiguous");
    }
    assert!(said > 50, "{said}");
    assert_eq!(client.get("/last", None).unwrap().status, 200);
    assert_eq!(upstream.one().target(), "/last");
}

#[test]
fn a_target_arrives_in_the_form_that_was_decided_on() {
    let (upstream, gateway) = house();
    for (sent, arrives) in ACCEPTED {
        let answer = gateway.ask(get(sent.as_bytes()));
        assert_eq!(answer.status, 200, "{sent}: {answer:?}");
        assert_eq!(upstream.one().line(), format!("GET {arrives} HTTP/1.1"), "{sent}");
    }
}

#[test]
fn a_target_arrives_in_the_same_form_over_http2() {
    let (upstream, gateway) = house();
    let mut client = H2::connect(gateway.listener);
    for (sent, arrives) in ACCEPTED.iter().filter(|(sent, _)| sent.starts_with('/') && H2::can_say(sent)) {
        assert_eq!(client.get(sent, None).unwrap().status, 200, "{sent}");
        assert_eq!(upstream.one().line(), format!("GET {arrives} HTTP/1.1"), "{sent}");
    }
}

#[test]
fn another_spelling_of_a_protected_path_meets_the_same_rules() {
    let upstream = Upstream::start();
    let routes = "
- { id: admin, path: '/admin/{rest..}', rules: [ { id: admins, roles: [admin] } ] }
- { id: all, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";
    let gateway = House::new(&upstream, routes).start();
    for target in ["/admin/x", "/%61dmin/x", "/%61%64%6d%69%6e/x", "/admin/?/public", "http://app/admin/x", "/admi%6E/"]
    {
        gateway.ask(get(target.as_bytes())).is(401, "credential_missing");
        gateway.get(target, &token("u-1", &["user"])).is(403, "missing_role");
    }
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.get("/%61dmin/x", &token("u-1", &["admin"])).status, 200);
    assert_eq!(upstream.one().target(), "/admin/x");
    // A trailing slash and case matter: these are other paths, not other spellings.
    for target in ["/admin", "/ADMIN/x", "/admin./x"] {
        assert_eq!(gateway.ask(get(target.as_bytes())).status, 200, "{target}");
        assert_eq!(upstream.one().target(), target);
    }
}

#[test]
fn an_encoded_owner_is_compared_decoded_and_forwarded_as_decided() {
    let upstream = Upstream::start();
    let routes = "- { id: users, path: '/users/{user}', rules: [ { id: own, owner: { path: user } } ] }";
    let gateway = House::new(&upstream, routes).start();
    let mine = token("u@1", &["user"]);
    for (sent, arrives) in
        [("/users/u%401", "/users/u%401"), ("/users/u@1", "/users/u@1"), ("/users/%75@1", "/users/u@1")]
    {
        assert_eq!(gateway.get(sent, &mine).status, 200, "{sent}");
        assert_eq!(upstream.one().target(), arrives);
    }
    gateway.get("/users/u%2401", &mine).is(403, "not_owner");
    gateway.get("/users/u%25401", &mine).is(400, "target_ambiguous");
    assert!(upstream.take().is_empty());
}

#[test]
fn trace_connect_and_unknown_methods_do_not_pass() {
    let (upstream, gateway) = house();
    for method in ["TRACE", "TRACK", "PROPFIND", "get", "G!T", "PURGE"] {
        let answer = gateway.ask(format!("{method} /a HTTP/1.1\r\nHost: app\r\n\r\n"));
        answer.is(405, "method_not_allowed");
        assert_eq!(answer.field("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), "{method}");
    }
    for target in ["app:443", "/a", "http://app:443/a"] {
        gateway.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: app:443\r\n\r\n")).is(405, "method_not_allowed");
    }
    let mut client = H2::connect(gateway.listener);
    client.ask(H2Request::new(Method::TRACE, "/a")).unwrap().is(405, "method_not_allowed");
    assert!(upstream.take().is_empty());
}
