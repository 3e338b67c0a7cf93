//! One value, one line of JSON.
//!
//! serde_json escapes the control characters below U+0020 and leaves the rest of Unicode as it is. Terminals and line readers act on
//! more than those, so this writer also escapes DEL, C1, the Unicode line separators, and the marks that turn the direction of text.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Appends `value` and a line feed. On an error `out` is as it was.
pub(crate) fn write_line<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let before = out.len();
    let written = value.serialize(&mut Serializer::with_formatter(&mut *out, OneLine));
    match written {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(before),
    }
    written
}

struct OneLine;

impl Formatter for OneLine {
    /// Called for keys and values alike, with runs that need no escape of JSON's own.
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        // SECURITY: a line that a client can break or recolour is a line that it can forge: `no_value_can_start_a_second_line`.
        while let Some((at, unsafe_char)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
            let (plain, tail) = rest.split_at(at);
            write!(writer, "{plain}\\u{:04x}", u32::from(unsafe_char))?;
            rest = tail.get(unsafe_char.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Every character here is in the basic plane: four hex digits name it.
fn is_unsafe(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_start_a_second_line() {
        let mut ugly: String = (0..=0x9f).filter_map(char::from_u32).collect();
        ugly.push_str("\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{feff}é😀\"\\");
        let mut line = Vec::new();
        write_line(&serde_json::json!({ ugly.clone(): ugly.clone() }), &mut line).unwrap();

        let text = String::from_utf8(line).unwrap();
        let body = text.strip_suffix('\n').unwrap();
        assert!(!body.chars().any(is_unsafe), "{body}");
        assert!(body.contains("é😀"), "what is harmless stays readable");
        let read: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(read[&ugly], ugly, "and nothing is lost");
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_no_half_line() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::{Error, SerializeSeq};
                serializer.serialize_seq(None)?.serialize_element("half")?;
                Err(S::Error::custom("broken"))
            }
        }
        let mut out = b"before\n".to_vec();
        assert!(write_line(&Broken, &mut out).is_err());
        assert_eq!(out, b"before\n");
    }
}
