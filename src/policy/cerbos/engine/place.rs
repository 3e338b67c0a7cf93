//! What is known of the policies that a question meets: each condition is evaluated at most once.

use std::cell::{Cell, OnceCell};

use super::{
    entry::{Clause, PrincipalEntry, ResourceEntry},
    options::Profile,
};
use crate::policy::{
    cerbos::model::Parameters,
    condition::{OnError, Scope, Variables},
};

/// A scope of the question, and the policy there.
pub(super) struct Place<'q, E> {
    pub(super) scope: &'q str,
    pub(super) policy: Option<Met<'q, E>>,
    /// The derived roles that are active here, once they are known.
    pub(super) active: OnceCell<Active>,
}

/// A policy that a question meets.
pub(super) struct Met<'q, E> {
    pub(super) entry: &'q E,
    /// For each rule with its roles, and with each of its derived roles.
    pub(super) rules: Box<[Cell<Option<RowAnswer>>]>,
    /// For each derived role.
    pub(super) derived: Box<[Cell<Option<Standing>>]>,
    variables: Box<[Variables<'q>]>,
}

/// The derived roles that are active in a scope.
#[derive(Default)]
pub(super) struct Active {
    /// Sorted.
    pub(super) names: Box<[Box<str>]>,
    /// Some of them cannot be told.
    pub(super) errs: bool,
}

/// How a condition stands to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It holds, or there is none.
    Holds,
    /// It does not hold.
    Fails,
    /// It cannot be evaluated. For 0.51, which counts what errs as false, it holds or does not.
    Errs { holds: bool },
    /// It depends on the body.
    Waits,
}

/// What a rule says, by its conditions.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowAnswer {
    pub(super) applies: bool,
    /// Because of an error, or in spite of one.
    pub(super) errs: bool,
    /// The derived role that it is asked through is not active.
    pub(super) inactive: bool,
}

impl RowAnswer {
    /// A rule that is asked through a derived role which is not active.
    pub(super) const INACTIVE: Self = Self { applies: false, errs: false, inactive: true };
}

impl<'q> Place<'q, ResourceEntry> {
    pub(super) fn of_resource(scope: &'q str, entry: Option<&'q ResourceEntry>, profile: Profile) -> Self {
        let met = |entry: &'q ResourceEntry| Met {
            rules: unknown(entry.memory()),
            derived: unknown(entry.derived.len()),
            variables: entry.parameters.iter().map(|parameters| variables(parameters, profile)).collect(),
            entry,
        };
        Self { scope, policy: entry.map(met), active: OnceCell::new() }
    }
}

impl<'q> Place<'q, PrincipalEntry> {
    pub(super) fn of_principal(scope: &'q str, entry: Option<&'q PrincipalEntry>, profile: Profile) -> Self {
        let met = |entry: &'q PrincipalEntry| Met {
            rules: unknown(entry.rules.len()),
            derived: Box::default(),
            variables: entry.parameters.iter().map(|parameters| variables(parameters, profile)).collect(),
            entry,
        };
        Self { scope, policy: entry.map(met), active: OnceCell::new() }
    }
}

impl<E> Met<'_, E> {
    /// What the expressions of the policy look at, with the variables of these parameters.
    pub(super) fn scope<'s>(
        &'s self,
        facts: &Scope<'s>,
        parameters: usize,
        derived_roles: &'s [Box<str>],
    ) -> Scope<'s> {
        Scope { variables: self.variables.get(parameters), derived_roles, ..*facts }
    }

    /// Has any of its variables erred?
    pub(super) fn has_erred(&self) -> bool {
        self.variables.iter().any(|variables| variables.first_error().is_some())
    }
}

impl Standing {
    /// Asks a condition.
    pub(super) fn of(clause: &Clause, scope: &Scope<'_>) -> Self {
        match clause.tree.test_leniently(scope) {
            (holds, Some(_)) => Self::Errs { holds },
            (true, None) => Self::Holds,
            (false, None) => Self::Fails,
        }
    }
}

fn unknown<T>(places: usize) -> Box<[Cell<Option<T>>]> {
    (0..places).map(|_| Cell::new(None)).collect()
}

fn variables(parameters: &Parameters, profile: Profile) -> Variables<'_> {
    let on_error = match profile {
        Profile::Strict => OnError::Error,
        Profile::Cerbos051 => OnError::Null,
    };
    Variables::new(&parameters.variables, on_error)
}
