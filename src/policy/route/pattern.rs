//! What a route's path looks like: `/users/{user_id}/profile`, `/public/{rest..}`.
//!
//! A pattern is compared with a [`CanonicalPath`] segment by segment, so its literals must be canonical too: a literal that
//! no canonical path can hold would be a route that never matches.

use std::{borrow::Cow, fmt, str::FromStr};

use thiserror::Error;

use crate::request::{CanonicalPath, decode};

/// Segments of the longest pattern.
const MAX_SEGMENTS: usize = 64;

/// The path of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What stands between two slashes of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Exactly this, in canonical form. Empty after a trailing slash.
    Literal(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Capture(Box<str>),
    /// `{name..}`: all that follows the slash, also nothing. Always last.
    Tail(Box<str>),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It does not start with a slash.
    #[error("the path `{0}` does not start with `/`")]
    NotAbsolute(String),
    /// An empty, dotted, badly escaped or otherwise ambiguous literal.
    #[error("no request path can hold the segment `{segment}`")]
    NotCanonical {
        /// The segment as written.
        segment: String,
        /// The spelling that requests have, when there is one.
        canonical: Option<String>,
    },
    /// Braces that are not around a whole segment, or hold no name.
    #[error("`{0}` is not a capture")]
    NotACapture(String),
    /// A tail with something behind it.
    #[error("`{{{0}..}}` takes the rest of the path and is not last")]
    TailNotLast(String),
    /// Two captures of one name.
    #[error("the path captures `{0}` twice")]
    Twice(String),
    /// Longer than any path that somebody means.
    #[error("the path has more than {MAX_SEGMENTS} segments")]
    TooLong,
}

impl PatternError {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::NotAbsolute(text) => format!("write `/{text}`"),
            Self::NotCanonical { canonical: Some(canonical), .. } => format!("write `{canonical}`"),
            Self::NotCanonical { canonical: None, .. } => {
                "empty and dot segments, and characters that must be escaped, are refused in requests".to_owned()
            }
            Self::NotACapture(_) => {
                "a capture is a whole segment: `{name}`, or `{name..}` for the rest; names are letters, digits and `_`"
                    .to_owned()
            }
            Self::TailNotLast(name) => format!("end the path there, or write `{{{name}}}` for one segment"),
            Self::Twice(_) => "give each capture its own name".to_owned(),
            Self::TooLong => format!("at most {MAX_SEGMENTS} segments are matched"),
        }
    }
}

impl PathPattern {
    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its captures, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// The place of the capture of that name among [`captures`](Self::captures).
    pub fn capture(&self, name: &str) -> Option<usize> {
        self.captures().position(|capture| capture == name)
    }

    /// Its segments.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What the captures hold for a path that this pattern matches, decoded once.
    pub(crate) fn read<'p>(&self, path: &'p str) -> Vec<Cow<'p, str>> {
        let mut captured = Vec::with_capacity(self.captures().count());
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let Some(text) = rest else { break };
            let (here, next) = split(text);
            match segment {
                Segment::Literal(_) => {}
                Segment::Capture(_) => captured.push(decode(here)),
                Segment::Tail(_) => captured.push(decode(text)),
            }
            rest = next;
        }
        captured
    }

    /// Do all paths of this pattern start with these whole segments?
    pub(crate) fn starts_with(&self, prefix: &[&str]) -> bool {
        prefix.len() <= self.segments.len()
            && self.segments.iter().zip(prefix).all(|(segment, wanted)| match segment {
                Segment::Literal(text) => **text == **wanted,
                Segment::Capture(_) | Segment::Tail(_) => false,
            })
    }
}

/// The segment at the start of `text`, and what follows its slash.
pub(crate) fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (text, None),
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Capture(name) | Self::Tail(name) => Some(name),
        }
    }

    fn parse(text: &str, last: bool) -> Result<Self, PatternError> {
        if !text.contains(['{', '}']) {
            return literal(text, last).map(Self::Literal);
        }
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let Some(inner) = inner else { return Err(PatternError::NotACapture(text.to_owned())) };
        let (name, tail) = match inner.strip_suffix("..") {
            Some(name) => (name, true),
            None => (inner, false),
        };
        if !is_name(name) {
            return Err(PatternError::NotACapture(text.to_owned()));
        }
        match (tail, last) {
            (false, _) => Ok(Self::Capture(name.into())),
            (true, true) => Ok(Self::Tail(name.into())),
            (true, false) => Err(PatternError::TailNotLast(name.to_owned())),
        }
    }
}

/// A literal segment, which must be spelled as canonical paths spell it. Only the last one may be empty: a trailing slash.
fn literal(text: &str, last: bool) -> Result<Box<str>, PatternError> {
    if text.is_empty() && last {
        return Ok("".into());
    }
    let canonical = CanonicalPath::parse(format!("/{text}").as_bytes()).ok();
    let canonical = canonical.as_ref().and_then(|path| path.as_str().strip_prefix('/'));
    match canonical {
        Some(canonical) if canonical == text && !text.is_empty() => Ok(text.into()),
        Some(canonical) if !text.is_empty() => {
            Err(PatternError::NotCanonical { segment: text.to_owned(), canonical: Some(canonical.to_owned()) })
        }
        Some(_) | None => Err(PatternError::NotCanonical { segment: text.to_owned(), canonical: None }),
    }
}

/// A name that conditions can write as `path.name`.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Some(rest) = text.strip_prefix('/') else { return Err(PatternError::NotAbsolute(text.to_owned())) };
        let count = rest.split('/').count();
        if count > MAX_SEGMENTS {
            return Err(PatternError::TooLong);
        }
        let segments = rest.split('/').enumerate().map(|(place, part)| Segment::parse(part, place + 1 == count));
        let segments = segments.collect::<Result<Box<[_]>, _>>()?;
        for (place, segment) in segments.iter().enumerate() {
            let Some(name) = segment.name() else { continue };
            if segments.iter().take(place).any(|earlier| earlier.name() == Some(name)) {
                return Err(PatternError::Twice(name.to_owned()));
            }
        }
        Ok(Self { text: text.into(), segments })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    fn error(text: &str) -> PatternError {
        text.parse::<PathPattern>().unwrap_err()
    }

    #[test]
    fn a_pattern_names_its_captures_in_order() {
        let pattern = pattern("/users/{owner}/contacts/{id}");
        assert_eq!(pattern.captures().collect::<Vec<_>>(), ["owner", "id"]);
        assert_eq!(pattern.capture("id"), Some(1));
        assert_eq!(pattern.capture("user"), None);
    }

    #[test]
    fn captures_are_decoded_once() {
        assert_eq!(pattern("/users/{owner}").read("/users/a%20b"), ["a b"]);
        assert_eq!(pattern("/files/{rest..}").read("/files/a%20b/c"), ["a b/c"]);
        assert_eq!(pattern("/files/{rest..}").read("/files/"), [""]);
    }

    #[test]
    fn a_literal_is_spelled_as_requests_spell_it() {
        assert_eq!(
            error("/caf%c3%a9"),
            PatternError::NotCanonical { segment: "caf%c3%a9".into(), canonical: Some("caf%C3%A9".into()) }
        );
        for text in ["//a", "/a//b", "/./a", "/a/..", "/a%2Fb", "/a;b"] {
            assert!(matches!(error(text), PatternError::NotCanonical { .. }), "{text}");
        }
    }

    #[test]
    fn braces_hold_a_whole_segment_and_a_name() {
        for text in ["/a{b}", "/{b}c", "/{}", "/{..}", "/{a-b}", "/{1a}", "/{a", "/a}", "/{a...}"] {
            assert!(matches!(error(text), PatternError::NotACapture(_)), "{text}");
        }
    }

    #[test]
    fn a_tail_is_last_and_a_name_stands_once() {
        assert_eq!(error("/{rest..}/b"), PatternError::TailNotLast("rest".into()));
        assert_eq!(error("/{a}/{a}"), PatternError::Twice("a".into()));
        assert_eq!(error("users"), PatternError::NotAbsolute("users".into()));
        assert_eq!(error(&"/a".repeat(65)), PatternError::TooLong);
    }

    #[test]
    fn a_prefix_is_compared_by_whole_literal_segments() {
        let pattern = pattern("/api/v1/{rest..}");
        assert!(pattern.starts_with(&["api"]));
        assert!(pattern.starts_with(&["api", "v1"]));
        assert!(!pattern.starts_with(&["ap"]));
        assert!(!pattern.starts_with(&["api", "v1", "x"]));
    }
}
