//! Conditions of rules, written in CEL.
//!
//! A [`Condition`] is compiled against an [`Environment`], which knows every name it may use, and tested on a [`Scope`], the borrowed parts of
//! one request. Native rules (`when`) and Cerbos policies (`condition.match`) share the language and differ in their names.
//! An absent value is an error, never null: what an error means for the decision is the caller's business, not ours.
//! Invariant: compiling and testing are bounded, whatever the text and the request hold.

mod check;
mod compile;
mod computed;
mod environment;
mod evaluate;
mod expression;
mod functions;
mod lexis;
mod named;
mod names;
mod parse;
mod path;
mod references;
mod scope;
mod shortcut;
mod suggest;
mod syntax;
mod tree;
mod value;
mod variables;

#[cfg(test)]
mod tests;

pub use computed::Computed;
pub use environment::Environment;
pub use expression::Expression;
pub(in crate::policy) use functions::double;
pub use named::Named;
pub use references::{Reads, References, Root};
pub use scope::{Origin, PrincipalView, RequestParts, ResourceView, Scope};
pub use tree::ConditionTree;
pub use variables::{Definition, OnError, Variables};

use std::sync::Arc;

use http::HeaderName;
use thiserror::Error;

/// The longest condition, in bytes.
pub const LENGTH: usize = 4096;

/// How deep brackets and operators may nest, taken together: `a.b` is one level, `f(a.b)` two. Operators on both sides of a `,`, `&&` or `||`
/// do not add up.
pub const NESTING: usize = 32;

/// How deep comprehensions (`all`, `exists`, `map`, ...) may nest.
pub const LOOPS: usize = 2;

/// How many parts (list elements, map entries, single values) the interpreter may be given in one evaluation.
const PARTS: usize = 1024;

/// How much work comprehensions may do in one evaluation: enough to go once through the largest list, or 26,000 steps over small ones. A step
/// costs as much as there are parts, and at least [`STEP_COST`].
const WORK: usize = PARTS * PARTS;

/// What a step of a comprehension costs at least.
const STEP_COST: usize = 40;

/// A compiled condition.
///
/// What it reads in native rules: `principal.{id, kind, roles, claims, provider, client_id}`, `request.{method, path, host, query, headers,
/// client_ip}`, `path.<capture>`, `resource.{kind, id, attr}` and `now()`.
/// * `principal.id`, `provider` and `client_id` are absent where the principal has none: `has()` is false, reading is an error.
/// * `principal.roles` lists the groups and the roles that the gateway gives (`authenticated`, `anonymous`, `anyone`).
/// * `principal.claims` is empty for an anonymous principal; it holds `email` only where `email_verified` is true.
/// * Numbers out of JSON are doubles: `claims.level == 3` holds, `claims.level + 1` is an error, `claims.level + 1.0` is not.
/// * Header names are compared in any case. Reading a header or a query parameter that stands twice is an error, `has()` and `in` are true.
///   Where a query has two readings, asking for a name that these differ about is an error.
///
/// In Cerbos policies it names and calls what those of Cerbos 0.51 do. Fields of the principal and the resource have default values, and
/// `has()` is false for a default. Whatever an expression builds is paid for out of its budget.
#[derive(Debug)]
pub struct Condition {
    test: shortcut::Test,
    program: Program,
}

/// What every compiled expression has beside its tree.
#[derive(Debug)]
struct Program {
    slots: Box<[compile::Slot]>,
    profile: environment::Profile,
    fields: path::Fields,
    credential_headers: Arc<[HeaderName]>,
    interpreter: Interpreter,
    references: References,
}

/// The interpreter's functions, which have no `Debug` of their own.
#[derive(Clone)]
struct Interpreter(Arc<cel::Env>);

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interpreter")
    }
}

/// Why a text is no condition, for the author of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConditionError {
    /// What is wrong: lower case, no full stop, input in backticks.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Line and column in the text of the condition, from 1.
    pub offset: Option<(usize, usize)>,
}

/// Why a condition has no answer for a request. Names places of the condition, never values of the request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// Nothing stands there.
    #[error("`{0}` is absent")]
    Absent(Box<str>),
    /// It stands there more than once.
    #[error("`{0}` stands more than once")]
    Repeated(Box<str>),
    /// It is not text.
    #[error("`{0}` is not readable as text")]
    Unreadable(Box<str>),
    /// A header field or query parameter whose name is computed stands more than once, or is not text.
    #[error("a header field or query parameter has no single reading")]
    NoSingleReading,
    /// A step on the way leads into a value that has no entries.
    #[error("`{0}` leads into a value that has no such entries")]
    NotAMap(Box<str>),
    /// A map has no such key.
    #[error("a map lacks the key that is asked for")]
    NoSuchKey,
    /// A list is shorter.
    #[error("a list has no element at the index")]
    OutOfBounds,
    /// A function or an operator does not take values of these types.
    #[error("`{0}` does not take values of these types")]
    Operands(Box<str>),
    /// Some value has a type that does not fit where it stands.
    #[error("a value has the wrong type")]
    Types,
    /// Division by zero, or a number out of range.
    #[error("a calculation has no result")]
    Arithmetic,
    /// A function refuses its arguments.
    #[error("`{0}` refuses its arguments")]
    Function(Box<str>),
    /// What should be true or false is neither.
    #[error("the result is not true or false")]
    NotBoolean,
    /// The values that it reads have too many parts.
    #[error("the values have more than {PARTS} parts")]
    TooLarge,
    /// Its comprehensions take too many steps.
    #[error("the evaluation takes too many steps")]
    TooMuchWork,
    /// The interpreter failed.
    #[error("the evaluation failed")]
    Internal,
}

impl Condition {
    /// Compiles a text whose names are those of the environment. Bounded by [`LENGTH`], [`NESTING`] and [`LOOPS`].
    pub fn compile(text: &str, environment: &Environment) -> Result<Self, ConditionError> {
        compile::compile(text, environment, compile::Shortcuts::Taken)
    }

    /// Does the request meet the condition?
    pub fn test(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        let evaluation = evaluate::Evaluation::new(&self.program, scope);
        let answer = self.test.run(&evaluation);
        // SECURITY: an error beside `||` can be outvoted, a spent budget must not: `a_spent_budget_cannot_be_outvoted`.
        if evaluation.is_spent() {
            return Err(EvaluationError::TooMuchWork);
        }
        match (self.program.profile, answer) {
            // Cerbos counts a result that is not a boolean as not met.
            (environment::Profile::Cerbos, Err(EvaluationError::NotBoolean)) => Ok(false),
            (_, answer) => answer,
        }
    }

    /// What it reads.
    pub fn references(&self) -> &References {
        &self.program.references
    }
}
