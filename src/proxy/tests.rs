//! What no request from outside can bring about: an exchange without a permit, a server without a name.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Method};

use super::*;
use crate::{
    config::{AuditDestination, Endpoint, Settings},
    gate::Seen,
    policy::World,
    request::{Headers, Host, RequestView, Target},
    telemetry::{AuditSink, Metrics},
    time::UnixTime,
    token::KeyRing,
    yaml::SourceFile,
};

const SETTINGS: &str = r#"
identity: { providers: [ { id: main, cognito: { user_pool_id: eu-west-1_Main00000, client_ids: [web] } } ] }
upstreams: [ { id: app, endpoints: ["https://192.0.2.1", "https://[2001:db8::1]:444"] } ]
"#;
const ROUTES: &str = "
apiVersion: cogward/v1
routes: [ { id: open, path: /open, methods: [GET], rules: [ { id: everyone, roles: [anyone] } ] } ]
";

fn source(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

fn settings() -> Settings {
    let (settings, report) = Settings::compile(&source("cogward.yaml", SETTINGS), &|_| None);
    settings.unwrap_or_else(|| panic!("{report}"))
}

fn serving(settings: Settings) -> Serving {
    let providers: Vec<_> = settings.identity.providers.iter().map(|one| one.provider.id.clone()).collect();
    let world = World {
        providers: &providers,
        upstreams: &["app".to_owned()],
        identity_headers: &[],
        credential_headers: &[],
        allow_empty: false,
    };
    let (policies, report) = PolicySet::compile(&[source("routes.yaml", ROUTES)], &world);
    let policies = Arc::new(policies.unwrap_or_else(|| panic!("{report}")));
    Serving::of(
        Parts { number: 1, settings: Arc::new(settings), policies, keys: Arc::new(KeyRing::new(vec![None])) },
        None,
    )
}

fn permit(serving: &Serving) -> Permit {
    let host = Host::parse(b"app").unwrap();
    let target = Target::parse(b"/open", &host).unwrap();
    let fields = HeaderMap::new();
    let view = RequestView {
        method: &Method::GET,
        host: &host,
        path: &target.path,
        query: target.query(),
        headers: Headers::new(&fields),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        websocket: false,
    };
    let admitted = serving.generation.admit(&view, Body::Unread, UnixTime::from_seconds(0), &mut Seen::default());
    let Ok(Admission::Permit(permit)) = admitted else { panic!("{admitted:?}") };
    permit
}

#[test]
fn an_exchange_that_was_not_admitted_has_no_peer() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let audit = AuditSink::open(&AuditDestination::Off, Arc::clone(&metrics)).unwrap();
    let telemetry = Arc::new(Telemetry { metrics, audit });
    let mut exchange = Exchange::new(Arc::clone(&telemetry), Arc::new(serving(settings())));
    assert!(exchange.next_peer().is_err());
    assert!(exchange.admission().is_err());
    assert!(exchange.count_body(1, true).is_err());
    exchange.settle(Denial::NoRoute);
    assert!(exchange.next_peer().is_err());
    assert!(exchange.admission().is_err());
}

#[test]
fn a_tls_peer_always_has_a_name() {
    let serving = serving(settings());
    let permit = permit(&serving);
    let upstream = serving.upstreams.get(permit.route().upstream).unwrap();
    let mut names: Vec<_> = (0..2).map(|_| upstream.peer(&permit, false).unwrap().1.sni).collect();
    names.sort();
    assert_eq!(names, ["192.0.2.1", "2001:db8::1"]);

    // No settings compile to a server without a name; should one come about, it has no peer rather than one that nobody verifies.
    let mut settings = settings();
    settings.upstreams[0].endpoints = vec![Endpoint { tls: true, host: String::new(), port: 443 }];
    let serving = self::serving(settings);
    assert!(serving.upstreams.get(0).unwrap().peer(&permit, false).is_none());
}

#[test]
fn what_a_filter_put_back_is_stripped_from_the_copy_that_is_sent() {
    let serving = Arc::new(serving(settings()));
    let mut request = RequestHeader::build("GET", b"/open?a", None).unwrap();
    request.insert_header("host", "app").unwrap();
    let peer = reading::Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), secure: false };
    let admitted = exchange::Admitted {
        permit: permit(&serving),
        reading: Reading::of(&request, peer, &serving.generation).unwrap(),
        wire_target: "/open?a".to_owned(),
        request_id: request_id::RequestId::new(),
        serving,
    };
    for name in ["X-Auth-Request-User", "X_Auth_Request_Groups", "X-HTTP-Method-Override", "Transfer_Encoding"] {
        request.insert_header(name, "root").unwrap();
    }
    forward::apply(&mut request, &admitted, &crate::config::UpstreamHost::Preserve).unwrap();
    let mut names: Vec<_> = request.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"]);
}
