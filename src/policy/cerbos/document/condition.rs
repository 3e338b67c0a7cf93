//! `condition` and `output` of rules.

use super::{Message, Text};
use crate::{
    policy::{codes, condition::ConditionTree},
    yaml::Cursor,
};

/// `match`
#[derive(Debug)]
pub(crate) enum MatchDoc<'a> {
    Expression(Text<'a>),
    All(Vec<MatchDoc<'a>>),
    Any(Vec<MatchDoc<'a>>),
    None(Vec<MatchDoc<'a>>),
}

/// `output`
#[derive(Debug, Default)]
pub(crate) struct OutputDoc<'a> {
    pub(crate) when_activated: Option<Text<'a>>,
    pub(crate) when_condition_not_met: Option<Text<'a>>,
    /// The deprecated `expr`, which counts where `when.ruleActivated` is absent.
    pub(crate) expression: Option<Text<'a>>,
}

impl<'a> MatchDoc<'a> {
    /// Its expressions.
    pub(crate) fn expressions(&self) -> Vec<&Text<'a>> {
        match self {
            Self::Expression(text) => vec![text],
            Self::All(branches) | Self::Any(branches) | Self::None(branches) => {
                branches.iter().flat_map(Self::expressions).collect()
            }
        }
    }
}

impl<'a> OutputDoc<'a> {
    /// Its expressions.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Text<'a>> {
        [&self.when_activated, &self.when_condition_not_met, &self.expression].into_iter().flatten()
    }
}

/// The `condition` of a rule; the outer `None` when it does not fit.
pub(super) fn read_condition<'a>(message: &mut Message<'a>) -> Option<Option<MatchDoc<'a>>> {
    let Some(at) = message.take("condition", "condition") else { return Some(None) };
    let mut map = Message::new(at.map_or_empty()?);
    let script = map.take_or_null("script", "script");
    if script.is_some() {
        let told = "scripts in conditions are no longer supported";
        at.error_with_help(codes::CERBOS, told, "write `match` with an `expr`");
    }
    let found = map.take("match", "match");
    map.finish();
    let Some(found) = found else {
        if script.is_none() {
            at.error_with_help(codes::CERBOS, "the condition is empty", "write `match`, or leave `condition` out");
        }
        return None;
    };
    read_match(&found, ConditionTree::DEPTH).map(Some)
}

fn read_match<'a>(at: &Cursor<'a>, depth: usize) -> Option<MatchDoc<'a>> {
    let Some(depth) = depth.checked_sub(1) else {
        let told = format!("conditions nest more than {} deep", ConditionTree::DEPTH);
        at.error_with_help(codes::CERBOS, told, "write the inner ones as one `expr`");
        return None;
    };
    let mut map = Message::new(at.map_or_empty()?);
    let expression = map.take_or_null("expr", "expr");
    let branches = ["all", "any", "none"].map(|word| map.take(word, word).map(|at| (word, at)));
    let mut branches = branches.into_iter().flatten();
    let found = match (expression, branches.next(), branches.next()) {
        (Some(expression), None, None) => Text::read(expression).map(MatchDoc::Expression),
        (None, Some((word, at)), None) => read_branches(&at, depth).map(|all| match word {
            "all" => MatchDoc::All(all),
            "any" => MatchDoc::Any(all),
            _ => MatchDoc::None(all),
        }),
        (Some(_) | None, _, _) => {
            let told = "a match is one of `expr`, `all`, `any` and `none`";
            at.error_with_help(codes::CERBOS, told, "nest them with `of`");
            None
        }
    };
    map.finish();
    found
}

fn read_branches<'a>(at: &Cursor<'a>, depth: usize) -> Option<Vec<MatchDoc<'a>>> {
    let mut map = Message::new(at.map_or_empty()?);
    let items = map.require_list("of", "of");
    map.finish();
    let branches: Vec<_> = items.iter().filter_map(|item| read_match(item, depth)).collect();
    (!items.is_empty() && branches.len() == items.len()).then_some(branches)
}

/// The `output` of a rule.
pub(super) fn read_output<'a>(message: &mut Message<'a>) -> OutputDoc<'a> {
    let mut output = OutputDoc::default();
    let Some(mut map) = message.take("output", "output").and_then(|at| at.map_or_empty()).map(Message::new) else {
        return output;
    };
    output.expression = map.text("expr", "expr");
    if let Some(mut when) = map.take("when", "when").and_then(|at| at.map_or_empty()).map(Message::new) {
        output.when_activated = when.text("ruleActivated", "rule_activated");
        output.when_condition_not_met = when.text("conditionNotMet", "condition_not_met");
        when.finish();
    }
    map.finish();
    output
}
