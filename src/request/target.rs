//! The request target: one reading, or none (RFC 9112 section 3.2, RFC 3986 section 3.3).

use std::borrow::Cow;

use thiserror::Error;

use super::Lookup;

/// A path that has one reading: absolute, no dot segments, no empty inner segment, unreserved characters decoded, hex digits in upper
/// case. What is decided on and what is forwarded is this value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath(Box<str>);

impl CanonicalPath {
    /// The path as it goes on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The query as it came, without its `?`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a>(Option<&'a str>);

impl<'a> Query<'a> {
    /// A query as it came, without its `?`.
    pub fn new(text: Option<&'a str>) -> Self {
        Self(text)
    }

    /// The decoded value under a decoded name, if the name stands there once.
    pub fn single(&self, name: &str) -> Lookup<Cow<'_, str>> {
        let mut values = self.pairs().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (None, _) => Lookup::Absent,
            (Some((_, value)), None) => Lookup::One(value),
            (Some(_), Some(_)) => Lookup::Repeated,
        }
    }

    /// Every name and value, decoded; `+` is a space.
    pub fn pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let parts = self.0.unwrap_or_default().split('&').filter(|part| !part.is_empty());
        parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
    }
}

/// Decodes one name or value of a query.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        rest = match (byte, escape.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(value)) => {
                decoded.push(value);
                after.get(2..).unwrap_or_default()
            }
            (b'+', _) => {
                decoded.push(b' ');
                after
            }
            (byte, _) => {
                decoded.push(byte);
                after
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// A whole request target: path and query.
#[derive(Clone, Debug)]
pub struct Target {
    /// The path.
    pub path: CanonicalPath,
    query: Option<Box<str>>,
}

/// Why a target has no single reading. All of them are 400 `target_ambiguous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Neither origin-form nor absolute-form with `http` or `https`.
    #[error("the target is not in origin form")]
    NotOriginForm,
}
