//! Which inbound header fields must go, by name alone.
//!
//! Names are compared as a CGI-like upstream sees them: lower case, with everything that is not a letter or digit (`_`, `.`, ...) as
//! `-`. The rule is pure and holds for every route; who removes the fields, and when, is not decided here.

use http::HeaderName;

/// Every name with this beginning belongs to the gateway, so all default identity names do.
const IDENTITY_PREFIX: &[u8] = b"x-auth-request-";

/// Every name with this beginning belongs to the gateway too, save for the three that it reads from trusted proxies and sets anew.
const FORWARDED_PREFIX: &[u8] = b"x-forwarded-";
const FORWARDED_KEPT: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// Fields by which some upstream replaces the method, the path, the host, the scheme or the client of a request.
const OVERRIDES: [&str; 30] = [
    // Of whoever ends TLS (RFC 9440), which is the gateway.
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    // Read as HTTP_PROXY by CGI programs, which then send their own requests through it.
    "proxy",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-real-ip",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];

/// Fields that frame a message, or that the gateway decides by or sets: they count under their own name only. Names of one word have
/// no alias.
const FRAMING: [&str; 14] = [
    "content-encoding",
    "content-length",
    "content-type",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
    "x-request-id",
];

/// The names that only the gateway may send upstream.
#[derive(Clone, Debug, Default)]
pub struct ReservedHeaders {
    /// Folded.
    configured: Vec<Box<[u8]>>,
}

impl ReservedHeaders {
    /// The configured identity names, beside those that are always reserved.
    pub fn new(configured: &[HeaderName]) -> Self {
        let folded = |name: &HeaderName| name.as_str().bytes().map(fold).collect::<Box<[u8]>>();
        Self { configured: configured.iter().map(folded).filter(|name| !name.starts_with(IDENTITY_PREFIX)).collect() }
    }

    /// An identity header, or an alias of one.
    pub fn is_reserved(&self, name: &HeaderName) -> bool {
        // SECURITY: held by `an_identity_header_spelled_with_underscores_is_reserved` and its neighbours.
        let name = name.as_str().as_bytes();
        starts_folded(name, IDENTITY_PREFIX) || self.configured.iter().any(|folded| folds_to(name, folded))
    }

    /// Any of the reasons to remove the field from an inbound request.
    pub fn removes(&self, name: &HeaderName) -> bool {
        self.is_reserved(name) || is_override(name) || is_framing_alias(name)
    }
}

/// A name that a lenient upstream takes for a framing field, such as `transfer_encoding`, and that is not that field here.
pub fn is_framing_alias(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let Some(b'c' | b'h' | b'k' | b'p' | b's' | b't' | b'x') = name.first() else { return false };
    let plain = name.iter().all(|&byte| byte == b'-' || byte.is_ascii_alphanumeric());
    !plain && FRAMING.iter().any(|framing| folds_to(name, framing.as_bytes()))
}

/// A field, or an alias of one, by which an upstream would serve another request than the one that was decided.
pub fn is_override(name: &HeaderName) -> bool {
    let name = name.as_str();
    let bytes = name.as_bytes();
    let Some(b'x' | b'f' | b'c' | b'p' | b't') = bytes.first() else { return false };
    if starts_folded(bytes, FORWARDED_PREFIX) {
        return !FORWARDED_KEPT.contains(&name);
    }
    OVERRIDES.iter().any(|other| folds_to(bytes, other.as_bytes()))
}

/// Two different names that a lenient upstream takes for one.
pub(super) fn is_alias(name: &HeaderName, of: &HeaderName) -> bool {
    let (name, of) = (name.as_str().as_bytes(), of.as_str().as_bytes());
    name.len() == of.len() && name != of && name.iter().zip(of).all(|(&one, &other)| fold(one) == fold(other))
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn folds_to(name: &[u8], folded: &[u8]) -> bool {
    name.len() == folded.len() && starts_folded(name, folded)
}

fn starts_folded(name: &[u8], folded: &[u8]) -> bool {
    name.len() >= folded.len() && name.iter().zip(folded).all(|(&byte, &other)| fold(byte) == other)
}

#[cfg(test)]
mod tests;
