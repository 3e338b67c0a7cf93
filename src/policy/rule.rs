//! The rule table: what native rules and Cerbos policies both become.
//!
//! A [`Row`] applies when all that it states holds. A [`RuleTable`] is the rows of one route or of one resource kind, and how they
//! combine. There is no other evaluator. Does not know where a row came from, only what it states.

mod asked;
mod check;
mod document;
mod evaluate;

use crate::policy::{
    attribute::{Inputs, Source},
    cerbos::ActionPattern,
    condition::{ConditionTree, References},
    decision::RuleId,
    route::Methods,
};

pub(crate) use asked::{Asked, Malformed};
pub(crate) use document::{RuleReader, Ruling};
pub(crate) use evaluate::{Guard, Verdict};

/// Rules that are decided together.
#[derive(Debug)]
pub(crate) struct RuleTable {
    pub(crate) combine: Combine,
    pub(crate) rows: Box<[Row]>,
}

/// How the rows of a table make one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    /// Any deny wins over any allow.
    DenyOverrides,
    /// Each of the principal's roles is asked on its own: DENY wins within a role, and the first role with ALLOW wins over all.
    RoleByRole,
}

/// One rule: it applies when all that it states holds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: RuleId,
    pub(crate) effect: Effect,
    pub(crate) actions: Actions,
    pub(crate) roles: Roles,
    pub(crate) kinds: Kinds,
    pub(crate) scopes: Box<[Box<str>]>,
    pub(crate) owner: Option<Owner>,
    pub(crate) condition: Option<Stated>,
}

/// A condition, and what it reads.
#[derive(Debug)]
pub(crate) struct Stated {
    pub(crate) tree: ConditionTree,
    pub(crate) references: References,
}

impl From<ConditionTree> for Stated {
    fn from(tree: ConditionTree) -> Self {
        Self { references: tree.references(), tree }
    }
}

/// What follows when a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// What a rule is about.
#[derive(Debug)]
pub(crate) enum Actions {
    /// Requests with one of these methods.
    Methods(Methods),
    /// Actions with one of these names.
    Named(Box<[ActionPattern]>),
}

/// Whom a rule is about.
#[derive(Debug)]
pub(crate) enum Roles {
    /// Everyone: a deny rule that states no roles.
    Unstated,
    /// Every verified principal: an allow rule that states no roles.
    Verified,
    /// Whoever has one of these.
    AnyOf(Box<[Role]>),
}

/// A role as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Every principal, known or not. In Cerbos policies: `*`.
    Anyone,
    /// Every verified principal.
    Authenticated,
    /// Nobody that is known.
    Anonymous,
    /// Whoever is in this group.
    Group(Box<str>),
}

/// Which kinds of principal a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// It does not say.
    Unstated,
    /// Persons only.
    Users,
    /// Programs only.
    Machines,
    /// Both, but nobody unknown.
    Both,
}

/// The owner that a rule compares the principal with.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) source: Source,
    /// The claim to compare, instead of the principal's id.
    pub(crate) equals: Option<Box<str>>,
}

impl Role {
    /// A role of a native rule.
    pub(crate) fn native(name: &str) -> Self {
        match name {
            "anyone" => Self::Anyone,
            "authenticated" => Self::Authenticated,
            "anonymous" => Self::Anonymous,
            group => Self::Group(group.into()),
        }
    }

    /// A role of a Cerbos rule: a name like any other, or `*`.
    pub(crate) fn cerbos(name: &str) -> Self {
        if name == "*" { Self::Anyone } else { Self::Group(name.into()) }
    }
}

impl Roles {
    /// Does a principal without a token have one of these?
    pub(crate) fn name_the_unknown(&self) -> bool {
        match self {
            Self::Unstated | Self::Verified => false,
            Self::AnyOf(roles) => roles.iter().any(|role| matches!(role, Role::Anyone | Role::Anonymous)),
        }
    }

    /// Is that role named, as a name of its own?
    pub(crate) fn name_role(&self, name: &str) -> bool {
        match self {
            Self::Unstated | Self::Verified => false,
            Self::AnyOf(roles) => roles.iter().any(|role| matches!(role, Role::Group(group) if **group == *name)),
        }
    }

    /// Is that role, taken alone, one of these? For tables that combine role by role.
    pub(crate) fn hold_alone(&self, name: &str) -> bool {
        match self {
            Self::Unstated => true,
            Self::Verified => name != "anonymous",
            Self::AnyOf(roles) => roles.iter().any(|role| match role {
                Role::Anyone => true,
                Role::Authenticated => name != "anonymous",
                Role::Anonymous => name == "anonymous",
                Role::Group(group) => **group == *name,
            }),
        }
    }
}

impl Row {
    /// Is the rule about this request?
    pub(crate) fn takes(&self, inputs: &Inputs<'_>, action: &str) -> bool {
        match &self.actions {
            Actions::Methods(methods) => methods.contains(inputs.view.method),
            Actions::Named(_) => self.is_about(action),
        }
    }

    /// Is the rule about the action of that name?
    pub(crate) fn is_about(&self, action: &str) -> bool {
        match &self.actions {
            Actions::Methods(_) => false,
            Actions::Named(patterns) => patterns.iter().any(|pattern| pattern.matches(action)),
        }
    }
}

#[cfg(test)]
mod tests;
