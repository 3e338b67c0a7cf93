//! Who sent the request, and through which proxies that the operator trusts (RFC 7239 explains the danger).
//!
//! `X-Forwarded-*` counts only when the connection comes from a trusted proxy, and then only as far as trusted proxies wrote it. The
//! field `Forwarded` is not read at all, so that there is one chain.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderName, HeaderValue};
use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

use super::{Headers, Host, Lookup};

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The addresses whose `X-Forwarded-*` header fields are believed. Empty: nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// What is known about the client once trusted proxies have been looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address: the last hop that is not a trusted proxy.
    pub client: IpAddr,
    /// The client's own connection was encrypted.
    pub secure: bool,
    /// The value to send upstream as `X-Forwarded-For`: the chain of a trusted peer as far as it is readable, and the peer.
    pub chain: String,
    /// The value to send upstream as `X-Forwarded-Host`.
    pub host: String,
}

/// A list of trusted proxies that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrustedProxiesError {
    /// Neither an address nor `address/prefix`.
    #[error("not an address, nor a network such as `10.0.0.0/8`")]
    NotANetwork,
    /// `0.0.0.0/0` or `::/0`, alone or as the sum of the list.
    #[error("every address would be a trusted proxy, so any client could choose its own address")]
    Everyone,
}

impl TrustedProxies {
    /// Trusts these networks. IPv4-mapped IPv6 networks are the IPv4 networks.
    pub fn new(networks: Vec<IpNet>) -> Result<Self, TrustedProxiesError> {
        let networks: Vec<IpNet> = IpNet::aggregate(&networks.into_iter().map(unmapped).collect());
        // SECURITY: held by `trusting_everyone_is_refused`.
        if networks.iter().any(|network| network.prefix_len() == 0) {
            return Err(TrustedProxiesError::Everyone);
        }
        Ok(Self(networks))
    }

    /// Trusts these addresses and networks, as an operator writes them.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, TrustedProxiesError> {
        Self::new(entries.into_iter().map(Self::network).collect::<Result<_, _>>()?)
    }

    /// Reads one entry of the list: an address, or a network that does not hold every address.
    pub fn network(entry: &str) -> Result<IpNet, TrustedProxiesError> {
        let network = match entry.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => entry.parse::<IpNet>().map_err(|_| TrustedProxiesError::NotANetwork)?,
        };
        match unmapped(network.trunc()) {
            everyone if everyone.prefix_len() == 0 => Err(TrustedProxiesError::Everyone),
            network => Ok(network),
        }
    }

    /// Looks through the trusted proxies, if `peer` is one. `secure` and `host` are those of the connection and the request.
    pub fn forwarded(&self, peer: IpAddr, secure: bool, host: &Host, headers: Headers<'_>) -> Forwarded {
        let peer = peer.to_canonical();
        // SECURITY: held by `forwarded_headers_of_an_untrusted_client_are_ignored`.
        if !self.trusts(peer) {
            return Forwarded { client: peer, secure, chain: peer.to_string(), host: host.to_string() };
        }
        let hops = hops(headers);
        let client = hops.iter().map(|(_, address)| *address).fold(peer, |client, hop| {
            // SECURITY: held by `a_client_behind_a_trusted_proxy_cannot_choose_its_address`.
            if self.trusts(client) { hop } else { client }
        });
        let mut chain = String::new();
        for (text, _) in hops.iter().rev() {
            chain.push_str(text);
            chain.push_str(", ");
        }
        chain.push_str(&peer.to_string());
        Forwarded {
            client,
            secure: single(headers, &PROTO).and_then(scheme_is_https).unwrap_or(secure),
            chain,
            host: single(headers, &HOST)
                .and_then(|value| Host::parse(value.as_bytes()).ok())
                .map_or_else(|| host.to_string(), |host| host.to_string()),
        }
    }

    /// Whether this address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Forwarded {
    /// The value to send upstream as `X-Forwarded-Proto`.
    pub fn proto(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// The readable hops from the nearest to the farthest, as text and as address. What a malformed entry hides is left out.
fn hops(headers: Headers<'_>) -> Vec<(&str, IpAddr)> {
    let mut fields: Vec<&HeaderValue> = headers.all(&FOR).collect();
    fields.reverse();
    let entries = fields.into_iter().flat_map(|value| value.as_bytes().rsplit(|&byte| byte == b','));
    entries.map_while(hop).collect()
}

/// One hop: an address, bare or in brackets, perhaps with a port.
fn hop(entry: &[u8]) -> Option<(&str, IpAddr)> {
    let text = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let address = text.parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip())).or_else(bracketed)?;
    Some((text, address.to_canonical()))
}

fn single<'a>(headers: Headers<'a>, name: &HeaderName) -> Option<&'a HeaderValue> {
    match headers.single(name) {
        Lookup::One(value) => Some(value),
        Lookup::Absent | Lookup::Repeated | Lookup::Malformed => None,
    }
}

fn scheme_is_https(value: &HeaderValue) -> Option<bool> {
    match value.as_bytes() {
        scheme if scheme.eq_ignore_ascii_case(b"https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

/// What counts as one client: an IPv4 address, or the network of 64 bits that one IPv6 customer has at least.
pub fn household(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        address @ IpAddr::V4(_) => address,
        // SECURITY: `an_ipv6_client_cannot_multiply_itself_within_its_network`.
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

/// The IPv4 network that an IPv4-mapped one stands for.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED));
    v4.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests;
