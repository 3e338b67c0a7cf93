//! The section `policies`: where they are, how they are watched, and how Cerbos policies are read.

use super::{
    Policies,
    bounds::POLL,
    read::{beside, duration, or, path, word},
};
use crate::{
    policy::cerbos::{Options, Profile, SchemaEnforcement, is_scope},
    yaml::Cursor,
};
use serde_json::{Map, Value};

/// The folder where `policies.path` is left out.
pub(super) const PATH: &str = "../policies";

/// Reads the section of `file`; every key has a default.
pub(super) fn policies(at: Option<&Cursor<'_>>, file: &str) -> Option<Policies> {
    let Some(at) = at else {
        return Some(Policies {
            path: beside(file, PATH),
            poll: POLL.default.duration(),
            allow_empty: false,
            test_on_reload: false,
            cerbos: Options::default(),
        });
    };
    let mut map = at.map()?;
    let path = or(&mut map, "path", || beside(file, PATH), path);
    let poll = duration(&mut map, "poll", &POLL);
    let allow_empty = or(&mut map, "allow_empty", || false, Cursor::bool);
    let test_on_reload = or(&mut map, "test_on_reload", || false, Cursor::bool);
    let cerbos = or(&mut map, "cerbos", Options::default, cerbos);
    map.finish();
    Some(Policies {
        path: path?,
        poll: poll?,
        allow_empty: allow_empty?,
        test_on_reload: test_on_reload?,
        cerbos: cerbos?,
    })
}

/// Reads `policies.cerbos`.
pub(super) fn cerbos(at: &Cursor<'_>) -> Option<Options> {
    let default = Options::default();
    let mut map = at.map()?;
    let profile = or(&mut map, "profile", || default.profile, |at| word(at, &Profile::WORDS));
    let globals = or(&mut map, "globals", || default.globals, globals);
    let enforcement =
        or(&mut map, "schema_enforcement", || default.schema_enforcement, |at| word(at, &SchemaEnforcement::WORDS));
    let lenient = or(&mut map, "lenient_scope_search", || default.lenient_scope_search, Cursor::bool);
    let version = or(&mut map, "default_policy_version", || default.default_policy_version, policy_version);
    let scope = or(&mut map, "default_scope", || default.default_scope, default_scope);
    map.finish();
    Some(Options {
        profile: profile?,
        globals: globals?,
        schema_enforcement: enforcement?,
        lenient_scope_search: lenient?,
        default_policy_version: version?,
        default_scope: scope?,
    })
}

/// Names and any values; a null is a value like others.
fn globals(at: &Cursor<'_>) -> Option<Map<String, Value>> {
    let mut globals = Map::new();
    for (name, value) in at.node().as_map().or_else(|| at.map().map(|_| [].as_slice()))? {
        let inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') || !name.chars().all(inner) {
            at.error_with_help(
                "C029",
                format!("`{name}` is not the name of a global"),
                "a name is letters, digits and `_`, and starts with no digit",
            );
            return None;
        }
        let Some(value) = value.to_json() else {
            at.error_with_help(
                "C029",
                format!("the global `{name}` is a number that JSON does not have"),
                "write it as a text",
            );
            return None;
        };
        globals.insert(name.clone(), value);
    }
    Some(globals)
}

fn policy_version(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.chars().all(plain) {
        at.error_with_help(
            "C029",
            format!("`{text}` is not a policy version"),
            "a version is letters, digits and `_`, such as `default`",
        );
        return None;
    }
    Some(text.to_owned())
}

/// `acme.hr`: words of letters, digits, `_` and `-`, joined by dots.
fn default_scope(at: &Cursor<'_>) -> Option<String> {
    if at.node().as_text() == Some("") {
        return Some(String::new());
    }
    let text = at.text()?;
    if !is_scope(text) {
        at.error_with_help(
            "C029",
            format!("`{text}` is not a scope"),
            "a scope is words of letters, digits, `_` and `-`, joined by dots, such as `acme.hr`",
        );
        return None;
    }
    Some(text.to_owned())
}
