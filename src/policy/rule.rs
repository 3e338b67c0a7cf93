//! The rule table: what the rules of a route become.
//!
//! A [`Row`] applies when all that it states holds. A [`RuleTable`] is the rows of one route; any deny wins over any allow. Rules of Cerbos
//! policies combine in another way, and are asked by their own engine; conditions are the same, and have one evaluator.

mod asked;
mod check;
mod document;
mod evaluate;

use crate::policy::{
    attribute::{Inputs, Source},
    condition::{ConditionTree, References},
    decision::RuleId,
    route::Methods,
};

pub(crate) use asked::{Asked, Malformed};
pub(crate) use document::{RuleReader, Ruling};
pub(crate) use evaluate::{Guard, Verdict};

/// Rules that are decided together: any deny wins over any allow.
#[derive(Debug)]
pub(crate) struct RuleTable {
    pub(crate) rows: Box<[Row]>,
}

/// One rule: it applies when all that it states holds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: RuleId,
    pub(crate) effect: Effect,
    /// Requests with one of these methods.
    pub(crate) methods: Methods,
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
    /// Every principal, known or not.
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
}

impl Roles {
    /// Does a principal without a token have one of these?
    pub(crate) fn name_the_unknown(&self) -> bool {
        match self {
            Self::Unstated | Self::Verified => false,
            Self::AnyOf(roles) => roles.iter().any(|role| matches!(role, Role::Anyone | Role::Anonymous)),
        }
    }
}

impl Row {
    /// Is the rule about this request?
    pub(crate) fn takes(&self, inputs: &Inputs<'_>) -> bool {
        self.methods.contains(inputs.view.method)
    }
}

#[cfg(test)]
mod tests;
