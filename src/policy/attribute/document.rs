//! Reading `{ path: NAME }`, `{ query: NAME }` and their kind.

use serde_json::Value;

use super::Source;
use crate::{
    policy::{
        codes,
        route::{HeaderRules, PathPattern, read_header_name},
    },
    yaml::{Cursor, MapCursor},
};

/// Labels of the longest host name.
const MAX_LABELS: u64 = 126;

/// What the reader of a source must know about its surroundings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'r> {
    /// The pattern whose captures `path` names.
    pub(crate) pattern: Option<&'r PathPattern>,
    /// Which fields `header` may name.
    pub(crate) headers: &'r HeaderRules<'r>,
    /// May it be `claim` or `const`? An owner may not.
    pub(crate) fixed: bool,
}

/// Reads the one source that a map names, for a subject such as ``rule `x` compares``. The caller finishes the map.
pub(crate) fn read_source(map: &mut MapCursor<'_>, subject: &str, sources: Sources<'_>) -> Option<Source> {
    let mut named: Vec<(&str, Cursor<'_>)> = Vec::new();
    for key in ["path", "query", "header", "host", "body"] {
        named.extend(map.take(key).map(|value| (key, value)));
    }
    if sources.fixed {
        for key in ["claim", "const"] {
            named.extend(map.take(key).map(|value| (key, value)));
        }
    }
    let [(key, value)] = named.as_slice() else {
        let found: Vec<_> = named.iter().map(|(key, _)| format!("`{key}`")).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(" and ") };
        let known = if sources.fixed { ", `body`, `claim` or `const`" } else { " or `body`" };
        map.here().error_with_help(
            codes::SOURCE,
            format!("one source is needed, and this names {found}"),
            format!("write one of `path`, `query`, `header`, `host`{known}"),
        );
        return None;
    };
    match *key {
        "path" => read_capture(value, subject, sources.pattern?),
        "query" => value.text().map(|name| Source::Query(name.into())),
        "header" => read_header(value, sources.headers),
        "host" => value.integer(0..=MAX_LABELS).and_then(|label| usize::try_from(label).ok()).map(Source::Host),
        "body" => value.parse(codes::SOURCE, "write a pointer such as `/owner` (RFC 6901)").map(Source::Body),
        "claim" => value.text().map(|name| Source::Claim(name.into())),
        _ => read_const(value).map(Source::Const),
    }
}

fn read_capture(at: &Cursor<'_>, subject: &str, pattern: &PathPattern) -> Option<Source> {
    let name = at.text()?;
    let place = pattern.capture(name);
    if place.is_none() {
        let captures: Vec<_> = pattern.captures().collect();
        let help = match captures.as_slice() {
            [] => format!("`{pattern}` has no captures"),
            [..] => format!("captures of `{pattern}` are: {}", captures.join(", ")),
        };
        at.error_with_help(
            codes::CAPTURE,
            format!("{subject} `path.{name}`, but the route has no capture `{name}`"),
            help,
        );
    }
    place.map(Source::Path)
}

fn read_header(at: &Cursor<'_>, headers: &HeaderRules<'_>) -> Option<Source> {
    let name = read_header_name(at.text()?, at)?;
    // SECURITY: what the gateway removes, or what holds a secret, is no attribute:
    // `an_owner_from_an_identity_or_credential_header_does_not_compile`.
    if let Some(why) = headers.not_a_source(&name) {
        at.error_with_help(
            codes::HEADER,
            format!("no attribute comes from `{name}`: it {why}"),
            "who asks is told by `principal`; take the attribute from elsewhere",
        );
        return None;
    }
    Some(Source::Header(name))
}

fn read_const(at: &Cursor<'_>) -> Option<Value> {
    let value = at.node().to_json();
    if value.is_none() {
        at.error_with_help(codes::SOURCE, "the number is too large", "write it as a string");
    }
    value
}
