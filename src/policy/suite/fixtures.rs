//! Principals, resources and auxiliary data that tests name: of the suite itself, and of `testdata/` beside it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    codes,
    read::{each, name, names, object, optional, some_names, string},
};
use crate::{
    policy::cerbos::{Object, Subject},
    yaml::{Cursor, MapCursor},
};

/// Things by the name that tests give them.
pub(super) type Named<T> = BTreeMap<Box<str>, T>;

/// A principal.
#[derive(Debug)]
pub(super) struct SubjectFixture {
    id: Box<str>,
    roles: Vec<Box<str>>,
    attributes: Map<String, Value>,
    policy_version: Box<str>,
    scope: Box<str>,
}

/// A resource.
#[derive(Debug)]
pub(super) struct ObjectFixture {
    kind: Box<str>,
    id: Box<str>,
    attributes: Map<String, Value>,
    policy_version: Box<str>,
    scope: Box<str>,
}

/// The claims of a token.
pub(super) type ClaimsFixture = Map<String, Value>;

impl SubjectFixture {
    pub(super) fn as_subject(&self) -> Subject<'_> {
        Subject {
            id: &self.id,
            roles: &self.roles,
            attributes: &self.attributes,
            policy_version: &self.policy_version,
            scope: &self.scope,
        }
    }
}

impl ObjectFixture {
    pub(super) fn as_object(&self) -> Object<'_> {
        Object {
            kind: &self.kind,
            id: &self.id,
            attributes: &self.attributes,
            policy_version: &self.policy_version,
            scope: &self.scope,
        }
    }
}

/// Everything that tests may name. A suite begins with what its folder has, and puts its own over it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fixtures {
    pub(super) principals: Named<Arc<SubjectFixture>>,
    pub(super) principal_groups: Named<Arc<[Box<str>]>>,
    pub(super) resources: Named<Arc<ObjectFixture>>,
    pub(super) resource_groups: Named<Arc<[Box<str>]>>,
    pub(super) claims: Named<Arc<ClaimsFixture>>,
}

/// What a file of `testdata/` is named, without its ending, and the key that it must hold.
const KINDS: [(&str, &str); 5] = [
    ("principals", "principals"),
    ("resources", "resources"),
    ("auxdata", "auxData"),
    ("auxData", "auxData"),
    ("aux_data", "auxData"),
];

/// Is that the name of a fixture file, such as `principals.yaml`?
pub fn is_fixture_file(name: &str) -> bool {
    kind_of(name).is_some()
}

fn kind_of(name: &str) -> Option<&'static str> {
    let (stem, ending) = name.rsplit_once('.')?;
    let known = ["yaml", "yml", "json"].contains(&ending);
    KINDS.iter().find(|(name, _)| known && *name == stem).map(|(_, kind)| *kind)
}

impl Fixtures {
    /// Adds what a file of `testdata/` holds.
    pub(super) fn read_file(&mut self, top: &Cursor<'_>) -> Option<()> {
        let file = top.source().file();
        let kind = kind_of(file.rsplit('/').next().unwrap_or(file))?;
        let is_second = match kind {
            "principals" => !self.principals.is_empty(),
            "resources" => !self.resources.is_empty(),
            _ => !self.claims.is_empty(),
        };
        if is_second {
            let message = format!("there is another file with `{kind}` in the folder");
            top.error_with_help(codes::FIXTURES, message, "keep one of them");
        }
        let mut map = top.map()?;
        optional(&mut map, "$schema", |at| string(at).map(drop));
        map.require(kind);
        let read = self.read(&mut map, kind);
        map.finish();
        read
    }

    /// Adds what a suite holds itself.
    pub(super) fn read_suite(&mut self, map: &mut MapCursor<'_>) -> Option<()> {
        let principals = self.read(map, "principals");
        let resources = self.read(map, "resources");
        let claims = self.read(map, "auxData");
        principals.and(resources).and(claims)
    }

    fn read(&mut self, map: &mut MapCursor<'_>, kind: &str) -> Option<()> {
        match kind {
            "principals" => {
                let found = optional(map, "principals", |at| each(at, subject));
                let is_good = found.is_some();
                let found = found.into_iter().flatten().map(|(name, found)| (name, Arc::new(found)));
                self.principals.extend(found);
                let known = |name: &str| !is_good || self.principals.contains_key(name);
                let groups = optional(map, "principalGroups", |at| each(at, |at| group(at, "principals", &known)));
                self.principal_groups.extend(groups?);
                is_good.then_some(())
            }
            "resources" => {
                let found = optional(map, "resources", |at| each(at, resource));
                let is_good = found.is_some();
                let found = found.into_iter().flatten().map(|(name, found)| (name, Arc::new(found)));
                self.resources.extend(found);
                let known = |name: &str| !is_good || self.resources.contains_key(name);
                let groups = optional(map, "resourceGroups", |at| each(at, |at| group(at, "resources", &known)));
                self.resource_groups.extend(groups?);
                is_good.then_some(())
            }
            _ => {
                let found = optional(map, "auxData", |at| each(at, claims));
                self.claims.extend(found?.into_iter().map(|(name, found)| (name, Arc::new(found))));
                Some(())
            }
        }
    }
}

fn subject(at: &Cursor<'_>) -> Option<SubjectFixture> {
    let mut map = at.map()?;
    let id = map.require("id").and_then(|at| at.text());
    let roles = map.require("roles").and_then(|at| some_names(&at));
    let rest = rest(&mut map);
    map.finish();
    let (attributes, policy_version, scope) = rest?;
    Some(SubjectFixture { id: id?.into(), roles: roles?, attributes, policy_version, scope })
}

fn resource(at: &Cursor<'_>) -> Option<ObjectFixture> {
    let mut map = at.map()?;
    let kind = map.require("kind").and_then(|at| at.text());
    let id = map.require("id").and_then(|at| at.text());
    let rest = rest(&mut map);
    map.finish();
    let (attributes, policy_version, scope) = rest?;
    Some(ObjectFixture { kind: kind?.into(), id: id?.into(), attributes, policy_version, scope })
}

/// Attributes, policy version and scope.
type Rest = (Map<String, Value>, Box<str>, Box<str>);

/// What principals and resources have alike.
fn rest(map: &mut MapCursor<'_>) -> Option<Rest> {
    let attributes = optional(map, "attr", object);
    let version = optional(map, "policyVersion", |at| named(at, "a policy version", is_version));
    let scope = optional(map, "scope", |at| named(at, "a scope", is_scope));
    Some((attributes?, version?, scope?))
}

fn named(at: &Cursor<'_>, what: &str, fits: fn(&str) -> bool) -> Option<Box<str>> {
    let text = name(at)?;
    if !fits(&text) {
        let help = "versions are letters, digits and `_`; scopes are such names with `-`, and `.` between them";
        at.error_with_help(codes::NAME, format!("`{text}` is not {what}"), help);
        return None;
    }
    Some(text)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_version(text: &str) -> bool {
    text.bytes().all(is_word)
}

/// `a.b-c`, or the empty one, or the dot that names the empty one.
fn is_scope(text: &str) -> bool {
    let is_label =
        |label: &str| label.bytes().next().is_some_and(is_word) && label.bytes().all(|b| is_word(b) || b == b'-');
    text.is_empty() || text == "." || (!text.starts_with('_') && text.split('.').all(is_label))
}

/// A group whose members there are.
fn group(at: &Cursor<'_>, key: &'static str, known: &dyn Fn(&str) -> bool) -> Option<Arc<[Box<str>]>> {
    let mut map = at.map()?;
    let members = map.require(key);
    map.finish();
    let members = members?;
    let names = some_names(&members)?;
    for name in names.iter().filter(|name| !known(name)) {
        members.error_with_help(
            codes::UNKNOWN,
            format!("there is no `{name}` for the group"),
            format!("add it to `{key}`"),
        );
    }
    Some(names.into())
}

fn claims(at: &Cursor<'_>) -> Option<ClaimsFixture> {
    if super::read::entries(at)?.is_empty() {
        return Some(Map::new());
    }
    let mut map = at.map()?;
    let claims = optional(&mut map, "jwt", object);
    map.finish();
    claims
}

/// A list of names and groups of names, spread out: each name once, in the order in which they come.
fn spread(listed: Vec<Box<str>>, groups: &[&Arc<[Box<str>]>]) -> Vec<Box<str>> {
    let mut seen: std::collections::HashSet<Box<str>> = listed.iter().cloned().collect();
    let mut all = listed;
    for name in groups.iter().flat_map(|group| group.iter()) {
        if seen.insert(name.clone()) {
            all.push(name.clone());
        }
    }
    all
}

/// The names of a list, and of the groups of another; and whether either was stated.
pub(super) fn sides(
    map: &mut MapCursor<'_>,
    (list, groups): (&'static str, &'static str),
    known: &Named<Arc<[Box<str>]>>,
) -> Option<(Vec<Box<str>>, bool)> {
    let listed = optional(map, list, names);
    let at = map.take(groups);
    let wanted = at.as_ref().map_or_else(|| Some(Vec::new()), names);
    let (listed, wanted) = (listed?, wanted?);
    let is_stated = !listed.is_empty() || !wanted.is_empty();
    let mut found = Vec::with_capacity(wanted.len());
    for name in &wanted {
        match (known.get(name), &at) {
            (Some(group), _) => found.push(group),
            (None, Some(at)) => {
                at.error_with_help(codes::UNKNOWN, format!("there is no group `{name}`"), "define it, or name another")
            }
            (None, None) => {}
        }
    }
    let is_whole = found.len() == wanted.len();
    is_whole.then(|| (spread(listed, &found), is_stated))
}
