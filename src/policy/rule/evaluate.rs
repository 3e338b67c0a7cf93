//! Deciding with the rule table.
//!
//! In two stages: what needs the body stays open while the body is unread, and the answer is `NeedsBody` only when nothing
//! that is known already settles it.

use super::{Asked, Effect, Row, RuleTable, check::Standing};
use crate::policy::decision::DenyReason;

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

impl RuleTable {
    /// Asks the deny rules.
    pub(crate) fn guard(&self, asked: &Asked<'_>) -> Guard<'_> {
        let mut guard = Guard::Passed;
        for row in self.about(asked, Effect::Deny) {
            match row.standing(asked) {
                Standing::Applies => return Guard::Denied(DenyReason::ExplicitDeny, row),
                // SECURITY: held by `a_deny_rule_that_errs_denies`.
                Standing::Errs if matches!(guard, Guard::Denied(..)) => {}
                Standing::Errs => guard = Guard::Denied(DenyReason::EvaluationError, row),
                Standing::Unread if matches!(guard, Guard::Passed) => guard = Guard::Unread,
                Standing::Unread | Standing::Fails(_) | Standing::False => {}
            }
        }
        guard
    }

    fn about<'t>(&'t self, asked: &Asked<'_>, effect: Effect) -> impl Iterator<Item = &'t Row> {
        self.rows.iter().filter(move |row| row.effect == effect && row.takes(asked.inputs()))
    }

    /// Asks for permission, once the deny rules have been asked.
    pub(crate) fn grant(&self, asked: &Asked<'_>) -> Verdict<'_> {
        let mut unread = false;
        let mut refusal = Refusal::default();
        for row in self.about(asked, Effect::Allow) {
            match row.standing(asked) {
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
        if let Some(row) = self.about(asked, Effect::Allow).find(|row| row.errs(asked)) {
            refusal.note(DenyReason::EvaluationError, row);
        }
        refusal.verdict()
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
