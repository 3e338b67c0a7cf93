//! TLS listeners, with certificates made here.

use std::path::Path;

use pingora_rustls::{
    CertificateDer, ClientConfig, ClientTlsStream, RootCertStore, ServerName, TlsConnector,
    install_default_crypto_provider,
};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;
use crate::config::TlsFiles;

struct Certificate {
    der: CertificateDer<'static>,
    files: TlsFiles,
}

fn certificate(folder: &TempDir, name: &str) -> Certificate {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["gateway.example".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join(format!("{name}.pem")),
        private_key: folder.path().join(format!("{name}.key")),
    };
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.private_key, KeyPair::serialize_pem(&signing_key)).unwrap();
    Certificate { der: cert.der().clone(), files }
}

fn listener(files: &TlsFiles) -> Listener {
    Listener { address: "127.0.0.1:0".parse().unwrap(), tls: Some(files.clone()) }
}

async fn handshake(
    address: SocketAddr,
    trusted: &Certificate,
    alpn: &[&[u8]],
) -> std::io::Result<ClientTlsStream<TcpStream>> {
    install_default_crypto_provider();
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("gateway.example").unwrap(), tcp).await
}

#[tokio::test]
async fn http1_is_served_over_tls_and_a_filter_knows_the_server_name() {
    let folder = TempDir::new().unwrap();
    let certificate = certificate(&folder, "a");
    let house = House::with(limits(), listener(&certificate.files)).await;
    for alpn in [&[b"http/1.1".as_slice()][..], &[]] {
        let mut client = handshake(house.address, &certificate, alpn).await.unwrap();
        client.write_all(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let told = answer(&mut client).await;
        assert!(told.ends_with("127.0.0.1 true Some(\"gateway.example\")"), "{told}");
        client.write_all(GET.as_bytes()).await.unwrap();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn http2_is_served_by_alpn() {
    let folder = TempDir::new().unwrap();
    let certificate = certificate(&folder, "a");
    let house = House::with(limits(), listener(&certificate.files)).await;
    let client = handshake(house.address, &certificate, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let mut sender = http2::client(client).await;
    let told = http2::get(&mut sender, "https://gateway.example/facts").await;
    assert_eq!(told, "127.0.0.1 true Some(\"gateway.example\")");
}

#[tokio::test]
async fn a_preface_by_prior_knowledge_is_refused_over_tls() {
    let folder = TempDir::new().unwrap();
    let certificate = certificate(&folder, "a");
    let house = House::with(limits(), listener(&certificate.files)).await;
    let mut client = handshake(house.address, &certificate, &[b"http/1.1"]).await.unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert_refused(&answer(&mut client).await, 400, "request_malformed");
}

#[tokio::test]
async fn a_handshake_that_stops_is_closed() {
    let folder = TempDir::new().unwrap();
    let certificate = certificate(&folder, "a");
    let house = House::with(limits(), listener(&certificate.files)).await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        assert_eq!(house.ask(begun).await, "");
    }
    assert_eq!(house.refusals(), []);
}

#[tokio::test]
async fn http2_that_never_starts_is_closed() {
    let folder = TempDir::new().unwrap();
    let certificate = certificate(&folder, "a");
    let house = House::with(limits(), listener(&certificate.files)).await;
    let mut client = handshake(house.address, &certificate, &[b"h2"]).await.unwrap();
    client.write_all(b"PRI * HT").await.unwrap();
    let mut bytes = Vec::new();
    // With or without close_notify: closed.
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut bytes)).await.expect("closed");
}

#[tokio::test]
async fn a_replaced_certificate_serves_the_next_handshake() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (certificate(&folder, "old"), certificate(&folder, "new"));
    let edge = Edge::bind(&[listener(&old.files)], Arc::new(limits)).await.unwrap();
    let (address, served) = (edge.addresses()[0], edge.certificates());
    let (ended, _ends) = mpsc::unbounded_channel();
    let relay = Relay { upstream: address, ended };
    let (_stop, stops) = mpsc::channel(1);
    tokio::spawn(edge.run(
        Arc::new(http_proxy(&Arc::new(ServerConf::default()), relay)),
        Arc::<Told>::default(),
        stops,
    ));
    assert!(handshake(address, &old, &[]).await.is_ok());
    served[0].replace(&new.files).unwrap();
    assert!(handshake(address, &old, &[]).await.is_err());
    assert!(handshake(address, &new, &[]).await.is_ok());
    let broken = TlsFiles { certificate: old.files.certificate.clone(), private_key: new.files.private_key.clone() };
    assert!(matches!(served[0].replace(&broken), Err(TlsError::Mismatch { .. })));
    assert!(handshake(address, &new, &[]).await.is_ok());
}

#[tokio::test]
async fn bad_tls_files_are_errors_that_name_the_file() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (certificate(&folder, "a"), certificate(&folder, "b"));
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let files = |certificate: &Path, private_key: &Path| TlsFiles {
        certificate: certificate.to_owned(),
        private_key: private_key.to_owned(),
    };
    let (cert, key) = (a.files.certificate.as_path(), a.files.private_key.as_path());
    for (files, expect) in [
        (files(&folder.path().join("none.pem"), key), "cannot read `"),
        (files(&empty, key), "holds no certificate"),
        (files(cert, &empty), "holds no unencrypted private key"),
        (files(cert, &b.files.private_key), "does not serve the certificate"),
    ] {
        let error = Edge::bind(&[listener(&files)], Arc::new(limits)).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot serve TLS on 127.0.0.1:0");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(expect), "{source}");
    }
}
