//! Does one rule apply? Everything that a rule states is looked at here.

use serde_json::Value;

use super::{Asked, Effect, Kinds, Owner, Role, Roles, Row};
use crate::{
    identity::{Kind, Principal},
    policy::{
        attribute::{Found, Inputs},
        decision::DenyReason,
    },
};

/// How one rule stands to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
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

impl Row {
    pub(super) fn standing(&self, asked: &Asked<'_>) -> Standing {
        let (failed, owner) = self.checks(asked);
        if let Some(reason) = failed {
            return Standing::Fails(reason);
        }
        let condition = self.condition_standing(asked);
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
            Some(owner) => owner.check(asked.inputs(), self.kinds),
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

    pub(super) fn condition_standing(&self, asked: &Asked<'_>) -> Standing {
        let Some(condition) = &self.condition else { return Standing::Applies };
        if asked.waits_for_body(&condition.references) {
            return Standing::Unread;
        }
        match condition.tree.test(&asked.scope()) {
            Ok(true) => Standing::Applies,
            Ok(false) => Standing::False,
            Err(_) => Standing::Errs,
        }
    }

    /// Does the condition fail to evaluate, whatever the other checks say?
    pub(super) fn errs(&self, asked: &Asked<'_>) -> bool {
        self.condition.is_some() && self.condition_standing(asked) == Standing::Errs
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
        // SECURITY: a client id that looks like somebody's id must not own what is theirs: `a_machine_owns_nothing_unless_the_rule_says_machine`.
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
