//! From text to a syntax tree, within bounds, and the parser's messages in our words.

use cel::common::ast::{IdedExpr, SourceInfo};

use super::environment::{Environment, Profile};
use super::lexis::{self, TooDeep};
use super::{ConditionError, LENGTH, NESTING};

/// Parses a text that is short and flat enough.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<(IdedExpr, SourceInfo), ConditionError> {
    let plain = |message: String| ConditionError { message, help: None, offset: None };
    if text.len() > LENGTH {
        return Err(plain(format!("the condition is longer than {LENGTH} bytes")));
    }
    if text.trim().is_empty() {
        return Err(plain("the condition is empty".to_owned()));
    }
    // SECURITY: the parser and the evaluator recurse: `a_deep_condition_is_refused_before_it_is_parsed`.
    lexis::check_nesting(text).map_err(|TooDeep(at)| {
        let letters = text.get(..at).map_or(0, |before| before.chars().count());
        let message = format!("the condition nests deeper than {NESTING} levels");
        ConditionError { message, help: None, offset: Some(lexis::position(text, letters)) }
    })?;
    let Some(parsed) = on_a_large_stack(|| environment.interpreter().parser().parse_with_source_info(text)) else {
        return Err(plain("the condition is not an expression".to_owned()));
    };
    let parsed = parsed.map_err(|errors| {
        let Some(first) = errors.errors.into_iter().next() else {
            return plain("the condition is not an expression".to_owned());
        };
        let place = |number: isize| usize::try_from(number).ok().filter(|&number| number > 0);
        ConditionError {
            message: format!("the condition is not an expression: {}", retell(&first.msg)),
            help: first.msg.contains(".?").then(|| "ask with `has(a.b)` before reading `a.b`".to_owned()),
            offset: place(first.pos.0).zip(place(first.pos.1)),
        }
    })?;
    if environment.profile == Profile::Cerbos {
        check_macros(text)?;
    }
    Ok(parsed)
}

/// Refuses what this parser takes for a macro and that of Cerbos does not. The tree does not tell any more how it was written.
fn check_macros(text: &str) -> Result<(), ConditionError> {
    let Some(at) = lexis::called_on(text, "existsOne", 2) else {
        return Ok(());
    };
    let letters = text.get(..at).map_or(0, |before| before.chars().count());
    Err(ConditionError {
        message: "Cerbos has no `existsOne` with one variable".to_owned(),
        help: Some("write `exists_one`".to_owned()),
        offset: Some(lexis::position(text, letters)),
    })
}

/// The parser's message in our words.
fn retell(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message).trim_end_matches('.');
    let token = |quoted: &str| match quoted.trim_matches('\'') {
        "<EOF>" => "the end".to_owned(),
        token => format!("`{token}`"),
    };
    for (start, told) in [
        ("mismatched input ", "unexpected"),
        ("extraneous input ", "unexpected"),
        ("no viable alternative at input ", "unexpected"),
        ("token recognition error at: ", "unreadable"),
    ] {
        if let Some(rest) = message.strip_prefix(start) {
            let found = token(rest.split(" expecting ").next().unwrap_or(rest));
            return format!("{told} {}", found.trim_start_matches("the "));
        }
    }
    if message.starts_with("Incomplete ") {
        return "an operand is missing".to_owned();
    }
    match message.strip_prefix("missing ").and_then(|rest| rest.split_once(" at ")) {
        Some((missing, at)) => format!("missing {} before {}", token(missing), token(at)),
        None => message.to_owned(),
    }
}

/// Runs the parser on a thread of its own: it takes up to 200 KiB of stack a level where it is not optimised. `None` when it panics, which must
/// not take a reload with it.
fn on_a_large_stack<T: Send>(parser: impl FnOnce() -> T + Send) -> Option<T> {
    const STACK: usize = 32 * 1024 * 1024;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, parser).ok()?.join().ok()
    })
}
