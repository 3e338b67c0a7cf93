//! Cerbos test suites: from the document to one question for each principal and resource of each test.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    codes,
    fixtures::{ClaimsFixture, Fixtures, ObjectFixture, SubjectFixture, sides},
    moment,
    read::{each, json, name, object, optional, some_names, stated, string},
};
use crate::{
    policy::{
        cerbos::{Clock, Effect},
        read::read_word,
    },
    yaml::{Cursor, MapCursor, Node, Pointer},
};

/// What a test says of the engine that it asks. What it leaves out is as the settings have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `globals`, where there are any.
    pub globals: Map<String, Value>,
    /// A scope without policies falls back to those above it.
    pub lenient_scope_search: bool,
    /// The version that is asked for where a principal or a resource names none; empty for that of the settings.
    pub default_policy_version: Box<str>,
    /// The scope likewise.
    pub default_scope: Box<str>,
}

/// The options of a suite or of a test.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) now: Option<Clock>,
    pub(super) overrides: Overrides,
}

/// What is expected of one principal and one resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// What is not here is expected to be denied.
    pub(super) effects: BTreeMap<Box<str>, Effect>,
    /// By action and source. An output without `val` is expected to have none.
    pub(super) outputs: BTreeMap<Box<str>, BTreeMap<Box<str>, Option<Value>>>,
}

/// One question of a test.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) test: Arc<Test>,
    pub(super) principal: (Box<str>, Arc<SubjectFixture>),
    pub(super) resource: (Box<str>, Arc<ObjectFixture>),
    pub(super) expected: Arc<Expected>,
}

/// What the questions of a test have alike.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) name: Box<str>,
    pub(super) skip: Option<Box<str>>,
    pub(super) actions: Vec<Box<str>>,
    pub(super) claims: Option<Arc<ClaimsFixture>>,
    pub(super) options: Arc<Options>,
    pub(super) at: Pointer,
}

/// A suite that was read.
#[derive(Debug)]
pub(super) struct CheckSuite {
    pub(super) name: Box<str>,
    pub(super) skip: Option<Box<str>>,
    pub(super) checks: Vec<Check>,
}

/// Reads a suite, with what its folder has; `room` is how many cases there may yet be.
pub(super) fn read(mut map: MapCursor<'_>, mut fixtures: Fixtures, room: &mut Room) -> Option<CheckSuite> {
    let title = map.require("name").and_then(|at| at.text());
    let rest = [optional(&mut map, "$schema", name), optional(&mut map, "description", name)];
    let skip = skip(&mut map);
    let held = fixtures.read_suite(&mut map);
    let options = optional(&mut map, "options", |at| options(at).map(Arc::new));
    let tests = map.require("tests").and_then(|at| at.list());
    map.finish();
    let tests = tests?;
    let mut names = HashSet::new();
    for at in &tests {
        let name = at.node().get("name").and_then(Node::as_text);
        if let Some(name) = name.filter(|name| !names.insert(*name)) {
            let message = format!("there is a test `{name}` already");
            at.error_with_help(codes::DUPLICATE, message, "name each differently");
        }
    }
    let is_broken = held.is_none() || options.is_none() || skip.is_none();
    let may_name_anything = is_broken || skip.as_ref().is_some_and(Option::is_some);
    let options = options.unwrap_or_default();
    let reader = TestReader { fixtures: &fixtures, options: &options, may_name_anything };
    let checks = tests.iter().filter_map(|at| reader.read(at, room)).flatten().collect();
    if is_broken {
        return None;
    }
    let skip = skip?;
    rest.iter().all(Option::is_some).then_some(CheckSuite { name: title?.into(), skip, checks })
}

/// `skip` and `skipReason`: the reason, where it is skipped.
pub(super) fn skip(map: &mut MapCursor<'_>) -> Option<Option<Box<str>>> {
    let skip = optional(map, "skip", Cursor::bool);
    let reason = optional(map, "skipReason", name);
    let (skip, reason) = (skip?, reason?);
    Some(skip.then_some(reason))
}

fn options(at: &Cursor<'_>) -> Option<Options> {
    if at.node().as_map().is_some_and(<[_]>::is_empty) {
        return Some(Options::default());
    }
    let mut map = at.map()?;
    let now = map.take("now").map(|at| moment_at(&at));
    let lenient = optional(&mut map, "lenientScopeSearch", Cursor::bool);
    let globals = optional(&mut map, "globals", object);
    let version = optional(&mut map, "defaultPolicyVersion", name);
    let scope = optional(&mut map, "defaultScope", name);
    map.finish();
    let overrides = Overrides {
        globals: globals?,
        lenient_scope_search: lenient?,
        default_policy_version: version?,
        default_scope: scope?,
    };
    Some(Options { now: stated(now)?, overrides })
}

/// A moment, as a suite or a case writes it.
pub(super) fn moment_at(at: &Cursor<'_>) -> Option<Clock> {
    let text = at.text()?;
    let found = moment::parse(text);
    if found.is_none() {
        let help = "write it as in `2026-01-31T12:00:00Z`, from 1970 to 9999";
        at.error_with_help(codes::MOMENT, format!("`{text}` is not a moment"), help);
    }
    found
}

/// Reads the tests of one suite.
struct TestReader<'a> {
    fixtures: &'a Fixtures,
    options: &'a Arc<Options>,
    /// The names in a suite that is skipped, or whose fixtures are wrong, need not be known. Nothing of it is asked.
    may_name_anything: bool,
}

/// Whom and what a test asks about.
struct Input {
    principals: Vec<Box<str>>,
    resources: Vec<Box<str>>,
    actions: Vec<Box<str>>,
    claims: Option<Arc<ClaimsFixture>>,
}

type Expectations = BTreeMap<(Box<str>, Box<str>), Expected>;

impl TestReader<'_> {
    /// The questions of a test.
    fn read(&self, at: &Cursor<'_>, room: &mut Room) -> Option<Vec<Check>> {
        let mut map = at.map()?;
        let title = map.require("name").and_then(|at| at.text());
        let description = optional(&mut map, "description", name);
        let skip = skip(&mut map);
        let own = map.take("options").map(|at| options(&at).map(Arc::new));
        let input_at = map.require("input");
        let input = input_at.as_ref().and_then(|at| self.input(at));
        let expected_at = map.require("expected");
        let outcomes = expected_at.as_ref().and_then(|at| at.list());
        let expected =
            input.as_ref().zip(outcomes).and_then(|(input, outcomes)| self.expectations(&outcomes, input, room));
        map.finish();
        description?;
        let (title, input, expected) = (title?, input?, expected?);
        let options = own.unwrap_or_else(|| Some(Arc::clone(self.options)))?;
        let Input { principals, resources, actions, claims } = input;
        let test = Test { name: title.into(), skip: skip?, actions, claims, options, at: at.pointer().clone() };
        if self.may_name_anything {
            return Some(Vec::new());
        }
        let cases = principals.len().saturating_mul(resources.len()).saturating_mul(test.actions.len());
        take_room(at, &mut room.cases, cases)?;
        self.checks(&input_at?, (&principals, &resources), expected, Arc::new(test))
    }

    fn input(&self, at: &Cursor<'_>) -> Option<Input> {
        let mut map = at.map()?;
        let principals = self.side(&mut map, ("principals", "principalGroups"), &self.fixtures.principal_groups);
        let resources = self.side(&mut map, ("resources", "resourceGroups"), &self.fixtures.resource_groups);
        let actions = map.require("actions").and_then(|at| some_names(&at));
        let claims = map.take("auxData").map_or(Some(None), |at| self.claims(&at));
        map.finish();
        Some(Input { principals: principals?, resources: resources?, actions: actions?, claims: claims? })
    }

    fn side(
        &self,
        map: &mut MapCursor<'_>,
        keys: (&'static str, &'static str),
        groups: &super::fixtures::Named<Arc<[Box<str>]>>,
    ) -> Option<Vec<Box<str>>> {
        let (names, is_stated) = sides(map, keys, groups)?;
        if !is_stated {
            let help = format!("name some in `{}` or `{}`", keys.0, keys.1);
            map.here().error_with_help(codes::SIDES, format!("there are no `{}` here", keys.0), help);
            return None;
        }
        Some(names)
    }

    fn claims(&self, at: &Cursor<'_>) -> Option<Option<Arc<ClaimsFixture>>> {
        let wanted = string(at)?;
        let found = self.fixtures.claims.get(wanted);
        if found.is_none() && !wanted.is_empty() && !self.may_name_anything {
            at.error_with_help(
                codes::UNKNOWN,
                format!("there is no `{wanted}` in `auxData`"),
                "define it, or name another",
            );
            return None;
        }
        Some(found.cloned())
    }

    fn expectations(&self, outcomes: &[Cursor<'_>], input: &Input, room: &mut Room) -> Option<Expectations> {
        let mut all = Expectations::new();
        let mut is_good = true;
        for at in outcomes {
            is_good &= self.expectation(at, input, (&mut all, room)).is_some();
        }
        is_good.then_some(all)
    }

    fn expectation(&self, at: &Cursor<'_>, input: &Input, (all, room): (&mut Expectations, &mut Room)) -> Option<()> {
        let mut map = at.map()?;
        let principals =
            self.one_or_more(&mut map, "principal", ("principals", "principalGroups"), &self.fixtures.principal_groups);
        let resources =
            self.one_or_more(&mut map, "resource", ("resources", "resourceGroups"), &self.fixtures.resource_groups);
        let effects = map.require("actions").and_then(|at| effects(&at, &input.actions));
        let outputs = optional(&mut map, "outputs", |at| outputs(at, &input.actions));
        map.finish();
        let (principals, resources) = (principals?, resources?);
        let said = Expected { effects: effects?, outputs: outputs? };
        if self.may_name_anything {
            return Some(());
        }
        // Before the pairs are made: their number is a product.
        take_room(at, &mut room.pairs, principals.len().saturating_mul(resources.len()))?;
        let mut is_good = true;
        for principal in &principals {
            for resource in &resources {
                let pair = (principal.clone(), resource.clone());
                if !input.principals.contains(principal) || !input.resources.contains(resource) {
                    let message = format!("`{principal}` and `{resource}` are not both in `input`");
                    at.error_with_help(codes::UNASKED, message, "expect something of what the test asks about");
                    return None;
                }
                is_good &= merge(all.entry(pair).or_default(), &said, at);
            }
        }
        is_good.then_some(())
    }

    /// As [`side`](Self::side), or the one of another key.
    fn one_or_more(
        &self,
        map: &mut MapCursor<'_>,
        one: &'static str,
        keys: (&'static str, &'static str),
        groups: &super::fixtures::Named<Arc<[Box<str>]>>,
    ) -> Option<Vec<Box<str>>> {
        let single = map.take(one);
        let named = single.as_ref().map_or(Some(""), string)?;
        if named.is_empty() {
            return self.side(map, keys, groups);
        }
        let has_several =
            map.here().node().get(keys.0).and_then(|node| node.as_list()).is_some_and(|list| !list.is_empty());
        let (mut names, _) = sides(map, keys, groups)?;
        if has_several {
            let message = format!("there are both `{one}` and `{}` here", keys.0);
            map.here().error_with_help(codes::SIDES, message, "write one of them");
            return None;
        }
        names.retain(|name| **name != *named);
        names.insert(0, named.into());
        Some(names)
    }

    fn checks(
        &self,
        input: &Cursor<'_>,
        (principals, resources): (&[Box<str>], &[Box<str>]),
        mut expected: Expectations,
        test: Arc<Test>,
    ) -> Option<Vec<Check>> {
        let unknown = |name: &str, what: &str| {
            input.error_with_help(codes::UNKNOWN, format!("there is no {what} `{name}`"), "define it, or name another");
        };
        let subjects = principals.iter().filter_map(|name| {
            let found = self.fixtures.principals.get(name);
            found.map(|found| (name, found)).or_else(|| {
                unknown(name, "principal");
                None
            })
        });
        let subjects: Vec<_> = subjects.collect();
        let objects = resources.iter().filter_map(|name| {
            let found = self.fixtures.resources.get(name);
            found.map(|found| (name, found)).or_else(|| {
                unknown(name, "resource");
                None
            })
        });
        let objects: Vec<_> = objects.collect();
        if subjects.len() != principals.len() || objects.len() != resources.len() {
            return None;
        }
        let mut checks = Vec::with_capacity(subjects.len().saturating_mul(objects.len()));
        for (principal, subject) in &subjects {
            for (resource, object) in &objects {
                let said = expected.remove(&((*principal).clone(), (*resource).clone())).unwrap_or_default();
                checks.push(Check {
                    test: Arc::clone(&test),
                    principal: ((*principal).clone(), Arc::clone(subject)),
                    resource: ((*resource).clone(), Arc::clone(object)),
                    expected: Arc::new(said),
                });
            }
        }
        Some(checks)
    }
}

/// How much may yet be asked and expected.
#[derive(Debug)]
pub(super) struct Room {
    /// Questions about one action.
    pub(super) cases: usize,
    /// Pairs of principal and resource of which something is expected.
    pub(super) pairs: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { cases: super::MOST_CASES, pairs: super::MOST_CASES.saturating_mul(10) }
    }
}

/// Takes the room of so many cases, or tells that there are too many.
pub(super) fn take_room(at: &Cursor<'_>, room: &mut usize, cases: usize) -> Option<()> {
    let left = room.checked_sub(cases);
    if left.is_none() {
        let message =
            format!("there are more than {} cases in all, or ten times as many expectations", super::MOST_CASES);
        at.error_with_help(codes::TOO_MANY, message, "test fewer principals, resources and actions at once");
    }
    *room = left.unwrap_or(0);
    left.map(drop)
}

fn effects(at: &Cursor<'_>, asked: &[Box<str>]) -> Option<BTreeMap<Box<str>, Effect>> {
    at.map()?;
    let words = [("EFFECT_ALLOW", Effect::Allow), ("EFFECT_DENY", Effect::Deny)];
    let effects = each(at, |at| read_word(at, &words))?;
    for (action, _) in &effects {
        is_asked(at, action, asked)?;
    }
    Some(effects.into_iter().collect())
}

fn is_asked(at: &Cursor<'_>, action: &str, asked: &[Box<str>]) -> Option<()> {
    if asked.iter().any(|asked| **asked == *action) {
        return Some(());
    }
    let known = asked.iter().map(|action| format!("`{action}`")).collect::<Vec<_>>().join(", ");
    let message = format!("the action `{action}` is not in `input.actions`");
    at.error_with_help(codes::UNASKED, message, format!("the test asks about {known}"));
    None
}

type Outputs = BTreeMap<Box<str>, BTreeMap<Box<str>, Option<Value>>>;

fn outputs(at: &Cursor<'_>, asked: &[Box<str>]) -> Option<Outputs> {
    let mut all = Outputs::new();
    for at in at.list_or_empty()? {
        let mut map = at.map()?;
        let action_at = map.require("action");
        let expected = map.require("expected").and_then(|at| at.each(output));
        map.finish();
        let (action_at, expected) = (action_at?, expected?);
        let action = action_at.text()?;
        is_asked(&action_at, action, asked)?;
        all.insert(action.into(), expected.into_iter().collect());
    }
    Some(all)
}

fn output(at: &Cursor<'_>) -> Option<(Box<str>, Option<Value>)> {
    let mut map = at.map()?;
    let source = optional(&mut map, "src", name);
    optional(&mut map, "action", name)?;
    let value = match map.take_any("val") {
        None => Some(None),
        Some(node) => json(at, node).map(Some),
    };
    map.finish();
    Some((source?, value?))
}

/// Adds what is said of a pair to what was said of it before. Both must agree.
fn merge(into: &mut Expected, said: &Expected, at: &Cursor<'_>) -> bool {
    let mut agree = true;
    for (action, effect) in &said.effects {
        agree &= into.effects.entry(action.clone()).or_insert(*effect) == effect;
    }
    for (action, outputs) in &said.outputs {
        let known = into.outputs.entry(action.clone()).or_default();
        for (source, value) in outputs {
            agree &= known.entry(source.clone()).or_insert_with(|| value.clone()) == value;
        }
    }
    if !agree {
        let message = "something else is expected of the same principal, resource and action already";
        at.error_with_help(codes::CONTRADICTION, message, "expect one answer of each question");
    }
    agree
}
