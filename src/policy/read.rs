//! Readers that routes, rules and Cerbos policies share.

use crate::{
    policy::{
        codes,
        condition::{Condition, ConditionError, Environment},
        route::{MethodError, Methods},
    },
    yaml::Cursor,
};

/// Letters of the longest id.
const MAX_ID: usize = 128;

/// A name that stands in metrics and audit lines, and in `route/rule`.
pub(crate) fn read_id<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    let text = at.text()?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if text.len() > MAX_ID || !text.chars().all(plain) {
        at.error_with_help(
            codes::ID,
            format!("`{text}` is not an id"),
            format!("ids have at most {MAX_ID} letters, digits, `-`, `_` and `.`"),
        );
        return None;
    }
    Some(text)
}

/// One of a closed set of words.
pub(crate) fn read_word<T: Copy>(at: &Cursor<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = at.text()?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        at.error_with_help(codes::WORD, format!("`{text}` is not known here"), format!("write {}", known.join(" or ")));
    }
    found.map(|(_, value)| *value)
}

/// A list of methods; GET brings HEAD along.
pub(crate) fn read_methods(at: &Cursor<'_>) -> Option<Methods> {
    let methods = at.each(|method| read_method(method.text()?, method))?;
    Some(methods.into_iter().collect())
}

/// One method.
pub(crate) fn read_method(word: &str, at: &Cursor<'_>) -> Option<http::Method> {
    let noted = |error: MethodError| at.error_with_help(codes::METHOD, error.to_string(), error.help());
    Methods::parse(word).map_err(noted).ok()
}

/// A condition in CEL.
pub(crate) fn read_condition(at: &Cursor<'_>, environment: &Environment) -> Option<Condition> {
    let noted = |error| note_condition(at, error, "a condition is CEL, as in `principal.id == path.user`");
    Condition::compile(at.text()?, environment).map_err(noted).ok()
}

/// Notes why a text is no condition, with advice for where there is none.
pub(crate) fn note_condition(at: &Cursor<'_>, error: ConditionError, otherwise: &str) {
    let message = match error.offset {
        Some((1, column)) => format!("{}, at column {column} of the condition", error.message),
        Some((line, column)) => format!("{}, at {line}:{column} of the condition", error.message),
        None => error.message,
    };
    at.error_with_help(codes::CONDITION, message, error.help.unwrap_or_else(|| otherwise.to_owned()));
}
