//! The request target: one reading, or none (RFC 9112 section 3.2, RFC 3986 section 3.3).
//!
//! Encoded unreserved characters and the case of hex digits are normalised; everything else that programs read in different ways
//! is refused, never repaired. Invariant: what was parsed parses again to itself, and is matched and forwarded as it stands.

use std::{borrow::Cow, fmt};

use memchr::{memchr, memchr3};
use thiserror::Error;

use super::{
    Host, Query,
    escape::{self, Plus, octet, push_octet},
};

/// A path that has one reading: absolute, no dot segments, no empty inner segment, unreserved characters decoded, hex digits in upper
/// case. What is decided on and what is forwarded is this value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath(Box<str>);

impl CanonicalPath {
    /// Reads the path of a target, without its query.
    pub fn parse(raw: &[u8]) -> Result<Self, TargetError> {
        let Some((b'/', rest)) = raw.split_first() else { return Err(TargetError::NotOriginForm) };
        let mut reading = Reading::default();
        for &byte in rest {
            match class(byte) {
                Class::Plain => reading.take(byte)?,
                Class::Escape => return normalise(rest),
                Class::Refused(error) => return Err(error),
            }
        }
        reading.end()?;
        str::from_utf8(raw).map(|path| Self(path.into())).map_err(|_| TargetError::ForbiddenByte)
    }

    /// The path as it goes on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, still encoded. A trailing slash shows as a last, empty segment: `/` has one, `/a/` has two.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.get(1..).unwrap_or_default().split('/')
    }

    /// The path below `prefix`, by whole segments: below `/api`, `/api/x` is `/x`, `/api` is `/`, and `/apix` is not there.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let stem = prefix.0.strip_suffix('/');
        let below = self.0.strip_prefix(stem.unwrap_or(&prefix.0))?;
        // SECURITY: held by `a_prefix_is_not_stripped_inside_a_segment`.
        if below.starts_with('/') {
            return Some(Self(below.into()));
        }
        (below.is_empty() && stem.is_none()).then(|| Self("/".into()))
    }

    /// The request target to send upstream: this path, and `query` as it came.
    pub fn wire(&self, query: Query<'_>) -> String {
        let query = query.as_str();
        let mut target = String::with_capacity(self.0.len() + query.map_or(0, |query| query.len() + 1));
        target.push_str(&self.0);
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        target
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A segment of a [`CanonicalPath`], percent-decoded once. Text that does not decode, which no canonical path holds, comes back as it
/// is.
pub fn decode(segment: &str) -> Cow<'_, str> {
    escape::decode(segment, Plus::Literal).unwrap_or(Cow::Borrowed(segment))
}

/// A whole request target: path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path.
    pub path: CanonicalPath,
    query: Option<Box<str>>,
}

impl Target {
    /// Reads a target in origin form, or in absolute form with `http` or `https` and the authority that `host` names.
    ///
    /// In the query, `"`, `<` and `>` are escaped, as no reader takes them for anything else; the rest of it is kept as it came.
    pub fn parse(raw: &[u8], host: &Host) -> Result<Self, TargetError> {
        let local = if raw.starts_with(b"/") { raw } else { absolute(raw, host)? };
        let (path, query) = match memchr(b'?', local).and_then(|at| local.split_at_checked(at)) {
            Some((path, query)) => (path, query.get(1..)),
            None => (local, None),
        };
        // Only an absolute form can have no path (RFC 9110 section 4.2.3).
        let path = CanonicalPath::parse(if path.is_empty() { b"/" } else { path })?;
        Ok(Self { path, query: query.map(query_text).transpose()? })
    }

    /// The query.
    pub fn query(&self) -> Query<'_> {
        Query::new(self.query.as_deref())
    }

    /// The target in origin form.
    pub fn wire(&self) -> String {
        self.path.wire(self.query())
    }
}

/// Why a target has no single reading. All of them are 400 `target_ambiguous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Neither origin-form nor absolute-form with `http` or `https`.
    #[error("the target is not in origin form")]
    NotOriginForm,
    /// An absolute form whose authority is not what the Host field says.
    #[error("the authority of the target does not agree with the host")]
    AuthorityMismatch,
    /// A segment `.` or `..`, raw or encoded.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `%2F`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `%5C`.
    #[error("the path has an encoded backslash")]
    EncodedBackslash,
    /// An escape of a control character, C1 controls included.
    #[error("the path has an encoded control character")]
    EncodedControl,
    /// `%3B`, `%23` or `%3F`.
    #[error("the path has an encoded `;`, `#` or `?`")]
    EncodedDelimiter,
    /// `%25` and two hex digits: decoding twice gives another path.
    #[error("the path is encoded twice")]
    DoubleEncoded,
    /// A `%` without two hex digits.
    #[error("the path has a `%` that is not followed by two hex digits")]
    BrokenEscape,
    /// Escapes that do not decode to UTF-8.
    #[error("the path is not UTF-8 once decoded")]
    NotUtf8,
    /// A raw backslash.
    #[error("the path has a backslash")]
    Backslash,
    /// A raw `;`.
    #[error("the path has a `;`")]
    Semicolon,
    /// A raw `#`, in path or query.
    #[error("the target has a `#`")]
    Fragment,
    /// A raw control character in the path.
    #[error("the path has a control character")]
    Control,
    /// Another raw byte that RFC 3986 does not allow in a path.
    #[error("the path has a character that must be encoded")]
    ForbiddenByte,
    /// A control, a space or a byte beyond ASCII in the query.
    #[error("the query has a control character, a space or a byte beyond ASCII")]
    QueryByte,
}

/// What is left of an absolute form behind the authority, when that is the one of `host`.
fn absolute<'a>(raw: &'a [u8], host: &Host) -> Result<&'a [u8], TargetError> {
    let scheme = |name: &[u8]| {
        let (start, rest) = raw.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(rest)
    };
    let (rest, port) = match (scheme(b"http://"), scheme(b"https://")) {
        (Some(rest), _) => (rest, 80),
        (None, Some(rest)) => (rest, 443),
        (None, None) => return Err(TargetError::NotOriginForm),
    };
    let end = memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    let (authority, local) = rest.split_at_checked(end).ok_or(TargetError::NotOriginForm)?;
    let authority = Host::parse(authority).map_err(|_| TargetError::AuthorityMismatch)?;
    // SECURITY: held by `an_absolute_target_for_another_host_is_refused`.
    let agrees = authority.name() == host.name() && authority.port().unwrap_or(port) == host.port().unwrap_or(port);
    if agrees { Ok(local) } else { Err(TargetError::AuthorityMismatch) }
}

fn query_text(raw: &[u8]) -> Result<Box<str>, TargetError> {
    let mut quoted = false;
    for &byte in raw {
        match byte {
            0..=b' ' | 0x7F.. => return Err(TargetError::QueryByte),
            b'#' => return Err(TargetError::Fragment),
            b'"' | b'<' | b'>' => quoted = true,
            _ => {}
        }
    }
    let text = str::from_utf8(raw).map_err(|_| TargetError::QueryByte)?;
    if quoted {
        return Ok(text.replace('"', "%22").replace('<', "%3C").replace('>', "%3E").into());
    }
    Ok(text.into())
}

/// The way with escapes: `rest` is the raw path behind its first slash.
fn normalise(rest: &[u8]) -> Result<CanonicalPath, TargetError> {
    let mut path = String::with_capacity(rest.len() + 1);
    path.push('/');
    let mut reading = Reading::default();
    let mut left = rest;
    while let Some((&byte, tail)) = left.split_first() {
        left = match class(byte) {
            Class::Plain => {
                reading.take(byte)?;
                path.push(char::from(byte));
                tail
            }
            Class::Escape => unescape(tail, &mut path, &mut reading)?,
            Class::Refused(error) => return Err(error),
        };
    }
    reading.end()?;
    Ok(CanonicalPath(path.into()))
}

/// Reads one escape (one whole character, if it is beyond ASCII) whose `%` stands before `digits`.
fn unescape<'a>(digits: &'a [u8], path: &mut String, reading: &mut Reading) -> Result<&'a [u8], TargetError> {
    let (byte, tail) = octet(digits).ok_or(TargetError::BrokenEscape)?;
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            reading.take(byte)?;
            path.push(char::from(byte));
        }
        b'/' => return Err(TargetError::EncodedSlash),
        b'\\' => return Err(TargetError::EncodedBackslash),
        0..=0x1F | 0x7F => return Err(TargetError::EncodedControl),
        b';' | b'#' | b'?' => return Err(TargetError::EncodedDelimiter),
        0x80.. => return beyond_ascii(byte, tail, path, reading),
        _ => {
            reading.escape(byte);
            push_octet(path, byte);
        }
    }
    Ok(tail)
}

/// Reads the rest of a character whose first byte is `first`. Its other bytes are escapes too, as a raw byte beyond ASCII is refused.
fn beyond_ascii<'a>(
    first: u8,
    mut tail: &'a [u8],
    path: &mut String,
    reading: &mut Reading,
) -> Result<&'a [u8], TargetError> {
    let width = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Err(TargetError::NotUtf8),
    };
    let mut bytes = [first, 0, 0, 0];
    for byte in bytes.iter_mut().take(width).skip(1) {
        let Some((b'%', digits)) = tail.split_first() else { return Err(TargetError::NotUtf8) };
        (*byte, tail) = octet(digits).ok_or(TargetError::BrokenEscape)?;
    }
    let bytes = bytes.get(..width).unwrap_or_default();
    // SECURITY: held by `overlong_utf8_is_refused`.
    let character = str::from_utf8(bytes).map_err(|_| TargetError::NotUtf8)?;
    if character.chars().any(char::is_control) {
        return Err(TargetError::EncodedControl);
    }
    for &byte in bytes {
        reading.escape(byte);
        push_octet(path, byte);
    }
    Ok(tail)
}

/// What the canonical path, as far as it is written, means for the next character. It sees canonical characters only, so an
/// encoded dot is a dot, and the digits behind `%25` count also when they were encoded themselves.
#[derive(Default)]
struct Reading {
    segment: Segment,
    percent: Percent,
}

#[derive(Clone, Copy, Default)]
enum Segment {
    #[default]
    Empty,
    Dot,
    DotDot,
    Name,
}

#[derive(Clone, Copy, Default)]
enum Percent {
    #[default]
    No,
    /// `%25` was just written.
    Encoded,
    /// `%25` and one hex digit.
    Digit,
}

impl Reading {
    /// A character that stands for itself.
    fn take(&mut self, byte: u8) -> Result<(), TargetError> {
        // SECURITY: held by `dot_segments_are_refused`.
        self.segment = match (self.segment, byte) {
            (Segment::Empty, b'/') => return Err(TargetError::EmptySegment),
            (Segment::Dot | Segment::DotDot, b'/') => return Err(TargetError::DotSegment),
            (Segment::Name, b'/') => Segment::Empty,
            (Segment::Empty, b'.') => Segment::Dot,
            (Segment::Dot, b'.') => Segment::DotDot,
            _ => Segment::Name,
        };
        // SECURITY: held by `a_doubly_encoded_path_is_refused`.
        self.percent = match (self.percent, byte.is_ascii_hexdigit()) {
            (Percent::Encoded, true) => Percent::Digit,
            (Percent::Digit, true) => return Err(TargetError::DoubleEncoded),
            _ => Percent::No,
        };
        Ok(())
    }

    /// An escape that stays one.
    fn escape(&mut self, byte: u8) {
        self.segment = Segment::Name;
        self.percent = if byte == b'%' { Percent::Encoded } else { Percent::No };
    }

    fn end(self) -> Result<(), TargetError> {
        match self.segment {
            Segment::Empty | Segment::Name => Ok(()),
            Segment::Dot | Segment::DotDot => Err(TargetError::DotSegment),
        }
    }
}

/// What a raw byte is in a path.
#[derive(Clone, Copy)]
enum Class {
    /// Itself: unreserved, `/`, `:`, `@`, or a sub-delimiter other than `;`.
    Plain,
    /// The start of an escape.
    Escape,
    Refused(TargetError),
}

static CLASSES: [Class; 256] = classes();

#[inline]
fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Refused(TargetError::ForbiddenByte))
}

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Plain; 256];
    let (mut rest, mut byte): (&mut [Class], u8) = (&mut classes, 0);
    while let Some((slot, more)) = rest.split_first_mut() {
        *slot = class_of(byte);
        rest = more;
        byte = byte.wrapping_add(1);
    }
    classes
}

const fn class_of(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' => Class::Plain,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => Class::Plain,
        b'%' => Class::Escape,
        b'\\' => Class::Refused(TargetError::Backslash),
        b';' => Class::Refused(TargetError::Semicolon),
        b'#' => Class::Refused(TargetError::Fragment),
        0..=0x1F | 0x7F => Class::Refused(TargetError::Control),
        _ => Class::Refused(TargetError::ForbiddenByte),
    }
}

#[cfg(test)]
mod tests;
