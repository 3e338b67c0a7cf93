//! The readers that several sections share: a value with a unit and a range, a name, a path, a list without repetitions.
//!
//! Each returns the value or notes what is wrong, at the place where it is wrong.

use std::{
    borrow::Cow,
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::bounds::Bounds;
use crate::{
    units::{ByteSize, Span},
    yaml::{Cursor, MapCursor, Node},
};

/// The value of `key`, or the default where the key is left out.
pub(super) fn or<'a, T>(
    map: &mut MapCursor<'a>,
    key: &'static str,
    default: impl FnOnce() -> T,
    read: impl FnOnce(&Cursor<'a>) -> Option<T>,
) -> Option<T> {
    match map.take(key) {
        Some(found) => read(&found),
        None => Some(default()),
    }
}

/// A duration within its bounds.
pub(super) fn duration(map: &mut MapCursor<'_>, key: &'static str, bounds: &Bounds<Span>) -> Option<Duration> {
    Some(or(map, key, || bounds.default, |at| within(at, "C003", bounds))?.duration())
}

/// A number of bytes within its bounds.
pub(super) fn bytes(map: &mut MapCursor<'_>, key: &'static str, bounds: &Bounds<ByteSize>) -> Option<u64> {
    Some(or(map, key, || bounds.default, |at| within(at, "C004", bounds))?.count())
}

/// A number of bytes that are held in memory.
pub(super) fn memory(map: &mut MapCursor<'_>, key: &'static str, bounds: &Bounds<ByteSize>) -> Option<usize> {
    usize::try_from(bytes(map, key, bounds)?).ok()
}

/// A whole number within its bounds.
pub(super) fn count(map: &mut MapCursor<'_>, key: &'static str, bounds: &Bounds<u64>) -> Option<usize> {
    let read = |at: &Cursor<'_>| at.integer(bounds.least..=bounds.most);
    usize::try_from(or(map, key, || bounds.default, read)?).ok()
}

/// A value that parses as `T` and lies within `bounds`.
pub(super) fn within<T>(at: &Cursor<'_>, code: &'static str, bounds: &Bounds<T>) -> Option<T>
where
    T: FromStr + PartialOrd + Display + Copy,
    T::Err: Display,
{
    let value: T = parsed(at, code, &format!("the default is `{}`", bounds.default))?;
    if value < bounds.least || value > bounds.most {
        let (least, most) = (bounds.least, bounds.most);
        at.error_with_help(
            "C005",
            format!("`{value}` is not between `{least}` and `{most}`"),
            format!("the default is `{}`", bounds.default),
        );
        return None;
    }
    Some(value)
}

/// A scalar that parses as `T`. A bare number is handed to the parser as well, which can tell what it lacks.
pub(super) fn parsed<T>(at: &Cursor<'_>, code: &'static str, help: &str) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    match scalar(at)?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            at.error_with_help(code, error.to_string(), help);
            None
        }
    }
}

/// A scalar as text.
pub(super) fn scalar<'a>(at: &Cursor<'a>) -> Option<Cow<'a, str>> {
    match at.node() {
        Node::Integer(number) => Some(number.to_string().into()),
        // As a float, so that `2.0` is not taken for a whole number.
        Node::Float(number) => Some(format!("{number:?}").into()),
        Node::Bool(_) | Node::Null | Node::Text(_) | Node::Expanded(_) | Node::List(_) | Node::Map(_) => {
            at.text().map(Cow::Borrowed)
        }
    }
}

/// The id of a provider or an upstream: it becomes a metric label and a word in policies.
pub(super) fn id(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.len() > 64 || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.bytes().all(plain) {
        at.error_with_help(
            "C006",
            format!("`{text}` cannot be an id"),
            "an id is a letter or a digit, then at most 63 letters, digits, `-`, `_` or `.`",
        );
        return None;
    }
    Some(text.to_owned())
}

/// One of the words that a key may hold.
pub(super) fn word<T: Copy>(at: &Cursor<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = scalar(at)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let known = known.join(" or ");
        at.error_with_help("C007", format!("`{text}` is not known here"), format!("write {known}"));
    }
    found.map(|(_, value)| *value)
}

/// A path, starting at the folder of the settings file when it is relative.
pub(super) fn path(at: &Cursor<'_>) -> Option<PathBuf> {
    let text = at.text()?;
    Some(beside(at.source().file(), text))
}

/// `path` seen from the folder of `file`.
pub(super) fn beside(file: &str, path: &str) -> PathBuf {
    Path::new(file).parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
}

/// The items of a list, none of them twice.
pub(super) fn each_once<'a, T: PartialEq>(
    items: &[Cursor<'a>],
    read: impl Fn(&Cursor<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut values: Vec<T> = Vec::with_capacity(items.len());
    let mut whole = true;
    for item in items {
        match read(item) {
            Some(value) if values.contains(&value) => {
                item.error_with_help("C008", "this entry stands in the list already", "keep one of them");
                whole = false;
            }
            Some(value) => values.push(value),
            None => whole = false,
        }
    }
    whole.then_some(values)
}

/// Ids that must not repeat, whatever else of their entries is wrong.
#[derive(Debug, Default)]
pub(super) struct Ids(Vec<String>);

impl Ids {
    /// Reads an id that no earlier entry has.
    pub(super) fn read(&mut self, at: &Cursor<'_>) -> Option<String> {
        let id = id(at)?;
        if self.0.contains(&id) {
            at.error_with_help("C009", format!("the id `{id}` is taken"), "give each entry an id of its own");
            return None;
        }
        self.0.push(id.clone());
        Some(id)
    }
}
