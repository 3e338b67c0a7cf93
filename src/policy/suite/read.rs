//! Readers of the parts that suites, fixtures and cases share. What Cerbos leaves empty may be empty here.

use serde_json::{Map, Value};

use super::codes;
use crate::yaml::{Cursor, MapCursor, Node};

/// The value of a key that may be left out.
pub(super) fn optional<'a, T: Default>(
    map: &mut MapCursor<'a>,
    key: &'static str,
    read: impl FnOnce(&Cursor<'a>) -> Option<T>,
) -> Option<T> {
    map.take(key).map_or_else(|| Some(T::default()), |at| read(&at))
}

/// What was read of a key that may be left out and has no default: `None` where it is there and does not fit.
pub(super) fn stated<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

/// A string that may be empty.
pub(super) fn string<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    if at.node().as_text() == Some("") { Some("") } else { at.text() }
}

/// [`string`], owned.
pub(super) fn name(at: &Cursor<'_>) -> Option<Box<str>> {
    string(at).map(Into::into)
}

/// A list of strings, none of them empty, none of them twice. The list may be empty.
pub(super) fn names(at: &Cursor<'_>) -> Option<Vec<Box<str>>> {
    let items = at.list_or_empty()?;
    let mut names: Vec<Box<str>> = Vec::with_capacity(items.len());
    let mut seen = std::collections::HashSet::new();
    for item in &items {
        let Some(name) = item.text() else { continue };
        if !seen.insert(name) {
            item.error_with_help(codes::TWICE, format!("`{name}` stands twice in the list"), "name it once");
        }
        names.push(name.into());
    }
    (names.len() == items.len()).then_some(names)
}

/// [`names`] with at least one.
pub(super) fn some_names(at: &Cursor<'_>) -> Option<Vec<Box<str>>> {
    at.list()?;
    names(at)
}

/// The entries of a map whose keys are the user's own. The map may be empty; its keys and values may not.
pub(super) fn entries<'a>(at: &Cursor<'a>) -> Option<Vec<(&'a str, Cursor<'a>)>> {
    if at.node().as_map().is_some_and(<[_]>::is_empty) {
        return Some(Vec::new());
    }
    Some(at.map()?.entries().collect())
}

/// Each entry of a map, read by `read`; `None` when any of them does not fit.
pub(super) fn each<T>(at: &Cursor<'_>, read: impl Fn(&Cursor<'_>) -> Option<T>) -> Option<Vec<(Box<str>, T)>> {
    let entries = entries(at)?;
    let read: Vec<_> =
        entries.iter().filter_map(|(name, value)| read(value).map(|value| (Box::from(*name), value))).collect();
    (read.len() == entries.len()).then_some(read)
}

/// A JSON object.
pub(super) fn object(at: &Cursor<'_>) -> Option<Map<String, Value>> {
    if at.node().as_map().is_none_or(<[_]>::is_empty) {
        return entries(at).map(|_| Map::new());
    }
    match json(at, at.node())? {
        Value::Object(object) => Some(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// Any value, as JSON.
pub(super) fn json(at: &Cursor<'_>, node: &Node) -> Option<Value> {
    let value = node.to_json();
    if value.is_none() {
        let message = "the value holds a number that JSON does not have";
        at.error_with_help(codes::NUMBER, message, "write a number that a double can hold");
    }
    value
}
