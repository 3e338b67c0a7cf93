//! TLS from outside: certificates that are renewed, and clients that show theirs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};

use crate::support::{Gateway, House, Upstream, eventually, run};

const NAME: &str = "gateway.example";

const ROUTES: &str = r#"- { id: open, path: /open, rules: [ { id: everyone, roles: [anyone] } ] }
- id: ci
  path: /ci
  rules: [ { id: ci, roles: [anyone], when: '"ci.example" in request.client_certificate.dns_names' } ]
- id: shown
  path: /shown
  rules:
    - { id: shown, roles: [anyone], when: 'has(request.client_certificate)' }
    - { id: not-bob, effect: deny, when: 'has(request.client_certificate) && request.client_certificate.subject == "CN=bob,O=Example"' }"#;

/// A certificate and its key, as PEM.
#[derive(Clone)]
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn of(params: CertificateParams, issuer: Option<&Issuer<'static, KeyPair>>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer),
            None => params.self_signed(&key),
        };
        Self { certificate: certificate.unwrap().pem(), key: key.serialize_pem() }
    }

    /// For a server of that name, until the start of that year.
    fn server(name: &str, year: i32) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        Self::of(params, None)
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    fn client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::DnsName(format!("{name}.example").try_into().unwrap())];
        Pair::of(params, Some(&self.issuer))
    }
}

/// A client that trusts this server, and shows that certificate.
fn client(trusted: &Pair, shown: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![pair.der()], key).unwrap()
        }
    })
}

/// Asks on a connection of its own: the status, or why there is none.
fn ask(address: SocketAddr, client: &Arc<ClientConfig>, name: &str, path: &str) -> std::io::Result<u16> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    let session = ClientConnection::new(Arc::clone(client), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, tcp);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::ConnectionAborted.into())
}

/// A gateway with one TLS listener that serves the files `tls.pem` and `tls.key`.
fn house(server: &Pair, more: Value) -> (Upstream, House) {
    let upstream = Upstream::start();
    let mut tls = json!({ "certificate": "tls.pem", "private_key": "tls.key" });
    tls.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let house = House::new(&upstream, ROUTES).set("/listeners/0/tls", tls);
    (upstream, house.file("tls.pem", &server.certificate).file("tls.key", &server.key))
}

fn write(gateway: &Gateway, name: &str, pair: &Pair) {
    gateway.write(&format!("{name}.pem"), &pair.certificate);
    gateway.write(&format!("{name}.key"), &pair.key);
}

fn expiry(gateway: &Gateway) -> f64 {
    gateway.metric("cogward_certificate_expiry_timestamp_seconds", &[&gateway.listener.to_string()])
}

fn start_of(year: i32) -> f64 {
    date_time_ymd(year, 1, 1).unix_timestamp() as f64
}

#[test]
fn a_renewed_certificate_serves_without_a_restart_and_a_bad_one_changes_nothing() {
    let (old, new) = (Pair::server(NAME, 2050), Pair::server(NAME, 2051));
    let (_upstream, house) = house(&old, json!({}));
    let gateway = house.start();
    let open = |pair: &Pair| ask(gateway.listener, &client(pair, None), NAME, "/open");
    assert_eq!((open(&old).unwrap(), expiry(&gateway)), (200, start_of(2050)));

    write(&gateway, "tls", &new);
    eventually("the new certificate", || open(&new).ok().filter(|status| *status == 200));
    assert!(open(&old).is_err());
    assert_eq!(expiry(&gateway), start_of(2051));
    assert_eq!(gateway.metric("cogward_reloads_total", &["rejected"]), 0.0);

    gateway.write("tls.key", &old.key);
    let rejected = eventually("the rejection", || {
        Some(gateway.status()["last_rejected"].clone()).filter(|told| told["pending"] == true)
    });
    assert!(rejected.to_string().contains("T004"), "{rejected}");
    assert_eq!(gateway.metric("cogward_reloads_total", &["rejected"]), 1.0);
    assert_eq!((open(&new).unwrap(), expiry(&gateway)), (200, start_of(2051)));
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    let log = gateway.log();
    assert!(log.contains("T004") && !log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_hang_up_looks_at_certificates_where_no_event_comes() {
    let (old, new) = (Pair::server(NAME, 2050), Pair::server(NAME, 2051));
    let (_upstream, house) = house(&old, json!({}));
    // A folder far above is replaced: nobody watches there.
    let nested = |name: &str| json!(format!("outer/inner/tls.{name}"));
    let house =
        house.set("/listeners/0/tls/certificate", nested("pem")).set("/listeners/0/tls/private_key", nested("key"));
    let house = house.set("/policies/poll", json!("1h"));
    let house = [("outer", &old), ("next", &new)].into_iter().fold(house, |house, (outer, pair)| {
        let house = house.file(&format!("{outer}/inner/tls.pem"), &pair.certificate);
        house.file(&format!("{outer}/inner/tls.key"), &pair.key)
    });
    let gateway = house.start();
    std::fs::rename(gateway.path("outer"), gateway.path("old")).unwrap();
    std::fs::rename(gateway.path("next"), gateway.path("outer")).unwrap();
    gateway.signal("HUP");
    eventually("the new certificate", || ask(gateway.listener, &client(&new, None), NAME, "/open").ok());
}

#[test]
fn certificates_are_added_and_taken_away_without_a_restart() {
    let (default, shop) = (Pair::server(NAME, 2050), Pair::server("shop.example", 2049));
    let (_upstream, house) = house(&default, json!({}));
    let gateway = house.start();
    let shopping = || ask(gateway.listener, &client(&shop, None), "shop.example", "/open");
    assert!(shopping().is_err());
    write(&gateway, "shop", &shop);
    let mut settings = gateway.settings();
    settings["listeners"][0]["tls"]["certificates"] = json!([{ "certificate": "shop.pem", "private_key": "shop.key" }]);
    gateway.write("cogward.yaml", &settings.to_string());
    eventually("the further certificate", || shopping().ok().filter(|status| *status == 200));
    assert_eq!(expiry(&gateway), start_of(2049));
    assert_eq!(ask(gateway.listener, &client(&default, None), NAME, "/open").unwrap(), 200);
    assert_eq!(gateway.status()["restart_needed"], json!([]));
    gateway.write("cogward.yaml", &gateway.settings().to_string());
    eventually("its end", || shopping().is_err().then_some(()));
    // Plain text in its place is another listener.
    settings["listeners"][0].as_object_mut().unwrap().remove("tls");
    gateway.write("cogward.yaml", &settings.to_string());
    eventually("the restart", || (gateway.status()["restart_needed"] == json!(["listeners.tls"])).then_some(()));
    assert_eq!(ask(gateway.listener, &client(&default, None), NAME, "/open").unwrap(), 200);
}

#[test]
fn policies_decide_by_the_clients_certificate() {
    let (server, authority) = (Pair::server(NAME, 2050), Authority::new());
    let (upstream, house) = house(&server, json!({ "client_certificates": { "ca": "ca.pem" } }));
    let gateway = house.file("ca.pem", &authority.pem).start();
    let (ci, bob, stranger) = (authority.client("ci"), authority.client("bob"), Authority::new().client("ci"));
    let status = |shown: Option<&Pair>, path: &str| ask(gateway.listener, &client(&server, shown), NAME, path).ok();
    for (shown, path, expected) in [
        (Some(&ci), "/ci", Some(200)),
        (Some(&ci), "/shown", Some(200)),
        (Some(&bob), "/ci", Some(401)),
        (Some(&bob), "/shown", Some(401)),
        // Without a certificate the condition of `ci` cannot be evaluated: it grants nothing.
        (None, "/ci", Some(401)),
        (None, "/shown", Some(401)),
        (None, "/open", Some(200)),
        // A certificate that is not believed is not treated like none.
        (Some(&stranger), "/open", None),
        (Some(&stranger), "/ci", None),
    ] {
        upstream.take();
        assert_eq!(status(shown, path), expected, "{path}");
        assert_eq!(upstream.take().len(), usize::from(expected == Some(200)), "{path}");
    }
    assert_eq!(gateway.metric("cogward_tls_handshakes_total", &["ok"]), 7.0);
    assert_eq!(gateway.metric("cogward_tls_handshakes_total", &["failed"]), 2.0);
    // What strangers send is no error of the gateway.
    assert!(!gateway.log().contains("\"ERROR\""), "{}", gateway.log());
}

#[test]
fn an_authority_that_is_replaced_vouches_for_nobody_any_more() {
    let (server, old, new) = (Pair::server(NAME, 2050), Authority::new(), Authority::new());
    let (_upstream, house) = house(&server, json!({ "client_certificates": { "ca": "ca.pem", "required": true } }));
    let gateway = house.file("ca.pem", &old.pem).start();
    // One configuration each: it resumes the session of the time before.
    let (of_old, of_new) = (client(&server, Some(&old.client("ci"))), client(&server, Some(&new.client("ci"))));
    let nobody = client(&server, None);
    let ci = |client: &Arc<ClientConfig>| ask(gateway.listener, client, NAME, "/ci").ok();
    assert_eq!([ci(&of_old), ci(&of_old), ci(&of_new), ci(&nobody)], [Some(200), Some(200), None, None]);
    gateway.write("ca.pem", &new.pem);
    eventually("the new authority", || ci(&of_new));
    assert_eq!([ci(&of_old), ci(&of_new), ci(&nobody)], [None, Some(200), None]);
    gateway.write("ca.pem", "");
    eventually("the rejection", || (gateway.status()["last_rejected"]["pending"] == true).then_some(()));
    assert_eq!([ci(&of_old), ci(&of_new), ci(&nobody)], [None, Some(200), None]);
}

#[test]
fn validate_looks_at_certificates_and_serve_ends_with_1() {
    let (server, other) = (Pair::server(NAME, 2050), Pair::server(NAME, 2050));
    let (_upstream, good) = house(&server, json!({}));
    let gateway = good.start();
    let config = gateway.path("cogward.yaml");
    let validate = ["validate", "--config", config.to_str().unwrap()];
    assert_eq!(run(&validate).0, Some(0));
    write(&gateway, "tls", &Pair::server(NAME, 2020));
    let (code, said) = run(&validate);
    assert!(code == Some(0) && said.contains("warning[T006]"), "{code:?} {said}");
    gateway.write("tls.key", &other.key);
    let (code, said) = run(&validate);
    assert!(code == Some(3) && said.contains("error[T004]"), "{code:?} {said}");
    std::fs::remove_file(gateway.path("tls.key")).unwrap();
    let (code, said) = run(&validate);
    assert!(code == Some(3) && said.contains("error[T001]") && said.contains("tls.key"), "{code:?} {said}");

    let (_upstream, bad) = house(&Pair { key: other.key, ..server }, json!({}));
    let (code, said) = bad.fails();
    assert!(code == Some(1) && said.contains("error[T004]"), "{code:?} {said}");
}

#[test]
fn the_decision_api_answers_callers_with_a_certificate_of_its_authority_only() {
    let (server, authority, stranger) = (Pair::server(NAME, 2050), Authority::new(), Authority::new());
    let (_upstream, house) = house(&server, json!({}));
    let tls = json!({ "certificate": "tls.pem", "private_key": "tls.key", "client_ca": "ca.pem" });
    let api = json!({ "address": "127.0.0.1:0", "grpc_address": "127.0.0.1:0", "tls": tls });
    let gateway = house.file("ca.pem", &authority.pem).set("/decision_api/cerbos", api).start();
    let address = gateway.api("Http");
    let asked = |shown: Option<&Pair>| ask(address, &client(&server, shown), NAME, "/api/server_info");
    assert_eq!(asked(Some(&authority.client("ci"))).unwrap(), 200);
    assert!(asked(None).is_err());
    assert!(asked(Some(&stranger.client("ci"))).is_err());
    // The authorities are taken over like all files.
    gateway.write("ca.pem", &stranger.pem);
    eventually("the new authority", || asked(Some(&stranger.client("ci"))).ok().filter(|status| *status == 200));
    assert!(asked(Some(&authority.client("ci"))).is_err());
}
