//! Where an attribute comes from, and what stands there.
//!
//! A source is named once, at load; afterwards extraction is a look-up. Absent, present and unreadable are three answers: what
//! has two readings is never resolved by picking one.

mod document;
mod pointer;

use std::borrow::Cow;

use http::HeaderName;
use serde_json::Value;

use crate::{
    identity::Principal,
    policy::decision::Body,
    request::{Lookup, RequestView},
};

pub(crate) use document::{Sources, read_source};
pub(crate) use pointer::Pointer;

/// Where an attribute of a resource, or the owner that a rule compares, comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A capture of the route's path, by its place.
    Path(usize),
    /// A query parameter.
    Query(Box<str>),
    /// A header field.
    Header(HeaderName),
    /// A label of the host, 0 being the leftmost.
    Host(usize),
    /// A value in the JSON body.
    Body(Pointer),
    /// A claim of the principal.
    Claim(Box<str>),
    /// Always this.
    Const(Value),
}

/// What stands at a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found<'a> {
    /// Nothing, or an empty text.
    Absent,
    /// A text.
    Text(Cow<'a, str>),
    /// A JSON value.
    Json(&'a Value),
    /// Something with no single reading: repeated, or not text. 400 `attribute_malformed`.
    Malformed,
    /// It is in the body, which has not been read.
    Unread,
}

/// What sources are looked up in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) view: &'a RequestView<'a>,
    pub(crate) captures: &'a [Cow<'a, str>],
    pub(crate) body: Body<'a>,
}

impl Source {
    /// The word for it in policies and audit lines.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Path(_) => "path",
            Self::Query(_) => "query",
            Self::Header(_) => "header",
            Self::Host(_) => "host",
            Self::Body(_) => "body",
            Self::Claim(_) => "claim",
            Self::Const(_) => "const",
        }
    }

    /// Does the client merely say so? The path and the host also choose what the upstream will touch; these do not.
    pub(crate) fn is_claimed(&self) -> bool {
        match self {
            Self::Query(_) | Self::Header(_) | Self::Body(_) => true,
            Self::Path(_) | Self::Host(_) | Self::Claim(_) | Self::Const(_) => false,
        }
    }

    /// Does it stand in the body?
    pub(crate) fn is_body(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// What stands there.
    pub(crate) fn find<'a>(&'a self, inputs: &Inputs<'a>) -> Found<'a> {
        match self {
            Self::Path(place) => inputs.captures.get(*place).map_or(Found::Absent, |value| text(Cow::Borrowed(value))),
            Self::Query(name) => match inputs.view.query.single(name) {
                Lookup::Absent => Found::Absent,
                Lookup::One(value) => text(value),
                Lookup::Repeated | Lookup::Malformed => Found::Malformed,
            },
            Self::Header(name) => match inputs.view.headers.single(name) {
                Lookup::Absent => Found::Absent,
                Lookup::One(value) => match std::str::from_utf8(value.as_bytes()) {
                    Ok(value) => text(Cow::Borrowed(value)),
                    Err(_) => Found::Malformed,
                },
                Lookup::Repeated | Lookup::Malformed => Found::Malformed,
            },
            Self::Host(label) => match inputs.view.host.labels().nth(*label) {
                Some(label) => text(Cow::Borrowed(label)),
                None => Found::Absent,
            },
            Self::Body(pointer) => match inputs.body {
                Body::Unread => Found::Unread,
                Body::Json(body) => json(pointer.find(body)),
            },
            Self::Claim(name) => json(inputs.principal.verified().and_then(|verified| verified.claim(name))),
            Self::Const(value) => Found::Json(value),
        }
    }
}

fn text(value: Cow<'_, str>) -> Found<'_> {
    if value.is_empty() { Found::Absent } else { Found::Text(value) }
}

fn json(value: Option<&Value>) -> Found<'_> {
    match value {
        None => Found::Absent,
        Some(value) if value.as_str() == Some("") => Found::Absent,
        Some(value) => Found::Json(value),
    }
}

impl Found<'_> {
    /// The text that stands there. A number or a list is no text, and so never the name of an owner.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(value) => value.as_str(),
            Self::Absent | Self::Malformed | Self::Unread => None,
        }
    }
}

#[cfg(test)]
mod tests;
