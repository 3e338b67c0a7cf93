//! Maps and texts as a protobuf parser takes them out of YAML.
//!
//! A number or a boolean is taken as a text where a text is wanted, a null text is an empty one, and an empty value is an absent one.

use std::{borrow::Cow, collections::HashSet};

use crate::{
    policy::codes,
    yaml::{Cursor, MapCursor, Node},
};

/// A map with known keys, each in one of two spellings.
#[derive(Debug)]
pub(super) struct Message<'a> {
    map: MapCursor<'a>,
}

/// A text and its place.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    at: Cursor<'a>,
    text: Cow<'a, str>,
}

impl<'a> Text<'a> {
    /// The text of a value that may be empty.
    pub(super) fn read(at: Cursor<'a>) -> Option<Self> {
        let text = match at.node() {
            Node::Text(text) | Node::Expanded(text) => Cow::Borrowed(text.as_str()),
            Node::Null => Cow::Borrowed(""),
            Node::Bool(value) => Cow::Owned(value.to_string()),
            Node::Integer(value) => Cow::Owned(value.to_string()),
            Node::Float(_) | Node::List(_) | Node::Map(_) => {
                at.expected("a string");
                return None;
            }
        };
        Some(Self { at, text })
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> &Cursor<'a> {
        &self.at
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.at.error_with_help(codes::CERBOS, message, help);
    }
}

impl<'a> Message<'a> {
    pub(super) fn new(map: MapCursor<'a>) -> Self {
        Self { map }
    }

    /// The map itself.
    pub(super) fn here(&self) -> &Cursor<'a> {
        self.map.here()
    }

    /// The value of a key, null or not.
    pub(super) fn take_or_null(&mut self, camel: &'static str, snake: &'static str) -> Option<Cursor<'a>> {
        let first = self.map.take_or_null(camel);
        let second = if camel == snake { None } else { self.map.take_or_null(snake) };
        if let (Some(_), Some(second)) = (&first, &second) {
            second.error_with_help(codes::CERBOS, format!("`{camel}` and `{snake}` are one key"), "keep one of them");
        }
        first.or(second)
    }

    /// The value of a key that has no null.
    pub(super) fn take(&mut self, camel: &'static str, snake: &'static str) -> Option<Cursor<'a>> {
        let found = self.take_or_null(camel, snake)?;
        if *found.node() == Node::Null {
            found.error_with_help("Y004", format!("`{camel}` is empty"), "fill it or leave the key out");
            return None;
        }
        Some(found)
    }

    /// A key whose value does not matter.
    pub(super) fn ignore(&mut self, camel: &'static str, snake: &'static str) {
        self.take_or_null(camel, snake);
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, camel: &'static str, snake: &'static str) -> Option<Text<'a>> {
        self.take_or_null(camel, snake).and_then(Text::read).filter(|text| !text.text.is_empty())
    }

    /// A text that must be there and not be empty.
    pub(super) fn require(&mut self, camel: &'static str, snake: &'static str) -> Option<Text<'a>> {
        let Some(at) = self.take_or_null(camel, snake) else {
            self.missing(camel);
            return None;
        };
        let text = Text::read(at)?;
        if text.text.is_empty() {
            text.at.error_with_help("Y004", format!("`{camel}` is empty"), "give it a value");
            return None;
        }
        Some(text)
    }

    /// Notes that a key must be there.
    pub(super) fn missing(&self, key: &str) {
        self.here().error_with_help("Y005", format!("`{key}` is missing"), format!("add `{key}` here"));
    }

    /// `true` or `false`, the latter when it is absent.
    pub(super) fn flag(&mut self, camel: &'static str, snake: &'static str) -> bool {
        self.take(camel, snake).and_then(|at| at.bool()).unwrap_or(false)
    }

    /// The items of a list, none when it is absent.
    pub(super) fn list(&mut self, camel: &'static str, snake: &'static str) -> Vec<Cursor<'a>> {
        self.take(camel, snake).and_then(|at| at.list_or_empty()).unwrap_or_default()
    }

    /// The items of a list that must have some.
    pub(super) fn require_list(&mut self, camel: &'static str, snake: &'static str) -> Vec<Cursor<'a>> {
        let Some(at) = self.take_or_null(camel, snake) else {
            self.missing(camel);
            return Vec::new();
        };
        at.list().unwrap_or_default()
    }

    /// Notes every key that was never asked for.
    pub(super) fn finish(self) {
        self.map.finish();
    }
}

/// The items of a list of texts, none of them empty, and each once.
pub(super) fn texts(items: Vec<Cursor<'_>>) -> Vec<Text<'_>> {
    let mut seen = HashSet::new();
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = Text::read(item) else { continue };
        if text.text.is_empty() {
            text.at.error_with_help("Y004", "the string is empty", "fill it or leave it out");
        } else if seen.insert(text.text.clone().into_owned()) {
            all.push(text);
        } else {
            text.error(format!("`{}` is named twice", text.text), "keep one of them");
        }
    }
    all
}

/// One of a closed set of words, which may be written as their numbers. A null is `null`.
pub(super) fn word<T: Copy>(at: &Cursor<'_>, words: &[(&str, T)], null: Option<T>) -> Option<T> {
    let found = match at.node() {
        Node::Null => return null,
        Node::Integer(number) => usize::try_from(*number).ok().and_then(|place| words.get(place)),
        Node::Text(text) | Node::Expanded(text) => words.iter().find(|(word, _)| word == text),
        Node::Bool(_) | Node::Float(_) | Node::List(_) | Node::Map(_) => {
            at.expected("a string");
            return None;
        }
    };
    if found.is_none() {
        // The first word stands for none.
        let known: Vec<_> = words.iter().skip(1).map(|(word, _)| format!("`{word}`")).collect();
        let message = at
            .node()
            .as_text()
            .map_or("the number is not known here".to_owned(), |text| format!("`{text}` is not known here"));
        at.error_with_help(codes::WORD, message, format!("write {}", known.join(" or ")));
    }
    found.map(|(_, value)| *value)
}
