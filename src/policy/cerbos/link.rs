//! Brings documents together: imports, scopes, derived roles, variables and constants, schemas. Leaves a model with every name resolved.
//!
//! Every problem of every file is noted where it stands. What policies import is bounded in all: a file that many import costs each of them.

mod derived_roles;
mod graph;
mod index;
mod parameters;
mod policies;

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    sync::Arc,
};

use super::{
    document::{Body, Document, MatchDoc, OutputDoc, TextDoc},
    model::{Policies, RuleOutput},
    schema::Schemas,
};
use crate::{
    policy::{
        codes,
        condition::{Condition, ConditionError, ConditionTree, Environment, Expression},
        read::note_condition,
    },
    yaml::Cursor,
};
use index::Index;

/// Definitions that policies import in all, each counted once for each policy that imports it.
const MOST_IMPORTED: usize = 1_000_000;

/// What policies are linked with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linking<'a> {
    /// What every expression may name.
    pub(crate) environment: &'a Environment,
    pub(crate) schemas: &'a Schemas,
    /// A schema that cannot be used is an error, not a warning.
    pub(crate) schemas_enforced: bool,
}

/// Links all documents of a folder.
pub(crate) fn link(documents: &[Document<'_>], linking: &Linking<'_>) -> Policies {
    let linker = Linker { linking: *linking, left: Cell::new(MOST_IMPORTED), told: RefCell::default() };
    let index = Index::new(documents, &linker);
    let mut linked = Policies::default();
    for document in documents {
        match &document.body {
            Body::Resource(policy) => linked.resources.push(linker.resource(document, policy, &index)),
            Body::Principal(policy) => linked.principals.push(linker.principal(document, policy, &index)),
            Body::Role(policy) => linked.roles.push(linker.role(policy)),
            Body::DerivedRoles(_) | Body::ExportVariables(_) | Body::ExportConstants(_) => {}
        }
    }
    linked
}

struct Linker<'l> {
    linking: Linking<'l>,
    /// What may still be imported.
    left: Cell<usize>,
    /// What was said about files that several policies import: where, and about what.
    told: RefCell<HashSet<(String, String, String)>>,
}

impl Linker<'_> {
    /// Takes `many` imported definitions out of what is left. Says so where there is not enough.
    fn afford(&self, many: usize, at: &Cursor<'_>) -> bool {
        let Some(left) = self.left.get().checked_sub(many) else {
            let told = format!("policies import more than {MOST_IMPORTED} definitions in all");
            at.error_with_help(
                codes::IMPORT,
                told,
                "split the files that are imported, so that each policy imports what it uses",
            );
            return false;
        };
        self.left.set(left);
        true
    }

    /// Is it said for the first time about that place?
    fn is_new(&self, at: &Cursor<'_>, about: &str) -> bool {
        let place = (at.source().file().to_owned(), at.pointer().to_string(), about.to_owned());
        self.told.borrow_mut().insert(place)
    }
}

/// Notes why an expression does not compile.
fn note(text: &TextDoc<'_>, error: ConditionError) {
    note_condition(text.at(), error, "an expression is CEL, as in `R.attr.owner == P.id`");
}

fn compile_expression(text: &TextDoc<'_>, environment: &Environment) -> Option<Expression> {
    Expression::compile(text.text(), environment).map_err(|error| note(text, error)).ok()
}

/// Compiles a condition; without one there is nothing to meet.
fn compile_condition(condition: Option<&MatchDoc<'_>>, environment: &Environment) -> Option<Arc<ConditionTree>> {
    compile_tree(condition?, environment).map(Arc::new)
}

fn compile_tree(tree: &MatchDoc<'_>, environment: &Environment) -> Option<ConditionTree> {
    let branches = |branches: &[MatchDoc<'_>]| {
        let compiled: Vec<_> = branches.iter().map(|branch| compile_tree(branch, environment)).collect();
        compiled.into_iter().collect::<Option<Vec<_>>>()
    };
    match tree {
        MatchDoc::Expression(text) => {
            let compiled = Condition::compile(text.text(), environment).map_err(|error| note(text, error));
            compiled.ok().map(ConditionTree::Expression)
        }
        MatchDoc::All(all) => branches(all).map(ConditionTree::All),
        MatchDoc::Any(any) => branches(any).map(ConditionTree::Any),
        MatchDoc::None(none) => branches(none).map(ConditionTree::None),
    }
}

fn compile_output(output: &OutputDoc<'_>, environment: &Environment) -> RuleOutput {
    let compile = |text: &Option<TextDoc<'_>>| text.as_ref().and_then(|text| compile_expression(text, environment));
    let (activated, deprecated) = (compile(&output.when_activated), compile(&output.expression));
    RuleOutput {
        when_activated: activated.or(deprecated),
        when_condition_not_met: compile(&output.when_condition_not_met),
    }
}

#[cfg(test)]
mod tests;
