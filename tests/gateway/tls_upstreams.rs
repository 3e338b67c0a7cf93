//! Upstreams behind TLS and HTTP/2: who is not who he must be is not spoken to, and never more weakly instead.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Response};
use pingora_rustls::{
    CertificateDer, PrivateKeyDer, RootCertStore, ServerConfig, TlsAcceptor, WebPkiClientVerifier,
    install_default_crypto_provider,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{Gateway, H2, H2Request, House, eventually};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', upstream: app, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: other, path: '/other/{rest..}', upstream: other, rules: [ { id: everyone, roles: [anyone] } ] }";

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names, and its key.
    fn certify(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Identity {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.der().to_vec(), pem: certificate.pem(), key }
    }
}

struct Identity {
    certificate: Vec<u8>,
    pem: String,
    key: KeyPair,
}

fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    Identity { certificate: certificate.der().to_vec(), pem: certificate.pem(), key }
}

/// What a server speaks.
#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http1,
    Http2,
    /// TLS without ALPN, HTTP/1 behind it.
    Neither,
}

/// A server, and the client certificates that it was shown: one entry a request, the protocol before it.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn tls(identity: &Identity, speaks: Speaks, clients: Option<&Authority>) -> Self {
        install_default_crypto_provider();
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(pem_of(&authority.pem))).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let mut config =
            builder.with_single_cert(vec![CertificateDer::from(identity.certificate.clone())], key).unwrap();
        config.alpn_protocols = match speaks {
            Speaks::Http1 => vec![b"http/1.1".to_vec()],
            Speaks::Http2 => vec![b"h2".to_vec()],
            Speaks::Neither => Vec::new(),
        };
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), speaks)
    }

    fn start(tls: Option<TlsAcceptor>, speaks: Speaks) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let connections = Arc::<Mutex<usize>>::default();
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, log) = (tls.clone(), Arc::clone(&log));
                *count.lock().unwrap() += 1;
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, speaks, "plain", &log).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                            serve(stream, speaks, if shown > 0 { "known" } else { "unknown" }, &log).await;
                        }
                    }
                });
            }
        });
        Self { address, seen, connections, _runtime: runtime }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    speaks: Speaks,
    who: &str,
    log: &Mutex<Vec<String>>,
) {
    if speaks == Speaks::Http2 {
        serve_http2(stream, who, log).await;
    } else {
        serve_http1(stream, who, log).await;
    }
}

async fn serve_http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, who: &str, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap()).into_owned();
            log.lock().unwrap().push(format!("{who} {line}"));
            head.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
            let _ = stream.flush().await;
        }
    }
}

/// Answers with what it was sent, and with trailers.
async fn serve_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    who: &str,
    log: &Mutex<Vec<String>>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, mut body) = request.into_parts();
        let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
        log.lock().unwrap().push(format!("{who} {} {} {authority}", head.method, head.uri.path()));
        tokio::spawn(async move {
            let mut whole = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                let _ = body.flow_control().release_capacity(chunk.len());
                whole.extend_from_slice(&chunk);
            }
            let answer = Response::builder().header("x-protocol", "h2").body(()).unwrap();
            let Ok(mut out) = respond.send_response(answer, false) else { return };
            let _ = out.send_data(Bytes::from(whole), false);
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", http::HeaderValue::from_static("1"));
            let _ = out.send_trailers(trailers);
        });
    }
}

fn pem_of(pem: &str) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// A gateway before `server`, as `https://HOST`, with these settings of the upstream.
fn gateway(server: &Server, host: &str, files: &[(&str, &str)], settings: Value) -> Gateway {
    house(server, host, files, settings).start()
}

fn house(server: &Server, host: &str, files: &[(&str, &str)], settings: Value) -> House {
    let port = server.address.port();
    let mut app = json!({ "id": "app", "endpoints": [format!("https://{host}:{port}")], "timeouts": { "read": "2s" } });
    app.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let mut other = app.clone();
    other["id"] = json!("other");
    other.as_object_mut().unwrap().remove("tls");
    let house = House::before(&[server.address], ROUTES).set("/upstreams", json!([app, other]));
    files.iter().fold(house, |house, (name, text)| house.file(name, text))
}

#[test]
fn an_upstream_that_cannot_prove_its_name_is_502_and_receives_nothing() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let past = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    };
    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    let tls = || json!({ "tls": { "ca": "ca.pem" } });
    let named = |name: &str| json!({ "tls": { "ca": "ca.pem", "server_name": name } });
    let good = |names: &[&str]| ours.certify(names, |_| {});
    for (what, identity, host, settings, works) in [
        ("the host", good(&["localhost"]), "localhost", tls(), true),
        ("an address", good(&["127.0.0.1"]), "127.0.0.1", tls(), true),
        ("a server name", good(&["app.internal"]), "127.0.0.1", named("app.internal"), true),
        ("a server name that is an address", good(&["192.0.2.7"]), "127.0.0.1", named("192.0.2.7"), true),
        ("a wildcard", good(&["*.apps.internal"]), "127.0.0.1", named("app.apps.internal"), true),
        ("another host", good(&["other.example"]), "localhost", tls(), false),
        ("the host instead of the server name", good(&["localhost"]), "localhost", named("app.internal"), false),
        ("a name instead of the address", good(&["localhost"]), "127.0.0.1", tls(), false),
        ("a wildcard too deep", good(&["*.apps.internal"]), "127.0.0.1", named("a.b.apps.internal"), false),
        ("another authority", theirs.certify(&["localhost"], |_| {}), "localhost", tls(), false),
        ("nobody", self_signed("localhost"), "localhost", tls(), false),
        ("the past", ours.certify(&["localhost"], past), "localhost", tls(), false),
        ("the future", ours.certify(&["localhost"], future), "localhost", tls(), false),
        ("the platform's authorities", good(&["localhost"]), "localhost", json!({}), false),
    ] {
        let server = Server::tls(&identity, Speaks::Http1, None);
        let gateway = gateway(&server, host, &[("ca.pem", &ours.pem)], settings);
        for _ in 0..2 {
            let answer = gateway.get_anonymously("/open/a");
            println!("{what}: {}", answer.status);
            if works {
                assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()), "{what}\n{}", gateway.log());
            } else {
                answer.is(502, "upstream_unreachable");
            }
        }
        assert_eq!(server.take().len(), if works { 2 } else { 0 }, "{what}");
        // An operator is told why.
        if !works {
            eventually("the reason in the log", || gateway.log().contains("invalid peer certificate").then_some(()));
        }
        let errors = gateway.metric("cogward_upstream_errors_total", &["kind=\"tls\""]);
        assert_eq!(errors > 0.0, !works, "{what}");
    }
}

#[test]
fn a_connection_that_one_upstream_may_use_serves_no_other() {
    // `other` believes the platform's authorities only; the connections of `app` must not be its way in.
    let authority = Authority::new("ours");
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let server = Server::tls(&authority.certify(&["127.0.0.1"], |_| {}), speaks, None);
        let protocol = if speaks == Speaks::Http2 { "http2" } else { "http1" };
        let settings = json!({ "tls": { "ca": "ca.pem" }, "protocol": protocol });
        let gateway =
            house(&server, "127.0.0.1", &[("ca.pem", &authority.pem)], settings).set("/threads", json!(1)).start();
        for _ in 0..5 {
            assert_eq!(gateway.get_anonymously("/open/a").status, 200, "{}", gateway.log());
            gateway.get_anonymously("/other/a").is(502, "upstream_unreachable");
        }
        assert_eq!(server.take().len(), 5);
    }
}

#[test]
fn the_gateway_shows_its_certificate_and_a_new_one_without_restart() {
    let (servers, clients, strangers) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("strangers"));
    let server = Server::tls(&servers.certify(&["127.0.0.1"], |_| {}), Speaks::Http1, Some(&clients));
    let (good, bad) = (clients.certify(&["gateway"], |_| {}), strangers.certify(&["gateway"], |_| {}));
    let tls = json!({ "ca": "ca.pem", "certificate": "gateway.pem", "private_key": "gateway.key" });
    let (good_key, bad_key) = (good.key.serialize_pem(), bad.key.serialize_pem());
    let files = [("ca.pem", &*servers.pem), ("gateway.pem", &*bad.pem), ("gateway.key", &*bad_key)];
    let gateway =
        house(&server, "127.0.0.1", &files, json!({ "tls": tls })).set("/policies/poll", json!("200ms")).start();
    gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
    assert!(server.take().is_empty());
    // The two files are written one after the other: between them they are no pair, and nothing changes.
    gateway.write("gateway.pem", &good.pem);
    eventually("the refusal of a half", || gateway.log().contains("F031").then_some(()));
    gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
    gateway.write("gateway.key", &good_key);
    eventually("the new certificate", || (gateway.get_anonymously("/open/a").status == 200).then_some(()));
    assert!(server.take().iter().all(|line| line.starts_with("known ")));
    // A file that is broken later does not end what works.
    gateway.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    eventually("the refusal", || gateway.log().contains("F030").then_some(()));
    assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    assert!(!gateway.log().contains("PRIVATE KEY"));
}

#[test]
fn files_that_cannot_be_used_end_the_start_with_3() {
    let authority = Authority::new("ours");
    let server = Server::tls(&self_signed("a"), Speaks::Http1, None);
    let client = authority.certify(&["gateway"], |_| {});
    let (pem, key, other) = (&*client.pem, client.key.serialize_pem(), KeyPair::generate().unwrap().serialize_pem());
    for (ca, certificate, private_key, code) in [
        (None, pem, &*key, "F001"),
        (Some("hello"), pem, &*key, "F030"),
        (Some(""), pem, &*key, "F030"),
        (Some(&*authority.pem), "hello", &*key, "F031"),
        (Some(&*authority.pem), pem, "hello", "F031"),
        (Some(&*authority.pem), pem, &*other, "F031"),
    ] {
        let files: Vec<_> =
            ca.iter().map(|ca| ("ca.pem", *ca)).chain([("c.pem", certificate), ("k.pem", private_key)]).collect();
        let tls = json!({ "tls": { "ca": "ca.pem", "certificate": "c.pem", "private_key": "k.pem" } });
        let (exit, said) = house(&server, "127.0.0.1", &files, tls).fails();
        assert_eq!(exit, Some(3), "{said}");
        assert!(said.contains(code) && !said.contains("panicked") && !said.contains("BEGIN"), "{code}: {said}");
    }
}

#[test]
fn an_upstream_that_does_not_speak_http2_is_refused() {
    let authority = Authority::new("ours");
    let identity = authority.certify(&["127.0.0.1"], |_| {});
    for speaks in [Speaks::Http1, Speaks::Neither] {
        let server = Server::tls(&identity, speaks, None);
        let settings = json!({ "tls": { "ca": "ca.pem" }, "protocol": "http2" });
        let gateway = gateway(&server, "127.0.0.1", &[("ca.pem", &authority.pem)], settings);
        for _ in 0..3 {
            gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
        }
        assert!(server.take().is_empty(), "no fallback");
        if speaks == Speaks::Neither {
            let told = || gateway.log().matches("set `protocol: http1`").count();
            eventually("what to do", || (told() > 0).then_some(()));
            assert_eq!(told(), 1, "once, not with each request");
        }
    }
    // In the clear there is no ALPN: the server is spoken to in HTTP/2, and what it says is no answer.
    let server = Server::start(None, Speaks::Http1);
    let gateway = House::before(&[server.address], &ROUTES.replace("other, rules", "app, rules"))
        .set("/upstreams/0/protocol", json!("http2"))
        .start();
    let answer = gateway.get_anonymously("/open/a");
    assert!(matches!(answer.status, 502 | 504), "{answer:?}");
}

#[test]
fn http2_upstreams_answer_both_kinds_of_clients() {
    let authority = Authority::new("ours");
    let tls = Server::tls(&authority.certify(&["127.0.0.1"], |_| {}), Speaks::Http2, None);
    let plain = Server::start(None, Speaks::Http2);
    let settings = json!({ "tls": { "ca": "ca.pem" }, "protocol": "http2" });
    let by_alpn = gateway(&tls, "127.0.0.1", &[("ca.pem", &authority.pem)], settings);
    let by_knowledge = House::before(&[plain.address], &ROUTES.replace("other, rules", "app, rules"))
        .set("/upstreams/0/protocol", json!("http2"))
        .start();
    for (gateway, server) in [(by_alpn, tls), (by_knowledge, plain)] {
        let answer = gateway.ask("POST /open/a%20b?c HTTP/1.1\r\nHost: app:80\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!((answer.status, answer.text(), answer.field("x-protocol")), (200, "abc".to_owned(), Some("h2")));
        let seen = server.take();
        assert!(seen[0].ends_with(" POST /open/a%20b app:80"), "{seen:?}");
        let chunked = gateway
            .ask("POST /open/b HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(chunked.text(), "abc");
        let head = gateway
            .ask("GET /open/c HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nKeep-Alive: 1\r\n\r\n");
        assert_eq!(head.status, 200);
        let mut client = H2::connect(gateway.listener);
        // More than every window on the way.
        let large = vec![7_u8; 9 << 20];
        let answer = client.ask(H2Request::new(Method::PUT, "/open/d").body(large.clone())).unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, large.len()), "{}", gateway.audit_now().last().unwrap());
        assert!(answer.body == large);
        for _ in 0..30 {
            assert_eq!(client.get("/open/e", None).unwrap().status, 200);
        }
        assert_eq!(server.take().last().unwrap().rsplit(' ').next(), Some("app"), "the authority goes on");
        assert!(server.connections() < 10, "{}", server.connections());
    }
}

#[test]
fn health_checks_speak_the_protocol_of_the_upstream() {
    let authority = Authority::new("ours");
    for (speaks, protocol) in [(Speaks::Http1, "http1"), (Speaks::Http2, "http2")] {
        let server = Server::tls(&authority.certify(&["127.0.0.1"], |_| {}), speaks, None);
        let check = json!({ "path": "/healthz", "interval": "100ms", "unhealthy": 1, "healthy": 1 });
        let settings = json!({ "tls": { "ca": "ca.pem" }, "protocol": protocol, "health_check": check });
        let gateway = gateway(&server, "127.0.0.1", &[("ca.pem", &authority.pem)], settings);
        eventually("a check", || server.take().iter().any(|line| line.contains("GET /healthz")).then_some(()));
        let states = || gateway.status()["upstreams"].clone();
        // `other` does not believe the authority: its own checks fail, and those of `app` do not.
        eventually("both colours", || {
            let states = states();
            let state = |upstream: usize| states[upstream]["servers"][0]["state"].clone();
            (state(0) == "available" && state(1) == "unhealthy").then_some(())
        });
        assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    }
}
