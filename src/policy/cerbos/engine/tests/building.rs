//! Policies by hand.

use std::sync::Arc;

use crate::policy::{
    cerbos::{ActionPattern, Glob, document::sanitise, model::*, question::Effect},
    condition::{Condition, ConditionTree, Definition, Environment, Expression},
};

pub(super) fn texts(texts: &[&str]) -> Box<[Box<str>]> {
    texts.iter().map(|&text| text.into()).collect()
}

fn patterns(texts: &[&str]) -> Box<[ActionPattern]> {
    texts.iter().map(|text| ActionPattern::parse(text).unwrap()).collect()
}

/// An expression; `none:` before it stands for a tree of that.
pub(super) fn condition(text: &str, variables: &[&str]) -> Arc<ConditionTree> {
    let environment = Environment::cerbos().with_variables(variables.iter().copied());
    let expression = |text: &str| ConditionTree::Expression(Condition::compile(text, &environment).unwrap());
    Arc::new(match text.strip_prefix("none:") {
        Some(inner) => ConditionTree::None(vec![expression(inner)]),
        None => expression(text),
    })
}

pub(super) fn parameters(variables: &[(&str, &str)]) -> Arc<Parameters> {
    let mut known = Vec::new();
    let variables = variables.iter().map(|(name, text)| {
        let environment = Environment::cerbos().with_variables(known.iter().copied());
        known.push(*name);
        Definition { name: (*name).into(), expression: Expression::compile(text, &environment).unwrap() }
    });
    Arc::new(Parameters { variables: variables.collect() })
}

pub(super) fn envelope(name: &str) -> Envelope {
    Envelope {
        name: name.into(),
        sanitised: sanitise(name).into(),
        version: "default".into(),
        scope: "".into(),
        permissions: ScopePermissions::OverrideParent,
        parameters: Arc::default(),
    }
}

/// A rule for these roles; `~role` names a derived one.
pub(super) fn rule(effect: Effect, actions: &[&str], roles: &[&str]) -> ResourceRule {
    let (derived, plain): (Vec<&str>, Vec<&str>) = roles.iter().partition(|role| role.starts_with('~'));
    let derived: Vec<&str> = derived.iter().filter_map(|role| role.strip_prefix('~')).collect();
    ResourceRule {
        name: "".into(),
        actions: patterns(actions),
        roles: texts(&plain),
        derived_roles: texts(&derived),
        effect,
        condition: None,
        output: RuleOutput::default(),
    }
}

pub(super) fn allow(actions: &[&str], roles: &[&str]) -> ResourceRule {
    rule(Effect::Allow, actions, roles)
}

pub(super) fn deny(actions: &[&str], roles: &[&str]) -> ResourceRule {
    rule(Effect::Deny, actions, roles)
}

impl ResourceRule {
    pub(super) fn when(mut self, text: &str) -> Self {
        self.condition = Some(condition(text, &["a", "bad"]));
        self
    }

    pub(super) fn puts_out(mut self, activated: &str, not_met: &str) -> Self {
        let compile = |text: &str| Some(Expression::compile(text, &Environment::cerbos()).unwrap());
        self.output = RuleOutput { when_activated: compile(activated), when_condition_not_met: compile(not_met) };
        self
    }
}

/// The policy about a resource, with its rules called `rule-001` and so on.
pub(super) fn policy(kind: &str, rules: Vec<ResourceRule>) -> ResourcePolicy {
    let mut rules = rules;
    for (place, rule) in rules.iter_mut().enumerate() {
        rule.name = format!("rule-{:03}", place + 1).into();
    }
    ResourcePolicy { envelope: envelope(kind), rules, derived_roles: Vec::new(), schemas: Schemas::default() }
}

impl ResourcePolicy {
    pub(super) fn at(mut self, scope: &str) -> Self {
        self.envelope.scope = scope.into();
        self
    }

    pub(super) fn of_version(mut self, version: &str) -> Self {
        self.envelope.version = version.into();
        self
    }

    /// Its ALLOWs need the consent of the parent.
    pub(super) fn with_consent(mut self) -> Self {
        self.envelope.permissions = ScopePermissions::RequireParentalConsentForAllows;
        self
    }

    pub(super) fn with_variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.envelope.parameters = parameters(variables);
        self
    }

    /// A derived role of some parents.
    pub(super) fn derives(mut self, name: &str, parents: &[&str], text: &str) -> Self {
        self.derived_roles.push(DerivedRole {
            name: name.into(),
            parent_roles: texts(parents),
            condition: Some(condition(text, &[])),
            parameters: Arc::default(),
        });
        self
    }
}

pub(super) fn principal(id: &str, rules: &[(&str, &str, Effect)]) -> PrincipalPolicy {
    let rules = rules.iter().enumerate().map(|(place, (resource, action, effect))| PrincipalRule {
        name: format!("{resource}_rule-{:03}", place + 1).into(),
        resource: Glob::parse(resource).unwrap(),
        action: ActionPattern::parse(action).unwrap(),
        effect: *effect,
        condition: None,
        output: RuleOutput::default(),
    });
    PrincipalPolicy { envelope: envelope(id), rules: rules.collect() }
}

/// A role policy; each of its rules is a resource, actions and a condition, which may be empty.
pub(super) fn role(name: &str, parents: &[&str], rules: &[(&str, &[&str], &str)]) -> RolePolicy {
    let rules = rules.iter().enumerate().map(|(place, (resource, actions, text))| RoleRule {
        name: format!("rule-{:03}", place + 1).into(),
        resource: Glob::parse(resource).unwrap(),
        allow_actions: patterns(actions),
        condition: (!text.is_empty()).then(|| condition(text, &[])),
    });
    RolePolicy { envelope: envelope(name), parent_roles: texts(parents), rules: rules.collect() }
}

impl RolePolicy {
    pub(super) fn at(mut self, scope: &str) -> Self {
        self.envelope.scope = scope.into();
        self
    }
}

pub(super) fn resources(resources: Vec<ResourcePolicy>) -> Policies {
    Policies { resources, ..Policies::default() }
}
