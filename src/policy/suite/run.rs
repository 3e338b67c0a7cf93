//! Asking, and comparing with what is expected.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Asking, Engine,
    checks::{Check, CheckSuite, Overrides},
    outcome::{CaseName, CaseResult, Difference, Outcome, full_name},
    requests::{Answer, RequestCase},
};
use crate::policy::cerbos::{CheckInput, CheckOutput, Effect};

/// The engines that were made for the overrides of tests.
pub(super) struct Engines<'a> {
    asking: &'a Asking<'a>,
    made: Vec<(Overrides, Result<Engine, Arc<str>>)>,
}

/// So many engines are kept: most tests of a folder have the same overrides, or none.
const KEPT: usize = 8;

impl<'a> Engines<'a> {
    pub(super) fn new(asking: &'a Asking<'a>) -> Self {
        Self { asking, made: Vec::new() }
    }

    fn under(&mut self, overrides: &Overrides) -> Result<Engine, Arc<str>> {
        if let Some((_, made)) = self.made.iter().find(|(known, _)| known == overrides) {
            return made.clone();
        }
        let made = (self.asking.engine)(overrides).map_err(Arc::from);
        if self.made.len() >= KEPT {
            drop(self.made.remove(0));
        }
        self.made.push((overrides.clone(), made.clone()));
        made
    }
}

/// Whether the filter takes a case.
pub(super) fn is_wanted(filter: Option<&str>, suite: &str, case: &CaseName) -> bool {
    filter.is_none_or(|text| full_name(suite, case).contains(text))
}

/// Asks the question of `check` about the actions that the filter takes, and counts the others in `filtered`.
pub(super) fn ask(
    suite: &CheckSuite,
    check: &Check,
    engines: &mut Engines<'_>,
    filtered: &mut usize,
) -> Vec<(CaseName, Outcome)> {
    let name = |action: &str| CaseName::Check {
        test: check.test.name.clone(),
        principal: check.principal.0.clone(),
        resource: check.resource.0.clone(),
        action: action.into(),
    };
    let filter = engines.asking.filter;
    let (wanted, left): (Vec<_>, Vec<_>) =
        check.test.actions.iter().cloned().partition(|action| is_wanted(filter, &suite.name, &name(action)));
    *filtered = filtered.saturating_add(left.len());
    if wanted.is_empty() {
        return Vec::new();
    }
    if let Some(reason) = &check.test.skip {
        return wanted.iter().map(|action| (name(action), Outcome::Skipped(reason.clone()))).collect();
    }
    let answer = answer(check, &wanted, engines);
    let outcome = |action: &str| match &answer {
        Ok(output) => judge(check, action, output),
        Err(reason) => Outcome::Errored(reason.to_string()),
    };
    wanted.iter().map(|action| (name(action), outcome(action))).collect()
}

fn answer(check: &Check, actions: &[Box<str>], engines: &mut Engines<'_>) -> Result<CheckOutput, Arc<str>> {
    let input = CheckInput {
        principal: check.principal.1.as_subject(),
        resource: check.resource.1.as_object(),
        actions,
        claims: check.test.claims.as_deref(),
    };
    let options = &check.test.options;
    let engine = engines.under(&options.overrides)?;
    engine(&input, options.now).map_err(Into::into)
}

fn judge(check: &Check, action: &str, output: &CheckOutput) -> Outcome {
    let expected = check.expected.effects.get(action).copied().unwrap_or(Effect::Deny);
    let Some((_, result)) = output.actions.iter().find(|(asked, _)| **asked == *action) else {
        return Outcome::Errored(format!("the engine says nothing about `{action}`"));
    };
    if result.effect != expected {
        let got = match &result.rule {
            Some(rule) => format!("{}, by {}#{rule}", effect(result.effect), result.policy),
            None => format!("{}, by {}", effect(result.effect), result.policy),
        };
        let what = "effect".to_owned();
        return Outcome::Failed(vec![Difference { what, expected: effect(expected).to_owned(), got }]);
    }
    let wanted = check.expected.outputs.get(action);
    let differences: Vec<_> = wanted.map(|wanted| outputs(wanted, action, output)).unwrap_or_default();
    if differences.is_empty() { Outcome::Passed } else { Outcome::Failed(differences) }
}

/// The word of Cerbos for an effect.
fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "EFFECT_ALLOW",
        Effect::Deny => "EFFECT_DENY",
    }
}

fn outputs(wanted: &BTreeMap<Box<str>, Option<Value>>, action: &str, output: &CheckOutput) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (source, expected) in wanted {
        // Of two outputs of one source the last counts, as in Cerbos.
        let found = output.outputs.iter().rev().find(|found| found.source == *source && *found.action == *action);
        let got = match found {
            Some(found) if is_same(expected.as_ref(), found.value.as_ref()) => continue,
            Some(found) => text(found.value.as_ref()),
            None => "no such output".to_owned(),
        };
        differences.push(Difference { what: format!("output `{source}`"), expected: text(expected.as_ref()), got });
    }
    differences
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "no value".to_owned(), Value::to_string)
}

fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_equal(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Numbers are doubles, as in every message of Cerbos.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value)| other.get(name).is_some_and(|other| is_equal(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

/// Asks an HTTP case; `None` where the filter leaves it out.
pub(super) fn request(suite: &str, case: &RequestCase, asking: &Asking<'_>) -> Option<(CaseName, Outcome)> {
    let line = format!("{} {}", case.method, case.target).into();
    let name = CaseName::Request { case: case.name.clone(), line };
    if !is_wanted(asking.filter, suite, &name) {
        return None;
    }
    if let Some(reason) = &case.skip {
        return Some((name, Outcome::Skipped(reason.clone())));
    }
    let answer = (asking.request)(case);
    let outcome = if let Answer::Unasked(reason) = answer {
        Outcome::Errored(reason)
    } else if case.expect.holds(&answer) {
        Outcome::Passed
    } else {
        let what = "answer".to_owned();
        Outcome::Failed(vec![Difference { what, expected: case.expect.words(), got: answer.words() }])
    };
    Some((name, outcome))
}

/// The result of a case, without its place.
pub(super) fn result((name, outcome): (CaseName, Outcome)) -> CaseResult {
    CaseResult { name, outcome, position: None }
}
