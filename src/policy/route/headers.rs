//! Which header fields a policy may read or change, and the edits of a route.
//!
//! Names are compared with `_` and `.` as `-`, as upstreams that map header names to variables do.

use http::{HeaderName, HeaderValue};

use crate::{policy::codes, yaml::Cursor};

/// Names that the gateway sets upstream unless the settings choose others; all of this prefix are its own.
const IDENTITY_PREFIX: &str = "x-auth-request-";

/// RFC 9110 section 7.6.1 and what older programs take for it.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a message ends and whom it is for.
const FRAMING: [&str; 3] = ["content-length", "host", "expect"];

/// What some servers read as another method or path than the one that was decided on.
const OVERRIDES: [&str; 7] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// What the gateway knows about header names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderRules<'w> {
    pub(crate) identity: &'w [HeaderName],
    pub(crate) credentials: &'w [HeaderName],
}

impl HeaderRules<'_> {
    /// Why no attribute may come from that field.
    pub(crate) fn not_a_source(&self, name: &HeaderName) -> Option<&'static str> {
        let plain = plain(name.as_str());
        if self.is_identity(&plain) {
            Some("is an identity header, which is removed from every request")
        } else if HOP_BY_HOP.contains(&plain.as_str()) {
            Some("concerns one connection only")
        } else if plain == "authorization" || plain == "cookie" || self.is_credential(&plain) {
            Some("carries a credential")
        } else {
            None
        }
    }

    /// Why a route may not change that field.
    fn not_editable(&self, name: &HeaderName) -> Option<&'static str> {
        let plain = plain(name.as_str());
        let plain = plain.as_str();
        if self.is_identity(plain) {
            Some("is an identity header")
        } else if HOP_BY_HOP.contains(&plain) || FRAMING.contains(&plain) {
            Some("frames the message")
        } else if plain.starts_with("x-forwarded-") || plain == "forwarded" || plain == "x-request-id" {
            Some("is set by the gateway")
        } else if OVERRIDES.contains(&plain) {
            Some("could name another method or path than the one that was decided on")
        } else {
            None
        }
    }

    fn is_identity(&self, plain_name: &str) -> bool {
        plain_name.starts_with(IDENTITY_PREFIX) || self.identity.iter().any(|name| plain(name.as_str()) == plain_name)
    }

    fn is_credential(&self, plain_name: &str) -> bool {
        self.credentials.iter().any(|name| plain(name.as_str()) == plain_name)
    }
}

fn plain(name: &str) -> String {
    name.replace(['_', '.'], "-")
}

/// Changes to the header of a forwarded request or response: first the removals, then the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that get this one value.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that go.
    pub remove: Vec<HeaderName>,
}

impl HeaderEdits {
    /// Does it change nothing?
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    pub(crate) fn read(at: &Cursor<'_>, rules: HeaderRules<'_>) -> Self {
        let mut edits = Self::default();
        let Some(mut map) = at.map() else { return edits };
        if let Some(set) = map.take("set").and_then(|set| set.map()) {
            edits.set.extend(set.entries().filter_map(|(name, value)| read_setting(name, &value, rules)));
        }
        if let Some(remove) = map.take("remove").and_then(|remove| remove.list()) {
            edits.remove.extend(remove.iter().filter_map(|name| editable(name.text()?, name, rules)));
        }
        map.finish();
        edits
    }
}

fn read_setting(name: &str, at: &Cursor<'_>, rules: HeaderRules<'_>) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = (editable(name, at, rules), at.text()?);
    match HeaderValue::from_str(text) {
        Ok(value) => Some((name?, value)),
        Err(_) => {
            at.error(codes::HEADER, "the value cannot stand in a header");
            None
        }
    }
}

fn editable(name: &str, at: &Cursor<'_>, rules: HeaderRules<'_>) -> Option<HeaderName> {
    let name = read_name(name, at)?;
    if let Some(why) = rules.not_editable(&name) {
        at.error_with_help(
            codes::HEADER,
            format!("a route cannot change `{name}`: it {why}"),
            "identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own",
        );
        return None;
    }
    Some(name)
}

pub(crate) fn read_name(name: &str, at: &Cursor<'_>) -> Option<HeaderName> {
    let read = HeaderName::from_bytes(name.as_bytes()).ok();
    if read.is_none() {
        at.error(codes::HEADER, format!("`{name}` is not a header name"));
    }
    read
}
