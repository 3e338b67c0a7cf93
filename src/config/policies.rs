//! The section `policies`: where they are, how they are watched, and how resource policies are read.
//!
//! Some keys have one accepted value in this version. They are read all the same: a value that would be ignored is refused.

use super::{
    Policies,
    bounds::POLL,
    read::{beside, duration, or, path, word},
};
use crate::yaml::Cursor;

/// The folder where `policies.path` is left out.
pub(super) const PATH: &str = "../policies";
/// The version of resource policies that is asked for, where none is named.
pub(super) const POLICY_VERSION: &str = "default";

/// Reads the section of `file`; every key has a default.
pub(super) fn policies(at: Option<&Cursor<'_>>, file: &str) -> Option<Policies> {
    let Some(at) = at else {
        return Some(Policies {
            path: beside(file, PATH),
            poll: POLL.default.duration(),
            allow_empty: false,
            test_on_reload: false,
            default_policy_version: POLICY_VERSION.to_owned(),
        });
    };
    let mut map = at.map()?;
    let path = or(&mut map, "path", || beside(file, PATH), path);
    let poll = duration(&mut map, "poll", &POLL);
    let allow_empty = or(&mut map, "allow_empty", || false, Cursor::bool);
    let test_on_reload = or(&mut map, "test_on_reload", || false, Cursor::bool);
    let version = or(&mut map, "cerbos", || POLICY_VERSION.to_owned(), cerbos);
    map.finish();
    Some(Policies {
        path: path?,
        poll: poll?,
        allow_empty: allow_empty?,
        test_on_reload: test_on_reload?,
        default_policy_version: version?,
    })
}

/// Reads `policies.cerbos`, and gives the default policy version.
fn cerbos(at: &Cursor<'_>) -> Option<String> {
    let mut map = at.map()?;
    let profile = or(&mut map, "profile", || (), |at| word(at, &[("strict", ())]));
    let globals = or(&mut map, "globals", || (), globals);
    let schemas = or(&mut map, "schema_enforcement", || (), schema_enforcement);
    let lenient = or(&mut map, "lenient_scope_search", || (), lenient_scope_search);
    let version = or(&mut map, "default_policy_version", || POLICY_VERSION.to_owned(), policy_version);
    let scope = or(&mut map, "default_scope", || (), default_scope);
    map.finish();
    profile.and(globals).and(schemas).and(lenient).and(scope).and(version)
}

fn not_supported(at: &Cursor<'_>, what: &str, help: &str) {
    at.error_with_help("C028", format!("{what} is not supported by this version"), help);
}

fn globals(at: &Cursor<'_>) -> Option<()> {
    if at.node().as_map().is_some_and(<[_]>::is_empty) {
        return Some(());
    }
    at.map()?;
    not_supported(at, "naming globals", "write `globals: {}` or leave it out");
    None
}

fn schema_enforcement(at: &Cursor<'_>) -> Option<()> {
    let none = word(at, &[("none", true), ("warn", false), ("reject", false)])?;
    if !none {
        not_supported(at, "enforcing schemas", "write `schema_enforcement: none` or leave it out");
    }
    none.then_some(())
}

fn lenient_scope_search(at: &Cursor<'_>) -> Option<()> {
    if at.bool()? {
        not_supported(at, "a lenient scope search", "write `lenient_scope_search: false` or leave it out");
        return None;
    }
    Some(())
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

fn default_scope(at: &Cursor<'_>) -> Option<()> {
    if at.node().as_text() == Some("") {
        return Some(());
    }
    at.text()?;
    not_supported(at, "a default scope", "write `default_scope: \"\"` or leave it out");
    None
}
