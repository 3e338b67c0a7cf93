//! A distinguished name as text, by RFC 4514.
//!
//! Every name has one text, and different names have different texts: what has a meaning in the text is escaped, so that a value cannot
//! add parts of its own.

use std::{borrow::Cow, fmt::Write};

use x509_parser::{
    der_parser::asn1_rs::{Any, Tag},
    x509::{AttributeTypeAndValue, X509Name},
};

const COMMON_NAME: &str = "2.5.4.3";

/// The attribute types that have a short name (RFC 4514 section 3).
const SHORT: [(&str, &str); 9] = [
    (COMMON_NAME, "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The name, its last and most specific part first.
pub(super) fn render(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

/// The common name, where it is one text of visible characters.
pub(super) fn common_name(name: &X509Name<'_>) -> Option<String> {
    let mut found = name.iter_attributes().filter(|one| one.attr_type().to_id_string() == COMMON_NAME);
    let (first, None) = (found.next()?, found.next()) else { return None };
    let text = text(first.attr_value())?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.into_owned())
}

fn attribute(one: &AttributeTypeAndValue<'_>) -> String {
    let kind = one.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == kind).map(|(_, short)| *short);
    match (short, text(one.attr_value())) {
        (Some(short), Some(text)) => format!("{short}={}", escaped(&text)),
        (short, Some(_) | None) => format!("{}=#{}", short.unwrap_or(&kind), hex(one.attr_value())),
    }
}

/// The value as text; `None` for a value of another type, or bytes that are not of its type.
fn text<'a>(value: &'a Any<'_>) -> Option<Cow<'a, str>> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString | Tag::T61String => {
            std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).map(Cow::Borrowed)
        }
        Tag::BmpString => {
            let (units, []) = bytes.as_chunks::<2>() else { return None };
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            String::from_utf16(&units).ok().map(Cow::Owned)
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4, and control characters by their bytes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (place, c) in text.chars().enumerate() {
        let at_edge = (place == 0 && matches!(c, ' ' | '#')) || (place == last && c == ' ');
        if c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "\\{byte:02X}");
            }
            continue;
        }
        if at_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The BER encoding of a value that is not rendered as text.
fn hex(value: &Any<'_>) -> String {
    let mut bytes = Vec::with_capacity(value.data.len() + 6);
    let constructed = u8::from(value.header.is_constructed()) << 5;
    let tag = u8::try_from(value.tag().0 & 0x1f).unwrap_or(0);
    bytes.push((value.class() as u8) << 6 | constructed | tag);
    let length = value.data.len();
    if let Ok(short @ 0..=127) = u8::try_from(length) {
        bytes.push(short);
    } else {
        let long: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        bytes.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
        bytes.extend(long);
    }
    bytes.extend_from_slice(value.data);
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02X}");
    }
    out
}
