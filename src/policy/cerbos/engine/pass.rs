//! Deciding a question by one profile.
//!
//! Principal policies first, then the resource's, role by role: within a role the scopes from the most specific to the root, DENY before ALLOW.
//! Does not know the other profile: [`Engine`](super::Engine) asks twice where they can differ.

mod evaluate;

use std::cell::{Cell, RefCell};

use super::{
    ask::Question,
    entry::{Named, PrincipalEntry, ResourceEntry, Rule},
    index::Index,
    judge::Unread,
    options::Profile,
    output::{Emission, Outputs},
    place::{Met, Place, Standing},
    refusal::Refusal,
};
use crate::policy::{cerbos::question::Effect, condition::Scope, decision::RuleId};

/// A question on its way through the policies.
pub(super) struct Pass<'q> {
    index: &'q Index,
    question: &'q Question<'q>,
    profile: Profile,
    guess: Guess<'q>,
    detail: Detail,
    principals: Vec<Place<'q, PrincipalEntry>>,
    resources: Vec<Place<'q, ResourceEntry>>,
    /// The place whose derived roles 0.51 shows to expressions: the last that was come to.
    shown: Cell<Option<usize>>,
    signs: Signs,
    pub(super) outputs: RefCell<Outputs>,
}

/// What is assumed of conditions that wait for the body.
#[derive(Clone, Copy)]
pub(super) enum Guess<'q> {
    /// Nothing waits.
    None,
    /// They will be as good for the principal as they can.
    Best(Unread<'q>),
    /// They will be as bad as they can.
    Worst(Unread<'q>),
}

impl<'q> Guess<'q> {
    fn unread(self) -> Option<Unread<'q>> {
        match self {
            Self::None => None,
            Self::Best(unread) | Self::Worst(unread) => Some(unread),
        }
    }
}

/// How much is told beside the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The decision alone.
    Effect,
    /// Outputs and derived roles, too.
    All,
}

/// What was met on the way.
#[derive(Debug, Default)]
struct Signs {
    erred: Cell<bool>,
    waited: Cell<bool>,
}

/// What the policies say to an action.
#[derive(Debug)]
pub(super) struct Verdict<'q> {
    pub(super) effect: Effect,
    pub(super) policy: Label<'q>,
    pub(super) scope: &'q str,
    /// The rule that decided, or could not be evaluated.
    pub(super) rule: Option<&'q RuleId>,
    /// An error took part.
    pub(super) errs: bool,
}

/// The policy that is named in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label<'q> {
    /// None is about the question.
    NoMatch,
    /// The principal's.
    Principal,
    /// The resource's.
    Resource,
    /// A role's.
    Role(&'q str),
}

/// What some policies say.
#[derive(Clone, Copy, Debug)]
enum Ruling<'q> {
    Allow(&'q str, &'q RuleId),
    Deny(Label<'q>, &'q str),
    /// Nothing.
    Silent,
}

/// What the rules of one scope say to a role.
#[derive(Debug, Default)]
struct Said<'q> {
    allowed: Option<&'q RuleId>,
    denied: bool,
}

/// An action of the question.
#[derive(Clone, Copy)]
pub(super) struct Asked<'q> {
    /// Its place among the actions.
    pub(super) place: usize,
    pub(super) name: &'q str,
}

/// A resource policy that is asked for a role.
struct Hearing<'p, 'q> {
    met: &'p Met<'q, ResourceEntry>,
    /// The place of its scope.
    number: usize,
    role: &'q str,
    /// It is the principal's own role, not a parent of it.
    first: bool,
}

/// A rule that is asked, by its roles or through one of its derived roles.
struct Row<'p, 'q, E> {
    met: &'p Met<'q, E>,
    rule: &'q Rule,
    /// Which of its derived roles, from 1, and how that stands.
    derived: Option<(usize, Standing)>,
    facts: Scope<'p>,
}

impl Verdict<'_> {
    /// Nothing is about the question.
    pub(super) const NO_MATCH: Self =
        Self { effect: Effect::Deny, policy: Label::NoMatch, scope: "", rule: None, errs: false };
}

impl<'q> Pass<'q> {
    pub(super) fn new(
        index: &'q Index,
        question: &'q Question<'q>,
        profile: Profile,
        guess: Guess<'q>,
        detail: Detail,
    ) -> Self {
        // Principal policies are looked up by the version of the resource, as Cerbos does.
        let version = question.resource.version;
        let principal = |scope| Place::of_principal(scope, index.principal(question.id, version, scope), profile);
        let resource = |scope| Place::of_resource(scope, index.resource(&question.name, version, scope), profile);
        Self {
            principals: question.principal_scopes(index).into_iter().map(principal).collect(),
            resources: question.resource_scopes(profile, index).into_iter().map(resource).collect(),
            index,
            question,
            profile,
            guess,
            detail,
            shown: Cell::new(None),
            signs: Signs::default(),
            outputs: RefCell::default(),
        }
    }

    /// Does no scope of the question exist?
    pub(super) fn has_no_scope(&self) -> bool {
        self.principals.is_empty() && self.resources.is_empty()
    }

    /// Is no policy about the question?
    pub(super) fn is_without_policies(&self) -> bool {
        !self.has_principal_policies() && !self.has_resource_policies()
    }

    /// Did anything wait for the body?
    pub(super) fn has_waited(&self) -> bool {
        self.signs.waited.get()
    }

    /// What is assumed of the resource's attributes when a schema is about them; `None` where they have been read.
    pub(super) fn assumed_validity(&self) -> Option<bool> {
        self.guess.unread().filter(|unread| unread.attributes)?;
        self.signs.waited.set(true);
        Some(self.assumes(false))
    }

    /// Could the other profile answer differently? Where nothing erred and no scope is named, hardly ever.
    pub(super) fn is_disputable(&self) -> bool {
        let question = self.question;
        let torn = || {
            let scopes = self.resources.iter().map(|place| place.scope);
            scopes.chain(self.principals.iter().map(|place| place.scope)).any(|scope| self.index.is_torn(scope))
        };
        let policies = || self.resources.iter().filter_map(|place| place.policy.as_ref());
        let principals = || self.principals.iter().filter_map(|place| place.policy.as_ref());
        let roles = || question.roles.iter().flat_map(|role| question.with_parents(self.profile, self.index, role));
        let role_policies = || roles().filter_map(|role| self.role(role, ""));
        self.signs.erred.get()
            || question.is_scoped()
            || policies().any(|met| met.entry.traits.odd_patterns || met.has_erred())
            || principals().any(|met| {
                let traits = met.entry.traits;
                traits.odd_patterns || traits.reads_derived_roles || met.has_erred()
            })
            || role_policies().any(|entry| entry.traits.odd_patterns || entry.rules.is_empty())
            || self.index.differs_by_version(question.roles, question.resource)
            || torn()
    }

    /// Each once: the derived roles that were active somewhere.
    pub(super) fn derived_roles(&self) -> Vec<Box<str>> {
        let mut names: Vec<&str> = Vec::new();
        for active in self.resources.iter().filter_map(|place| place.active.get()) {
            for name in &active.names {
                if !names.contains(&&**name) {
                    names.push(name);
                }
            }
        }
        names.into_iter().map(Box::from).collect()
    }

    /// The most specific scope of each kind: the policy there is named in answers, whether it exists or not.
    pub(super) fn first_scope(&self, label: Label<'_>) -> &'q str {
        let first = match label {
            Label::Principal => self.principals.first().map(|place| place.scope),
            Label::Resource => self.resources.first().map(|place| place.scope),
            Label::NoMatch | Label::Role(_) => None,
        };
        first.unwrap_or_default()
    }

    /// The policy whose schemas count. In 0.51 none does where the most specific scope has no policy about the resource.
    pub(super) fn root_policy(&self) -> Option<&'q ResourceEntry> {
        let first = self.resources.first()?;
        if self.profile == Profile::Cerbos051 && first.policy.is_none() {
            return None;
        }
        self.index.resource(&self.question.name, self.question.resource.version, "")
    }

    /// Decides about one of the actions.
    pub(super) fn decide(&self, action: usize) -> Verdict<'q> {
        let mut refusal = Refusal::default();
        let Some(name) = self.question.actions.get(action) else { return refusal.verdict(Label::NoMatch, "") };
        let asked = Asked { place: action, name };
        let mut answer = self.by_principal(asked, &mut refusal);
        if matches!(answer, Ruling::Silent) {
            for role in self.question.roles {
                let ruling = self.by_role(role, asked, &mut refusal);
                match (answer, ruling) {
                    (_, Ruling::Allow(..)) => {
                        answer = ruling;
                        break;
                    }
                    (Ruling::Silent, Ruling::Deny(..)) => answer = ruling,
                    (Ruling::Silent | Ruling::Allow(..) | Ruling::Deny(..), Ruling::Deny(..) | Ruling::Silent) => {}
                }
            }
            if let Ruling::Allow(scope, rule) = answer {
                return refusal.allowed(self.main(Label::Resource), scope, rule, self.profile);
            }
        }
        match answer {
            Ruling::Allow(scope, rule) => refusal.allowed(self.main(Label::Principal), scope, rule, self.profile),
            Ruling::Deny(label, scope) => refusal.verdict(label, scope),
            Ruling::Silent => refusal.verdict(self.main(Label::Resource), ""),
        }
    }

    /// The policies of that kind, if any is about the question.
    fn main(&self, label: Label<'q>) -> Label<'q> {
        let exists = match label {
            Label::Principal => self.has_principal_policies(),
            Label::Resource => self.has_resource_policies(),
            Label::NoMatch | Label::Role(_) => true,
        };
        if exists { label } else { Label::NoMatch }
    }

    fn has_principal_policies(&self) -> bool {
        let version = self.question.principal.version;
        self.principals.iter().any(|place| self.index.has_principal_policy(version, place.scope))
    }

    fn has_resource_policies(&self) -> bool {
        let (name, version) = (&self.question.name, self.question.resource.version);
        self.resources
            .iter()
            .any(|place| place.policy.is_some() || self.index.is_within_reach(name, version, place.scope))
    }

    fn by_principal(&self, asked: Asked<'q>, refusal: &mut Refusal<'q>) -> Ruling<'q> {
        for place in &self.principals {
            let Some(met) = &place.policy else { continue };
            let mut said = Said::default();
            for (resource, rule) in &met.entry.rules {
                if !self.takes_resource(resource) || self.hits(rule, asked) == 0 {
                    continue;
                }
                let facts = met.scope(&self.question.facts, 0, self.shown_roles(None));
                self.hear(&Row { met, rule, derived: None, facts }, asked, &mut said, refusal);
                if said.denied && self.profile == Profile::Cerbos051 {
                    break;
                }
            }
            if said.denied {
                return Ruling::Deny(self.main(Label::Principal), place.scope);
            }
            if let Some(rule) = said.allowed.filter(|_| self.settles(place.scope, met.entry.permissions)) {
                return Ruling::Allow(place.scope, rule);
            }
        }
        Ruling::Silent
    }

    fn by_role(&self, role: &'q str, asked: Asked<'q>, refusal: &mut Refusal<'q>) -> Ruling<'q> {
        for (number, place) in self.resources.iter().enumerate() {
            self.come_to(number, place);
            let mut said = Said::default();
            let mut label = Label::Resource;
            for (nth, role) in self.question.with_parents(self.profile, self.index, role).enumerate() {
                if let Some(entry) = self.role(role, place.scope)
                    && self.bounds(entry, place.scope)
                    && self.role_policy_denies(entry, asked, refusal)
                {
                    (said.denied, label) = (true, Label::Role(&entry.key));
                } else if let Some(met) = &place.policy {
                    self.hear_rules(Hearing { met, number, role, first: nth == 0 }, asked, &mut said, refusal);
                }
                if said.denied && self.profile == Profile::Cerbos051 {
                    break;
                }
            }
            if said.denied {
                let label = if label == Label::Resource { self.main(label) } else { label };
                return Ruling::Deny(label, place.scope);
            }
            let Some(met) = &place.policy else { continue };
            if let Some(rule) = said.allowed.filter(|_| self.settles(place.scope, met.entry.permissions)) {
                return Ruling::Allow(place.scope, rule);
            }
        }
        Ruling::Silent
    }

    /// Asks the rules of a resource policy that name a role, or a derived role that it may have.
    fn hear_rules(&self, at: Hearing<'_, 'q>, asked: Asked<'q>, said: &mut Said<'q>, refusal: &mut Refusal<'q>) {
        let Hearing { met, number, role, first } = at;
        // Whom `*` names is asked once, with the role itself, and not again with its parents.
        let concerns = |named: &Named| named.name(role) || first && named.has(role);
        for rule in &met.entry.rules {
            if self.hits(rule, asked) == 0 {
                continue;
            }
            let facts = met.scope(&self.question.facts, 0, self.shown_roles(Some(number)));
            if concerns(&rule.roles) {
                self.hear(&Row { met, rule, derived: None, facts }, asked, said, refusal);
            }
            for (nth, derived) in rule.derived.iter().enumerate() {
                let Some(role) = met.entry.derived.get(*derived).filter(|role| concerns(&role.parents)) else {
                    continue;
                };
                let cell = met.derived.get(*derived);
                let standing = self.remember(cell, || self.standing_of_role(met, role));
                self.hear(&Row { met, rule, derived: Some((nth + 1, standing)), facts }, asked, said, refusal);
            }
            if said.denied && self.profile == Profile::Cerbos051 {
                return;
            }
        }
    }

    /// Asks one rule, and notes what it says.
    fn hear<E>(&self, row: &Row<'_, 'q, E>, asked: Asked<'q>, said: &mut Said<'q>, refusal: &mut Refusal<'q>) {
        let rule = row.rule;
        let cell = row.met.rules.get(rule.memory + row.derived.map_or(0, |(nth, _)| nth));
        let known = cell.and_then(Cell::get);
        let answer = known.unwrap_or_else(|| self.answer(row));
        if let Some(cell) = cell {
            cell.set(Some(answer));
        }
        if self.detail == Detail::All {
            let emission = Emission { rule, answer, again: known.is_some(), hits: self.hits(rule, asked) };
            self.outputs.borrow_mut().add(self.profile, &emission, asked, &row.facts);
        }
        refusal.note(rule, answer, self.profile);
        if answer.applies {
            match rule.effect {
                Effect::Allow => said.allowed = said.allowed.or(Some(&rule.id)),
                Effect::Deny => said.denied = true,
            }
        }
    }
}
