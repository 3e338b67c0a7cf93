//! A token as it came, not verified.

use std::fmt;

use super::TokenError;

/// Three base64url parts within the size limit. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawToken<'a>(&'a str);

impl<'a> RawToken<'a> {
    /// Accepts at most `max` bytes of the form `header.payload.signature`.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(bytes: &'a [u8], max: usize) -> Result<Self, TokenError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::Malformed)?;
        if text.len() > max { Err(TokenError::Malformed) } else { Ok(Self(text)) }
    }

    /// The token itself, for the verifier and the cache only.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for RawToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawToken(..)")
    }
}
