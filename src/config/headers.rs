//! Header names that settings may hold, and the header fields that tell an upstream who asks.
//!
//! Names are compared as an upstream might: case, `_` and `.` make no difference (CGI and WSGI turn `-` into `_`).

use http::HeaderName;

use super::{IdentityHeader, IdentityValue};
use crate::yaml::{Cursor, Node};

/// The identity headers where the settings name none. oauth2-proxy users know these names.
pub(super) const DEFAULTS: [(&str, &str); 4] = [
    ("X-Auth-Request-User", "id"),
    ("X-Auth-Request-Preferred-Username", "username"),
    ("X-Auth-Request-Email", "email"),
    ("X-Auth-Request-Groups", "roles"),
];

/// Removed from every inbound request, whatever the settings say.
const IDENTITY_PREFIX: &str = "x-auth-request-";

/// Names with a meaning of their own: the connection, the frame, the credential, the client and the request's origin.
const TAKEN: [&str; 30] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "content-type",
    "content-encoding",
    "expect",
    "host",
    "authorization",
    "cookie",
    "set-cookie",
    "forwarded",
    "x-request-id",
    "x-real-ip",
    "origin",
    "accept",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
];

/// Beginnings of such names.
const TAKEN_PREFIXES: [&str; 3] = ["x-forwarded-", "sec-", "access-control-"];

/// The one spelling that stands for all aliases of a name.
pub(super) fn folded(name: &HeaderName) -> String {
    name.as_str().replace(['_', '.'], "-")
}

/// True when a header of that folded name can be no identity header and no credential.
fn is_taken(folded: &str) -> bool {
    TAKEN.contains(&folded) || TAKEN_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
}

/// A header name that has no other meaning.
pub(super) fn free_name(at: &Cursor<'_>, text: &str) -> Option<HeaderName> {
    let Ok(name) = text.parse::<HeaderName>() else {
        at.error_with_help(
            "C022",
            format!("`{text}` is not a header name"),
            "a header name is letters, digits and `-`, such as `X-User-Id`",
        );
        return None;
    };
    // SECURITY: overwriting these would forge the frame or the client: `a_header_with_a_meaning_of_its_own_is_no_identity_header`.
    if is_taken(&folded(&name)) {
        at.error_with_help(
            "C022",
            format!("the header `{text}` has a meaning of its own"),
            "choose a name that belongs to your application, such as `X-User-Id`",
        );
        return None;
    }
    Some(name)
}

/// True when a header of that name tells an upstream who asks, by these settings or by the defaults.
pub(super) fn is_identity(name: &HeaderName, configured: &[IdentityHeader]) -> bool {
    let name = folded(name);
    name.starts_with(IDENTITY_PREFIX) || configured.iter().any(|header| folded(&header.name) == name)
}

/// The headers of [`DEFAULTS`].
pub(super) fn defaults() -> Vec<IdentityHeader> {
    let header =
        |(name, value): &(&str, &str)| Some(IdentityHeader { name: name.parse().ok()?, value: identity_value(value) });
    DEFAULTS.iter().filter_map(header).collect()
}

/// Reads `identity_headers`. An empty map is meant: no header tells who asks.
pub(super) fn identity_headers(at: &Cursor<'_>) -> Option<Vec<IdentityHeader>> {
    if matches!(at.node(), Node::Map(entries) if entries.is_empty()) {
        return Some(Vec::new());
    }
    let map = at.map()?;
    let (mut headers, mut whole): (Vec<IdentityHeader>, bool) = (Vec::new(), true);
    for (key, place) in map.entries() {
        let (name, value) = (free_name(&place, key), value(&place));
        let (Some(name), Some(value)) = (name, value) else {
            whole = false;
            continue;
        };
        // SECURITY: an upstream that folds names would see two: `two_identity_headers_that_an_upstream_cannot_tell_apart_are_refused`.
        if let Some(other) = headers.iter().find(|other| folded(&other.name) == folded(&name)) {
            place.error_with_help(
                "C023",
                format!("`{name}` and `{}` are the same header to some upstreams", other.name),
                "upper and lower case, `-`, `_` and `.` make no difference there; keep one of them",
            );
            whole = false;
        }
        headers.push(IdentityHeader { name, value });
    }
    whole.then_some(headers)
}

fn value(at: &Cursor<'_>) -> Option<IdentityValue> {
    claim_name(at).map(|name| identity_value(&name))
}

fn identity_value(word: &str) -> IdentityValue {
    match word {
        "id" => IdentityValue::Id,
        "roles" => IdentityValue::Roles,
        "provider" => IdentityValue::Provider,
        "client_id" => IdentityValue::ClientId,
        "kind" => IdentityValue::Kind,
        claim => IdentityValue::Claim(claim.to_owned()),
    }
}

/// The name of a claim.
pub(super) fn claim_name(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    if text.len() > 256 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        at.error_with_help(
            "C020",
            "this cannot be the name of a claim",
            "a claim is named by at most 256 bytes without spaces, such as `sub`, `email` or `custom:tenant`",
        );
        return None;
    }
    Some(text.to_owned())
}
