//! Deciding with the rule table.
//!
//! In two stages: what needs the body stays open while the body is unread, and the answer is `NeedsBody` only when nothing
//! that is known already settles it.

use super::{Asked, Combine, Effect, Row, RuleTable, check::Standing};
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
    /// Asks the deny rules of a table in which any deny wins.
    pub(crate) fn guard(&self, asked: &Asked<'_>) -> Guard<'_> {
        let mut guard = Guard::Passed;
        for row in self.about(asked, Effect::Deny) {
            match row.standing(asked, self.combine) {
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

    /// Asks for permission; where any deny wins, the deny rules have been asked before.
    pub(crate) fn grant(&self, asked: &Asked<'_>) -> Verdict<'_> {
        match self.combine {
            Combine::DenyOverrides => self.grant_by_any(asked),
            Combine::RoleByRole => self.grant_by_role(asked),
        }
    }

    fn about<'t>(&'t self, asked: &Asked<'_>, effect: Effect) -> impl Iterator<Item = &'t Row> {
        self.rows.iter().filter(move |row| row.effect == effect && row.takes(asked.inputs(), asked.action()))
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
                if row.roles.hold_alone(role) && row.takes(asked.inputs(), asked.action()) {
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
