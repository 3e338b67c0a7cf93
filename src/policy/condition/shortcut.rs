//! The common shapes of conditions, evaluated without the interpreter.
//!
//! `==`, `!=`, `in`, `startsWith`, `endsWith`, `contains` and `has()` between literals and places, joined by `&&`, `||` and `!`; whatever else stands between those is one
//! interpreted leaf. The answers, and the order in which errors are found, are CEL's: `false && error` is false, in either order.

use std::borrow::Cow;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::EvaluationError;
use super::compile::Slot;
use super::evaluate::Evaluation;
use super::value::Reading;

/// A condition, ready to run.
#[derive(Debug)]
pub(super) enum Test {
    Both(Box<[Test; 2]>),
    Either(Box<[Test; 2]>),
    Not(Box<Test>),
    Constant(bool),
    /// `a == b`
    Equal(Operand, Operand),
    /// `item in collection`
    In(Operand, usize),
    /// `item in [literals]`
    Among(Operand, Box<[Literal]>),
    /// `text.startsWith(part)` and its like
    Part {
        text: Operand,
        verb: Verb,
        part: Operand,
    },
    /// A slot that holds a boolean: `has()`, or a value that must be one.
    Slot(usize),
    /// Anything else.
    Expression(Box<IdedExpr>),
}

/// How a text is looked for in another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    StartsWith,
    EndsWith,
    Contains,
}

/// One side of a comparison.
#[derive(Debug)]
pub(super) enum Operand {
    Literal(Literal),
    Slot(usize),
}

/// A literal of the expression.
#[derive(Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
}

impl Test {
    /// The quickest form of an expression whose names are slots.
    pub(super) fn build(expression: IdedExpr, slots: &[Slot]) -> Self {
        match Self::shortcut(&expression, slots) {
            Some(test) => test,
            None => Self::Expression(Box::new(expression)),
        }
    }

    fn shortcut(expression: &IdedExpr, slots: &[Slot]) -> Option<Self> {
        match &expression.expr {
            Expr::Call(call) => match &call.target {
                Some(text) => Self::part(text, call, slots),
                None => Self::operator(call, slots),
            },
            Expr::Ident(name) => Some(Self::Slot(readable(name, slots)?)),
            Expr::Literal(LiteralValue::Boolean(value)) => Some(Self::Constant(*value.inner())),
            Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => None,
        }
    }

    fn part(text: &IdedExpr, call: &CallExpr, slots: &[Slot]) -> Option<Self> {
        let verb = match call.func_name.as_str() {
            "startsWith" => Verb::StartsWith,
            "endsWith" => Verb::EndsWith,
            "contains" => Verb::Contains,
            _ => return None,
        };
        let [part] = call.args.as_slice() else {
            return None;
        };
        Some(Self::Part { text: Operand::of(text, slots)?, verb, part: Operand::of(part, slots)? })
    }

    fn operator(call: &CallExpr, slots: &[Slot]) -> Option<Self> {
        let branch = |expression: &IdedExpr| Self::build(expression.clone(), slots);
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => Some(Self::Both(Box::new([branch(a), branch(b)]))),
            (operators::LOGICAL_OR, [a, b]) => Some(Self::Either(Box::new([branch(a), branch(b)]))),
            (operators::LOGICAL_NOT, [a]) => Some(Self::Not(Box::new(branch(a)))),
            (operators::EQUALS, [a, b]) => Some(Self::Equal(Operand::of(a, slots)?, Operand::of(b, slots)?)),
            (operators::NOT_EQUALS, [a, b]) => {
                Some(Self::Not(Box::new(Self::Equal(Operand::of(a, slots)?, Operand::of(b, slots)?))))
            }
            (operators::IN, [item, collection]) => {
                let item = Operand::of(item, slots)?;
                match &collection.expr {
                    Expr::List(list) => {
                        let literals = list.elements.iter().map(|element| Literal::of(&element.expr));
                        Some(Self::Among(item, literals.collect::<Option<_>>()?))
                    }
                    Expr::Ident(name) => Some(Self::In(item, readable(name, slots)?)),
                    Expr::Unspecified
                    | Expr::Call(_)
                    | Expr::Comprehension(_)
                    | Expr::Literal(_)
                    | Expr::Map(_)
                    | Expr::Select(_)
                    | Expr::Struct(_) => None,
                }
            }
            _ => None,
        }
    }

    /// Runs it.
    pub(super) fn run(&self, evaluation: &Evaluation<'_>) -> Result<bool, EvaluationError> {
        match self {
            Self::Both(sides) => run_both(sides, evaluation, Connective { sign: "&&", deciding: false }),
            Self::Either(sides) => run_both(sides, evaluation, Connective { sign: "||", deciding: true }),
            Self::Not(test) => test.run(evaluation).map_err(operand_of("!")).map(|answer| !answer),
            Self::Constant(answer) => Ok(*answer),
            Self::Equal(a, b) => {
                let a = a.read(evaluation)?;
                Ok(a.equals(&b.read(evaluation)?))
            }
            Self::In(item, collection) => {
                let item = item.read(evaluation)?;
                let collection = evaluation.read(*collection)?;
                collection.contains(&item).map_err(|_| EvaluationError::Operands("in".into()))
            }
            Self::Among(item, literals) => {
                let item = item.read(evaluation)?;
                Ok(literals.iter().any(|literal| literal.reading().equals(&item)))
            }
            Self::Part { text, verb, part } => {
                let part = part.read(evaluation)?;
                verb.holds(&text.read(evaluation)?, &part)
            }
            Self::Slot(slot) => match evaluation.read(*slot)? {
                Reading::Bool(answer) => Ok(answer),
                Reading::Null
                | Reading::Int(_)
                | Reading::Uint(_)
                | Reading::Double(_)
                | Reading::Text(_)
                | Reading::List(_)
                | Reading::Roles(_)
                | Reading::Object(_) => Err(EvaluationError::NotBoolean),
            },
            Self::Expression(expression) => evaluation.interpret(expression),
        }
    }
}

impl Verb {
    fn holds(self, text: &Reading<'_>, part: &Reading<'_>) -> Result<bool, EvaluationError> {
        let (Reading::Text(text), Reading::Text(part)) = (text, part) else {
            return Err(EvaluationError::Operands(self.as_str().into()));
        };
        Ok(match self {
            Self::StartsWith => text.starts_with(&**part),
            Self::EndsWith => text.ends_with(&**part),
            Self::Contains => text.contains(&**part),
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Contains => "contains",
        }
    }
}

/// `&&` or `||`.
struct Connective {
    sign: &'static str,
    /// The answer of one side that settles the whole.
    deciding: bool,
}

/// The side that decides wins over an error of the other. Of two errors the right one is told.
fn run_both(sides: &[Test; 2], evaluation: &Evaluation<'_>, by: Connective) -> Result<bool, EvaluationError> {
    let [left, right] = sides;
    let left = left.run(evaluation).map_err(operand_of(by.sign));
    if left == Ok(by.deciding) {
        return left;
    }
    match right.run(evaluation) {
        Ok(right) if right == by.deciding => Ok(right),
        Ok(_) => left,
        Err(EvaluationError::NotBoolean) => left.and(Err(EvaluationError::Operands(by.sign.into()))),
        Err(error) => Err(error),
    }
}

/// A side that is not a boolean is an error of the operator, not of the condition.
fn operand_of(sign: &'static str) -> impl Fn(EvaluationError) -> EvaluationError {
    move |error| if error == EvaluationError::NotBoolean { EvaluationError::Operands(sign.into()) } else { error }
}

/// The slot of an identifier, unless it holds all header fields or query parameters.
fn readable(name: &str, slots: &[Slot]) -> Option<usize> {
    let index = name.strip_prefix('@')?.parse().ok()?;
    match slots.get(index)? {
        Slot::Value(_) | Slot::Presence(_) => Some(index),
        Slot::Names(_)
        | Slot::Message(_)
        | Slot::Now
        | Slot::Variable(_)
        | Slot::HasVariable(_)
        | Slot::Global(..)
        | Slot::Pattern(_)
        | Slot::Bound(_) => None,
    }
}

impl Operand {
    fn of(expression: &IdedExpr, slots: &[Slot]) -> Option<Self> {
        if let Expr::Ident(name) = &expression.expr {
            return readable(name, slots).map(Self::Slot);
        }
        Literal::of(&expression.expr).map(Self::Literal)
    }

    fn read<'e>(&'e self, evaluation: &'e Evaluation<'_>) -> Result<Reading<'e>, EvaluationError> {
        match self {
            Self::Literal(literal) => Ok(literal.reading()),
            Self::Slot(slot) => evaluation.read(*slot),
        }
    }
}

impl Literal {
    fn of(expr: &Expr) -> Option<Self> {
        let Expr::Literal(literal) = expr else {
            return None;
        };
        Some(match literal {
            LiteralValue::Boolean(value) => Self::Bool(*value.inner()),
            LiteralValue::Bytes(_) => return None,
            LiteralValue::Double(value) => Self::Double(*value.inner()),
            LiteralValue::Int(value) => Self::Int(*value.inner()),
            LiteralValue::Null => Self::Null,
            LiteralValue::String(text) => Self::Text(text.inner().into()),
            LiteralValue::UInt(value) => Self::Uint(*value.inner()),
        })
    }

    fn reading(&self) -> Reading<'_> {
        match self {
            Self::Null => Reading::Null,
            Self::Bool(value) => Reading::Bool(*value),
            Self::Int(value) => Reading::Int(*value),
            Self::Uint(value) => Reading::Uint(*value),
            Self::Double(value) => Reading::Double(*value),
            Self::Text(text) => Reading::Text(Cow::Borrowed(text)),
        }
    }
}
