//! Conditions joined by `all`, `any` and `none`, as `condition.match` of Cerbos policies nests them.

use super::scope::Scope;
use super::{Condition, EvaluationError, References};

/// A condition, or several that are asked from left to right.
///
/// The first branch that decides ends the asking: for `All` one that is false, for `Any` and `None` one that is true. A branch that errs
/// decides too: the whole is that error, also where a later branch would have settled the matter, and under `None`. Branches behind the
/// deciding one are not asked, so their errors are not seen.
#[derive(Debug)]
pub enum ConditionTree {
    /// `expr`
    Expression(Condition),
    /// `all: {of: [...]}`: every branch is true.
    All(Vec<ConditionTree>),
    /// `any: {of: [...]}`: some branch is true.
    Any(Vec<ConditionTree>),
    /// `none: {of: [...]}`: no branch is true.
    None(Vec<ConditionTree>),
}

impl ConditionTree {
    /// How deep trees may nest: whoever builds one refuses more.
    pub const DEPTH: usize = 16;

    /// Does the request meet it?
    pub fn test(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        let found = |branches: &[Self], wanted: bool| {
            for branch in branches {
                if branch.test(scope)? == wanted {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match self {
            Self::Expression(condition) => condition.test(scope),
            Self::All(branches) => found(branches, false).map(|found| !found),
            Self::Any(branches) => found(branches, true),
            Self::None(branches) => found(branches, true).map(|found| !found),
        }
    }

    /// Does the request meet it, if an expression that errs counts as false, whatever stands around it? That is how Cerbos 0.51 reads
    /// conditions: `none` of an error is true. Comes with the first error that was passed over.
    pub fn test_leniently(&self, scope: &Scope<'_>) -> (bool, Option<EvaluationError>) {
        let mut passed_over = None;
        let answer = self.test_passing_over(scope, &mut passed_over);
        (answer, passed_over)
    }

    fn test_passing_over(&self, scope: &Scope<'_>, errors: &mut Option<EvaluationError>) -> bool {
        let mut holds = |branch: &Self| branch.test_passing_over(scope, errors);
        match self {
            Self::Expression(condition) => condition.test(scope).unwrap_or_else(|error| {
                errors.get_or_insert(error);
                false
            }),
            Self::All(branches) => branches.iter().all(holds),
            Self::Any(branches) => branches.iter().any(holds),
            Self::None(branches) => !branches.iter().any(&mut holds),
        }
    }

    /// What all branches read together.
    pub fn references(&self) -> References {
        match self {
            Self::Expression(condition) => condition.references().clone(),
            Self::All(branches) | Self::Any(branches) | Self::None(branches) => {
                branches.iter().fold(References::default(), |all, branch| all.union(&branch.references()))
            }
        }
    }
}
