//! Policies as the engine asks them: what can be known before any question is known.

use std::sync::Arc;

use super::names::{Kind, policy_key};
use crate::policy::{
    cerbos::{
        ActionPattern, Glob,
        document::sanitise,
        model::{
            DerivedRole, Envelope, Parameters, PrincipalPolicy, ResourcePolicy, RolePolicy, RuleOutput, Schemas,
            ScopePermissions,
        },
        question::Effect,
    },
    condition::{ConditionTree, References, Root},
    decision::RuleId,
};

/// A resource policy.
#[derive(Debug)]
pub(super) struct ResourceEntry {
    pub(super) permissions: ScopePermissions,
    pub(super) rules: Box<[Rule]>,
    pub(super) derived: Box<[Derived]>,
    /// Its own first, then those of its derived roles, each once.
    pub(super) parameters: Box<[Arc<Parameters>]>,
    pub(super) schemas: Schemas,
    pub(super) traits: Traits,
}

/// A principal policy.
#[derive(Debug)]
pub(super) struct PrincipalEntry {
    pub(super) permissions: ScopePermissions,
    pub(super) rules: Box<[(Glob, Rule)]>,
    pub(super) parameters: Box<[Arc<Parameters>]>,
    pub(super) traits: Traits,
}

/// A role policy.
#[derive(Debug)]
pub(super) struct RoleEntry {
    pub(super) key: Box<str>,
    pub(super) rules: Box<[Listing]>,
    pub(super) traits: Traits,
}

/// A rule of a role policy: what the role may ask for at all.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) id: RuleId,
    pub(super) resource: Glob,
    pub(super) actions: Box<[ActionPattern]>,
    pub(super) condition: Option<Clause>,
}

/// What makes the profiles differ about a policy even where nothing errs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    /// It has patterns that 0.51 takes literally.
    pub(super) odd_patterns: bool,
    /// Its expressions read the derived roles that are active.
    pub(super) reads_derived_roles: bool,
}

/// A rule of a resource or principal policy.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    pub(super) actions: Box<[ActionPattern]>,
    pub(super) roles: Named,
    /// Places among the derived roles of the policy.
    pub(super) derived: Box<[usize]>,
    pub(super) effect: Effect,
    /// An ALLOW that needs the consent of the parent: a DENY where the condition does not hold.
    pub(super) inverted: bool,
    pub(super) condition: Option<Clause>,
    pub(super) output: RuleOutput,
    /// The first of its places in the memory of a question: one for its roles and one for each derived role.
    pub(super) memory: usize,
}

/// A derived role.
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) name: Box<str>,
    pub(super) parents: Named,
    pub(super) condition: Option<Clause>,
    /// The place of its variables among the policy's.
    pub(super) parameters: usize,
}

/// Roles that are named.
#[derive(Debug)]
pub(super) enum Named {
    /// `*`
    Any,
    /// These.
    Only(Box<[Box<str>]>),
}

/// A condition, and everything that it reads: by its variables and by the derived roles that it asks for, too.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) tree: Arc<ConditionTree>,
    pub(super) references: References,
}

impl Named {
    fn new(roles: Box<[Box<str>]>) -> Self {
        if roles.iter().any(|role| **role == *"*") { Self::Any } else { Self::Only(roles) }
    }

    /// Is that role one of them?
    pub(super) fn has(&self, role: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(roles) => roles.iter().any(|named| **named == *role),
        }
    }

    /// Is that role one of them by its name?
    pub(super) fn name(&self, role: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Only(_) => self.has(role),
        }
    }
}

impl Clause {
    fn new(tree: Arc<ConditionTree>, parameters: &Parameters, derived: &References) -> Self {
        let mut references = closure(tree.references(), parameters);
        if references.reads(Root::DerivedRoles) {
            references = references.union(derived);
        }
        Self { tree, references }
    }
}

/// The references and those of the variables that they name. Variables stand behind those that they use.
fn closure(mut references: References, parameters: &Parameters) -> References {
    for variable in parameters.variables.iter().rev() {
        if references.variables().any(|name| *name == *variable.name) {
            references = references.union(variable.expression.references());
        }
    }
    references
}

/// The name of a resource as names of resources are compared. Cerbos takes wildcards as they are written.
fn sanitised(resource: Glob) -> Glob {
    match resource.literal() {
        Some(name) => Glob::Literal(sanitise(name).into()),
        None => resource,
    }
}

fn key(kind: Kind, envelope: &Envelope) -> String {
    policy_key(kind, &envelope.sanitised, &envelope.version, &envelope.scope)
}

impl ResourceEntry {
    pub(super) fn new(policy: ResourcePolicy) -> Self {
        let key = key(Kind::Resource, &policy.envelope);
        let mut parameters = vec![Arc::clone(&policy.envelope.parameters)];
        let derived: Box<[Derived]> =
            policy.derived_roles.into_iter().map(|role| Derived::new(role, &mut parameters)).collect();
        let of_roles = derived.iter().filter_map(|role| role.condition.as_ref());
        let of_roles = of_roles.fold(References::default(), |all, clause| all.union(&clause.references));
        let consent = policy.envelope.permissions == ScopePermissions::RequireParentalConsentForAllows;
        let mut memory = 0;
        let rules: Box<[Rule]> = policy
            .rules
            .into_iter()
            .map(|rule| {
                let places = rule.derived_roles.iter();
                let places = places.filter_map(|name| derived.iter().position(|role| role.name == *name));
                let inverted = consent && rule.effect == Effect::Allow && rule.condition.is_some();
                let rule = Rule {
                    id: RuleId::new(&format!("{key}#{}", rule.name)),
                    actions: rule.actions,
                    roles: Named::new(rule.roles),
                    derived: places.collect(),
                    effect: if inverted { Effect::Deny } else { rule.effect },
                    inverted,
                    condition: rule.condition.map(|tree| Clause::new(tree, &policy.envelope.parameters, &of_roles)),
                    output: rule.output,
                    memory,
                };
                memory += 1 + rule.derived.len();
                rule
            })
            .collect();
        let traits = Traits {
            odd_patterns: rules.iter().any(Rule::has_odd_patterns),
            reads_derived_roles: rules.iter().any(Rule::reads_derived_roles),
        };
        let permissions = policy.envelope.permissions;
        Self { permissions, rules, derived, parameters: parameters.into(), schemas: policy.schemas, traits }
    }

    /// How many places its rules need in the memory of a question.
    pub(super) fn memory(&self) -> usize {
        self.rules.last().map_or(0, |last| last.memory + 1 + last.derived.len())
    }
}

impl Derived {
    fn new(role: DerivedRole, parameters: &mut Vec<Arc<Parameters>>) -> Self {
        let known = parameters.iter().position(|known| Arc::ptr_eq(known, &role.parameters));
        let place = known.unwrap_or_else(|| {
            parameters.push(Arc::clone(&role.parameters));
            parameters.len() - 1
        });
        let clause = |tree| Clause::new(tree, &role.parameters, &References::default());
        Self {
            name: role.name,
            parents: Named::new(role.parent_roles),
            condition: role.condition.map(clause),
            parameters: place,
        }
    }
}

impl PrincipalEntry {
    pub(super) fn new(policy: PrincipalPolicy) -> Self {
        let key = key(Kind::Principal, &policy.envelope);
        let consent = policy.envelope.permissions == ScopePermissions::RequireParentalConsentForAllows;
        let rules = policy.rules.into_iter().enumerate().map(|(memory, rule)| {
            let inverted = consent && rule.effect == Effect::Allow && rule.condition.is_some();
            let none = References::default();
            let compiled = Rule {
                id: RuleId::new(&format!("{key}#{}", rule.name)),
                actions: Box::new([rule.action]),
                roles: Named::Any,
                derived: Box::default(),
                effect: if inverted { Effect::Deny } else { rule.effect },
                inverted,
                condition: rule.condition.map(|tree| Clause::new(tree, &policy.envelope.parameters, &none)),
                output: rule.output,
                memory,
            };
            (sanitised(rule.resource), compiled)
        });
        let rules: Box<[(Glob, Rule)]> = rules.collect();
        let traits = Traits {
            odd_patterns: rules.iter().any(|(resource, rule)| resource.is_odd() || rule.has_odd_patterns()),
            reads_derived_roles: rules.iter().any(|(_, rule)| rule.reads_derived_roles()),
        };
        let parameters = Box::new([policy.envelope.parameters]);
        Self { permissions: policy.envelope.permissions, rules, parameters, traits }
    }
}

impl RoleEntry {
    pub(super) fn new(policy: RolePolicy) -> Self {
        let key = key(Kind::Role, &policy.envelope).into_boxed_str();
        let rules = policy.rules.into_iter().map(|rule| Listing {
            id: RuleId::new(&format!("{key}#{}", rule.name)),
            resource: rule.resource,
            actions: rule.allow_actions,
            condition: rule
                .condition
                .map(|tree| Clause::new(tree, &policy.envelope.parameters, &References::default())),
        });
        let rules: Box<[Listing]> = rules.collect();
        let odd = |rule: &Listing| rule.resource.is_odd() || rule.actions.iter().any(ActionPattern::is_odd);
        let traits = Traits { odd_patterns: rules.iter().any(odd), reads_derived_roles: false };
        Self { key, rules, traits }
    }
}

impl Rule {
    /// Is the rule about the action of that name?
    pub(super) fn is_about(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(action))
    }

    /// The derived roles that it names.
    pub(super) fn derived_of<'e>(&'e self, policy: &'e ResourceEntry) -> impl Iterator<Item = &'e Derived> {
        self.derived.iter().filter_map(|place| policy.derived.get(*place))
    }

    fn has_odd_patterns(&self) -> bool {
        self.actions.iter().any(ActionPattern::is_odd)
    }

    fn reads_derived_roles(&self) -> bool {
        let outputs = [&self.output.when_activated, &self.output.when_condition_not_met];
        let mut outputs = outputs.into_iter().flatten();
        self.condition.as_ref().is_some_and(|clause| clause.references.reads(Root::DerivedRoles))
            || outputs.any(|output| output.references().reads(Root::DerivedRoles))
    }
}
