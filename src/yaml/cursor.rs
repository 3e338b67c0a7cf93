//! Reading a [`Node`] into typed values: each reader either returns the value or notes what is wrong, and the caller goes on,
//! so that one run tells every problem of a file.

use std::{
    cell::{Cell, RefCell},
    fmt::Display,
    ops::RangeInclusive,
    str::FromStr,
};

use super::{Node, Pointer};
use crate::diagnostic::{Diagnostic, Report, Severity};

/// Bytes that are read at most to find the places of a file's findings; the rest is told by pointer alone.
const MOST_READ: usize = 4 * 1024 * 1024;

/// One file being read, and what was found in it so far.
#[derive(Debug)]
pub struct Source<'a> {
    file: &'a str,
    text: &'a str,
    /// Bytes read so far to find places.
    read: Cell<usize>,
    report: RefCell<Report>,
}

impl<'a> Source<'a> {
    /// A file by the name that the user knows, and its whole text.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, read: Cell::new(0), report: RefCell::default() }
    }

    /// The file's name.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// Notes a finding about the value at `pointer`, whose place it is given.
    pub fn note(&self, pointer: &Pointer, finding: Diagnostic) {
        // A place costs a reading of the text, which is not worth it for a finding that is dropped.
        if !self.report.borrow().has_room(finding.severity) {
            return;
        }
        // SECURITY: a large file that is wrong everywhere would be read for minutes: `a_large_file_that_is_wrong_everywhere_is_told_soon`.
        let read = self.read.get();
        let position = if read < MOST_READ { pointer.locate(self.text) } else { None };
        self.read.set(read.saturating_add(self.text.len()));
        self.report.borrow_mut().push(Diagnostic {
            file: self.file.to_owned(),
            line: position.map(|at| at.line),
            column: position.map(|at| at.column),
            pointer: pointer.to_string(),
            ..finding
        });
    }

    /// Ends the reading and gives up what was found.
    pub fn into_report(self) -> Report {
        self.report.into_inner()
    }
}

/// A place in a document: the value there, and the way to it.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    source: &'a Source<'a>,
    node: &'a Node,
    pointer: Pointer,
}

impl<'a> Cursor<'a> {
    /// The top of a document.
    pub fn top(source: &'a Source<'a>, node: &'a Node) -> Self {
        Self { source, node, pointer: Pointer::default() }
    }

    /// The value here.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The way here.
    pub fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// The file that this value stands in.
    pub fn source(&self) -> &'a Source<'a> {
        self.source
    }

    /// Notes an error here, with advice: who is told that something is wrong is told what to do about it.
    pub fn error_with_help(&self, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.source.note(&self.pointer, Diagnostic::of_file(code, "", message).with_help(help));
    }

    /// Notes a warning here, with advice.
    pub fn warning(&self, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        let finding = Diagnostic::of_file(code, "", message).with_help(help);
        self.source.note(&self.pointer, Diagnostic { severity: Severity::Warning, ..finding });
    }

    /// Notes that the value has another type than `what`.
    pub fn expected(&self, what: &str) {
        let help = format!("write {what} here, or leave the key out where it has a default");
        self.error_with_help("Y003", format!("expected {what}, found {}", self.node.kind()), help);
    }

    /// A map with at least one entry.
    pub fn map(&self) -> Option<MapCursor<'a>> {
        let map = self.map_or_empty()?;
        if map.entries.is_empty() {
            self.error_with_help("Y004", "the map is empty", "fill it or leave the key out");
            return None;
        }
        Some(map)
    }

    /// A map that may be empty, for formats in which that is the same as leaving it out.
    pub fn map_or_empty(&self) -> Option<MapCursor<'a>> {
        let Some(entries) = self.node.as_map() else {
            self.expected("a map");
            return None;
        };
        Some(MapCursor { cursor: self.clone(), entries, taken: Vec::new() })
    }

    /// The items of a list with at least one item.
    pub fn list(&self) -> Option<Vec<Cursor<'a>>> {
        let items = self.list_or_empty()?;
        if items.is_empty() {
            self.error_with_help("Y004", "the list is empty", "fill it or leave the key out");
            return None;
        }
        Some(items)
    }

    /// The items of a list that may be empty, for the few keys whose default is an empty list.
    pub fn list_or_empty(&self) -> Option<Vec<Cursor<'a>>> {
        let Some(items) = self.node.as_list() else {
            self.expected("a list");
            return None;
        };
        let place = |(index, node)| Cursor { source: self.source, node, pointer: self.pointer.index(index) };
        Some(items.iter().enumerate().map(place).collect())
    }

    /// A string that is not empty.
    pub fn text(&self) -> Option<&'a str> {
        match self.node.as_text() {
            Some("") => {
                self.error_with_help("Y004", "the string is empty", "fill it or leave the key out");
                None
            }
            Some(text) => Some(text),
            None => {
                self.expected("a string");
                None
            }
        }
    }

    /// A string that parses as `T`; `code` names the problem when it does not, and `help` the way out.
    pub fn parse<T>(&self, code: &'static str, help: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error_with_help(code, error.to_string(), help);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        let value = match (self.node, self.node.as_text()) {
            (Node::Bool(value), _) => Some(*value),
            (Node::Expanded(_), Some(text)) => text.parse().ok(),
            (_, _) => None,
        };
        if value.is_none() {
            self.expected("`true` or `false`");
        }
        value
    }

    /// A whole number in `range`.
    pub fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let value = match (self.node, self.node.as_text()) {
            (Node::Integer(value), _) => Some(*value),
            (Node::Expanded(_), Some(text)) => text.parse().ok(),
            (_, _) => None,
        };
        let Some(value) = value else {
            self.expected("a whole number");
            return None;
        };
        let fits = u64::try_from(value).ok().filter(|value| range.contains(value));
        if fits.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{value}` is not between {least} and {most}");
            self.error_with_help("Y006", message, format!("write a number from {least} to {most}"));
        }
        fits
    }

    /// Each item of a non-empty list, read by `read`; `None` when any of them does not fit.
    pub fn each<T>(&self, read: impl Fn(&Cursor<'a>) -> Option<T>) -> Option<Vec<T>> {
        let items = self.list()?;
        let values: Vec<_> = items.iter().filter_map(read).collect();
        (values.len() == items.len()).then_some(values)
    }
}

/// A map being read. [`finish`](Self::finish) reports the keys that nobody asked for.
#[derive(Debug)]
pub struct MapCursor<'a> {
    cursor: Cursor<'a>,
    entries: &'a [(String, Node)],
    taken: Vec<&'static str>,
}

impl<'a> MapCursor<'a> {
    /// The map itself, to note something about it as a whole.
    pub fn here(&self) -> &Cursor<'a> {
        &self.cursor
    }

    /// The value of `key` as it is, for formats in which a null has a meaning.
    pub fn take_or_null(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        if !self.taken.contains(&key) {
            self.taken.push(key);
        }
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        Some(Cursor { source: self.cursor.source, node, pointer: self.cursor.pointer.key(key) })
    }

    /// The value of `key`, if it is there. A null is reported, and counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        let found = self.take_or_null(key)?;
        if *found.node == Node::Null {
            found.error_with_help("Y004", format!("`{key}` is empty"), "fill it or leave the key out");
            return None;
        }
        Some(found)
    }

    /// The value of `key`, if it is there: for the few keys whose value may be a null.
    pub fn take_any(&mut self, key: &'static str) -> Option<&'a Node> {
        self.taken.push(key);
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The value of `key`, reported as missing when it is not there.
    pub fn require(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        if !self.entries.iter().any(|(name, _)| name == key) {
            self.taken.push(key);
            self.cursor.error_with_help("Y005", format!("`{key}` is missing"), format!("add `{key}` here"));
            return None;
        }
        self.take(key)
    }

    /// Every entry, for maps whose keys are the user's own.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Cursor<'a>)> + use<'a> {
        let cursor = self.cursor.clone();
        self.entries.iter().map(move |(key, node)| {
            (key.as_str(), Cursor { source: cursor.source, node, pointer: cursor.pointer.key(key) })
        })
    }

    /// Reports every key that was never asked for.
    pub fn finish(self) {
        for (key, value) in self.entries() {
            if self.taken.contains(&key) {
                continue;
            }
            let near =
                self.taken.iter().filter(|known| distance(known, key) <= 2).min_by_key(|known| distance(known, key));
            let help = match near {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys are: {}", self.taken.join(", ")),
            };
            value.error_with_help("Y007", format!("unknown key `{key}`"), help);
        }
    }
}

/// Edits between two words (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, right) in b.chars().enumerate() {
            let change = row.get(j).copied().unwrap_or(0) + usize::from(left != right);
            let remove = row.get(j + 1).copied().unwrap_or(0) + 1;
            let insert = next.last().copied().unwrap_or(0) + 1;
            next.push(change.min(remove).min(insert));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
