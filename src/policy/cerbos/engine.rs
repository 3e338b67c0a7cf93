//! Deciding with Cerbos policies.
//!
//! One engine for the proxy, the check API and policy tests. It reads no clock and keeps nothing between questions.
//! A question is decided by the profile in force; where the other one can differ it is asked, too, and the answer says whether it does.
//! Invariant: the time of a decision does not grow with the number of policies.

mod ask;
mod entry;
mod index;
mod judge;
mod lookup;
mod names;
mod options;
mod output;
mod pass;
mod place;
mod refusal;

#[cfg(test)]
mod tests;

pub use options::{Options, Profile, SchemaEnforcement};

pub(crate) use judge::{Judged, Judgement, Unread};
pub use names::is_scope;

use serde_json::{Map, Value};

use super::{
    ActionPattern,
    document::sanitise,
    model::{Policies, SchemaUse},
    question::{ActionResult, CheckInput, CheckOutput, Clock, ValidationError, ValidationSource},
};
use crate::{
    identity::Kind,
    policy::condition::{Origin, PrincipalView, ResourceView, Scope},
};
use ask::{Question, without_dot};
use index::Index;
use pass::{Detail, Guess, Label, Pass, Verdict};

/// All Cerbos policies of one generation.
#[derive(Debug)]
pub struct Engine {
    index: Index,
    options: Options,
}

impl Engine {
    /// Makes the policies ready to be asked.
    pub(crate) fn new(policies: Policies, options: Options) -> Self {
        Self { index: Index::new(policies), options }
    }

    /// How the policies are read.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Answers a question: one result for each action, in their order.
    pub fn check(&self, input: &CheckInput<'_>, clock: Clock) -> CheckOutput {
        let facts = facts(input, clock);
        match Question::new(facts, input.actions, &self.options) {
            Some(question) => self.answer(&question),
            None => CheckOutput::default(),
        }
    }

    fn answer(&self, question: &Question<'_>) -> CheckOutput {
        let pass = Pass::new(&self.index, question, self.options.profile, Guess::None, Detail::All);
        let verdicts = self.verdicts(&pass, question);
        let disputed = self.disputes(&pass, question, &verdicts.0);
        let label = |verdict: &Verdict<'_>| name(&pass, question, verdict.policy);
        let actions = question.actions.iter().zip(&verdicts.0).zip(disputed).map(|((action, verdict), disputed)| {
            let result = ActionResult {
                effect: verdict.effect,
                policy: label(verdict),
                scope: verdict.scope.into(),
                rule: verdict.rule.map(|rule| rule.as_str().into()),
                errs: verdict.errs,
                disputed,
            };
            (action.clone(), result)
        });
        CheckOutput {
            actions: actions.collect(),
            effective_derived_roles: pass.derived_roles(),
            validation_errors: verdicts.1,
            outputs: std::mem::take(&mut pass.outputs.borrow_mut().entries),
        }
    }

    /// What a profile says to each action, and what the schemas find wrong.
    fn verdicts<'q>(&self, pass: &Pass<'q>, question: &Question<'q>) -> (Vec<Verdict<'q>>, Vec<ValidationError>) {
        let all = |policy| question.actions.iter().map(|_| Verdict { policy, ..Verdict::NO_MATCH }).collect();
        if pass.has_no_scope() {
            return (all(Label::NoMatch), Vec::new());
        }
        let wrong = self.validate(pass, question);
        if !wrong.is_empty() && self.options.schema_enforcement == SchemaEnforcement::Reject {
            return (all(Label::Resource), wrong);
        }
        if pass.is_without_policies() {
            return (all(Label::NoMatch), wrong);
        }
        ((0..question.actions.len()).map(|action| pass.decide(action)).collect(), wrong)
    }

    /// Which of the verdicts the other profile would have given differently.
    fn disputes(&self, pass: &Pass<'_>, question: &Question<'_>, verdicts: &[Verdict<'_>]) -> Vec<bool> {
        if !pass.is_disputable() {
            return vec![false; verdicts.len()];
        }
        let other = Pass::new(&self.index, question, self.options.profile.other(), Guess::None, Detail::Effect);
        let others = self.verdicts(&other, question).0;
        verdicts.iter().zip(&others).map(|(one, other)| one.effect != other.effect).collect()
    }

    /// What the schemas of the root policy find wrong with the attributes.
    fn validate(&self, pass: &Pass<'_>, question: &Question<'_>) -> Vec<ValidationError> {
        let mut wrong = Vec::new();
        if self.options.schema_enforcement == SchemaEnforcement::None {
            return wrong;
        }
        let Some(policy) = pass.root_policy() else { return wrong };
        let none = Map::new();
        let attributes = question.facts.resource.map_or(&none, |resource| resource.attributes);
        let of_principal = question.facts.principal.claims.unwrap_or(&none);
        let mut check = |schema: &Option<SchemaUse>, attributes: &Map<String, Value>, source| {
            let Some(schema) = schema.as_ref().filter(|schema| concerns(schema, question.actions)) else { return };
            for (path, message) in schema.schema.validate(attributes) {
                wrong.push(ValidationError { path, message, source });
            }
        };
        check(&policy.schemas.principal, of_principal, ValidationSource::Principal);
        let has_schema = policy.schemas.resource.as_ref().is_some_and(|schema| concerns(schema, question.actions));
        let assumed = if has_schema { pass.assumed_validity() } else { None };
        match assumed {
            None => check(&policy.schemas.resource, attributes, ValidationSource::Resource),
            Some(true) => {}
            Some(false) => {
                let (path, message) = ("".into(), "the attributes have not been read".into());
                wrong.push(ValidationError { path, message, source: ValidationSource::Resource });
            }
        }
        wrong
    }
}

/// Is any of the actions one that the schema is not left aside for?
fn concerns(schema: &SchemaUse, actions: &[Box<str>]) -> bool {
    let ignored = |action: &str| schema.ignored_for.iter().any(|pattern: &ActionPattern| pattern.matches(action));
    schema.ignored_for.is_empty() || actions.iter().any(|action| !ignored(action))
}

/// What conditions look at.
fn facts<'q>(input: &CheckInput<'q>, clock: Clock) -> Scope<'q> {
    let (principal, resource) = (input.principal, input.resource);
    Scope {
        principal: PrincipalView {
            id: Some(principal.id),
            kind: Kind::User,
            roles: principal.roles,
            claims: Some(principal.attributes),
            origin: Origin::Caller,
            provider: None,
            client_id: None,
            policy_version: principal.policy_version,
            scope: without_dot(principal.scope),
            token: input.claims,
        },
        request: None,
        captures: &[],
        resource: Some(ResourceView {
            kind: resource.kind,
            id: resource.id,
            attributes: resource.attributes,
            policy_version: resource.policy_version,
            scope: without_dot(resource.scope),
        }),
        now: clock.time,
        nanos: clock.nanos,
        variables: None,
        derived_roles: &[],
    }
}

/// What Cerbos calls the policy that decided: the most specific one of its kind, whether it exists or not.
fn name(pass: &Pass<'_>, question: &Question<'_>, label: Label<'_>) -> Box<str> {
    use names::{NO_MATCH, policy_key};
    let scope = pass.first_scope(label);
    match label {
        Label::NoMatch => NO_MATCH.into(),
        Label::Role(key) => key.into(),
        Label::Principal => {
            policy_key(names::Kind::Principal, &sanitise(question.id), question.principal.version, scope).into()
        }
        Label::Resource => policy_key(names::Kind::Resource, &question.name, question.resource.version, scope).into(),
    }
}
