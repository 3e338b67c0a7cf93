//! The variables of a Cerbos policy: evaluated when first read, once.
//!
//! A variable sees only those that stand before it, so evaluation ends, and it does not recurse: what a variable needs is evaluated first.

use std::sync::OnceLock;

use super::scope::Scope;
use super::{Computed, EvaluationError, Expression};

/// A variable of a policy.
#[derive(Debug)]
pub struct Definition {
    /// `x` of `V.x`.
    pub name: Box<str>,
    /// What it stands for.
    pub expression: Expression,
}

/// What a variable is whose expression errs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Null, and `has()` of it is false: as in Cerbos 0.51, which also keeps a hierarchy as a list and nothing of SPIFFE's types.
    Null,
    /// An error wherever it is read.
    Error,
}

/// The variables of a policy in one request.
#[derive(Debug)]
pub struct Variables<'a> {
    definitions: &'a [Definition],
    on_error: OnError,
    null: Computed,
    values: Box<[OnceLock<Result<Computed, EvaluationError>>]>,
}

impl<'a> Variables<'a> {
    /// The variables of a policy, each of which uses only earlier ones: one that uses itself or a later one errs.
    pub fn new(definitions: &'a [Definition], on_error: OnError) -> Self {
        let values = definitions.iter().map(|_| OnceLock::new()).collect();
        Self { definitions, on_error, null: Computed::null(), values }
    }

    /// The first error among the variables that were read so far, also where it reads as null.
    pub fn first_error(&self) -> Option<&EvaluationError> {
        self.values.iter().find_map(|value| value.get()?.as_ref().err())
    }

    /// The value of a variable.
    pub(super) fn read(&self, name: &str, scope: &Scope<'_>) -> Result<&Computed, EvaluationError> {
        match (self.value(name, scope), self.on_error) {
            (Some(Ok(value)), _) => Ok(value),
            (Some(Err(_)), OnError::Null) => Ok(&self.null),
            (Some(Err(error)), OnError::Error) => Err(error.clone()),
            (None, _) => Err(EvaluationError::Absent(format!("V.{name}").into())),
        }
    }

    /// `has()`: does the variable have a value?
    pub(super) fn is_present(&self, name: &str, scope: &Scope<'_>) -> bool {
        self.value(name, scope).is_some_and(Result::is_ok)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.definitions.iter().position(|definition| *definition.name == *name)
    }

    fn value(&self, name: &str, scope: &Scope<'_>) -> Option<&Result<Computed, EvaluationError>> {
        let wanted = self.position(name)?;
        let cell = self.values.get(wanted)?;
        if let Some(value) = cell.get() {
            return Some(value);
        }
        for (definition, value) in self.needed(wanted) {
            value.get_or_init(|| {
                let value = definition.expression.evaluate(&Scope { variables: Some(self), ..*scope })?;
                match self.on_error {
                    OnError::Null => value.into_kept_by_0_51().ok_or(EvaluationError::Types),
                    OnError::Error => Ok(value),
                }
            });
        }
        cell.get()
    }

    /// What must be evaluated for a variable: those without a value that it uses, and it itself, in order.
    // SECURITY: recursion through variables could overflow the stack: `a_long_chain_of_variables_does_not_recurse`.
    fn needed(
        &self,
        wanted: usize,
    ) -> impl Iterator<Item = (&'a Definition, &OnceLock<Result<Computed, EvaluationError>>)> {
        let mut needed = vec![false; wanted];
        needed.push(true);
        let all = self.definitions.iter().zip(&self.values).enumerate().take(needed.len());
        for (at, (definition, value)) in all.rev() {
            if !needed.get(at).copied().unwrap_or_default() || value.get().is_some() {
                continue;
            }
            for name in definition.expression.references().variables() {
                match self.position(name).filter(|&before| before < at).and_then(|before| needed.get_mut(before)) {
                    Some(needed) => *needed = true,
                    None => drop(value.set(Err(EvaluationError::Internal))),
                }
            }
        }
        self.definitions.iter().zip(&self.values).zip(needed).filter(|(_, needed)| *needed).map(|(cell, _)| cell)
    }
}
