//! The one credential of a request, if there is one.

use http::HeaderName;

use crate::token::RawToken;

/// Where a token may stand in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// `Authorization: Bearer` (RFC 6750 section 2.1).
    Bearer,
    /// The cookie of that name.
    Cookie(String),
    /// The header field of that name, holding the bare token.
    Header(HeaderName),
}

/// What a request presents.
#[derive(Debug)]
pub enum Credential<'a> {
    /// Nothing.
    Absent,
    /// One token.
    Presented {
        /// The token, not verified.
        token: RawToken<'a>,
        /// Where it stood.
        source: &'a CredentialSource,
    },
    /// Two that differ, or one place used twice. Never resolved by picking one.
    Conflicting,
}
