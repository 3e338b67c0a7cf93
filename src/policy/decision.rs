//! The question and the answer.

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::{identity::Principal, policy::route::RouteMatch, request::RequestView, time::UnixTime};

/// May this principal do this, here and now?
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The route that takes the request, which names the action and the resource.
    pub matched: &'a RouteMatch<'a>,
    /// The request.
    pub view: &'a RequestView<'a>,
    /// Its body, as far as it has been read.
    pub body: Body<'a>,
    /// The time of the decision.
    pub now: UnixTime,
}

/// What is known of the request's body.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// Nothing yet: a decision that needs it answers [`Decision::NeedsBody`].
    Unread,
    /// All of it, as JSON.
    Json(&'a Value),
}

impl fmt::Debug for Body<'_> {
    /// Says nothing of the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unread => "Unread",
            Self::Json(_) => "Json(..)",
        })
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Yes, by this rule.
    Allow(RuleId),
    /// No.
    Deny(DenyReason),
    /// Every check that needs no body has passed; ask again with [`Body::Json`]. Never the answer to a query that has one.
    NeedsBody,
    /// Something that a rule or the resource needs has no single reading. 400 `attribute_malformed`.
    AttributeMalformed,
}

/// Why not. Where several checks fail, the first of these is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyReason {
    /// A deny rule applies.
    ExplicitDeny,
    /// A condition could not be evaluated.
    EvaluationError,
    /// The principal is not the owner.
    NotOwner,
    /// The token lacks a scope.
    InsufficientScope,
    /// The principal has none of the roles.
    MissingRole,
    /// No rule allows this.
    NoRule,
}

impl DenyReason {
    /// Every reason, in the order in which they are told.
    pub const ALL: [Self; 6] = [
        Self::ExplicitDeny,
        Self::EvaluationError,
        Self::NotOwner,
        Self::InsufficientScope,
        Self::MissingRole,
        Self::NoRule,
    ];

    /// The word for it in answers, audit lines and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::ExplicitDeny => "explicit_deny",
            Self::EvaluationError => "evaluation_error",
            Self::NotOwner => "not_owner",
            Self::InsufficientScope => "insufficient_scope",
            Self::MissingRole => "missing_role",
            Self::NoRule => "no_rule",
        }
    }
}

/// The name of a rule: `route/rule`, or `resource.contact.vdefault#rule-001` for a rule of a Cerbos policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(Arc<str>);

impl RuleId {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
