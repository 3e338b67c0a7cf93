//! TLS listeners, with certificates made here.

mod clients;

use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::ResolvesClientCert,
    pki_types::ServerName,
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{
    certificates::{Files, Issued, pair, server, settings},
    *,
};
use crate::config::TlsSettings;
use pingora_rustls::{ClientTlsStream, TlsConnector};

const NAME: &str = "gateway.example";

/// A running edge with one TLS listener.
struct TlsHouse {
    house: House,
    slot: Arc<TlsSlot>,
}

impl TlsHouse {
    async fn new(files: &Files, settings: TlsSettings) -> Self {
        let tls = files.compiled(&settings);
        let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: Some(settings) };
        let house = House::with(limits(), listener).await;
        let slot = house.slot.clone().unwrap();
        slot.set(&tls);
        Self { house, slot }
    }

    /// One pair for [`NAME`].
    async fn plain() -> (Self, Issued) {
        let issued = server(&[NAME]);
        (Self::new(&Files::default().with("a", &issued), settings("a")).await, issued)
    }

    async fn connect(&self, client: &Arc<ClientConfig>, name: &str) -> std::io::Result<ClientTlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.house.address).await?;
        TlsConnector::from(client.clone()).connect(ServerName::try_from(name.to_owned()).unwrap(), tcp).await
    }

    /// Connects, asks once, and gives the answer and how the session came about.
    async fn ask(&self, client: &Arc<ClientConfig>, path: &str) -> std::io::Result<(String, HandshakeKind)> {
        let mut stream = self.connect(client, NAME).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the edge closes")?;
        let text = String::from_utf8(bytes).unwrap();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        // Closed without an answer and without a word of TLS: refused.
        let body = body.ok_or(std::io::ErrorKind::ConnectionAborted)?;
        Ok((body, stream.get_ref().1.handshake_kind().unwrap()))
    }

    fn handshakes(&self) -> Vec<Handshake> {
        let handshake = |event| if let EdgeEvent::Handshake(how) = event { Some(how) } else { None };
        self.house.events().into_iter().filter_map(handshake).collect()
    }
}

/// Shows a certificate whatever the server asks for, and whatever is wrong with it.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl Shown {
    fn of(issued: &Issued) -> Self {
        let key = rustls::crypto::ring::sign::any_supported_type(&issued.private_key()).unwrap();
        Self(Arc::new(CertifiedKey::new(vec![issued.der.clone()], key)))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A client that trusts these, and shows that certificate.
fn client(
    trusted: &[&Issued],
    shown: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for issued in trusted {
        roots.add(issued.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(Shown::of(shown))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A client of either version, without protocols of its own.
fn plain_client(trusted: &[&Issued]) -> Arc<ClientConfig> {
    client(trusted, None, &[&TLS13, &TLS12], &[])
}

#[tokio::test]
async fn http1_is_served_over_tls_and_a_filter_knows_the_server_name() {
    let (house, issued) = TlsHouse::plain().await;
    for alpn in [&[b"http/1.1".as_slice()][..], &[]] {
        let mut stream = house.connect(&client(&[&issued], None, &[&TLS13, &TLS12], alpn), NAME).await.unwrap();
        stream.write_all(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let told = answer(&mut stream).await;
        assert!(told.ends_with("127.0.0.1 true Some(\"gateway.example\")"), "{told}");
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(house.handshakes(), [Handshake::Done; 2]);
}

#[tokio::test]
async fn http2_is_served_by_alpn() {
    let (house, issued) = TlsHouse::plain().await;
    for version in [&TLS12, &TLS13] {
        let offering = client(&[&issued], None, &[version], &[b"http/1.1", b"h2"]);
        let stream = house.connect(&offering, NAME).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let mut sender = http2::client(stream).await;
        let told = http2::get(&mut sender, "https://gateway.example/facts").await;
        assert_eq!(told, "127.0.0.1 true Some(\"gateway.example\")");
    }
}

#[tokio::test]
async fn a_client_that_offers_only_unknown_protocols_is_refused() {
    let (house, issued) = TlsHouse::plain().await;
    for alpn in [&[b"http/1.0".as_slice()][..], &[b"acme-tls/1", b"h3"]] {
        let error = house.connect(&client(&[&issued], None, &[&TLS13, &TLS12], alpn), NAME).await.unwrap_err();
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    }
    assert_eq!(house.handshakes(), [Handshake::Failed; 2]);
}

#[tokio::test]
async fn a_preface_by_prior_knowledge_is_refused_over_tls() {
    let (house, issued) = TlsHouse::plain().await;
    let offering = client(&[&issued], None, &[&TLS13], &[b"http/1.1"]);
    let mut stream = house.connect(&offering, NAME).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert_refused(&answer(&mut stream).await, 400, "request_malformed");
}

#[tokio::test]
async fn a_handshake_that_stops_is_closed() {
    let (house, _) = TlsHouse::plain().await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        assert_eq!(house.house.ask(begun).await, "");
    }
    assert_eq!(house.house.refusals(), []);
    assert_eq!(house.handshakes(), [Handshake::TimedOut; 2]);
}

#[tokio::test]
async fn http2_that_never_starts_is_closed() {
    let (house, issued) = TlsHouse::plain().await;
    let mut stream = house.connect(&client(&[&issued], None, &[&TLS13], &[b"h2"]), NAME).await.unwrap();
    stream.write_all(b"PRI * HT").await.unwrap();
    let mut bytes = Vec::new();
    // With or without close_notify: closed.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed");
}

#[tokio::test]
async fn a_listener_without_a_certificate_answers_nothing() {
    let issued = server(&[NAME]);
    let listener = Listener { address: "127.0.0.1:0".parse().unwrap(), tls: Some(settings("a")) };
    let house = House::with(limits(), listener).await;
    assert_eq!(house.ask("").await, "");
    let slot = house.slot.clone().unwrap();
    slot.set(&Files::default().with("a", &issued).compiled(&settings("a")));
    let house = TlsHouse { house, slot };
    assert!(house.connect(&plain_client(&[&issued]), NAME).await.is_ok());
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() {
    let default = server(&[NAME]);
    let (shop, any, one) = (server(&["shop.example"]), server(&["*.shop.example"]), server(&["one.shop.example"]));
    let files = Files::default().with("a", &default).with("b", &shop).with("c", &any).with("d", &one);
    let several = TlsSettings { others: vec![pair("b"), pair("c"), pair("d")], ..settings("a") };
    let house = TlsHouse::new(&files, several).await;
    for (name, expected) in [
        (NAME, &default),
        ("shop.example", &shop),
        ("SHOP.Example", &shop),
        ("any.shop.example", &any),
        ("one.shop.example", &one),
    ] {
        let stream = house.connect(&plain_client(&[expected]), name).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown, std::slice::from_ref(&expected.der), "{name}");
    }
    // Whoever asks for another host, or for none, is shown the default, which is not for that host.
    for name in ["other.example", "deep.one.shop.example", "127.0.0.1"] {
        let error = house.connect(&plain_client(&[&default]), name).await.unwrap_err();
        assert!(error.to_string().contains("certificate not valid for name"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_serves_the_next_handshake() {
    let (house, old) = TlsHouse::plain().await;
    let mut standing = house.connect(&plain_client(&[&old]), NAME).await.unwrap();
    let new = server(&[NAME]);
    assert!(house.slot.set(&Files::default().with("a", &new).compiled(&settings("a"))));
    assert!(house.connect(&plain_client(&[&old]), NAME).await.is_err());
    assert!(house.connect(&plain_client(&[&new]), NAME).await.is_ok());
    // What stands goes on.
    standing.write_all(GET.as_bytes()).await.unwrap();
    assert!(answer(&mut standing).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn sessions_are_resumed_until_the_files_change() {
    let issued = server(&[NAME]);
    let files = Files::default().with("a", &issued);
    let house = TlsHouse::new(&files, settings("a")).await;
    for version in [&TLS12, &TLS13] {
        let client = client(&[&issued], None, &[version], &[]);
        assert_eq!(house.ask(&client, "/facts").await.unwrap().1, HandshakeKind::Full);
        assert_eq!(house.ask(&client, "/facts").await.unwrap().1, HandshakeKind::Resumed);
        assert!(!house.slot.set(&files.compiled(&settings("a"))), "the same files");
        assert_eq!(house.ask(&client, "/facts").await.unwrap().1, HandshakeKind::Resumed);
        assert!(house.slot.set(&Files::default().with("b", &issued).compiled(&settings("b"))));
        assert_eq!(house.ask(&client, "/facts").await.unwrap().1, HandshakeKind::Full);
        house.slot.set(&files.compiled(&settings("a")));
    }
}

#[tokio::test]
async fn early_data_is_never_accepted() {
    let (house, issued) = TlsHouse::plain().await;
    let mut eager = ClientConfig::clone(&client(&[&issued], None, &[&TLS13], &[]));
    eager.enable_early_data = true;
    let eager = Arc::new(eager);
    house.ask(&eager, "/facts").await.unwrap();
    // The ticket allows none, so that a client has nothing to send it with.
    let name = ServerName::try_from(NAME).unwrap();
    let mut session = rustls::ClientConnection::new(eager.clone(), name).unwrap();
    assert!(session.early_data().is_none());
    assert_eq!(house.ask(&eager, "/facts").await.unwrap().1, HandshakeKind::Resumed);
}
