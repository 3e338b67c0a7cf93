//! Limits on the line: who is counted, when, and for whom.

use super::*;

const ROUTES: &str = r#"
- { id: login, path: /login, rate_limit: { requests: 3, per: 1m, key: address }, rules: [ { id: users, roles: [user] } ] }
- { id: each, path: /each, authentication: optional, rate_limit: { requests: 2, per: 1m, key: principal }, rules: [ { id: users, roles: [user, anonymous] } ] }
- { id: denied, path: /denied, on_deny: not_found, rate_limit: { requests: 2, per: 1m, key: principal }, rules: [ { id: bosses, roles: [boss] } ] }
- { id: tenant, path: /tenant, rate_limit: { requests: 2, per: 1m, key: { claim: tenant } }, rules: [ { id: users, roles: [authenticated] } ] }
- { id: whole, path: /whole, rate_limit: { requests: 3, per: 1m, key: route }, rules: [ { id: users, roles: [user] } ] }
- id: several
  path: /several
  rate_limit: [ { requests: 100, per: 1h, burst: 4, key: route }, { requests: 2, per: 1m, key: address } ]
  rules: [ { id: everyone, roles: [anyone] } ]
- { id: bodily, path: /bodily, providers: [main], methods: [POST], rate_limit: [ { requests: 2, per: 1m, key: address }, { requests: 2, per: 1m, key: principal }, { requests: 2, per: 1m, key: route } ], rules: [ { id: own, roles: [user], owner: { body: /owner } } ] }
- { id: free, path: /free, rules: [ { id: everyone, roles: [anyone] } ] }"#;

const HERE: &str = "192.0.2.1";

struct House(Generation);

impl House {
    fn new() -> Self {
        Self(generation_of("", ROUTES))
    }

    /// A request from an address, at a second: `ok`, the code of the denial, or `needs_body`.
    fn meet(&self, (line, client, second): (&str, &str, u64), token: Option<&str>) -> &'static str {
        self.meet_with((line, client, second), token, Body::Unread, &mut Seen::default())
    }

    fn meet_with(
        &self,
        (line, client, second): (&str, &str, u64),
        token: Option<&str>,
        body: Body<'_>,
        seen: &mut Seen,
    ) -> &'static str {
        let (method, target) = line.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let mut fields = HeaderMap::new();
        if let Some(token) = token {
            fields.insert("authorization", bearer(token).parse().unwrap());
        }
        let host = Host::parse(b"app").unwrap();
        let target = Target::parse(target.as_bytes(), &host).unwrap();
        let view = RequestView {
            method: &method,
            host: &host,
            path: &target.path,
            query: target.query(),
            headers: Headers::new(&fields),
            client: client.parse().unwrap(),
            secure: true,
            websocket: false,
            client_certificate: None,
        };
        let moment = Moment::after_start(std::time::Duration::from_secs(second));
        match self.0.admit(&view, body, Now { time: NOW, moment }, seen) {
            Ok(Admission::Permit(_)) => "ok",
            Ok(Admission::NeedsBody { .. }) => "needs_body",
            Ok(Admission::Preflight(_)) => "preflight",
            Err(denial) => denial.code(),
        }
    }

    fn several(&self, line: &str, client: &str, token: Option<&str>, times: usize) -> Vec<&'static str> {
        (0..times).map(|_| self.meet((line, client, 0), token)).collect()
    }
}

fn user(id: &str) -> String {
    token_of(&with(with(access(), "sub", id), "cognito:groups", json!(["user"])))
}

#[test]
fn guessing_tokens_from_one_address_is_limited_before_the_token_is_looked_at() {
    let house = House::new();
    assert_eq!(
        house.several("GET /login", HERE, Some("a.b.c"), 5),
        ["token_malformed", "token_malformed", "token_malformed", "rate_limited", "rate_limited"]
    );
    let mut seen = Seen::default();
    assert_eq!(house.meet_with(("GET /login", HERE, 0), Some(&user("u-1")), Body::Unread, &mut seen), "rate_limited");
    assert!(seen.principal.is_none() && seen.cache_hit.is_none(), "the good token was not looked at either");
    assert_eq!(house.meet(("GET /login", "192.0.2.2", 0), Some(&user("u-1"))), "ok");
    assert_eq!(house.meet(("GET /login", HERE, 20), Some(&user("u-1"))), "ok", "a third of a minute later");
}

#[test]
fn the_addresses_of_one_ipv6_network_are_one_client() {
    let house = House::new();
    for last in 0..3 {
        assert_eq!(house.meet(("GET /login", &format!("2001:db8:1:2:{last}::1"), 0), None), "credential_missing");
    }
    assert_eq!(house.meet(("GET /login", "2001:db8:1:2:ffff:ffff:ffff:ffff", 0), None), "rate_limited");
    assert_eq!(house.meet(("GET /login", "2001:db8:1:3::1", 0), None), "credential_missing");
    // An IPv4 address that came over IPv6 is that IPv4 address.
    assert_eq!(house.several("GET /login", "::ffff:192.0.2.9", None, 3), ["credential_missing"; 3]);
    assert_eq!(house.meet(("GET /login", "192.0.2.9", 0), None), "rate_limited");
    assert_eq!(house.meet(("GET /login", "192.0.2.10", 0), None), "credential_missing");
}

#[test]
fn principals_are_counted_wherever_they_come_from_and_nobody_by_address() {
    let house = House::new();
    let (one, two) = (user("u-1"), user("u-2"));
    assert_eq!(house.meet(("GET /each", HERE, 0), Some(&one)), "ok");
    assert_eq!(house.meet(("GET /each", "198.51.100.7", 0), Some(&one)), "ok");
    assert_eq!(house.meet(("GET /each", "198.51.100.8", 0), Some(&one)), "rate_limited");
    assert_eq!(house.meet(("GET /each", HERE, 0), Some(&two)), "ok");
    assert_eq!(house.several("GET /each", HERE, None, 3), ["ok", "ok", "rate_limited"]);
    assert_eq!(house.meet(("GET /each", "198.51.100.9", 0), None), "ok");
    // Equal ids of two pools are two principals.
    let other = mint_second(&with(
        with(id_token(), "sub", "u-1"),
        "iss",
        json!("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Second000"),
    ));
    assert_ne!(house.meet(("GET /each", HERE, 0), Some(&other)), "rate_limited");
}

#[test]
fn asking_for_what_is_denied_counts() {
    let house = House::new();
    assert_eq!(
        house.several("GET /denied", HERE, Some(&user("u-1")), 4),
        ["missing_role", "missing_role", "rate_limited", "rate_limited"]
    );
    assert_eq!(house.meet(("GET /denied", HERE, 0), None), "credential_missing");
}

#[test]
fn a_claim_is_counted_over_its_principals_and_who_has_none_alone() {
    let house = House::new();
    let of = |id: &str, tenant: Value| token_of(&with(with(access(), "sub", id), "tenant", tenant));
    assert_eq!(house.meet(("GET /tenant", HERE, 0), Some(&of("u-1", json!("blue")))), "ok");
    assert_eq!(house.meet(("GET /tenant", HERE, 0), Some(&of("u-2", json!("blue")))), "ok");
    assert_eq!(house.meet(("GET /tenant", HERE, 0), Some(&of("u-3", json!("blue")))), "rate_limited");
    assert_eq!(house.meet(("GET /tenant", HERE, 0), Some(&of("u-3", json!("red")))), "ok");
    for (number, odd) in [json!(""), json!(["blue"]), json!({ "a": "blue" }), json!(null)].into_iter().enumerate() {
        let token = of(&format!("odd-{number}"), odd);
        assert_eq!(house.several("GET /tenant", HERE, Some(&token), 3), ["ok", "ok", "rate_limited"]);
    }
    // The number 1 and the text "1" are two values.
    assert_eq!(house.several("GET /tenant", HERE, Some(&of("u-4", json!(1))), 2), ["ok", "ok"]);
    assert_eq!(house.meet(("GET /tenant", HERE, 0), Some(&of("u-5", json!(1)))), "rate_limited");
    assert_eq!(house.meet(("GET /tenant", HERE, 0), Some(&of("u-5", json!("1")))), "ok");
}

#[test]
fn who_is_refused_uses_up_nothing_of_what_a_route_has_for_all() {
    let house = House::new();
    assert_eq!(house.several("GET /whole", HERE, None, 9), ["credential_missing"; 9]);
    let stranger = token_of(&with(access(), "cognito:groups", json!(["other"])));
    assert_eq!(house.several("GET /whole", HERE, Some(&stranger), 9), ["missing_role"; 9]);
    assert_eq!(house.several("GET /whole", HERE, Some(&user("u-1")), 4), ["ok", "ok", "ok", "rate_limited"]);
    assert_eq!(house.meet(("GET /whole", "198.51.100.7", 0), None), "rate_limited", "before the credential");
    // Nor does a client that is refused for itself, in whatever order the limits are written.
    assert_eq!(house.several("GET /several", HERE, None, 9)[..3], ["ok", "ok", "rate_limited"]);
    assert_eq!(house.several("GET /several", "198.51.100.7", None, 3), ["ok", "ok", "rate_limited"]);
    assert_eq!(house.meet(("GET /several", "198.51.100.8", 0), None), "rate_limited", "four for all");
}

#[test]
fn a_request_that_is_decided_in_two_steps_counts_once() {
    let house = House::new();
    let (token, body) = (user("u-1"), json!({ "owner": "u-1" }));
    for turn in 0..3 {
        let mut seen = Seen::default();
        let asked = ("POST /bodily", HERE, 0);
        let first = house.meet_with(asked, Some(&token), Body::Unread, &mut seen);
        if turn == 2 {
            assert_eq!(first, "rate_limited");
            continue;
        }
        assert_eq!(first, "needs_body");
        assert_eq!(house.meet_with(asked, Some(&token), Body::Json(&body), &mut seen), "ok");
        let left = format!("\"address-1m\";r={0};t=30, \"principal-1m\";r={0};t=30, \"route-1m\";r={0};t=30", 1 - turn);
        assert_eq!(seen.tally.field().unwrap(), *left);
    }
}

#[test]
fn the_fields_tell_what_is_left_and_the_denial_when_to_come_back() {
    let house = House::new();
    let field = |second| {
        let mut seen = Seen::default();
        let code = house.meet_with(("GET /login", HERE, second), Some(&user("u-1")), Body::Unread, &mut seen);
        (code, seen.tally.field().unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(field(0), ("ok", "\"address-1m\";r=2;t=20".to_owned()));
    assert_eq!(field(0), ("ok", "\"address-1m\";r=1;t=20".to_owned()));
    assert_eq!(field(5), ("ok", "\"address-1m\";r=0;t=15".to_owned()));
    assert_eq!(field(6), ("rate_limited", "\"address-1m\";r=0;t=14".to_owned()));
    let policy = |place: usize| house.0.policies.routes()[place].rate_limits.policy.clone();
    assert_eq!(policy(0).unwrap(), "\"address-1m\";q=3;w=60");
    assert_eq!(policy(5).unwrap(), "\"address-1m\";q=2;w=60, \"route-1h\";q=100;w=3600");
    assert_eq!(policy(7), None);
    let denial = Denial::RateLimited { wait: 14.try_into().unwrap() };
    assert_eq!((denial.face().status, denial.face().retry_after.unwrap().to_string()), (429, "14".to_owned()));
    let mut seen = Seen::default();
    assert_eq!(house.meet_with(("GET /free", HERE, 0), None, Body::Unread, &mut seen), "ok");
    assert_eq!(seen.tally.field(), None);
}

#[test]
fn a_reload_forgets_nothing_of_limits_that_did_not_change() {
    let before = House::new();
    let token = user("u-1");
    before.several("GET /login", HERE, Some(&token), 3);
    before.several("GET /whole", HERE, Some(&token), 3);
    let same = House(generation_of("", ROUTES).following(&before.0));
    assert_eq!(same.meet(("GET /login", HERE, 0), Some(&token)), "rate_limited");
    assert_eq!(same.meet(("GET /whole", HERE, 0), Some(&token)), "rate_limited");
    let wider = ROUTES.replace("requests: 3,", "requests: 4,");
    let changed = House(generation_of("", &wider).following(&same.0));
    assert_eq!(changed.meet(("GET /login", HERE, 0), Some(&token)), "ok");
    assert_eq!(changed.meet(("GET /whole", HERE, 0), Some(&token)), "ok");
}

#[test]
fn the_refetch_of_a_key_counts_a_request_once() {
    // What `Admissions::admit` does: the tally goes along to the next generation.
    let before = House::new();
    let mut seen = Seen::default();
    let unknown = mint(&json!({ "alg": "RS256", "kid": "unheard-of" }), &access());
    assert_eq!(before.meet_with(("GET /login", HERE, 0), Some(&unknown), Body::Unread, &mut seen), "unknown_key");
    let mut seen = Seen { tally: seen.tally, ..Seen::default() };
    let after = House(generation_of("", ROUTES).following(&before.0));
    after.meet_with(("GET /login", HERE, 0), Some(&user("u-1")), Body::Unread, &mut seen);
    assert_eq!(seen.tally.field().unwrap(), "\"address-1m\";r=2;t=20");
}
