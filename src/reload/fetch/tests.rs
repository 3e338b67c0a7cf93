use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use pingora::connectors::ConnectorOptions;
use pingora_rustls::{ServerConfig, TlsAcceptor, install_default_crypto_provider};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const LONG: Duration = Duration::from_secs(10);

fn fetcher() -> Fetcher {
    install_default_crypto_provider();
    Fetcher::new().unwrap()
}

/// Reads a request head to its end.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server that treats each connection so; gives its port and counts connections.
async fn server<F: Future<Output = ()> + Send>(
    treat: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            treat(stream).await;
        }
    });
    (port, count)
}

/// The result of fetching what this answer is, written whole before the connection is closed.
async fn answered(answer: impl Into<Vec<u8>>) -> Result<Vec<u8>, FetchError> {
    let answer: Arc<[u8]> = answer.into().into();
    let (port, count) = server(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            request(&mut stream).await;
            // Fails where the client has refused by then.
            let _ = stream.write_all(&answer).await;
        }
    })
    .await;
    let result = fetcher().fetch(&format!("http://127.0.0.1:{port}/keys").parse().unwrap(), LONG).await;
    assert_eq!(count.load(Ordering::SeqCst), 1, "one fetch is one connection");
    result
}

async fn code_of(answer: impl Into<Vec<u8>>) -> &'static str {
    answered(answer).await.unwrap_err().code()
}

fn sized(length: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

#[tokio::test]
async fn a_document_is_got_by_one_plain_get() {
    let (sender, mut heads) = tokio::sync::mpsc::channel(1);
    let (port, _) = server(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send(request(&mut stream).await).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}").await.unwrap();
        }
    })
    .await;
    let url = format!("http://user:secret@localhost:{port}/pool/keys.json?v=1").parse().unwrap();
    assert_eq!(fetcher().fetch(&url, LONG).await.unwrap(), br#"{"keys":[]}"#);
    let head = heads.recv().await.unwrap().to_ascii_lowercase();
    for line in [
        "get /pool/keys.json?v=1 http/1.1",
        &format!("host: localhost:{port}"),
        "accept: application/json",
        "accept-encoding: identity",
        &format!("user-agent: cogward/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    assert!(!head.contains("secret"));
}

#[tokio::test]
async fn bodies_come_sized_chunked_or_until_the_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        assert_eq!(answered(answer).await.unwrap(), b"{}", "{answer}");
    }
}

#[tokio::test]
async fn a_redirect_to_the_metadata_service_is_not_followed() {
    let (port, followed) = server(|_| async {}).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(code_of(answer).await, "redirect");
    }
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_200_is_an_answer() {
    for status in [101, 201, 204, 206, 304, 400, 404, 500, 503] {
        let code = code_of(format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}")).await;
        assert_eq!(code, if status == 304 { "redirect" } else { "status" }, "{status}");
    }
}

#[tokio::test]
async fn a_huge_document_is_refused() {
    assert_eq!(answered(sized(MOST_BYTES)).await.unwrap().len(), MOST_BYTES);
    assert_eq!(code_of(sized(MOST_BYTES + 1)).await, "too_large");
    let mut undeclared = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    undeclared.resize(undeclared.len() + MOST_BYTES + 1, b'x');
    assert_eq!(code_of(undeclared).await, "too_large");
}

#[tokio::test]
async fn an_endless_document_is_refused() {
    let (port, _) = server(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while stream.write_all(b"4\r\nmore\r\n").await.is_ok() {}
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/").parse().unwrap();
    assert_eq!(fetcher().fetch(&url, LONG).await.unwrap_err().code(), "too_large");
}

#[tokio::test]
async fn a_gzip_bomb_is_refused_before_its_body() {
    assert_eq!(code_of("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx").await, "encoded");
}

#[tokio::test]
async fn a_broken_answer_is_refused() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "not http at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        &"HTTP/1.1 102 Processing\r\n\r\n".repeat(MOST_INTERIM + 1),
    ] {
        assert_eq!(code_of(answer).await, "broken", "{answer}");
    }
}

#[tokio::test]
async fn a_drip_of_bytes_does_not_outlast_the_deadline() {
    let (port, _) = server(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let started = Instant::now();
    assert_eq!(fetcher().fetch(&url, Duration::from_millis(300)).await.unwrap_err().code(), "timeout");
    assert!(started.elapsed() < Duration::from_secs(10), "the whole answer takes 20 s");
}

#[tokio::test]
async fn a_server_that_accepts_and_is_silent_does_not_outlast_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://127.0.0.1:{port}/").parse().unwrap();
        assert_eq!(fetcher().fetch(&url, Duration::from_millis(200)).await.unwrap_err().code(), "timeout");
    }
}

#[tokio::test]
async fn a_refused_connection_and_a_name_without_address_have_their_own_codes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (url, code) in
        [(format!("http://127.0.0.1:{port}/"), "connect"), ("http://nowhere.invalid/".to_owned(), "resolve")]
    {
        assert_eq!(fetcher().fetch(&url.parse().unwrap(), LONG).await.unwrap_err().code(), code, "{url}");
    }
}

#[tokio::test]
async fn a_url_without_a_host_is_refused() {
    for url in ["/keys", "ftp://host/keys", "https://:443/keys", "https://user@/keys", "https://[]/keys"] {
        let Ok(url) = url.parse::<Uri>() else { continue };
        assert_eq!(fetcher().fetch(&url, LONG).await.unwrap_err().code(), "url", "{url}");
    }
}

/// A TLS server whose certificate names `name`; gives its port and the certificate as PEM.
async fn tls_server(name: &str) -> (u16, String) {
    install_default_crypto_provider();
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = pingora_rustls::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (port, _) = server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            request(&mut stream).await;
            answer(&mut stream).await;
        }
    })
    .await;
    (port, certified.cert.pem())
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin)) {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    let _ = stream.shutdown().await;
}

fn trusting(pem: &str) -> (Fetcher, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let mut options = ConnectorOptions::new(1);
    options.ca_file = Some(file.path().display().to_string());
    (Fetcher { connector: Connector::new(Some(options)) }, file)
}

#[tokio::test]
async fn a_trusted_certificate_for_the_host_is_accepted() {
    for host in ["localhost", "127.0.0.1"] {
        let (port, pem) = tls_server(host).await;
        let (fetcher, _file) = trusting(&pem);
        let url = format!("https://{host}:{port}/").parse().unwrap();
        assert_eq!(fetcher.fetch(&url, LONG).await.unwrap(), b"{}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    for host in ["localhost", "127.0.0.1"] {
        let (port, _) = tls_server(host).await;
        let url = format!("https://{host}:{port}/").parse().unwrap();
        assert_eq!(fetcher().fetch(&url, LONG).await.unwrap_err().code(), "tls");
    }
}

#[tokio::test]
async fn a_trusted_certificate_for_another_host_is_refused() {
    let (port, pem) = tls_server("keys.example").await;
    let (fetcher, _file) = trusting(&pem);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/").parse().unwrap();
        assert_eq!(fetcher.fetch(&url, LONG).await.unwrap_err().code(), "tls");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let (port, _) = server(|mut stream| async move { answer(&mut stream).await }).await;
    let url = format!("https://127.0.0.1:{port}/").parse().unwrap();
    assert_eq!(fetcher().fetch(&url, LONG).await.unwrap_err().code(), "tls");
}
