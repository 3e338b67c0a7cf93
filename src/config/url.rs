//! The few parts of a URL that settings may hold: `http` or `https`, a host, a port, and for keys and issuers a path.
//!
//! Stricter than RFC 3986 on purpose: no user names, no fragments, no host that two readers could take for different machines.

use std::{fmt, net::IpAddr};

use thiserror::Error;

/// Where something is: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// `https`.
    pub(super) tls: bool,
    /// In lower case, an IPv6 address without brackets.
    pub(super) host: String,
    /// As written, if it was.
    pub(super) port: Option<u16>,
}

/// Why a text is not a URL that can be used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum UrlError {
    /// Another scheme, or none.
    #[error("does not start with `http://` or `https://`")]
    Scheme,
    /// `user:password@`.
    #[error("holds a user name")]
    UserName,
    /// No host name or address.
    #[error("has no valid host name or address")]
    Host,
    /// Port 0, or no number below 65536.
    #[error("has no valid port")]
    Port,
    /// Anything behind the port where only a site is wanted.
    #[error("has something behind its host and port")]
    Path,
    /// A query or fragment where neither is wanted.
    #[error("has a query or a fragment")]
    Query,
    /// Characters that no URL holds.
    #[error("holds characters that are not allowed in a URL")]
    Characters,
}

impl UrlError {
    /// What is wrong with `text`, for a message.
    pub(super) fn about(self, what: &str, text: &str) -> String {
        // SECURITY: a password may stand before an `@`: `a_password_in_a_url_is_not_repeated_in_a_report`.
        if text.contains('@') { format!("the {what} {self}") } else { format!("the {what} `{text}` {self}") }
    }
}

impl Site {
    /// Parses `scheme://host[:port]`, with nothing behind it.
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let (site, rest) = Self::split(text)?;
        if rest.is_empty() { Ok(site) } else { Err(UrlError::Path) }
    }

    /// Parses the site at the front of a URL, and gives what follows it.
    pub(super) fn split(text: &str) -> Result<(Self, &str), UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::UserName);
        }
        let (host, port) = authority_parts(authority)?;
        Ok((Self { tls, host, port }, rest))
    }

    /// The port, or the scheme's own.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The machine itself: what is sent there does not cross a network.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// An origin as browsers send it (RFC 6454 section 6.2): lower case, the scheme's own port left out.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own) = if self.tls { ("https", 443) } else { ("http", 80) };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]", self.host)?;
        } else {
            write!(f, "{scheme}://{}", self.host)?;
        }
        match self.port {
            Some(port) if port != own => write!(f, ":{port}"),
            Some(_) | None => Ok(()),
        }
    }
}

/// `host[:port]`, the host in lower case and without brackets.
pub(super) fn authority_parts(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (address, rest) = inside.split_once(']').ok_or(UrlError::Host)?;
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(port),
                None if rest.is_empty() => None,
                None => return Err(UrlError::Host),
            };
            (address.to_string(), port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            if !is_host(host) {
                return Err(UrlError::Host);
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?)
        }
        Some(_) => return Err(UrlError::Port),
        None => None,
    };
    Ok((host, port))
}

/// A DNS name (underscores allowed, as container networks use them) or an IPv4 address in its one plain form.
fn is_host(host: &str) -> bool {
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A name whose last label is a number is an IPv4 address to some readers: `127.1`, `0x7f000001`.
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && !numeric && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_printed_as_browsers_send_it() {
        for (text, origin) in [
            ("https://App.Example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("HTTPS://app.example:8443", "https://app.example:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("http://my_service:9000", "http://my_service:9000"),
        ] {
            assert_eq!(Site::parse(text).map(|site| site.to_string()), Ok(origin.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_two_readers_could_take_for_different_machines_is_refused() {
        for (text, error) in [
            ("app.example", UrlError::Scheme),
            ("ftp://app.example", UrlError::Scheme),
            ("null", UrlError::Scheme),
            ("*", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http://good.example@evil.example", UrlError::UserName),
            ("http://good.example\\@evil.example", UrlError::Path),
            ("http://127.1", UrlError::Host),
            ("http://0x7f.0.0.1.5", UrlError::Host),
            ("http://2130706433", UrlError::Host),
            ("http://a..b", UrlError::Host),
            ("http://a b", UrlError::Host),
            ("http://*.example", UrlError::Host),
            ("http://bücher.example", UrlError::Host),
            ("http://::1", UrlError::Host),
            ("http://[::1", UrlError::Host),
            ("http://[::1]x", UrlError::Host),
            ("http://a:", UrlError::Port),
            ("http://a:0", UrlError::Port),
            ("http://a:65536", UrlError::Port),
            ("http://a:+80", UrlError::Port),
            ("http://a:80:80", UrlError::Port),
            ("http://a/", UrlError::Path),
            ("http://a?x", UrlError::Path),
            ("http://a#x", UrlError::Path),
        ] {
            assert_eq!(Site::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn only_the_machine_itself_is_loopback() {
        for text in ["http://localhost:1", "http://127.0.0.1", "http://127.9.9.9", "http://[::1]"] {
            assert!(Site::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in
            ["http://localhost.evil.example", "http://0.0.0.0", "http://10.0.0.1", "http://127.0.0.1.evil.example"]
        {
            assert!(!Site::parse(text).unwrap().is_loopback(), "{text}");
        }
    }
}
