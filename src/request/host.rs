//! The host that the client asked for (RFC 9110 section 7.2, RFC 3986 section 3.2.2).
//!
//! A name in lower case, an IPv4 address in its usual four parts, or an IPv6 address in its shortest form. Other spellings of the same
//! machine (`127.1`, `0x7f.1`, a trailing dot) are refused, so that routes and owners compare one.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use memchr::{memchr, memrchr};
use thiserror::Error;

/// A host name or address in lower case, with its port when one was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    name: Box<str>,
    port: Option<u16>,
}

impl Host {
    /// Reads `host[:port]`: a Host field, an `:authority`, or the authority of an absolute target.
    pub fn parse(raw: &[u8]) -> Result<Self, HostError> {
        let (name, port) = read(raw)?;
        let name = match name {
            Name::Registered(name) => name.to_ascii_lowercase().into(),
            Name::V6(address) => format!("[{address}]").into(),
        };
        Ok(Self { name, port })
    }

    /// Whether [`Host::parse`] would read it; allocates nothing.
    pub(super) fn reads(raw: &[u8]) -> bool {
        read(raw).is_ok()
    }

    /// The name, in lower case, without the port. An IPv6 address keeps its brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The labels of a name from left to right; an address has none.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let address = self.name.starts_with('[') || self.name.parse::<Ipv4Addr>().is_ok();
        self.name.split('.').filter(move |_| !address)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The value is not `host[:port]`. 400 `request_malformed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the host is not `host[:port]`")]
pub struct HostError;

enum Name<'a> {
    Registered(&'a str),
    V6(Ipv6Addr),
}

fn read(raw: &[u8]) -> Result<(Name<'_>, Option<u16>), HostError> {
    let text = str::from_utf8(raw).map_err(|_| HostError)?;
    if let Some(literal) = text.strip_prefix('[') {
        let (address, port) = literal.split_once(']').ok_or(HostError)?;
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(read_port(digits)?),
            None if port.is_empty() => None,
            None => return Err(HostError),
        };
        return Ok((Name::V6(address.parse().map_err(|_| HostError)?), port));
    }
    let (name, port) = match memchr(b':', raw).and_then(|at| text.split_at_checked(at)) {
        Some((name, port)) => (name, Some(read_port(port.get(1..).unwrap_or_default())?)),
        None => (text, None),
    };
    read_name(name.as_bytes())?;
    Ok((Name::Registered(name), port))
}

fn read_name(name: &[u8]) -> Result<(), HostError> {
    const LONGEST_NAME: usize = 253;
    const LONGEST_LABEL: usize = 63;
    if name.len() > LONGEST_NAME {
        return Err(HostError);
    }
    let mut label = 0;
    for &byte in name {
        label = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < LONGEST_LABEL => label + 1,
            b'.' if label > 0 => 0,
            _ => return Err(HostError),
        };
    }
    if label == 0 {
        return Err(HostError);
    }
    let last = memrchr(b'.', name).map_or(name, |dot| name.get(dot + 1..).unwrap_or_default());
    // SECURITY: held by `another_spelling_of_an_ipv4_address_is_refused`.
    if is_number(last) && str::from_utf8(name).is_ok_and(|name| name.parse::<Ipv4Addr>().is_err()) {
        return Err(HostError);
    }
    Ok(())
}

/// The last label of something that resolvers take for an IPv4 address: decimal, octal or hexadecimal.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

fn read_port(digits: &str) -> Result<u16, HostError> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().map_err(|_| HostError)?;
    if plain { Ok(port) } else { Err(HostError) }
}

#[cfg(test)]
mod tests;
