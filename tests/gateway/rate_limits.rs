//! Requests that are one too many: who is counted, and what they and the others are told.

use std::{io::Write, thread};

use http::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, H2, H2Request, House, Upstream, eventually, routes_file, token};

/// Long times, so that no test sees one end.
const ROUTES: &str = r#"
- { id: login, path: /login, rate_limit: { requests: 3, per: 1h, key: address }, rules: [ { id: users, roles: [user] } ] }
- { id: mine, path: /mine, rate_limit: { requests: 2, per: 1h, key: principal }, rules: [ { id: users, roles: [user] } ] }
- { id: whole, path: /whole, rate_limit: { requests: 50, per: 1h, key: route }, rules: [ { id: users, roles: [user] } ] }
- { id: hidden, path: /hidden, on_deny: not_found, rate_limit: { requests: 2, per: 1h, key: principal }, rules: [ { id: bosses, roles: [boss] } ] }
- id: page
  path: /page
  rate_limit: { requests: 1, per: 1h, key: address }
  cors: { origins: ['https://app.example'] }
  rules: [ { id: everyone, roles: [anyone] } ]
- { id: free, path: /free, rules: [ { id: everyone, roles: [anyone] } ] }"#;

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/trusted_proxies", json!(["127.0.0.1"])).start();
    (upstream, gateway)
}

impl Gateway {
    fn get_from(&self, path: &str, client: &str, token: &str) -> Answer {
        self.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: {client}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
    }
}

#[test]
fn guessing_tokens_from_one_address_ends_in_429_and_others_go_on() {
    let (upstream, gateway) = house();
    for _ in 0..3 {
        gateway.get_from("/login", "192.0.2.1", "a.b.c").is(401, "token_invalid");
    }
    let good = token("u-1", &["user"]);
    let refused = gateway.get_from("/login", "192.0.2.1", &good);
    refused.is(429, "rate_limited");
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit").unwrap(), format!("\"address-1h\";r=0;t={wait}"));
    assert_eq!(refused.field("ratelimit-policy"), Some("\"address-1h\";q=3;w=3600"));
    assert_eq!(gateway.get_from("/login", "192.0.2.2", &good).status, 200);
    assert_eq!(gateway.get_from("/free", "192.0.2.1", &good).status, 200);
    assert_eq!(upstream.take().len(), 2);

    let lines = gateway.audit(6);
    let line = lines.iter().find(|line| line["status"] == 429).unwrap();
    let told = [&line["outcome"], &line["reason"], &line["route"], &line["principal"], &line["kind"]];
    assert_eq!(told, [&json!("deny"), &json!("rate_limited"), &json!("login"), &json!(null), &json!(null)]);
    let refusals = || gateway.metric("cogward_decisions_total", &["route=\"login\"", "reason=\"rate_limited\""]);
    eventually("the number", || (refusals() >= 1.0).then_some(()));
}

#[test]
fn an_allowed_answer_tells_what_is_left_beside_the_limits_of_the_upstream() {
    let upstream = Upstream::with(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nRateLimit: \"inner\";r=7;t=1\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let good = token("u-1", &["user"]);
    let all = |answer: &Answer, name: &str| -> Vec<String> {
        answer.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.clone()).collect()
    };
    let answer = gateway.get("/mine", &good);
    let left = all(&answer, "ratelimit");
    assert_eq!((left.len(), &*left[0]), (2, "\"inner\";r=7;t=1"));
    assert!(left[1].starts_with("\"principal-1h\";r=1;t="), "{left:?}");
    assert_eq!(all(&answer, "ratelimit-policy"), ["\"principal-1h\";q=2;w=3600"]);
    assert_eq!(all(&answer, "retry-after"), ["5"]);
    assert_eq!(all(&gateway.get_anonymously("/free"), "ratelimit-policy"), [""; 0]);
    // Another connection, another protocol: the same principal.
    let mut h2 = H2::connect(gateway.listener);
    assert_eq!(h2.get("/mine", Some(&good)).unwrap().status, 200);
    assert_eq!(h2.get("/mine", Some(&good)).unwrap().status, 429);
    gateway.get("/mine", &good).is(429, "rate_limited");
    assert_eq!(gateway.get("/mine", &token("u-2", &["user"])).status, 200);
}

#[test]
fn a_grpc_caller_hears_resource_exhausted() {
    let (_upstream, gateway) = house();
    let good = token("u-1", &["user"]);
    let mut h2 = H2::connect(gateway.listener);
    let call = || {
        H2Request::new(Method::POST, "/mine")
            .field("content-type", "application/grpc")
            .field("te", "trailers")
            .field("authorization", &format!("Bearer {good}"))
    };
    h2.ask(call()).unwrap();
    h2.ask(call()).unwrap();
    let answer = h2.ask(call()).unwrap();
    assert_eq!(
        (answer.status, answer.field("grpc-status"), answer.field("grpc-message")),
        (200, Some("8"), Some("rate_limited"))
    );
    assert!(answer.field("ratelimit").unwrap().starts_with("\"principal-1h\";r=0;t="));
}

#[test]
fn eight_connections_at_once_pass_exactly_what_the_limit_says() {
    let (upstream, gateway) = house();
    let good = token("u-1", &["user"]);
    let passed: usize = thread::scope(|scope| {
        let run = || {
            let mut client = gateway.connect();
            let passes = |_: &u32| {
                client.send(format!("GET /whole HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {good}\r\n\r\n"));
                match client.answer().status {
                    200 => true,
                    429 => false,
                    other => panic!("{other}"),
                }
            };
            (0..20).filter(passes).count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((passed, upstream.take().len()), (50, 50));
}

#[test]
fn a_preflight_does_not_count_and_a_page_can_read_the_429() {
    let (_upstream, gateway) = house();
    let app = "Origin: https://app.example\r\n";
    for _ in 0..5 {
        let preflight = gateway
            .ask(format!("OPTIONS /page HTTP/1.1\r\nHost: app\r\n{app}Access-Control-Request-Method: GET\r\n\r\n"));
        assert_eq!((preflight.status, preflight.field("ratelimit")), (204, None));
    }
    let get = || gateway.ask(format!("GET /page HTTP/1.1\r\nHost: app\r\n{app}\r\n"));
    assert_eq!(get().status, 200);
    let refused = get();
    refused.is(429, "rate_limited");
    assert_eq!(refused.field("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(refused.field("vary"), Some("origin"));
}

#[test]
fn a_concealed_denial_shows_no_limits() {
    let (_upstream, gateway) = house();
    let good = token("u-1", &["user"]);
    let (hidden, nowhere) = (gateway.get("/hidden", &good), gateway.get("/nowhere", &good));
    let names = |answer: &Answer| answer.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!((hidden.problem(), names(&hidden)), (nowhere.problem(), names(&nowhere)));
}

#[test]
fn a_reload_lets_nobody_start_anew() {
    let (_upstream, gateway) = house();
    let good = token("u-1", &["user"]);
    for _ in 0..2 {
        assert_eq!(gateway.get("/mine", &good).status, 200);
    }
    gateway.write("policies/routes.yaml", &routes_file(&ROUTES.replace("id: free", "id: freer")));
    eventually("the reload", || (gateway.status()["generation"].as_u64() > Some(1)).then_some(()));
    gateway.get("/mine", &good).is(429, "rate_limited");
    gateway.write("policies/routes.yaml", &routes_file(&ROUTES.replace("requests: 2,", "requests: 4,")));
    eventually("the other limit", || (gateway.get("/mine", &good).status == 200).then_some(()));
}
