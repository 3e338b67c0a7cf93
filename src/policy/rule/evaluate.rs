//! Deciding with the rule table.
//!
//! In two stages: what needs the body stays open while the body is unread, and the answer is `NeedsBody` only when nothing
//! that is known already settles it. What a rule states is looked at in one place, [`Row::standing`].

use std::{borrow::Cow, cell::OnceCell, sync::LazyLock};

use serde_json::{Map, Value};

use super::{Combine, Effect, Kinds, Owner, Role, Roles, Row, RuleTable};
use crate::{
    identity::{Kind, Principal},
    policy::{
        attribute::{Found, Inputs},
        condition::{PrincipalView, References, RequestParts, ResourceView, Root, Scope},
        decision::{DenyReason, Query},
        route::{ResourceBinding, Route},
    },
};

/// A query with everything that rules look at, found once.
pub(crate) struct Asked<'a> {
    query: &'a Query<'a>,
    inputs: Inputs<'a>,
    action: &'a str,
    resource: Option<Resource<'a>>,
    captures: OnceCell<Vec<(&'a str, &'a str)>>,
}

/// The resource that a route names.
struct Resource<'a> {
    kind: &'a str,
    id: Cow<'a, str>,
    attributes: Map<String, Value>,
    /// What of it stands in the body, which has not been read.
    unread: Unread<'a>,
}

/// The parts of a resource that wait for the body.
#[derive(Default)]
struct Unread<'a> {
    id: bool,
    attributes: Vec<&'a str>,
}

impl Unread<'_> {
    /// Does a condition that reads this have to wait?
    fn concerns(&self, references: &References) -> bool {
        (self.id && references.reads(Root::Resource))
            || self.attributes.iter().any(|name| references.resource_attributes().includes(name))
    }
}

/// A source has no single reading.
#[derive(Debug)]
pub(crate) struct Malformed;

/// What the deny rules of a table say.
#[derive(Debug)]
pub(crate) enum Guard<'t> {
    /// None applies.
    Passed,
    /// One may apply once the body is read.
    Unread,
    /// One applies, or cannot be evaluated.
    Denied(DenyReason, &'t Row),
}

/// What the rules of a table say.
#[derive(Debug)]
pub(crate) enum Verdict<'t> {
    Allow(&'t Row),
    Deny(DenyReason, Option<&'t Row>),
    NeedsBody,
}

/// How one rule stands to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// All that it states holds.
    Applies,
    /// A check before the condition fails; this is the first reason in the order of reasons.
    Fails(DenyReason),
    /// Only the condition fails.
    False,
    /// The condition cannot be evaluated.
    Errs,
    /// It depends on the body.
    Unread,
}

/// What roles `R` asks with where a principal has no group of its own.
static AUTHENTICATED: LazyLock<[Box<str>; 1]> = LazyLock::new(|| ["authenticated".into()]);
static ANONYMOUS: LazyLock<[Box<str>; 1]> = LazyLock::new(|| ["anonymous".into()]);

impl<'a> Asked<'a> {
    /// Finds the resource and its attributes.
    pub(crate) fn new(query: &'a Query<'a>) -> Result<Self, Malformed> {
        let route = query.matched.route;
        let captures = query.matched.captured();
        let inputs = Inputs { principal: query.principal, view: query.view, captures, body: query.body };
        let binding = route.resource.as_ref();
        let action = binding.and_then(|binding| binding.action(query.view.method)).unwrap_or_default();
        refuse_malformed_owners(route, &inputs)?;
        let resource = binding.map(|binding| Resource::find(binding, &inputs)).transpose()?;
        Ok(Self { query, inputs, action, resource, captures: OnceCell::new() })
    }

    fn principal(&self) -> &'a Principal {
        self.query.principal
    }

    /// The roles that a table which combines role by role asks with.
    fn roles(&self) -> &'a [Box<str>] {
        match self.principal().verified() {
            None => &*ANONYMOUS,
            Some(verified) if verified.roles().is_empty() => &*AUTHENTICATED,
            Some(verified) => verified.roles(),
        }
    }

    fn scope(&self, combine: Combine) -> Scope<'_> {
        let mut principal = PrincipalView::from(self.principal());
        if combine == Combine::RoleByRole {
            principal.roles = self.roles();
        }
        let captures = self.captures.get_or_init(|| self.query.matched.captures().collect());
        let resource = self.resource.as_ref().map(|resource| ResourceView {
            kind: resource.kind,
            id: &resource.id,
            attributes: &resource.attributes,
            policy_version: "",
            scope: "",
        });
        let request = Some(RequestParts::from(self.query.view));
        Scope { principal, request, captures, resource, now: self.query.now }
    }
}

/// An owner that stands twice is nobody: no rule of this request may pick one of the two.
fn refuse_malformed_owners(route: &Route, inputs: &Inputs<'_>) -> Result<(), Malformed> {
    let owners = route.rules.rows.iter().filter(|row| row.takes(inputs, "")).filter_map(|row| row.owner.as_ref());
    for owner in owners {
        // SECURITY: held by `an_owner_that_stands_twice_is_refused_and_not_picked`.
        if owner.source.is_claimed() && owner.source.find(inputs) == Found::Malformed {
            return Err(Malformed);
        }
    }
    Ok(())
}

impl<'a> Resource<'a> {
    fn find(binding: &'a ResourceBinding, inputs: &Inputs<'a>) -> Result<Self, Malformed> {
        let mut resource =
            Self { kind: &binding.kind, id: Cow::Borrowed(""), attributes: Map::new(), unread: Unread::default() };
        if let Some(source) = &binding.id {
            match source.find(inputs) {
                Found::Absent => {}
                Found::Text(text) => resource.id = text,
                Found::Json(value) => resource.id = name(value)?,
                Found::Malformed => return Err(Malformed),
                Found::Unread => resource.unread.id = true,
            }
        }
        for (name, source) in &binding.attributes {
            let value = match source.find(inputs) {
                Found::Absent => continue,
                Found::Text(text) => Value::String(text.into_owned()),
                Found::Json(value) => value.clone(),
                Found::Malformed => return Err(Malformed),
                Found::Unread => {
                    resource.unread.attributes.push(name);
                    continue;
                }
            };
            resource.attributes.insert(name.to_string(), value);
        }
        Ok(resource)
    }
}

/// The id that a JSON value is: a text, or a number as it is written.
fn name(value: &Value) -> Result<Cow<'_, str>, Malformed> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) => Ok(Cow::Owned(number.to_string())),
        Value::Null => Ok(Cow::Borrowed("")),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Malformed),
    }
}

impl RuleTable {
    /// Asks the deny rules of a table in which any deny wins.
    pub(crate) fn guard(&self, asked: &Asked<'_>) -> Guard<'_> {
        let mut guard = Guard::Passed;
        for row in self.about(asked, Effect::Deny) {
            match row.standing(asked, self.combine) {
                Standing::Applies => return Guard::Denied(DenyReason::ExplicitDeny, row),
                // SECURITY: held by `a_deny_rule_that_errs_denies`.
                Standing::Errs => guard = Guard::Denied(DenyReason::EvaluationError, row),
                Standing::Unread if matches!(guard, Guard::Passed) => guard = Guard::Unread,
                Standing::Unread | Standing::Fails(_) | Standing::False => {}
            }
        }
        guard
    }

    /// Asks for permission; where any deny wins, the deny rules have been asked before.
    pub(crate) fn grant(&self, asked: &Asked<'_>) -> Verdict<'_> {
        match self.combine {
            Combine::DenyOverrides => self.grant_by_any(asked),
            Combine::RoleByRole => self.grant_by_role(asked),
        }
    }

    fn about<'t>(&'t self, asked: &Asked<'_>, effect: Effect) -> impl Iterator<Item = &'t Row> {
        self.rows.iter().filter(move |row| row.effect == effect && row.takes(&asked.inputs, asked.action))
    }

    fn grant_by_any(&self, asked: &Asked<'_>) -> Verdict<'_> {
        let mut unread = false;
        let mut refusal = Refusal::default();
        for row in self.about(asked, Effect::Allow) {
            match row.standing(asked, self.combine) {
                Standing::Applies => return Verdict::Allow(row),
                Standing::Unread => unread = true,
                Standing::Errs => refusal.note(DenyReason::EvaluationError, row),
                Standing::False => refusal.note(DenyReason::NoRule, row),
                Standing::Fails(reason) => {
                    refusal.note(reason, row);
                }
            }
        }
        if unread {
            return Verdict::NeedsBody;
        }
        // Which reason is told does not depend on which check of a rule happened to be made first.
        if let Some(row) = self.about(asked, Effect::Allow).find(|row| row.errs(asked, self.combine)) {
            refusal.note(DenyReason::EvaluationError, row);
        }
        refusal.verdict()
    }

    fn grant_by_role(&self, asked: &Asked<'_>) -> Verdict<'_> {
        // A condition gives every role the same answer, so it is evaluated once.
        let mut known: Vec<Option<Standing>> = vec![None; self.rows.len()];
        let mut unread = false;
        let mut refusal = Refusal::default();
        for role in asked.roles() {
            let mut outcome = RoleOutcome::default();
            for (row, known) in self.rows.iter().zip(&mut known) {
                if row.roles.hold_alone(role) && row.takes(&asked.inputs, asked.action) {
                    let standing = *known.get_or_insert_with(|| row.condition_standing(asked, self.combine));
                    outcome.add(row, standing);
                }
            }
            match outcome.verdict() {
                Verdict::Allow(row) => return Verdict::Allow(row),
                Verdict::NeedsBody => unread = true,
                Verdict::Deny(reason, Some(row)) => refusal.note(reason, row),
                Verdict::Deny(_, None) => {}
            }
        }
        if unread { Verdict::NeedsBody } else { refusal.verdict() }
    }
}

/// The reason that is told for a refusal: the first of all that were met.
#[derive(Default)]
struct Refusal<'t> {
    first: Option<(DenyReason, &'t Row)>,
}

impl<'t> Refusal<'t> {
    fn note(&mut self, reason: DenyReason, row: &'t Row) {
        if self.first.is_none_or(|(first, _)| reason < first) {
            self.first = Some((reason, row));
        }
    }

    fn verdict(self) -> Verdict<'t> {
        match self.first {
            Some((reason, row)) => Verdict::Deny(reason, Some(row)),
            None => Verdict::Deny(DenyReason::NoRule, None),
        }
    }
}

/// What the rules say to one role alone.
#[derive(Default)]
struct RoleOutcome<'t> {
    allowed: Option<&'t Row>,
    refusal: Refusal<'t>,
    denied: bool,
    allow_unread: bool,
    deny_unread: bool,
}

impl<'t> RoleOutcome<'t> {
    fn add(&mut self, row: &'t Row, standing: Standing) {
        match (row.effect, standing) {
            (_, Standing::Fails(_) | Standing::False) => {}
            (Effect::Allow, Standing::Applies) => self.allowed = self.allowed.or(Some(row)),
            (Effect::Allow, Standing::Errs) => self.refusal.note(DenyReason::EvaluationError, row),
            (Effect::Allow, Standing::Unread) => self.allow_unread = true,
            (Effect::Deny, Standing::Unread) => self.deny_unread = true,
            (Effect::Deny, Standing::Applies) => self.deny(DenyReason::ExplicitDeny, row),
            (Effect::Deny, Standing::Errs) => self.deny(DenyReason::EvaluationError, row),
        }
    }

    fn deny(&mut self, reason: DenyReason, row: &'t Row) {
        self.denied = true;
        self.refusal.note(reason, row);
    }

    fn verdict(self) -> Verdict<'t> {
        match self.allowed {
            Some(row) if !self.denied && !self.deny_unread => Verdict::Allow(row),
            Some(_) if !self.denied => Verdict::NeedsBody,
            None if !self.denied && self.allow_unread => Verdict::NeedsBody,
            Some(_) | None => self.refusal.verdict(),
        }
    }
}

impl Row {
    fn standing(&self, asked: &Asked<'_>, combine: Combine) -> Standing {
        let (failed, owner) = self.checks(asked);
        if let Some(reason) = failed {
            return Standing::Fails(reason);
        }
        let condition = self.condition_standing(asked, combine);
        match (owner, condition) {
            (Ownership::Unread, Standing::Applies) => Standing::Unread,
            // It errs only where it would otherwise apply, and that is not known yet.
            (Ownership::Unread, Standing::Errs) if self.effect == Effect::Deny => Standing::Unread,
            (Ownership::Unread | Ownership::Holds | Ownership::Fails, condition) => condition,
        }
    }

    /// The first reason, in the order of reasons, why a check before the condition fails; and how the owner check went.
    fn checks(&self, asked: &Asked<'_>) -> (Option<DenyReason>, Ownership) {
        let principal = asked.principal();
        let owner = match &self.owner {
            None => Ownership::Holds,
            Some(owner) => owner.check(&asked.inputs, self.kinds),
        };
        let failed = if owner == Ownership::Fails {
            Some(DenyReason::NotOwner)
        } else if !self.scopes_hold(principal) {
            Some(DenyReason::InsufficientScope)
        } else if !self.roles.hold(principal) {
            Some(DenyReason::MissingRole)
        } else if !self.kinds.hold(principal.kind()) {
            Some(DenyReason::NoRule)
        } else {
            None
        };
        (failed, owner)
    }

    fn scopes_hold(&self, principal: &Principal) -> bool {
        if self.scopes.is_empty() {
            return true;
        }
        let held = principal.verified().map(|verified| verified.claims().scopes()).unwrap_or_default();
        self.scopes.iter().all(|scope| held.contains(scope))
    }

    fn condition_standing(&self, asked: &Asked<'_>, combine: Combine) -> Standing {
        let Some(condition) = &self.condition else { return Standing::Applies };
        if asked.resource.as_ref().is_some_and(|resource| resource.unread.concerns(&condition.references)) {
            return Standing::Unread;
        }
        match condition.tree.test(&asked.scope(combine)) {
            Ok(true) => Standing::Applies,
            Ok(false) => Standing::False,
            Err(_) => Standing::Errs,
        }
    }

    /// Does the condition fail to evaluate, whatever the other checks say?
    fn errs(&self, asked: &Asked<'_>, combine: Combine) -> bool {
        self.condition.is_some() && self.condition_standing(asked, combine) == Standing::Errs
    }
}

/// How the owner check of a rule goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    Holds,
    Fails,
    Unread,
}

impl Owner {
    fn check(&self, inputs: &Inputs<'_>, kinds: Kinds) -> Ownership {
        let Some(verified) = inputs.principal.verified() else { return Ownership::Fails };
        // SECURITY: a client id that looks like somebody's id must not own what is theirs: `a_machine_owns_nothing`.
        if inputs.principal.kind() == Kind::Machine && !kinds.name_machines() {
            return Ownership::Fails;
        }
        let wanted = match &self.equals {
            None => Some(verified.id()),
            Some(claim) => verified.claim(claim).and_then(Value::as_str).filter(|text| !text.is_empty()),
        };
        let found = self.source.find(inputs);
        match (found.as_text(), wanted) {
            (Some(found), Some(wanted)) if found == wanted => Ownership::Holds,
            (None, Some(_)) if found == Found::Unread => Ownership::Unread,
            (Some(_) | None, Some(_) | None) => Ownership::Fails,
        }
    }
}

impl Roles {
    fn hold(&self, principal: &Principal) -> bool {
        let verified = principal.verified();
        match self {
            Self::Unstated => true,
            Self::Verified => verified.is_some(),
            Self::AnyOf(roles) => roles.iter().any(|role| match role {
                Role::Anyone => true,
                Role::Authenticated => verified.is_some(),
                Role::Anonymous => verified.is_none(),
                Role::Group(group) => verified.is_some_and(|verified| verified.roles().contains(group)),
            }),
        }
    }
}

impl Kinds {
    /// Does the rule say that it is about machines?
    fn name_machines(self) -> bool {
        match self {
            Self::Machines | Self::Both => true,
            Self::Unstated | Self::Users => false,
        }
    }

    fn hold(self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Unstated, _)
            | (Self::Users | Self::Both, Kind::User)
            | (Self::Machines | Self::Both, Kind::Machine) => true,
            (Self::Users | Self::Machines | Self::Both, Kind::Anonymous)
            | (Self::Users, Kind::Machine)
            | (Self::Machines, Kind::User) => false,
        }
    }
}
