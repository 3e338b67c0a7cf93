//! Deciding about a request of which parts may still stand in its unread body.
//!
//! What waits for the body is first taken to turn out as good for the principal as it can. Who is denied even so is denied without reading;
//! who is allowed, whatever the body says, is allowed without reading; everything else needs the body.

use super::{
    Engine,
    ask::Question,
    pass::{Detail, Guess, Pass, Verdict},
};
use crate::policy::{
    cerbos::question::Effect,
    condition::{References, Scope},
    decision::{DenyReason, RuleId},
};

/// What the policies say to a request.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) judged: Judged,
    /// The other profile would have said the opposite.
    pub(crate) disputed: bool,
}

/// Yes, no or not yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Allow(RuleId),
    /// With the rule that denied or could not be evaluated.
    Deny(DenyReason, Option<RuleId>),
    NeedsBody,
}

/// What of a request stands in its body, which has not been read.
#[derive(Clone, Copy)]
pub(crate) struct Unread<'q> {
    /// Must a condition that reads this wait?
    pub(crate) concerns: &'q dyn Fn(&References) -> bool,
    /// Do attributes stand there that a schema may be about?
    pub(crate) attributes: bool,
}

impl Engine {
    /// Decides about an action.
    pub(crate) fn judge(&self, facts: Scope<'_>, action: &str, unread: Option<Unread<'_>>) -> Judgement {
        let actions = [Box::from(action)];
        let Some(question) = Question::new(facts, &actions, self.options()) else {
            return Judgement { judged: Judged::Deny(DenyReason::NoRule, None), disputed: false };
        };
        let Some(unread) = unread else { return self.judge_with(&question, Guess::None) };
        let best = self.pass(&question, Guess::Best(unread));
        let hopeful = self.first_verdict(&best, &question);
        match hopeful.effect {
            Effect::Deny => Judgement { judged: hopeful.judged(), disputed: false },
            Effect::Allow if !best.has_waited() => {
                let disputed = self.is_disputed(&best, &question, &hopeful, Guess::Best(unread));
                Judgement { judged: hopeful.judged(), disputed }
            }
            Effect::Allow => {
                let worst = self.judge_with(&question, Guess::Worst(unread));
                match worst.judged {
                    // SECURITY: held by `an_allow_that_waits_for_the_body_does_not_allow_before_it_is_read`.
                    Judged::Deny(..) | Judged::NeedsBody => Judgement { judged: Judged::NeedsBody, disputed: false },
                    Judged::Allow(_) => worst,
                }
            }
        }
    }

    fn judge_with(&self, question: &Question<'_>, guess: Guess<'_>) -> Judgement {
        let pass = self.pass(question, guess);
        let verdict = self.first_verdict(&pass, question);
        let disputed = self.is_disputed(&pass, question, &verdict, guess);
        Judgement { judged: verdict.judged(), disputed }
    }

    fn pass<'q>(&'q self, question: &'q Question<'q>, guess: Guess<'q>) -> Pass<'q> {
        Pass::new(&self.index, question, self.options().profile, guess, Detail::Effect)
    }

    fn first_verdict<'q>(&self, pass: &Pass<'q>, question: &Question<'q>) -> Verdict<'q> {
        self.verdicts(pass, question).0.into_iter().next().unwrap_or(Verdict::NO_MATCH)
    }

    fn is_disputed<'q>(
        &'q self,
        pass: &Pass<'q>,
        question: &'q Question<'q>,
        verdict: &Verdict<'q>,
        guess: Guess<'q>,
    ) -> bool {
        if !pass.is_disputable() {
            return false;
        }
        let other = Pass::new(&self.index, question, self.options().profile.other(), guess, Detail::Effect);
        self.first_verdict(&other, question).effect != verdict.effect
    }
}

impl Verdict<'_> {
    fn judged(&self) -> Judged {
        match (self.effect, self.rule) {
            (Effect::Allow, Some(rule)) => Judged::Allow(rule.clone()),
            (Effect::Deny, Some(rule)) if self.errs => Judged::Deny(DenyReason::EvaluationError, Some(rule.clone())),
            (Effect::Deny, Some(rule)) => Judged::Deny(DenyReason::ExplicitDeny, Some(rule.clone())),
            (Effect::Allow | Effect::Deny, None) => Judged::Deny(DenyReason::NoRule, None),
        }
    }
}
