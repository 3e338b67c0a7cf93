//! JSON as it is written: every value with its place, so that an answer can say where a question is wrong.
//!
//! One reading (RFC 8259): nothing follows the value, text is UTF-8 and escapes name characters. Bounded in depth and in values, since a
//! few bytes of JSON take a hundred in memory. Repeated names are seen by whoever reads an object. Errors are worded as Go words them:
//! clients of Cerbos know those.

use std::borrow::Cow;

use super::fault::Fault;

/// How deep lists and objects may nest.
const DEEPEST: usize = 48;
/// The most values of one text.
const MOST_VALUES: usize = 100_000;

/// A value and where it stands.
#[derive(Debug, PartialEq)]
pub(super) struct Node<'t> {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) is: Is<'t>,
}

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Is<'t> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'t str),
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    Map(Vec<Member<'t>>),
}

/// A member of an object.
#[derive(Debug, PartialEq)]
pub(super) struct Member<'t> {
    pub(super) at: usize,
    pub(super) name: Cow<'t, str>,
    pub(super) value: Node<'t>,
}

/// A text without any value is `None`.
pub(super) fn read(bytes: &[u8]) -> Result<(&str, Option<Node<'_>>), Fault> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Fault::invalid("proto: syntax error: invalid UTF-8 in string"))?;
    let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let mut scan = Scan { text, at: 0, values: 0 };
    if text.is_empty() {
        return Ok((text, None));
    }
    let node = scan.value(0)?;
    match scan.next_token() {
        None => Ok((text, Some(node))),
        Some(byte) => Err(unexpected(byte, "after top-level value")),
    }
}

/// Line and column, as the answer names them.
pub(super) fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    format!("(line {line}:{column})")
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    values: usize,
}

fn cut_short() -> Fault {
    Fault::invalid("unexpected EOF")
}

fn unexpected(byte: u8, where_: &str) -> Fault {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => format!("'{}'", char::from(byte).escape_default()),
    };
    Fault::invalid(format!("invalid character {shown} {where_}"))
}

impl<'t> Scan<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte that is no white space.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<Node<'t>, Fault> {
        let first = self.next_token().ok_or_else(cut_short)?;
        // SECURITY: `a_small_text_that_is_large_in_memory_is_refused`.
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(Fault::invalid("the request holds more values than are read"));
        }
        if depth > DEEPEST {
            return Err(Fault::invalid("the request is nested deeper than is read"));
        }
        let at = self.at;
        let is = match first {
            b'{' => self.object(depth)?,
            b'[' => self.list(depth)?,
            b'"' => Is::Text(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word("true", Is::Bool(true))?,
            b'f' => self.word("false", Is::Bool(false))?,
            b'n' => self.word("null", Is::Null)?,
            other => return Err(unexpected(other, "looking for beginning of value")),
        };
        Ok(Node { at, end: self.at, is })
    }

    fn word(&mut self, word: &str, is: Is<'t>) -> Result<Is<'t>, Fault> {
        for (place, expected) in word.bytes().enumerate() {
            let byte = self.peek().ok_or_else(cut_short)?;
            if byte != expected {
                debug_assert!(place > 0, "the first byte chose the word");
                let expected = char::from(expected);
                return Err(unexpected(byte, &format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(is)
    }

    fn digits(&mut self, where_: &str) -> Result<(), Fault> {
        match self.peek() {
            Some(b'0'..=b'9') => {}
            Some(other) => return Err(unexpected(other, where_)),
            None => return Err(cut_short()),
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Is<'t>, Fault> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        // A zero stands alone: what follows one is looked at by whoever goes on.
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits("in numeric literal")?
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(Is::Number(self.since(start)))
    }

    fn list(&mut self, depth: usize) -> Result<Is<'t>, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next_token() == Some(b']') {
            self.at += 1;
            return Ok(Is::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.next_token().ok_or_else(cut_short)? {
                b',' => self.at += 1,
                b']' => break,
                other => return Err(unexpected(other, "after array element")),
            }
        }
        self.at += 1;
        Ok(Is::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Is<'t>, Fault> {
        self.at += 1;
        let mut members = Vec::new();
        if self.next_token() == Some(b'}') {
            self.at += 1;
            return Ok(Is::Map(members));
        }
        loop {
            members.push(self.member(depth)?);
            match self.next_token().ok_or_else(cut_short)? {
                b',' => self.at += 1,
                b'}' => break,
                other => return Err(unexpected(other, "after object key:value pair")),
            }
        }
        self.at += 1;
        Ok(Is::Map(members))
    }

    fn member(&mut self, depth: usize) -> Result<Member<'t>, Fault> {
        match self.next_token().ok_or_else(cut_short)? {
            b'"' => {}
            other => return Err(unexpected(other, "looking for beginning of object key string")),
        }
        let at = self.at;
        let name = self.string()?;
        match self.next_token().ok_or_else(cut_short)? {
            b':' => self.at += 1,
            other => return Err(unexpected(other, "after object key")),
        }
        Ok(Member { at, name, value: self.value(depth + 1)? })
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Fault> {
        self.at += 1;
        let mut start = self.at;
        let mut text = Cow::Borrowed("");
        loop {
            let byte = self.peek().ok_or_else(cut_short)?;
            match byte {
                b'"' => break,
                b'\\' => {
                    text += self.since(start);
                    text.to_mut().push(self.escape()?);
                    start = self.at;
                }
                0..0x20 => return Err(unexpected(byte, "in string literal")),
                _ => self.at += 1,
            }
        }
        text += self.since(start);
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek().ok_or_else(cut_short)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(start),
            other => return Err(unexpected(other, "in string escape code")),
        })
    }

    /// A character by its number, or by the two halves of it.
    fn unicode(&mut self, start: usize) -> Result<char, Fault> {
        let first = self.hexadecimal()?;
        let mut number = u32::from(first);
        if (0xD800..0xDC00).contains(&first) && self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u") {
            self.at += 2;
            let second = self.hexadecimal()?;
            let low = u32::from(second).wrapping_sub(0xDC00);
            number = if low < 0x400 { 0x1_0000 + ((number - 0xD800) << 10) + low } else { 0xD800 };
        }
        // SECURITY: half a character has no one reading: `half_a_character_is_refused`.
        char::from_u32(number).ok_or_else(|| {
            let escape = self.since(start);
            Fault::invalid(format!(
                "proto: syntax error {}: invalid escape code {escape:?} in string",
                place(self.text, start)
            ))
        })
    }

    fn hexadecimal(&mut self) -> Result<u16, Fault> {
        let mut number = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or_else(cut_short)?;
            let digit = char::from(byte).to_digit(16);
            let digit = digit.ok_or_else(|| unexpected(byte, "in \\u hexadecimal character escape"))?;
            number = number << 4 | u16::try_from(digit).unwrap_or_default();
            self.at += 1;
        }
        Ok(number)
    }
}
