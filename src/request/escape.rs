//! Percent-encoding (RFC 3986 section 2.1): read strictly, written in upper case.

use std::borrow::Cow;

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, as in a path.
    Literal,
    /// A space, as in a query.
    Space,
}

/// The byte that the two hex digits at the start of `digits` stand for, and what follows them.
pub(super) fn octet(digits: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], rest) = digits.split_first_chunk()?;
    Some((nibble(*high)? << 4 | nibble(*low)?, rest))
}

/// Writes `byte` as `%XX`.
pub(super) fn push_octet(text: &mut String, byte: u8) {
    text.push('%');
    for nibble in [byte >> 4, byte & 0xF] {
        text.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

/// `text` decoded once; `None` for a broken escape, a NUL, or bytes that are not UTF-8.
pub(super) fn decode(text: &str, plus: Plus) -> Option<Cow<'_, str>> {
    let encoded = |byte: u8| byte == b'%' || (byte == b'+' && plus == Plus::Space);
    if !text.bytes().any(encoded) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let Some((&byte, tail)) = left.split_first() {
        let (byte, tail) = match byte {
            b'%' => octet(tail)?,
            b'+' if plus == Plus::Space => (b' ', tail),
            plain => (plain, tail),
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
        left = tail;
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
