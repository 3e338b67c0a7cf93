//! A literal format and its arguments: `"%d of %s".format([1, "a"])`.
//!
//! Both are written out, so that a clause without an argument, an argument without a clause, and a type that a clause does not take are known
//! before there is a request.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::super::compile::Problem;
use super::types::Type;

/// The largest number of decimals that the language can read.
const PRECISION_DIGITS: usize = 18;

/// Do the clauses of the format and the arguments go together?
pub(super) fn check(
    node: u64,
    format: &str,
    arguments: &[IdedExpr],
    mut type_of: impl FnMut(u64) -> Type,
) -> Result<(), Problem> {
    let mut left = arguments.iter();
    let mut rest = format;
    while let Some((_, clause)) = rest.split_once('%') {
        if let Some(after) = clause.strip_prefix('%') {
            rest = after;
            continue;
        }
        let (letter, after) = clause_letter(clause)
            .ok_or_else(|| Problem::new(node, format!("`%{clause}` is not a clause of a format")))?;
        let Some(argument) = left.next() else {
            return Err(Problem::new(node, "the format has more clauses than there are arguments"));
        };
        check_argument(letter, argument, &mut type_of)?;
        rest = after;
    }
    match left.next() {
        None => Ok(()),
        Some(argument) => Err(Problem::new(argument.id, "the format has no clause for this argument")),
    }
}

/// The letter of a clause, after its precision, and what follows.
fn clause_letter(clause: &str) -> Option<(char, &str)> {
    let clause = match clause.strip_prefix('.') {
        Some(precision) => {
            let after = precision.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = precision.len() - after.len();
            if digits == 0 || digits > PRECISION_DIGITS {
                return None;
            }
            after
        }
        None => clause,
    };
    let letter = clause.chars().next()?;
    Some((letter, clause.get(letter.len_utf8()..)?))
}

fn check_argument(letter: char, argument: &IdedExpr, type_of: &mut impl FnMut(u64) -> Type) -> Result<(), Problem> {
    let given = type_of(argument.id);
    let (fits, wanted) = match letter {
        's' => return check_text(argument, type_of),
        'd' | 'f' | 'e' => (given.is_number(), "a number"),
        'b' => (matches!(given, Type::Bool | Type::Int | Type::Uint), "a whole number or a boolean"),
        'x' | 'X' => {
            (matches!(given, Type::Int | Type::Uint | Type::String | Type::Bytes), "a whole number, a string or bytes")
        }
        'o' => (matches!(given, Type::Int | Type::Uint), "a whole number"),
        _ => return Err(Problem::new(argument.id, format!("`%{letter}` is not a clause of a format"))),
    };
    if fits || given == Type::Dyn {
        return Ok(());
    }
    Err(Problem::new(argument.id, format!("`%{letter}` takes {wanted}, not `{given}`")))
}

/// `%s` takes everything that has a text, in lists and maps too.
fn check_text(argument: &IdedExpr, type_of: &mut impl FnMut(u64) -> Type) -> Result<(), Problem> {
    let given = type_of(argument.id);
    if let Type::Message(_) = given {
        return Err(Problem::new(argument.id, format!("`%s` does not take `{given}`")));
    }
    match &argument.expr {
        Expr::List(list) => list.elements.iter().try_for_each(|element| check_text(element, type_of)),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                check_text(&entry.key, type_of).and_then(|()| check_text(&entry.value, type_of))
            }
            EntryExpr::StructField(_) => Ok(()),
        }),
        Expr::Literal(_)
        | Expr::Ident(_)
        | Expr::Select(_)
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::Struct(_)
        | Expr::Unspecified => Ok(()),
    }
}
