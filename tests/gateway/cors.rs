//! What pages of other origins are told: preflights, answers of the upstream, and denials.

use std::{io::Write, net::TcpListener};

use http::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, H2, H2Request, House, Recorded, Upstream, eventually, ok, token};

const ROUTES: &str = r#"
- id: page
  path: /page
  methods: [GET, PUT]
  body_bytes: 8B
  cors: { origins: ['https://app.example'], headers: [Authorization, Content-Type], expose: [X-Request-Id], max_age: 2m }
  rules: [ { id: users, roles: [user] } ]
- { id: cookies, path: /cookies, cors: { origins: ['https://app.example'], credentials: true }, rules: [ { id: users, roles: [user] } ] }
- { id: any, path: /any, cors: { origins: ['*'] }, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: own, path: /own, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: guarded, path: /guarded, rules: [ { id: users, roles: [user] } ] }
- { id: hidden, path: /hidden, on_deny: not_found, cors: { origins: ['https://app.example'] }, rules: [ { id: bosses, roles: [boss] } ] }
- { id: slow, path: /slow, timeouts: { read: 200ms }, cors: { origins: ['https://app.example'] }, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: dead, path: /dead, upstream: dead, cors: { origins: ['https://app.example'] }, rules: [ { id: everyone, roles: [anyone] } ] }"#;

const APP: &str = "https://app.example";

fn house() -> (Upstream, Gateway) {
    house_with(ok)
}

fn house_with(
    answer: impl Fn(&Recorded, &mut std::net::TcpStream) -> bool + Send + Sync + 'static,
) -> (Upstream, Gateway) {
    let upstream = Upstream::with(answer);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = json!([
        { "id": "app", "endpoints": [format!("http://{}", upstream.address())] },
        { "id": "dead", "endpoints": [format!("http://{nobody}")] },
    ]);
    let routes =
        ROUTES.replace(", path: ", ", upstream: app, path: ").replace("\n  path:", "\n  upstream: app\n  path:");
    let routes = routes.replace("upstream: app, path: /dead, upstream: dead", "upstream: dead, path: /dead");
    (upstream, House::before(&[], &routes).set("/upstreams", servers).start())
}

fn request(line: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: app\r\n{fields}\r\n")
}

/// All fields that CORS is about, in order.
fn told(answer: &Answer) -> Vec<(&str, &str)> {
    let of_cors = |(name, _): &&(String, String)| name.starts_with("access-control-") || name == "vary";
    let mut told: Vec<_> = answer.fields.iter().filter(of_cors).map(|(name, value)| (&**name, &**value)).collect();
    told.sort_unstable();
    told
}

/// What an answer to the page of [`APP`] says.
const READABLE: &[(&str, &str)] = &[("access-control-allow-origin", APP), ("vary", "origin")];

#[test]
fn a_preflight_is_answered_exactly_and_does_not_reach_the_upstream() {
    let (upstream, gateway) = house();
    let asked = [
        ("Origin", APP),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(request("OPTIONS /page", &asked));
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(
            told(&answer),
            [
                ("access-control-allow-headers", "authorization, content-type"),
                ("access-control-allow-methods", "GET, HEAD, PUT"),
                ("access-control-allow-origin", APP),
                ("access-control-max-age", "120"),
                ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            ]
        );
        assert_eq!(answer.field("content-length"), None);
        assert!(!answer.closes());
    }
    let mut h2 = H2::connect(gateway.listener);
    let over_h2 = asked.iter().fold(H2Request::new(Method::OPTIONS, "/cookies"), |request, (name, value)| {
        request.field(&name.to_ascii_lowercase(), if *value == "authorization" { "" } else { value })
    });
    let answer = h2.ask(over_h2).unwrap();
    assert_eq!((answer.status, answer.is_head_only), (204, true));
    assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.field("access-control-allow-headers"), None);

    assert!(upstream.take().is_empty());
    let lines = gateway.audit(3);
    for line in &lines {
        let settled =
            [&line["outcome"], &line["reason"], &line["status"], &line["method"], &line["principal"], &line["rule"]];
        assert_eq!(
            settled,
            [&json!("allow"), &json!("preflight"), &json!(204), &json!("OPTIONS"), &json!(null), &json!(null)]
        );
    }
    assert_eq!(lines[0]["route"], "page");
    let labels = ["route=\"page\"", "outcome=\"allow\"", "reason=\"preflight\""];
    eventually("two answers", || (gateway.metric("cogward_decisions_total", &labels) >= 2.0).then_some(()));
}

#[test]
fn a_preflight_that_asks_for_more_is_refused_without_cors_fields() {
    let (upstream, gateway) = house();
    for (origin, method, headers) in [
        ("https://evil.example", "GET", "authorization"),
        ("null", "GET", "authorization"),
        ("https://app.example.evil", "GET", "authorization"),
        (APP, "PUT", "x-other"),
    ] {
        let asked = [
            ("Origin", origin),
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", headers),
        ];
        let answer = gateway.ask(request("OPTIONS /page", &asked));
        answer.is(403, "cross_site");
        assert_eq!(told(&answer), [("vary", "origin")]);
    }
    let denied = ["route=\"page\"", "outcome=\"deny\"", "reason=\"cross_site\""];
    eventually("four refusals", || (gateway.metric("cogward_decisions_total", &denied) >= 4.0).then_some(()));
    assert!(upstream.take().is_empty());
}

#[test]
fn a_preflight_opens_no_way_around_the_rules() {
    let (upstream, gateway) = house();
    let delete = [("Origin", APP), ("Access-Control-Request-Method", "DELETE")];
    gateway.ask(request("OPTIONS /guarded", &delete)).is(401, "credential_missing");
    gateway.ask(request("OPTIONS /guarded", &[])).is(401, "credential_missing");
    gateway.ask(request("OPTIONS /page", &delete)).is(405, "method_not_allowed");
    gateway.ask(request("OPTIONS /page", &[("Origin", APP)])).is(405, "method_not_allowed");
    gateway.ask(request("OPTIONS /cookies", &[])).is(401, "credential_missing");
    gateway.ask(request("OPTIONS /nowhere", &delete)).is(404, "no_route");
    gateway.ask(request("GET /page", &delete)).is(401, "credential_missing");
    assert!(upstream.take().is_empty());
    // A route without `cors` whose rules take OPTIONS: the upstream answers for itself.
    assert_eq!(gateway.ask(request("OPTIONS /own", &delete)).status, 200);
    assert_eq!(upstream.one().line(), "OPTIONS /own HTTP/1.1");
}

#[test]
fn a_listed_page_can_read_every_denial() {
    let (_upstream, gateway) = house_with(|request, stream| {
        if request.target() == "/slow" {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        ok(request, stream)
    });
    let (user, other) = (format!("Bearer {}", token("u-1", &["user"])), format!("Bearer {}", token("u-1", &["other"])));
    let mut page: Vec<_> = READABLE.to_vec();
    page.insert(1, ("access-control-expose-headers", "x-request-id"));
    for (line, authorization, code) in [
        ("GET /page", "", (401, "credential_missing")),
        ("GET /page", "Bearer x", (401, "token_invalid")),
        ("GET /page", &other, (403, "missing_role")),
        ("POST /page", &user, (405, "method_not_allowed")),
    ] {
        let answer = gateway.ask(request(line, &[("Origin", APP), ("Authorization", authorization)]));
        answer.is(code.0, code.1);
        assert_eq!(told(&answer), page, "{code:?}");
        let answer =
            gateway.ask(request(line, &[("Origin", "https://evil.example"), ("Authorization", authorization)]));
        assert_eq!(told(&answer), [("vary", "origin")], "{code:?}");
    }
    // Announced too long, and found too long on the way.
    for length in
        ["Content-Length: 9\r\n\r\n123456789", "Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n"]
    {
        let head = format!("PUT /page HTTP/1.1\r\nHost: app\r\nOrigin: {APP}\r\nAuthorization: {user}\r\n{length}");
        let answer = gateway.ask(head);
        answer.is(413, "body_too_large");
        assert_eq!(told(&answer), page);
    }
    for (path, code) in [("/dead", (502, "upstream_unreachable")), ("/slow", (504, "upstream_timeout"))] {
        let answer = gateway.ask(request(&format!("GET {path}"), &[("Origin", APP)]));
        answer.is(code.0, code.1);
        assert_eq!(told(&answer), READABLE);
    }
    let answer = gateway.ask(request("GET /nowhere", &[("Origin", APP)]));
    answer.is(404, "no_route");
    assert_eq!(told(&answer), []);
}

#[test]
fn a_concealed_denial_shows_no_cors_fields() {
    let (_upstream, gateway) = house();
    let asked = [("Origin", APP), ("Authorization", &*format!("Bearer {}", token("u-1", &["user"])))];
    let hidden = gateway.ask(request("GET /hidden", &asked));
    let nowhere = gateway.ask(request("GET /nowhere", &asked));
    hidden.is(404, "no_route");
    let names = |answer: &Answer| answer.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&hidden), names(&nowhere));
}

#[test]
fn the_cors_fields_of_the_upstream_are_replaced() {
    let (upstream, gateway) = house_with(|_, stream| {
        let fields = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Origin: https://evil.example\r\n\
            Access-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Private-Network: true\r\nVary: Accept-Encoding\r\n";
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n").as_bytes()).is_ok()
    });
    let user = format!("Bearer {}", token("u-1", &["user"]));
    let get = |path: &str, origin: &[(&str, &str)]| {
        let mut fields = vec![("Authorization", &*user)];
        fields.extend_from_slice(origin);
        gateway.ask(request(&format!("GET {path}"), &fields))
    };
    let vary = ("vary", "Accept-Encoding, origin");
    assert_eq!(
        told(&get("/page", &[("Origin", APP)])),
        [("access-control-allow-origin", APP), ("access-control-expose-headers", "x-request-id"), vary]
    );
    assert_eq!(told(&get("/page", &[("Origin", "https://evil.example")])), [vary]);
    assert_eq!(told(&get("/page", &[("Origin", APP), ("Origin", APP)])), [vary]);
    assert_eq!(told(&get("/page", &[])), [vary]);
    assert_eq!(told(&get("/any", &[("Origin", "https://evil.example")])), [("access-control-allow-origin", "*"), vary]);
    // A route without `cors` is the upstream's own matter.
    assert_eq!(told(&get("/own", &[("Origin", "https://evil.example")])).len(), 5);
    assert_eq!(upstream.take().len(), 6);
}
