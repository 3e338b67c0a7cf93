//! The one credential of a request, if there is one.

use http::{HeaderName, HeaderValue, header};

use crate::{
    request::Headers,
    token::{RawToken, TokenError},
};

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
        /// Where it stood. Where the same token stands in several places, one that is no cookie, if there is such.
        source: &'a CredentialSource,
    },
    /// Two that differ, or one place used twice. Never resolved by picking one.
    Conflicting,
}

impl<'a> Credential<'a> {
    /// Looks at all `sources`; tokens may have `max` bytes.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] where the one credential has not the shape of a token.
    pub fn find(headers: Headers<'a>, sources: &'a [CredentialSource], max: usize) -> Result<Self, TokenError> {
        let mut found: Option<(&'a [u8], &'a CredentialSource)> = None;
        for source in sources {
            let value = match source.look(headers) {
                Found::Nothing => continue,
                Found::Once(value) => value,
                Found::Twice => return Ok(Self::Conflicting),
            };
            found = match found {
                // SECURITY: another reader may pick the other: `two_credentials_that_differ_conflict`.
                Some((earlier, _)) if earlier != value => return Ok(Self::Conflicting),
                Some((_, earlier)) if !earlier.is_cookie() => found,
                Some(_) | None => Some((value, source)),
            };
        }
        match found {
            None => Ok(Self::Absent),
            Some((value, source)) => Ok(Self::Presented { token: RawToken::parse(value, max)?, source }),
        }
    }
}

/// What stands in one place.
enum Found<'a> {
    Nothing,
    Once(&'a [u8]),
    Twice,
}

impl<'a> Found<'a> {
    fn only(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Twice,
        }
    }
}

impl CredentialSource {
    /// The header field that holds the bare token, if this is one.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Bearer | Self::Cookie(_) => None,
        }
    }

    /// Is it a place that browsers fill on their own?
    pub(super) fn is_cookie(&self) -> bool {
        matches!(self, Self::Cookie(_))
    }

    /// What is left of the field in which this credential stands, once it is taken out: other cookies stay, and so does an
    /// `Authorization` of another scheme. `None` where the request has no such field.
    pub fn take_out(&self, headers: Headers<'_>) -> Option<(HeaderName, Option<HeaderValue>)> {
        let first = |name: &HeaderName| headers.all(name).next();
        match self {
            Self::Bearer => bearer(first(&header::AUTHORIZATION)?.as_bytes()).map(|_| (header::AUTHORIZATION, None)),
            Self::Header(name) => first(name).map(|_| (name.clone(), None)),
            Self::Cookie(name) => {
                first(&header::COOKIE)?;
                let kept = cookie_pairs(headers).filter(|pair| split_pair(pair).0 != name.as_bytes());
                Some((header::COOKIE, join_cookies(kept)))
            }
        }
    }

    fn look<'a>(&self, headers: Headers<'a>) -> Found<'a> {
        let fields = |name: &HeaderName| headers.all(name).map(http::HeaderValue::as_bytes);
        match self {
            Self::Bearer => match Found::only(fields(&header::AUTHORIZATION)) {
                Found::Once(value) => bearer(value).map_or(Found::Nothing, Found::Once),
                other @ (Found::Nothing | Found::Twice) => other,
            },
            Self::Cookie(name) => {
                let values = cookie_pairs(headers).map(split_pair).filter(|(found, _)| *found == name.as_bytes());
                Found::only(values.filter_map(|(_, value)| value))
            }
            Self::Header(name) => Found::only(fields(name)),
        }
    }
}

/// The credentials of an `Authorization` field of scheme `Bearer`; `None` for any other scheme.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|byte| !is_token_character(*byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    // Without its space the whole value is taken, which has not the shape of a token.
    Some(rest.strip_prefix(b" ").unwrap_or(value))
}

/// May the byte stand in the name of an authentication scheme (`tchar`, RFC 9110 section 5.6.2)?
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The cookies of a request, pair by pair (RFC 6265 section 5.4). HTTP/2 may spread them over several fields (RFC 9113 section 8.2.3).
pub fn cookie_pairs(headers: Headers<'_>) -> impl Iterator<Item = &[u8]> {
    let fields = headers.all(&header::COOKIE).flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    fields.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// Cookies as one field; `None` where there are none.
pub fn join_cookies<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Option<HeaderValue> {
    let joined = pairs.collect::<Vec<_>>().join(&b"; "[..]);
    // Parts of valid values make a valid one.
    if joined.is_empty() { None } else { HeaderValue::from_bytes(&joined).ok() }
}

/// The name of a cookie, compared case-sensitively, and its value.
fn split_pair(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    let (name, rest) = pair.split_at_checked(end).unwrap_or((pair, &[]));
    (name.trim_ascii(), rest.strip_prefix(b"=").map(<[u8]>::trim_ascii))
}

#[cfg(test)]
mod tests;
