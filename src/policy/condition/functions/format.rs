//! `format` of integers with `%f` and `%e`, as Cerbos 0.51 has it: it hands them to Go's formatting of doubles, which writes `%!f(int64=000003)`.
//!
//! Everything else is the interpreter's. `@format` makes of a format and its arguments a pair in which those integers are texts already.

use cel::common::types::{CelInt, CelList, CelString, CelUInt, LIST_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

/// The decimals of a clause that names none, and the most that are written.
const DECIMALS: usize = 6;
const MOST: usize = 100;

/// Declares `@format(format, arguments)`.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("@format", "@format(text,list)", vec![STRING_TYPE, LIST_TYPE], |mut arguments| {
        let list = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?.into_owned();
        let format = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
        let format = format.downcast_ref::<CelString<'_>>().ok_or(ExecutionError::MissingArgumentOrTarget)?.inner();
        let pair = match list.downcast_ref::<CelList<'_>>() {
            Some(given) => {
                let (format, given) = with_integers_written(format, given.inner().to_vec());
                [text(format), Box::new(CelList::from(given))]
            }
            None => [text(format.to_owned()), list],
        };
        Ok(CowVal::owned(CelList::from(Vec::from(pair))))
    })
}

/// May the format have a clause that is not the interpreter's?
pub(in super::super) fn may_have_decimals(format: &str) -> bool {
    format.contains(['f', 'e'])
}

fn text<'v>(text: String) -> Box<dyn Val + 'v> {
    Box::new(CelString::from(text))
}

/// Writes integers out where the format wants decimals, and has the format take them as they are. What is wrong with a format stays in it.
fn with_integers_written<'v>(format: &str, mut given: Vec<Box<dyn Val + 'v>>) -> (String, Vec<Box<dyn Val + 'v>>) {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    let mut next = 0;
    while let Some((before, clause)) = rest.split_once('%') {
        out.push_str(before);
        out.push('%');
        if let Some(after) = clause.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        rest = clause;
        if let Some((decimals, letter, after)) = decimal_clause(clause)
            && let Some(argument) = given.get_mut(next)
            && let Some(written) = written(&**argument, decimals, letter)
        {
            *argument = text(written);
            out.push('s');
            rest = after;
        }
        next += 1;
    }
    out.push_str(rest);
    (out, given)
}

/// The decimals and the letter of `%f`, `%.2f`, `%e` and `%.2e`, and what follows.
fn decimal_clause(clause: &str) -> Option<(usize, char, &str)> {
    let (decimals, rest) = match clause.strip_prefix('.') {
        Some(rest) => {
            let (digits, rest) = rest.split_at_checked(rest.find(|letter: char| !letter.is_ascii_digit())?)?;
            (digits.parse().ok().filter(|decimals| *decimals <= MOST)?, rest)
        }
        None => (DECIMALS, clause),
    };
    let letter = rest.chars().next().filter(|letter| matches!(letter, 'f' | 'e'))?;
    Some((decimals, letter, rest.get(1..)?))
}

/// What Go writes for an integer where it wants a double: at least so many digits, and no zero of no digits.
fn written(argument: &dyn Val, decimals: usize, letter: char) -> Option<String> {
    let (kind, sign, number) = match (argument.downcast_ref::<CelInt>(), argument.downcast_ref::<CelUInt>()) {
        (Some(number), _) => ("int64", if *number.inner() < 0 { "-" } else { "" }, number.inner().unsigned_abs()),
        (None, Some(number)) => ("uint64", "", *number.inner()),
        (None, None) => return None,
    };
    let digits = if decimals == 0 && number == 0 { String::new() } else { format!("{number:0decimals$}") };
    Some(format!("%!{letter}({kind}={sign}{digits})"))
}
