//! Fetches a key set document over HTTP/1.1: one GET of one configured address.
//!
//! Follows no redirect, decompresses nothing, counts the body while it reads, and has one deadline for everything from the name look-up
//! to the last byte. TLS goes over the proxy's own connector, always with a server name, so that verification is on. Does not look at what it
//! got.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Uri, header, uri::Scheme};
use pingora::{
    connectors::http::v1::Connector, http::RequestHeader, protocols::http::v1::client::HttpSession,
    upstreams::peer::HttpPeer,
};
use pingora_rustls::{RootCertStore, load_platform_certs_incl_env_into_store};
use thiserror::Error;
use tokio::{
    net::lookup_host,
    time::{Instant, timeout_at},
};

/// The largest key set document, in bytes.
pub const MOST_BYTES: usize = 512 * 1024;

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Interim responses (1xx) before the response.
const MOST_INTERIM: usize = 8;

const AGENT: &str = concat!("cogward/", env!("CARGO_PKG_VERSION"));

/// Why no document was got. Closed; each has its own metric label.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The URL is neither `http` nor `https`, or names no host.
    #[error("the URL is not one that can be fetched")]
    Url,
    /// The host name has no address.
    #[error("the host name does not resolve")]
    Resolve,
    /// No address of the host accepts a connection.
    #[error("the server cannot be reached")]
    Connect(#[source] pingora::BError),
    /// The server's certificate is not acceptable, or it does not speak TLS 1.2 or 1.3.
    #[error("the server's TLS is not acceptable")]
    Tls(#[source] pingora::BError),
    /// The deadline passed.
    #[error("the server did not answer in time")]
    Timeout,
    /// A redirect. It is not followed: keys come from the address in the settings, or not at all.
    #[error("the server answered with the redirect {0}")]
    Redirect(u16),
    /// Neither 200 nor a redirect.
    #[error("the server answered with the status {0}")]
    Status(u16),
    /// The body is compressed, which was not asked for.
    #[error("the answer has a content encoding")]
    Encoded,
    /// The body is larger than [`MOST_BYTES`].
    #[error("the answer is larger than {MOST_BYTES} bytes")]
    TooLarge,
    /// The connection broke, or the answer is not HTTP/1.1 or ends early.
    #[error("the answer is broken")]
    Broken(#[source] pingora::BError),
}

impl FetchError {
    /// The word for it in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Resolve => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::Encoded => "encoded",
            Self::TooLarge => "too_large",
            Self::Broken(_) => "broken",
        }
    }
}

/// The system's trusted certificates cannot be loaded.
#[derive(Debug, Error)]
#[error("the system's trusted certificates cannot be loaded")]
pub struct RootsError(#[source] pingora::BError);

/// The client. Keeps no connection between two fetches.
pub struct Fetcher {
    connector: Connector,
}

impl Fetcher {
    /// A client that trusts the system's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// # Errors
    /// [`RootsError`] where they cannot be loaded; the connector itself would panic.
    pub fn new() -> Result<Self, RootsError> {
        load_platform_certs_incl_env_into_store(&mut RootCertStore::empty()).map_err(RootsError)?;
        Ok(Self { connector: Connector::new(None) })
    }

    /// Gets the document at `url`, all within `within`.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self, url: &Uri, within: Duration) -> Result<Vec<u8>, FetchError> {
        let deadline = Instant::now() + within;
        timeout_at(deadline, self.get(url, deadline)).await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn get(&self, url: &Uri, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let target = Target::of(url)?;
        let mut session = self.connect(&target, deadline).await?;
        session.write_request_header(Box::new(target.request()?)).await.map_err(FetchError::Broken)?;
        read_head(&mut session).await?;
        read_body(&mut session).await
    }

    /// Tries the addresses in turn, each with its share of the time that is left.
    async fn connect(&self, target: &Target<'_>, deadline: Instant) -> Result<HttpSession, FetchError> {
        let found = lookup_host((target.host, target.port)).await.map_err(|_| FetchError::Resolve)?;
        let addresses: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
        let mut failure = FetchError::Resolve;
        for (tried, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
            failure = match timeout_at(share, self.connector.get_http_session(&target.peer(*address))).await {
                Ok(Ok((session, _))) => return Ok(session),
                Ok(Err(error)) if is_tls(&error) => FetchError::Tls(error),
                Ok(Err(error)) => FetchError::Connect(error),
                Err(_) => FetchError::Timeout,
            };
        }
        Err(failure)
    }
}

/// What a URL asks of whom.
struct Target<'a> {
    tls: bool,
    host: &'a str,
    port: u16,
    url: &'a Uri,
}

impl<'a> Target<'a> {
    fn of(url: &'a Uri) -> Result<Self, FetchError> {
        let tls = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) | None => return Err(FetchError::Url),
        };
        let host = url.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // SECURITY: the connector turns verification off where the server name is empty: `a_url_without_a_host_is_refused`.
        if host.is_empty() {
            return Err(FetchError::Url);
        }
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port, url })
    }

    fn peer(&self, address: SocketAddr) -> HttpPeer {
        let mut peer = HttpPeer::new(address, self.tls, self.host.to_owned());
        // SECURITY: `a_self_signed_certificate_is_refused` and `a_trusted_certificate_for_another_host_is_refused`.
        peer.options.verify_cert = true;
        peer.options.verify_hostname = true;
        peer.options.set_http_version(1, 1);
        peer
    }

    fn request(&self) -> Result<RequestHeader, FetchError> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        // The authority without a user name, as RFC 9110 section 4.2.4 asks of clients.
        let host = match (self.url.host().unwrap_or_default(), self.url.port_u16()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let mut request = RequestHeader::build("GET", path.as_bytes(), Some(5)).map_err(FetchError::Broken)?;
        for (name, value) in [
            (header::HOST, host.as_str()),
            (header::ACCEPT, "application/json"),
            (header::ACCEPT_ENCODING, "identity"),
            (header::USER_AGENT, AGENT),
            (header::CONNECTION, "close"),
        ] {
            request.insert_header(name, value).map_err(FetchError::Broken)?;
        }
        Ok(request)
    }
}

fn is_tls(error: &pingora::Error) -> bool {
    use pingora::ErrorType::{InvalidCert, TLSHandshakeFailure, TLSHandshakeTimedout};
    [InvalidCert, TLSHandshakeFailure, TLSHandshakeTimedout].contains(error.etype())
}

fn broken(what: &'static str) -> FetchError {
    FetchError::Broken(pingora::Error::explain(pingora::ErrorType::InvalidHTTPHeader, what))
}

/// Reads heads until the final one, and refuses it unless it is 200 with a plain body that may fit.
async fn read_head(session: &mut HttpSession) -> Result<(), FetchError> {
    for _ in 0..=MOST_INTERIM {
        session.read_response().await.map_err(FetchError::Broken)?;
        let Some(response) = session.resp_header() else { break };
        match response.status.as_u16() {
            200 => {}
            101 => return Err(FetchError::Status(101)),
            100..=199 => continue,
            status @ 300..=399 => return Err(FetchError::Redirect(status)),
            status => return Err(FetchError::Status(status)),
        }
        let encodings = response.headers.get_all(header::CONTENT_ENCODING);
        if encodings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(FetchError::Encoded);
        }
        let length = response.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        return if length.is_some_and(|length: u64| length > MOST_BYTES as u64) {
            Err(FetchError::TooLarge)
        } else {
            Ok(())
        };
    }
    Err(broken("too many interim responses"))
}

async fn read_body(session: &mut HttpSession) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(part) = session.read_body_bytes().await.map_err(FetchError::Broken)? {
        let part: Bytes = part;
        if body.len() + part.len() > MOST_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
