//! What the author of a condition is told, and what to write instead.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::super::compile::Problem;
use super::super::environment::Profile;
use super::super::functions::{self, Style};
use super::super::suggest::closest;
use super::declarations::{self, ADVISED, ROOTS};
use super::overloads::{Overload, Shape};
use super::types::{Message, Type};

/// How many ways to call a function are listed.
const LISTED: usize = 4;

/// A call, as it is written.
pub(super) struct Attempt<'e> {
    /// With its namespace.
    pub(super) name: String,
    pub(super) is_member: bool,
    /// The value that it is called on comes first.
    pub(super) written: Vec<&'e IdedExpr>,
}

/// `a.b.c`, where the expression is written so.
pub(super) fn chain(expression: &IdedExpr) -> Option<String> {
    let mut fields = Vec::new();
    let mut rest = expression;
    loop {
        match &rest.expr {
            Expr::Ident(name) => {
                fields.push(name.as_str());
                fields.reverse();
                return Some(fields.join("."));
            }
            Expr::Select(select) if !select.test => {
                fields.push(select.field.as_str());
                rest = &select.operand;
            }
            Expr::Select(_)
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Unspecified => return None,
        }
    }
}

pub(super) fn unknown_name(node: u64, name: &str) -> Problem {
    let known = || ROOTS.iter().map(|(known, _)| *known);
    let problem = Problem::new(node, format!("unknown name `{name}`"));
    // Of one letter everything is a typing mistake.
    match closest(name, known()).filter(|_| name.len() > 1) {
        Some(known) => problem.with_help(&format!("did you mean `{known}`?")),
        None => problem
            .with_help(&format!("a condition may name: {}", known().take(ADVISED).collect::<Vec<_>>().join(", "))),
    }
}

pub(super) fn unknown_field(node: u64, message: Message, select: &SelectExpr) -> Problem {
    let written = chain(&select.operand).unwrap_or_else(|| message.name().to_owned());
    let (field, known) = (&select.field, declarations::fields(message));
    let problem = Problem::new(node, format!("`{written}` has no field `{field}`"));
    match closest(field, known.iter().copied()) {
        Some(known) => problem.with_help(&format!("did you mean `{written}.{known}`?")),
        None if known.is_empty() => problem,
        None => problem.with_help(&format!("fields of `{written}` are: {}", known.join(", "))),
    }
}

pub(super) fn no_fields(node: u64, operand: &Type, select: &SelectExpr) -> Problem {
    let field = &select.field;
    Problem::new(
        node,
        match chain(&select.operand) {
            Some(written) => format!("`{written}` is a `{operand}`, it has no field `{field}`"),
            None => format!("`{operand}` has no field `{field}`"),
        },
    )
}

pub(super) fn not_a_range(range: &IdedExpr, given: &Type) -> Problem {
    Problem::new(range.id, format!("`{given}` cannot be gone through")).with_help("it must be a list or a map")
}

pub(super) fn not_boolean(written: &IdedExpr, given: &Type) -> Problem {
    Problem::new(written.id, format!("a condition should stand here, not `{given}`"))
}

/// A function that is not declared; `functions` knows the names that are near, and those of later versions.
pub(super) fn unknown_function(node: u64, attempt: &Attempt<'_>) -> Problem {
    let style = match (attempt.is_member, attempt.name.contains('.')) {
        (true, _) => Style::Member,
        (false, true) => Style::Namespaced,
        (false, false) => Style::Global,
    };
    match functions::check(Profile::Cerbos, &attempt.name, style) {
        Err(unknown) => Problem::at(node)(unknown),
        Ok(()) => Problem::new(node, format!("unknown function `{}`", attempt.name)),
    }
}

/// No overload takes these types.
pub(super) fn no_overload(node: u64, attempt: &Attempt<'_>, overloads: &[Overload], given: &[Type]) -> Problem {
    let name = attempt.name.as_str();
    if let (operators::INDEX, [Type::Message(message), _], [operand, _]) = (name, given, attempt.written.as_slice())
        && *message != Message::Hierarchy
    {
        let written = chain(operand).unwrap_or_else(|| message.name().to_owned());
        return Problem::new(node, format!("`{written}` is not a map")).with_help("its fields stand after a dot");
    }
    if let (operators::CONDITIONAL, [test, ..], [written, ..]) = (name, given, attempt.written.as_slice())
        && !matches!(test, Type::Bool | Type::Dyn)
    {
        return not_boolean(written, test);
    }
    if !overloads.iter().any(|overload| overload.is_member == attempt.is_member) {
        return if attempt.is_member {
            Problem::new(node, format!("`{name}` is not called on a value")).with_help(&format!("write `{name}(x)`"))
        } else {
            Problem::new(node, format!("`{name}` is called on a value")).with_help(&format!("write `x.{name}(...)`"))
        };
    }
    let types: Vec<String> = given.iter().map(Type::to_string).collect();
    let problem = Problem::new(node, format!("no overload matches `{}`", call(name, attempt.is_member, &types)));
    match numbers(attempt, given).or_else(|| listed(attempt, overloads)) {
        Some(help) => problem.with_help(&help),
        None => problem,
    }
}

/// The call with types in the place of values.
fn call(name: &str, is_member: bool, types: &[String]) -> String {
    match (name, types) {
        (operators::CONDITIONAL, [test, then, otherwise]) => format!("{test} ? {then} : {otherwise}"),
        (operators::INDEX, [operand, index]) => format!("{operand}[{index}]"),
        (operators::LOGICAL_NOT | operators::NEGATE, [operand]) => format!("{}{operand}", sign(name)),
        (_, [left, right]) if is_operator(name) => format!("{left} {} {right}", sign(name)),
        (_, [target, arguments @ ..]) if is_member => format!("{target}.{}({})", sign(name), arguments.join(", ")),
        _ => format!("{}({})", sign(name), types.join(", ")),
    }
}

fn is_operator(name: &str) -> bool {
    name.starts_with('_') || name == operators::IN
}

/// The name as it is written.
fn sign(name: &str) -> &str {
    match name {
        operators::IN => "in",
        "math.@min" => "math.least",
        "math.@max" => "math.greatest",
        "cel.@mapInsert" => "transformMap",
        "@sortByAssociatedKeys" => "sortBy",
        name => name.trim_matches('_'),
    }
}

/// Help where numbers of two types meet.
fn numbers(attempt: &Attempt<'_>, given: &[Type]) -> Option<String> {
    let (branch, operands) = match attempt.name.as_str() {
        operators::CONDITIONAL => (1, given.get(1..)?),
        _ => (0, given),
    };
    let [left, right] = operands else {
        return None;
    };
    let (left, right) = match (left, right) {
        (Type::List(left), Type::List(right)) => (&**left, &**right),
        (left, Type::List(right) | Type::Map(right, _)) if attempt.name == operators::IN => (left, &**right),
        pair => pair,
    };
    if !left.is_number() || !right.is_number() || left == right || !is_operator(&attempt.name) {
        return None;
    }
    let literal = |position: usize| match attempt.written.get(branch + position).map(|written| &written.expr) {
        Some(Expr::Literal(LiteralValue::Int(number))) => Some(*number.inner()),
        _ => None,
    };
    let number = match (left, right) {
        (Type::Int, Type::Double) => literal(0),
        (Type::Double, Type::Int) => literal(1),
        _ => None,
    };
    Some(match number {
        Some(number) => format!("numbers out of JSON are doubles: write `{number}.0`"),
        None => format!("convert one of the two: `{left}(x)` or `{right}(x)`"),
    })
}

/// Help for functions that have few overloads.
fn listed(attempt: &Attempt<'_>, overloads: &[Overload]) -> Option<String> {
    let name = attempt.name.as_str();
    let ways: Vec<String> = overloads
        .iter()
        .filter(|overload| overload.is_member == attempt.is_member)
        .map(|overload| {
            let takes: Vec<String> = overload.takes.iter().map(|shape: &Shape| shape.written()).collect();
            format!("`{}`", call(name, overload.is_member, &takes))
        })
        .collect();
    (ways.len() <= LISTED && !is_operator(name) && !name.contains('@')).then(|| format!("there is {}", ways.join(", ")))
}
