//! What rules put out.

use std::collections::HashSet;

use super::{entry::Rule, options::Profile, pass::Asked, place::RowAnswer};
use crate::policy::{cerbos::question::Output, condition::Scope};

/// What Cerbos puts out for a value that JSON does not have.
const NOT_CONVERTED: &str = "<failed to convert evaluation to protobuf value>";

/// What rules put out for a question.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) entries: Vec<Output>,
    /// The rules that have spoken about an action, by their addresses.
    once: HashSet<(usize, usize)>,
}

/// A rule that was asked.
pub(super) struct Emission<'q> {
    pub(super) rule: &'q Rule,
    pub(super) answer: RowAnswer,
    /// It was asked before, for another action or role.
    pub(super) again: bool,
    /// How many of its patterns fit the action.
    pub(super) hits: usize,
}

impl Outputs {
    /// Notes what a rule puts out. In the strict reading a rule speaks once about an action, and not through a derived role that is not
    /// active; 0.51 lets it speak for each pattern and role that fit.
    pub(super) fn add(&mut self, profile: Profile, emission: &Emission<'_>, asked: Asked<'_>, facts: &Scope<'_>) {
        let Emission { rule, answer, again, hits } = *emission;
        let output = if answer.applies { &rule.output.when_activated } else { &rule.output.when_condition_not_met };
        let Some(output) = output else { return };
        let times = match profile {
            Profile::Strict if answer.inactive => 0,
            Profile::Strict => usize::from(self.once.insert((std::ptr::from_ref(rule).addr(), asked.place))),
            // Only what is looked up in its memory of conditions speaks there when its derived role is not active.
            Profile::Cerbos051 if answer.inactive && !again => hits.saturating_sub(1),
            Profile::Cerbos051 => hits,
        };
        if times == 0 {
            return;
        }
        // Only what errs has no value.
        let value = output.evaluate(facts).ok().map(|value| value.to_json().unwrap_or_else(|| NOT_CONVERTED.into()));
        let entry = Output { source: rule.id.as_str().into(), action: asked.name.into(), value };
        self.entries.extend(std::iter::repeat_n(entry, times));
    }
}
