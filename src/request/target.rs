//! The request target: one reading, or none (RFC 9112 section 3.2, RFC 3986 section 3.3).

use thiserror::Error;

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
