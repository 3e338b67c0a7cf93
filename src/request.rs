//! What a decision may look at: one request, read once.
//!
//! Every value here has exactly one reading. What could be read in two ways is refused while it is parsed ([`TargetError`],
//! [`HostError`]) or told apart when it is asked for ([`Lookup`]). No type of a proxy library appears here.

mod certificate;
mod client;
mod escape;
mod headers;
mod host;
mod query;
mod reserved;
mod target;
pub mod wire;

pub use certificate::ClientCertificate;
pub use client::{Forwarded, TrustedProxies, TrustedProxiesError, household};
pub use headers::Headers;
pub use host::{Host, HostError};
pub use query::Query;
pub use reserved::{ReservedHeaders, is_framing_alias, is_override};
pub use target::{CanonicalPath, Target, TargetError, decode};

use std::net::IpAddr;

/// One request, as the decision sees it. Built by the front doors, read by the core.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method, case-sensitive (RFC 9110 section 9.1).
    pub method: &'a http::Method,
    /// The host that the client asked for.
    pub host: &'a Host,
    /// The path that is decided on, and forwarded.
    pub path: &'a CanonicalPath,
    /// The query, as it came.
    pub query: Query<'a>,
    /// The header fields, identity headers and their aliases already removed.
    pub headers: Headers<'a>,
    /// Who sent it, by the rules of the trusted proxies.
    pub client: IpAddr,
    /// `https` when the client's connection to the gateway (or to a trusted proxy) is encrypted.
    pub secure: bool,
    /// The request asks to become a WebSocket.
    pub websocket: bool,
    /// The certificate with which the connection to the gateway was opened, verified.
    pub client_certificate: Option<&'a ClientCertificate>,
}

/// What is found under a name that must not stand twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Not there.
    Absent,
    /// There, once.
    One(T),
    /// There more than once: it has no single reading.
    Repeated,
    /// There, and not readable as text.
    Malformed,
}
