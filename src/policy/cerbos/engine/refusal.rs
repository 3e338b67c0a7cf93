//! Why an action is refused: the first reason of all that were met.

use super::{
    entry::Rule,
    options::Profile,
    pass::{Label, Verdict},
    place::RowAnswer,
};
use crate::policy::{cerbos::question::Effect, decision::RuleId};

/// What was met while an action was asked about.
#[derive(Debug, Default)]
pub(super) struct Refusal<'q> {
    /// The first rule that denies.
    explicit: Option<&'q RuleId>,
    /// The first rule that cannot be evaluated.
    error: Option<&'q RuleId>,
}

impl<'q> Refusal<'q> {
    pub(super) fn note(&mut self, rule: &'q Rule, answer: RowAnswer, profile: Profile) {
        let denies = answer.applies && rule.effect == Effect::Deny;
        self.note_rule(&rule.id, denies, answer.errs, profile);
    }

    pub(super) fn note_listing(&mut self, id: &'q RuleId, denies: bool, errs: bool, profile: Profile) {
        self.note_rule(id, denies, errs, profile);
    }

    fn note_rule(&mut self, id: &'q RuleId, denies: bool, errs: bool, profile: Profile) {
        if errs {
            self.error = self.error.or(Some(id));
        }
        if denies && (!errs || profile == Profile::Cerbos051) {
            self.explicit = self.explicit.or(Some(id));
        }
    }

    /// The action is refused.
    pub(super) fn verdict(self, policy: Label<'q>, scope: &'q str) -> Verdict<'q> {
        let errs = self.explicit.is_none() && self.error.is_some();
        Verdict { effect: Effect::Deny, policy, scope, rule: self.explicit.or(self.error), errs }
    }

    /// The action is allowed by that rule. In 0.51 an error may have helped.
    pub(super) fn allowed(self, policy: Label<'q>, scope: &'q str, rule: &'q RuleId, profile: Profile) -> Verdict<'q> {
        let errs = profile == Profile::Cerbos051 && self.error.is_some();
        Verdict { effect: Effect::Allow, policy, scope, rule: Some(rule), errs }
    }
}
