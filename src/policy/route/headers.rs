//! Which header fields a policy may read or change, and the edits of a route.
//!
//! Which names are the gateway's own is the matter of `request`; this says what a policy may do with the others.

use http::{HeaderName, HeaderValue};

use crate::{
    policy::codes,
    request::{ReservedHeaders, is_framing_alias, is_override},
    yaml::Cursor,
};

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

/// Fields that authenticate.
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];

/// Where a message ends and whom it is for.
const FRAMING: [&str; 3] = ["content-length", "host", "expect"];

/// What the gateway knows about header names.
#[derive(Debug)]
pub(crate) struct HeaderRules<'w> {
    reserved: ReservedHeaders,
    credentials: &'w [HeaderName],
}

impl<'w> HeaderRules<'w> {
    pub(crate) fn new(identity: &[HeaderName], credentials: &'w [HeaderName]) -> Self {
        Self { reserved: ReservedHeaders::new(identity), credentials }
    }

    /// Why no attribute may come from that field.
    pub(crate) fn not_a_source(&self, name: &HeaderName) -> Option<&'static str> {
        if self.reserved.is_reserved(name) {
            Some("is an identity header, which is removed from every request")
        } else if HOP_BY_HOP.contains(&name.as_str()) {
            Some("concerns one connection only")
        } else if CREDENTIALS.contains(&name.as_str()) || self.credentials.contains(name) {
            Some("carries a credential")
        } else if self.reserved.removes(name) {
            Some("is removed from every request")
        } else {
            None
        }
    }

    /// Why a route may not change that field.
    fn not_editable(&self, name: &HeaderName) -> Option<&'static str> {
        let text = name.as_str();
        if self.reserved.is_reserved(name) {
            Some("is an identity header")
        } else if HOP_BY_HOP.contains(&text) || FRAMING.contains(&text) || is_framing_alias(name) {
            Some("frames the message")
        } else if text.starts_with("x-forwarded-") || text == "x-request-id" {
            Some("is set by the gateway")
        } else if is_override(name) {
            Some("could name another request than the one that was decided on")
        } else {
            None
        }
    }
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

    pub(crate) fn read(at: &Cursor<'_>, rules: &HeaderRules<'_>) -> Self {
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

fn read_setting(name: &str, at: &Cursor<'_>, rules: &HeaderRules<'_>) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = (editable(name, at, rules), at.text()?);
    match HeaderValue::from_str(text) {
        Ok(value) => Some((name?, value)),
        Err(_) => {
            at.error_with_help(
                codes::HEADER,
                "the value cannot stand in a header",
                "a value is one line without control characters",
            );
            None
        }
    }
}

fn editable(name: &str, at: &Cursor<'_>, rules: &HeaderRules<'_>) -> Option<HeaderName> {
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
        let help = "a header name is letters, digits and `-`, such as `X-Tenant`";
        at.error_with_help(codes::HEADER, format!("`{name}` is not a header name"), help);
    }
    read
}
