//! Where a browser says that a request comes from (RFC 6454, Fetch Metadata).

use std::str::FromStr;

use http::{HeaderName, Method, header};
use thiserror::Error;

use crate::request::{Lookup, RequestView};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme, host and port of a page, as browsers write them: `https://app.example` or `http://localhost:8080`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    /// `None` where it is the scheme's own.
    port: Option<u16>,
}

/// The text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an origin such as `https://app.example`: scheme, host and port in lower case, nothing after them")]
pub struct OriginError;

impl Origin {
    fn new(scheme: &str, host: &str, port: Option<u16>) -> Self {
        let usual = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Self { scheme: scheme.into(), host: host.into(), port: port.filter(|port| Some(*port) != usual) }
    }

    /// The origin that the request itself is sent to.
    fn of_target(view: &RequestView<'_>) -> Self {
        Self::new(if view.secure { "https" } else { "http" }, view.host.name(), view.host.port())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, authority) = text.split_once("://").ok_or(OriginError)?;
        // The last colon may stand inside the brackets of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        let port = port.map(|digits| parse_port(digits).ok_or(OriginError)).transpose()?;
        if is_scheme(scheme) && is_host(host) { Ok(Self::new(scheme, host, port)) } else { Err(OriginError) }
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

fn is_host(text: &str) -> bool {
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => {
            address.parse::<std::net::Ipv6Addr>().is_ok() && !address.bytes().any(|b| b.is_ascii_uppercase())
        }
        None => !text.is_empty() && text.bytes().all(|byte| is_lower(byte) || b"-._".contains(&byte)),
    }
}

/// May the cookie of this request authenticate it? Safe methods always: what they answer, another site cannot read. Others,
/// and WebSockets, only where the browser says that the page which asks is ours, or one of `trusted`.
pub(super) fn may_use_cookie(view: &RequestView<'_>, trusted: &[Origin]) -> bool {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(view.method);
    // SECURITY: a WebSocket opens with GET, and its answer can be read: `another_site_cannot_open_a_websocket_with_the_cookie`.
    (is_safe && !view.websocket) || comes_from_our_page(view, trusted)
}

fn comes_from_our_page(view: &RequestView<'_>, trusted: &[Origin]) -> bool {
    let site = view.headers.single(&SEC_FETCH_SITE);
    let origin = match view.headers.single(&header::ORIGIN) {
        Lookup::One(value) => value.to_str().ok().and_then(|text| text.parse::<Origin>().ok()),
        Lookup::Absent => None,
        // SECURITY: what stands twice says nothing: `a_repeated_origin_or_sec_fetch_site_is_refused`.
        Lookup::Repeated | Lookup::Malformed => return false,
    };
    let is_trusted = origin.as_ref().is_some_and(|origin| trusted.contains(origin));
    match site {
        Lookup::One(value) => is_trusted || value == "same-origin" || value == "none",
        Lookup::Absent => is_trusted || origin.is_some_and(|origin| origin == Origin::of_target(view)),
        Lookup::Repeated | Lookup::Malformed => false,
    }
}

#[cfg(test)]
mod tests;
