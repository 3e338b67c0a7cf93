//! What a decision leaves for the audit line: names out of the policies, nothing out of the request.
//!
//! A plain value, not a trait: there is one observer so far. It is filled for refused requests too.

use std::sync::Arc;

use super::decision::RuleId;

/// What was met on the way to a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The id of the route that takes the request.
    pub route: Option<Arc<str>>,
    /// The rule that allowed, denied or could not be evaluated; `None` where no rule applied.
    pub rule: Option<RuleId>,
    /// Where the owner stood that the outcome depends on: `path`, `query`, `header`, `host`, `body`, `claim` or `const`.
    pub owner_source: Option<&'static str>,
    /// What the other profile of Cerbos policies would have said, `allow` or `deny`, where it differs.
    pub other_profile: Option<&'static str>,
}
