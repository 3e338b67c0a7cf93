//! An expression that has a value of any type: a variable or an output of a Cerbos policy.

use cel::common::ast::IdedExpr;

use super::compile::{Wanted, compile_expression};
use super::evaluate::Evaluation;
use super::scope::Scope;
use super::{Computed, ConditionError, Environment, EvaluationError, Program, References};

/// A compiled expression. Its language and its bounds are those of a [`Condition`](super::Condition).
#[derive(Debug)]
pub struct Expression {
    root: IdedExpr,
    program: Program,
}

impl Expression {
    /// Compiles a text whose names are those of the environment.
    pub fn compile(text: &str, environment: &Environment) -> Result<Self, ConditionError> {
        let (root, program) = compile_expression(text, environment, Wanted::Value)?;
        Ok(Self { root, program })
    }

    /// Its value for a request.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Computed, EvaluationError> {
        let evaluation = Evaluation::new(&self.program, scope);
        let value = evaluation.compute(&self.root);
        // SECURITY: an error beside `||` can be outvoted, a spent budget must not: `a_spent_budget_cannot_be_outvoted`.
        if evaluation.is_spent() {
            return Err(EvaluationError::TooMuchWork);
        }
        value
    }

    /// What it reads.
    pub fn references(&self) -> &References {
        &self.program.references
    }
}
