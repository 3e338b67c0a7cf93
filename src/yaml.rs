//! YAML and JSON text to a tree, and the tree to typed values with every problem noted.
//!
//! The only caller of `serde_yaml`. Two stages: [`parse`] turns text into a [`Node`] (size limit, duplicate keys, tags and several
//! documents refused); a [`Cursor`] walks that tree and reports what does not fit, with line and column, instead of stopping
//! at the first problem. Knows nothing of policies or settings.

mod cursor;
mod locate;

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::Diagnostic;

pub use cursor::{Cursor, MapCursor, Source};
pub use locate::{Pointer, Position, Step};

/// Each code of this module, and what it says. Listed in `docs/diagnostics.md`.
pub const CODES: [(&str, &str); 7] = [
    ("Y001", "a file is larger than 1 MiB"),
    (
        "Y002",
        "a file is not one plain YAML document: syntax, a repeated key, a tag, a key that is not a string, or a second document",
    ),
    ("Y003", "a value has another type than the key takes"),
    ("Y004", "a map, a list, a string or a value is empty; what is not needed is left out"),
    ("Y005", "a key is missing"),
    ("Y006", "a number is outside of its range"),
    ("Y007", "a key is unknown; the help names those that are known"),
];

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// One file, already read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path as the user knows it.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// A YAML or JSON value. Maps keep the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A string.
    Text(String),
    /// A string in which environment variables were replaced: it may yet be read as a number or a boolean.
    Expanded(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping with string keys, none of them twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The string that this node holds.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) | Self::Expanded(text) = self { Some(text) } else { None }
    }

    /// The items of this list.
    pub fn as_list(&self) -> Option<&[Node]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The entries of this map.
    pub fn as_map(&self) -> Option<&[(String, Node)]> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// The value under `key`, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The same value with what each merge key (`<<`) brings: the entries of a map, or of each map of a list, below those that the map has
    /// itself; of two that are brought the first counts (<https://yaml.org/type/merge.html>). A `<<` that holds neither stays as it is.
    #[must_use]
    pub fn merged(self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(Self::merged).collect()),
            Self::Map(entries) => Self::Map(merged(entries)),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::Text(_) | Self::Expanded(_) => self,
        }
    }

    /// The same value as JSON; `None` for a number that JSON cannot hold.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Integer(value) => serde_json::Number::from_i128(*value)?.into(),
            Self::Float(value) => serde_json::Number::from_f64(*value)?.into(),
            Self::Text(text) | Self::Expanded(text) => text.clone().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect::<Option<Vec<_>>>()?.into(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Some((key.clone(), value.to_json()?)));
                serde_json::Value::Object(entries.collect::<Option<_>>()?)
            }
        })
    }

    /// What the reader of a message would call this value.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) | Self::Expanded(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

fn merged(entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let (mut own, mut brought) = (Vec::with_capacity(entries.len()), Vec::new());
    for (key, value) in entries {
        let value = value.merged();
        let is_map = |node: &Node| node.as_map().is_some();
        let brings = key == MERGE && (is_map(&value) || value.as_list().is_some_and(|maps| maps.iter().all(is_map)));
        if !brings {
            own.push((key, value));
            continue;
        }
        let maps = value.as_list().unwrap_or(std::slice::from_ref(&value));
        brought.extend(maps.iter().filter_map(Node::as_map).flatten().cloned());
    }
    let mut names: HashSet<String> = own.iter().map(|(key, _)| key.clone()).collect();
    own.extend(brought.into_iter().filter(|(key, _)| names.insert(key.clone())));
    own
}

/// The key that brings the entries of other maps.
const MERGE: &str = "<<";

/// Parses one document.
///
/// # Errors
/// One diagnostic: `Y001` too large, `Y002` not YAML, empty, more than one document, a duplicate key, a tag or a key that is not a string.
pub fn parse(file: &str, text: &str) -> Result<Node, Diagnostic> {
    if text.len() > MAX_BYTES {
        return Err(Diagnostic::of_file("Y001", file, format!("the file has {} bytes", text.len()))
            .with_help(format!("at most {MAX_BYTES} bytes are read; split it into several files")));
    }
    serde_yaml::from_str::<Node>(text).map_err(|error| {
        let message = error.to_string();
        let help = "a file is one YAML document: keys that are strings and differ, and plain values";
        // serde_yaml appends the place to its text; the place is told apart already.
        let message = [" at line ", " at position "].iter().fold(message.as_str(), |text, place| before(text, place));
        let mut finding = Diagnostic::of_file("Y002", file, message).with_help(help);
        (finding.line, finding.column) = place(&error, text).unzip();
        finding
    })
}

fn before<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or(text, |(before, _)| before)
}

/// Line and column of an error. `serde_yaml` tells none for a second document, and the first line for a character that YAML does not allow.
fn place(error: &serde_yaml::Error, text: &str) -> Option<(usize, usize)> {
    if let Some(at) = unprintable(text) {
        return Some(at);
    }
    match error.location() {
        Some(at) => Some((at.line(), at.column())),
        None => second_document(text).map(|line| (line, 1)),
    }
}

/// The first character that YAML does not allow (YAML 1.2.2 section 5.1).
fn unprintable(text: &str) -> Option<(usize, usize)> {
    text.split('\n').zip(1..).find_map(|(line, number)| {
        let allowed = |letter: char| !letter.is_control() || matches!(letter, '\t' | '\r' | '\u{85}');
        Some((number, 1 + line.chars().position(|letter| !allowed(letter))?))
    })
}

/// The line of the mark between two documents.
fn second_document(text: &str) -> Option<usize> {
    let is_content = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let mut lines = text.lines().zip(1..).filter(|(line, _)| is_content(line));
    // The first line with something in it may be the mark of the first document.
    lines.next()?;
    lines.find(|(line, _)| line.starts_with("---")).map(|(_, number)| number)
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        Err(E::custom("the file is empty"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key_seed(NewKey(&mut seen))? {
            map.push((key, entries.next_value()?));
        }
        Ok(Node::Map(map))
    }
}

/// A key that must be a string and new. It refuses itself, so that the error carries the place of the key.
struct NewKey<'a>(&'a mut HashSet<String>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string as key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if !self.0.insert(key.to_owned()) {
            return Err(E::custom(format_args!("the key `{key}` appears twice")));
        }
        Ok(key.to_owned())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
mod tests;
