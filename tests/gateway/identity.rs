//! Who the upstream is told that asks: the gateway's word only.

use http::{HeaderMap, Method};
use serde_json::json;

use crate::support::{
    Gateway, H2, H2Request, House, Upstream, access, eventually, ok, routes_file, signed, token, with,
};

const ROUTES: &str = "
- { id: public, path: '/public/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: blind, path: '/blind', authentication: none, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: api, path: '/api/{rest..}', rules: [ { id: signed-in, roles: [authenticated] } ] }";

const IDENTITY: [&str; 4] =
    ["x-auth-request-user", "x-auth-request-preferred-username", "x-auth-request-email", "x-auth-request-groups"];

/// Fields by which a client may try to say who it is.
const SPOOFS: &[&str] = &[
    "X-Auth-Request-User",
    "x-auth-request-user",
    "X-AUTH-REQUEST-USER",
    "X_Auth_Request_User",
    "X.Auth.Request.User",
    "X-Auth_Request.User",
    "x_auth-request-groups",
    "X-Auth-Request-Groups",
    "X-Auth-Request-Email",
    "X_AUTH_REQUEST_EMAIL",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Access-Token",
    "X-Auth-Request-Anything",
    "x_auth_request_role",
];

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

/// Every spoof, twice.
fn spoofs() -> String {
    SPOOFS.iter().map(|name| format!("{name}: root\r\n{name}: admin\r\n")).collect()
}

fn identity_of(request: &crate::support::Recorded) -> Vec<String> {
    let folded = |name: &str| name.replace(['_', '.'], "-");
    let fields = request.fields().into_iter().filter(|(name, _)| folded(name).starts_with("x-auth-request-"));
    let mut shown: Vec<_> =
        fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value))).collect();
    shown.sort();
    shown
}

#[test]
fn identity_headers_of_the_client_are_replaced_by_the_gateways() {
    let (upstream, gateway) = house();
    let (token, spoofs) = (token("u-1", &["user", "staff"]), spoofs());
    let answer =
        gateway.ask(format!("GET /api/a HTTP/1.1\r\nHost: app\r\n{spoofs}Authorization: Bearer {token}\r\n\r\n"));
    assert_eq!(answer.status, 200);
    let expected =
        ["x-auth-request-groups: user,staff", "x-auth-request-preferred-username: u-1", "x-auth-request-user: u-1"];
    assert_eq!(identity_of(&upstream.one()), expected);
}

#[test]
fn identity_headers_are_removed_on_public_routes_too() {
    let (upstream, gateway) = house();
    for path in ["/public/a", "/blind"] {
        let answer = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: app\r\n{}\r\n", spoofs()));
        assert_eq!(answer.status, 200);
        assert_eq!(identity_of(&upstream.one()), [""; 0]);
    }
}

#[test]
fn identity_headers_are_removed_over_http2() {
    let (upstream, gateway) = house();
    let mut client = H2::connect(gateway.listener);
    let mut request = H2Request::new(Method::GET, "/public/a");
    for name in SPOOFS {
        request = request.field(&name.to_ascii_lowercase(), "root");
    }
    assert_eq!(client.ask(request.clone()).unwrap().status, 200);
    assert_eq!(identity_of(&upstream.one()), [""; 0]);
    request.target = "/api/a".to_owned();
    let token = token("u-1", &[]);
    assert_eq!(client.ask(request.field("authorization", &format!("Bearer {token}"))).unwrap().status, 200);
    assert_eq!(identity_of(&upstream.one()), ["x-auth-request-preferred-username: u-1", "x-auth-request-user: u-1"]);
}

#[test]
fn identity_headers_survive_a_connection_field_that_nominates_them() {
    let (upstream, gateway) = house();
    let token = token("u-1", &["user"]);
    for nominated in ["X-Auth-Request-User", "x-auth-request-user, x-auth-request-groups", "close, X-Auth-Request-User"]
    {
        let answer = gateway.ask(format!(
            "GET /api/a HTTP/1.1\r\nHost: app\r\nConnection: {nominated}\r\nX-Auth-Request-User: root\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        assert_eq!(answer.status, 200, "{nominated}");
        let seen = upstream.one();
        assert_eq!(
            (seen.field("x-auth-request-user"), seen.field("x-auth-request-groups")),
            ("u-1".into(), "user".into())
        );
        assert!(!seen.field("connection").contains("auth-request"));
    }
}

#[test]
fn a_nominated_field_is_neither_decided_on_nor_forwarded() {
    let upstream = Upstream::start();
    let routes = "
- { id: tenant, path: /t, rules: [ { id: own, owner: { header: X-Tenant } } ] }
- { id: api, path: /api, rules: [ { id: signed-in, roles: [authenticated] } ] }";
    let gateway = House::new(&upstream, routes).start();
    let token = token("u-1", &[]);
    let ask = |path: &str, connection: &str| {
        gateway.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: app\r\nX-Tenant: u-1\r\nConnection: {connection}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
    };
    assert_eq!(ask("/t", "keep-alive").status, 200);
    assert_eq!(upstream.one().field("x-tenant"), "u-1");
    ask("/t", "X-Tenant").is(403, "not_owner");
    ask("/api", "Authorization").is(401, "credential_missing");
    assert!(upstream.take().is_empty());
}

#[test]
fn identity_headers_in_trailers_do_not_arrive() {
    let (upstream, gateway) = house();
    let token = token("u-1", &[]);
    let answer = gateway.ask(format!(
        "POST /api/a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-Request-User\r\nAuthorization: Bearer {token}\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Auth-Request-User: root\r\nX-Auth-Request-Groups: admin\r\n\r\n"
    ));
    assert_eq!(answer.status, 200);
    let seen = upstream.one();
    assert_eq!((seen.body.as_slice(), seen.trailers.as_slice()), (&b"abc"[..], &b"\r\n"[..]));
    assert_eq!(seen.field("x-auth-request-user"), "u-1");

    let mut client = H2::connect(gateway.listener);
    let mut request =
        H2Request::new(Method::POST, "/api/a").field("authorization", &format!("Bearer {token}")).body("abc");
    request.trailers = HeaderMap::from_iter([("x-auth-request-user".parse().unwrap(), "root".parse().unwrap())]);
    assert_eq!(client.ask(request).unwrap().status, 200);
    let seen = upstream.one();
    assert_eq!(
        (seen.body.as_slice(), String::from_utf8(seen.trailers.clone()).unwrap().as_str()),
        (&b"abc"[..], "\r\n")
    );
    assert_eq!(seen.field("x-auth-request-user"), "u-1");
}

#[test]
fn identity_headers_are_stripped_on_every_attempt() {
    let upstream = Upstream::start();
    // Bound, never accepted from, and closed again: whoever connects is refused.
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = House::before(&[refusing, upstream.address()], ROUTES).start();
    let (token, spoofs) = (token("u-1", &[]), spoofs());
    for _ in 0..4 {
        let answer =
            gateway.ask(format!("GET /api/a HTTP/1.1\r\nHost: app\r\n{spoofs}Authorization: Bearer {token}\r\n\r\n"));
        assert_eq!(answer.status, 200);
        let seen = upstream.one();
        assert_eq!(identity_of(&seen), ["x-auth-request-preferred-username: u-1", "x-auth-request-user: u-1"]);
        assert!(!seen.has("authorization"));
    }
    assert!(
        gateway.metric("cogward_upstream_errors_total", &["kind=\"connect\""]) >= 1.0,
        "the first server was asked"
    );
}

#[test]
fn identity_headers_are_stripped_when_a_stale_connection_is_retried() {
    // A connection dies with its second request.
    let upstream = Upstream::with(|request, stream| request.place == 0 && ok(request, stream));
    let gateway = House::new(&upstream, ROUTES).start();
    let (token, spoofs) = (token("u-1", &[]), spoofs());
    let mut client = gateway.connect();
    eventually("a connection that is used twice", || {
        client.send(format!("GET /api/a HTTP/1.1\r\nHost: app\r\n{spoofs}Authorization: Bearer {token}\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
        let seen = upstream.take();
        for request in &seen {
            assert_eq!(identity_of(request), ["x-auth-request-preferred-username: u-1", "x-auth-request-user: u-1"]);
            assert!(!request.has("authorization"));
        }
        (seen.len() == 2).then_some(())
    });
}

#[test]
fn identity_headers_of_the_client_are_no_attributes() {
    let upstream = Upstream::start();
    // What a policy names is refused when it compiles; a condition that looks by another spelling finds nothing.
    let routes = r#"
- id: tricky
  path: /tricky
  rules:
    - { id: by-header, roles: [anyone], when: '"x_auth_request_user" in request.headers' }
    - { id: by-dots, roles: [anyone], when: '"x.auth.request.user" in request.headers' }
    - { id: by-method, roles: [anyone], when: '"x-http-method-override" in request.headers' }"#;
    let gateway = House::new(&upstream, routes).start();
    let answer = gateway.ask(
        "GET /tricky HTTP/1.1\r\nHost: app\r\nX_Auth_Request_User: root\r\nX.Auth.Request.User: root\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
    );
    answer.is(401, "credential_missing");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_claimed_client_certificate_reaches_neither_policies_nor_upstream() {
    let upstream = Upstream::start();
    let routes = r#"
- { id: public, path: '/public', rules: [ { id: everyone, roles: [anyone] } ] }
- id: tricky
  path: /tricky
  rules:
    - { id: by-field, roles: [anyone], when: '"client-cert" in request.headers || "client_cert" in request.headers' }
    - { id: by-chain, roles: [anyone], when: '"client-cert-chain" in request.headers' }"#;
    let gateway = House::new(&upstream, routes).start();
    let claims = ["Client-Cert", "client-cert", "Client_Cert", "client.cert", "Client-Cert-Chain", "CLIENT_CERT.CHAIN"];
    let fields: String = claims.iter().map(|name| format!("{name}: :MIIB:\r\n")).collect();
    gateway.ask(format!("GET /tricky HTTP/1.1\r\nHost: app\r\n{fields}\r\n")).is(401, "credential_missing");
    assert_eq!(gateway.ask(format!("GET /public HTTP/1.1\r\nHost: app\r\n{fields}\r\n")).status, 200);
    let mut client = H2::connect(gateway.listener);
    let claimed = |request: H2Request, name: &&str| request.field(&name.to_ascii_lowercase(), ":MIIB:");
    let over_http2 = |path| claims.iter().fold(H2Request::new(Method::GET, path), claimed);
    client.ask(over_http2("/tricky")).unwrap().is(401, "credential_missing");
    assert_eq!(client.ask(over_http2("/public")).unwrap().status, 200);
    let seen = upstream.take();
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert!(request.fields().iter().all(|(name, _)| !name.to_ascii_lowercase().starts_with("client")));
    }
}

#[test]
fn a_policy_that_reads_an_identity_header_does_not_compile() {
    let upstream = Upstream::start();
    let routes = "- { id: r, path: /r, rules: [ { id: own, owner: { header: X-Auth-Request-User } } ] }";
    let (code, said) = House::new(&upstream, routes).fails();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("routes.yaml"), "{said}");
}

#[test]
fn configured_identity_headers_are_set_and_their_aliases_removed() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set(
            "/identity_headers",
            json!({
                "X-User": "id", "X-Roles": "roles", "X-Kind": "kind", "X-Client": "client_id", "X-Pool": "provider",
                "X-Level": "custom:level", "X-Nothing": "custom:nothing",
            }),
        )
        .start();
    let token = signed(&with(access("u-1", &["a", "b"]), json!({ "custom:level": 7 })));
    let answer = gateway.ask(format!(
        "GET /api/a HTTP/1.1\r\nHost: app\r\nX_User: root\r\nx.user: root\r\nX-USER: root\r\nX-Nothing: x\r\nX_Nothing: x\r\n\
         X-Auth-Request-User: root\r\nX-User-Agent: kept\r\nAuthorization: Bearer {token}\r\n\r\n"
    ));
    assert_eq!(answer.status, 200);
    let seen = upstream.one();
    let value = |name: &str| seen.field(name);
    assert_eq!(
        ["x-user", "x-roles", "x-kind", "x-client", "x-pool", "x-level", "x-user-agent"].map(value),
        ["u-1", "a,b", "user", "example", "main", "7", "kept"]
    );
    for name in ["x_user", "x.user", "x-nothing", "x_nothing", "x-auth-request-user"] {
        assert!(!seen.has(name), "{name}");
    }
}

#[test]
fn an_email_is_told_only_when_it_is_verified() {
    let (upstream, gateway) = house();
    for (verified, expected) in [
        (json!(true), "ada@example.com"),
        (json!("true"), "ada@example.com"),
        (json!(false), ""),
        (json!("false"), ""),
        (json!(null), ""),
        (json!(1), ""),
    ] {
        let claims = json!({ "email": "ada@example.com", "email_verified": verified });
        assert_eq!(gateway.get("/api/a", &signed(&with(access("u-1", &[]), claims))).status, 200);
        assert_eq!(upstream.one().field("x-auth-request-email"), expected, "{verified}");
    }
}

#[test]
fn an_identity_that_does_not_fit_into_header_fields_is_refused() {
    let (upstream, gateway) = house();
    let large: Vec<_> = (0..400).map(|number| format!("group-{number:020}")).collect();
    for claims in [
        json!({ "cognito:groups": ["user,admin"] }),
        json!({ "username": "ada\r\nX-Auth-Request-Groups: admin" }),
        json!({ "username": "ada\tada" }),
    ] {
        gateway.get("/api/a", &signed(&with(access("u-1", &[]), claims))).is(403, "identity_not_representable");
    }
    // Nine kilobytes of groups need a larger token than the default lets in.
    let roomy = House::new(&upstream, ROUTES)
        .set("/limits", json!({ "token_bytes": "24KiB", "header_bytes": "64KiB" }))
        .start();
    let answer = roomy.get("/api/a", &signed(&with(access("u-1", &[]), json!({ "cognito:groups": large }))));
    answer.is(403, "identity_not_representable");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_name_beyond_ascii_goes_as_its_bytes() {
    let (upstream, gateway) = house();
    let token = signed(&with(access("u-1", &["Gäste"]), json!({ "username": "Adá 🦀" })));
    assert_eq!(gateway.get("/api/a", &token).status, 200);
    let seen = upstream.one();
    assert_eq!(seen.field("x-auth-request-preferred-username"), "Adá 🦀");
    assert_eq!(seen.field("x-auth-request-groups"), "Gäste");
}

#[test]
fn overrides_of_method_path_host_and_client_do_not_arrive() {
    let (upstream, gateway) = house();
    let names = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X_HTTP_Method_Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-Method",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
        "X-Forwarded-Method",
        "Forwarded",
        "X-Real-IP",
        "X-Original-Host",
        "X-Host",
        "Proxy",
        "True-Client-IP",
        "X_Forwarded_For",
        "X.Forwarded.Host",
        "Transfer_Encoding",
        "Content_Length",
        "Content.Length",
    ];
    let fields: String = names.iter().map(|name| format!("{name}: /admin\r\n")).collect();
    assert_eq!(gateway.ask(format!("GET /public/a HTTP/1.1\r\nHost: app\r\n{fields}X-Kept: 1\r\n\r\n")).status, 200);
    let seen = upstream.one();
    for name in names {
        assert!(!seen.has(&name.to_ascii_lowercase()), "{name}");
    }
    assert_eq!((seen.line(), seen.field("x-kept")), ("GET /public/a HTTP/1.1".to_owned(), "1".to_owned()));
}

#[test]
fn forwarded_fields_of_a_client_are_replaced() {
    let (upstream, gateway) = house();
    let answer = gateway.ask(
        "GET /public/a HTTP/1.1\r\nHost: app:8080\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = upstream.one();
    let values = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "host"].map(|name| seen.field(name));
    assert_eq!(values, ["127.0.0.1", "http", "app:8080", "app:8080"]);
}

#[test]
fn forwarded_fields_of_a_trusted_proxy_are_kept() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/trusted_proxies", json!(["127.0.0.0/8"])).start();
    let answer = gateway.ask(
        "GET /public/a HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = upstream.one();
    let values = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| seen.field(name));
    assert_eq!(values, ["203.0.113.7, 127.0.0.1", "https", "www.example"]);
}

#[test]
fn a_request_id_is_kept_when_it_is_well_formed_and_replaced_when_not() {
    let (upstream, gateway) = house();
    let ask = |fields: &str| {
        let answer = gateway.ask(format!("GET /public/a HTTP/1.1\r\nHost: app\r\n{fields}\r\n"));
        let id = upstream.one().field("x-request-id");
        assert_eq!(answer.field("x-request-id"), Some(id.as_str()));
        id
    };
    assert_eq!(ask("X-Request-Id: my-id_1.2\r\n"), "my-id_1.2");
    for fields in [
        "",
        "X-Request-Id: a b\r\n",
        "X-Request-Id: a\"b\r\n",
        "X-Request-Id: a\r\nX-Request-Id: b\r\n",
        "X-Request-Id:\r\n",
    ] {
        let made = ask(fields);
        assert!(made.len() > 16 && !made.contains([' ', '"', '|']), "{fields:?} {made}");
    }
}

#[test]
fn the_credential_that_authenticated_is_removed_and_others_stay() {
    let upstream = Upstream::start();
    let credentials = json!(["bearer", { "cookie": "session" }, { "header": "X-Token" }]);
    let house = || House::new(&upstream, ROUTES).set("/identity/credentials", credentials.clone());
    let token = token("u-1", &[]);
    let ways = [
        format!("Authorization: Bearer {token}\r\n"),
        format!("Cookie: a=1; session={token}; b=2\r\n"),
        format!("X-Token: {token}\r\n"),
    ];
    let gateway = house().start();
    let ask = |gateway: &Gateway, fields: &str| {
        assert_eq!(gateway.ask(format!("GET /api/a HTTP/1.1\r\nHost: app\r\n{fields}\r\n")).status, 200, "{fields}");
        upstream.one()
    };
    for way in &ways {
        let seen = ask(&gateway, way);
        assert!(!String::from_utf8_lossy(&seen.head).contains("eyJ"), "{way}");
    }
    assert_eq!(ask(&gateway, &ways[1]).field("cookie"), "a=1; b=2");
    assert!(!ask(&gateway, &format!("Cookie: session={token}\r\n")).has("cookie"));
    assert_eq!(ask(&gateway, &format!("{}Cookie: a=1\r\n", ways[0])).field("cookie"), "a=1");
    // Another scheme is no credential of the gateway, so it is the upstream's.
    let basic = gateway.ask("GET /public/a HTTP/1.1\r\nHost: app\r\nAuthorization: Basic dTpw\r\n\r\n");
    assert_eq!((basic.status, upstream.one().field("authorization")), (200, "Basic dTpw".to_owned()));

    let forwarding = house().set("/forward_credential", json!(true)).start();
    for (way, field) in ways.iter().zip(["authorization", "cookie", "x-token"]) {
        assert!(ask(&forwarding, way).field(field).contains(&token), "{field}");
    }
}

#[test]
fn every_default_identity_header_is_known_to_this_module() {
    let (upstream, gateway) = house();
    let claims = json!({ "email": "ada@example.com", "email_verified": true });
    assert_eq!(gateway.get("/api/a", &signed(&with(access("u-1", &["user"]), claims))).status, 200);
    let seen = upstream.one();
    assert_eq!(IDENTITY.map(|name| seen.field(name)), ["u-1", "u-1", "ada@example.com", "user"]);
    assert_eq!(identity_of(&seen).len(), IDENTITY.len());
    // The policies are found where the settings say, in the file that this harness writes.
    assert_eq!(std::fs::read_to_string(gateway.path("policies/routes.yaml")).unwrap(), routes_file(ROUTES));
}
