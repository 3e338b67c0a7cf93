//! A token as it came, not verified.

use std::fmt;

use super::TokenError;

/// Three base64url parts within the size limit (RFC 7515 section 7.1). `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct RawToken<'a> {
    text: &'a str,
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> RawToken<'a> {
    /// Accepts at most `max` bytes of the form `header.payload.signature`: exactly three parts, each in the one spelling that
    /// base64url without padding has for its bytes. The payload alone may be empty, as RFC 7515 has it: such a text is signed,
    /// but says nothing, and is the token of nobody.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(bytes: &'a [u8], max: usize) -> Result<Self, TokenError> {
        if bytes.len() > max {
            return Err(TokenError::Malformed);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::Malformed)?;
        let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if is_base64url(header) && (payload.is_empty() || is_base64url(payload)) && is_base64url(signature) {
            Ok(Self { text, message, header, payload, signature })
        } else {
            Err(TokenError::Malformed)
        }
    }

    /// The token itself, for the verifier and the cache only.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// What the signature covers: `header.payload`.
    pub(super) fn message(&self) -> &'a str {
        self.message
    }

    pub(super) fn header(&self) -> &'a str {
        self.header
    }

    pub(super) fn payload(&self) -> &'a str {
        self.payload
    }

    pub(super) fn signature(&self) -> &'a str {
        self.signature
    }
}

impl fmt::Debug for RawToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawToken(..)")
    }
}

/// Is it not empty, and what the unpadded base64url encoder writes for some bytes? (A dot is not in the alphabet.)
fn is_base64url(part: &str) -> bool {
    let bytes = part.as_bytes();
    // Without an early exit, so that the compiler may take many bytes at a time: every request passes here.
    let in_alphabet = bytes.iter().fold(true, |good, b| good & (b.is_ascii_alphanumeric() | matches!(b, b'-' | b'_')));
    // SECURITY: bits that no byte uses must be zero, else one token has several spellings:
    // `anything_but_three_strict_base64url_parts_is_malformed`.
    let unused = match bytes.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    in_alphabet && bytes.last().is_some_and(|last| sextet(*last) & unused == 0)
}

/// The six bits that a character of the alphabet stands for (RFC 4648 section 5).
fn sextet(character: u8) -> u8 {
    match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        _ => 63,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_parts_are_told_apart() {
        let token = RawToken::parse(b"e30.eyJ9.AAAA", 13).unwrap();
        assert_eq!((token.header(), token.payload(), token.signature()), ("e30", "eyJ9", "AAAA"));
        assert_eq!((token.message(), token.as_str()), ("e30.eyJ9", "e30.eyJ9.AAAA"));
    }

    #[test]
    fn anything_but_three_strict_base64url_parts_is_malformed() {
        let dots = ".".repeat(8000);
        let parts = "e30.".repeat(1000);
        let rows = [
            "",
            ".",
            "..",
            "...",
            "e30",
            "e30.e30",
            "e30.e30.",
            ".e30.e30",
            "e30.e30.e30.e30",
            "e30.e30.e30.",
            "e30.e30.e30.e30.e30",
            "e30=.e30.e30",
            "e30.e30=.e30",
            "e30.e30.AA==",
            "e30.e30.A",
            "e30.e30.AAAAA",
            " e30.e30.e30",
            "e30.e30.e30 ",
            "e30. e30.e30",
            "e30.e30.e30\n",
            "e30.e30.e30\0",
            "e30.e3+.e30",
            "e30.e3/.e30",
            "e30,e30,e30",
            "\"e30.e30.e30\"",
            "e30.e31.e30",
            "e30.e30.AB",
            "e3\u{e9}.e30.e30",
            "%65%33%30.e30.e30",
            &dots,
            &parts,
            "{\"payload\":\"e30\",\"protected\":\"e30\",\"signature\":\"e30\"}",
        ];
        for row in rows {
            assert_eq!(RawToken::parse(row.as_bytes(), 8192).err(), Some(TokenError::Malformed), "{row:?}");
        }
        assert_eq!(RawToken::parse(b"e30.e30.\xff\xfe\xfd", 8192).err(), Some(TokenError::Malformed));
    }

    #[test]
    fn a_token_over_the_limit_is_malformed() {
        assert!(RawToken::parse(b"e30.e30.AAAA", 12).is_ok());
        assert_eq!(RawToken::parse(b"e30.e30.AAAA", 11).err(), Some(TokenError::Malformed));
    }

    #[test]
    fn debug_shows_nothing_of_the_token() {
        assert_eq!(format!("{:?}", RawToken::parse(b"e30.e30.AAAA", 12).unwrap()), "RawToken(..)");
    }

    proptest! {
        #[test]
        fn a_part_is_what_the_base64_engine_decodes(part in "[A-Za-z0-9_=+. -]{0,9}") {
            let decodes = !part.is_empty() && URL_SAFE_NO_PAD.decode(&part).is_ok();
            prop_assert_eq!(is_base64url(&part), decodes);
        }
    }
}
