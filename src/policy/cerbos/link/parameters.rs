//! Variables and constants: what the expressions of one policy may name, and in which order variables are evaluated.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Linker, compile_expression, graph, index::Index};
use crate::{
    policy::{
        cerbos::{
            document::{ConstantDoc, KEYWORDS, ParametersDoc, TextDoc, VariableDoc, is_identifier},
            model::Parameters,
        },
        codes,
        condition::{Definition, Environment, Named},
    },
    yaml::Cursor,
};

/// A name for an expression, and what the expression names in turn.
pub(super) struct Variable<'d, 'a> {
    name: &'a str,
    expression: &'d TextDoc<'a>,
    named: Named,
}

impl Variable<'_, '_> {
    fn uses(&self) -> Vec<&str> {
        self.named.variables.iter().map(|name| &**name).collect()
    }
}

/// What one policy, or one set of derived roles, names for its expressions.
pub(super) struct Names<'d, 'a> {
    constants: BTreeMap<&'a str, &'d ConstantDoc<'a>>,
    variables: BTreeMap<&'a str, Rc<Variable<'d, 'a>>>,
    /// Those that the file itself defines.
    own: BTreeSet<&'a str>,
}

/// Where a definition comes from.
#[derive(Clone, Copy)]
struct Origin<'o, 'a> {
    /// In the policy: the definition, or the import that brings it.
    at: &'o Cursor<'a>,
    name: &'a str,
}

impl<'d, 'a> Names<'d, 'a> {
    fn new() -> Self {
        Self { constants: BTreeMap::new(), variables: BTreeMap::new(), own: BTreeSet::new() }
    }
}

impl<'d> Linker<'_> {
    /// The variables of a file that others import: each compiles, whatever they take for its names.
    pub(super) fn export<'a>(&self, definitions: &'d [VariableDoc<'a>]) -> Vec<Rc<Variable<'d, 'a>>> {
        check_names(definitions.iter().map(|variable| (variable.name, variable.expression.at())), "variable");
        let variables: Vec<_> = definitions.iter().map(|variable| Rc::new(self.variable(variable))).collect();
        for variable in &variables {
            let constants = variable.named.constants.iter().map(|name| (name.to_string(), Value::Null)).collect();
            let environment = self.linking.environment.clone().with_constants(constants);
            let names = variable.named.variables.iter().cloned();
            compile_expression(variable.expression, &environment.with_variables(names));
        }
        variables
    }

    fn variable<'a>(&self, variable: &'d VariableDoc<'a>) -> Variable<'d, 'a> {
        let VariableDoc { name, expression } = variable;
        Variable { name, expression, named: self.named(expression) }
    }

    /// What an expression names; nothing where it does not parse, which is told when it is compiled.
    pub(super) fn named(&self, expression: &TextDoc<'_>) -> Named {
        Named::of(expression.text(), self.linking.environment).unwrap_or_default()
    }

    /// Everything that a policy may name. Notes what is defined twice, not defined, or in a circle.
    pub(super) fn names<'a>(
        &self,
        parameters: &'d ParametersDoc<'a>,
        deprecated: &'d [VariableDoc<'a>],
        index: &Index<'d, 'a>,
    ) -> Names<'d, 'a> {
        let mut names = Names::new();
        for import in &parameters.constant_imports {
            let Some(found) = index.constants(import).filter(|found| self.afford(found.len(), import.at())) else {
                continue;
            };
            for constant in found {
                names.constant(constant, Origin { at: import.at(), name: constant.name });
            }
        }
        check_names(parameters.constants.iter().map(|constant| (constant.name, &constant.at)), "constant");
        for constant in &parameters.constants {
            names.constant(constant, Origin { at: &constant.at, name: constant.name });
        }
        for import in &parameters.variable_imports {
            let Some(found) = index.variables(import).filter(|found| self.afford(found.len(), import.at())) else {
                continue;
            };
            for variable in found {
                names.variable(Rc::clone(variable), Origin { at: import.at(), name: variable.name });
            }
        }
        let own = || parameters.variables.iter().chain(deprecated);
        check_names(own().map(|variable| (variable.name, variable.expression.at())), "variable");
        for variable in own() {
            names.own.insert(variable.name);
            names.variable(
                Rc::new(self.variable(variable)),
                Origin { at: variable.expression.at(), name: variable.name },
            );
        }
        self.check_uses(&names);
        names
    }

    /// The names of a policy that can have none.
    pub(super) fn no_names<'a>(&self) -> Names<'d, 'a> {
        Names::new()
    }

    /// Notes what the variables of a policy use although it is not defined.
    fn check_uses(&self, names: &Names<'_, '_>) {
        for variable in names.variables.values() {
            self.check_named(&variable.named, variable.expression, names, Some(variable.name));
        }
    }

    /// Notes what an expression names although it is not defined.
    fn check_named(&self, named: &Named, expression: &TextDoc<'_>, names: &Names<'_, '_>, of: Option<&str>) {
        let constants = named.constants.iter().filter(|name| !names.constants.contains_key(&***name));
        let variables = named.variables.iter().filter(|name| !names.variables.contains_key(&***name));
        let constants = constants.map(|name| ("constant", 'C', name));
        for (what, root, name) in constants.chain(variables.map(|name| ("variable", 'V', name))) {
            let about = format!("{root}.{name}");
            if self.is_new(expression.at(), &about) {
                let help = format!("define it under `{what}s`, in the policy or in a file that it imports");
                let told = match of {
                    Some(variable) => {
                        format!("the variable `{variable}` uses the {what} `{name}`, which is not defined")
                    }
                    None => format!("the {what} `{name}` is not defined"),
                };
                expression.at().error_with_help(codes::UNDEFINED, told, help);
            }
        }
    }

    /// The environment of a policy's expressions, and the variables that they use.
    pub(super) fn parameters(
        &self,
        names: &Names<'_, '_>,
        expressions: &[&TextDoc<'_>],
        at: &Cursor<'_>,
    ) -> (Environment, Arc<Parameters>) {
        let named: Vec<_> = expressions.iter().map(|expression| (self.named(expression), *expression)).collect();
        for (named, expression) in &named {
            self.check_named(named, expression, names, None);
        }
        let used = names.used(named.iter().flat_map(|(named, _)| named.variables.iter().map(|name| &**name)));
        // What is not used is compiled too where it stands in the file itself, so that nothing in it is left unread.
        let compiled: BTreeSet<&str> = used.iter().chain(&names.own).copied().collect();
        let compiled: BTreeMap<&str, &Rc<Variable<'_, '_>>> =
            compiled.into_iter().filter_map(|name| Some((name, names.variables.get(name)?))).collect();
        let of_variables = compiled.values().map(|variable| &variable.named);
        let all: Vec<&Named> = named.iter().map(|(named, _)| named).chain(of_variables).collect();
        let environment = self.environment(names, &all);
        let mut expressions = BTreeMap::new();
        if self.afford(compiled.len().saturating_sub(names.own.len()), at) {
            for (name, variable) in compiled {
                expressions.extend(compile_expression(variable.expression, &environment).map(|found| (name, found)));
            }
        }
        let mut variables = Vec::new();
        for group in names.groups() {
            let circle = names.note_circle(&group);
            let used = group.into_iter().filter(|name| !circle && used.contains(name));
            variables.extend(
                used.filter_map(|name| Some(Definition { name: name.into(), expression: expressions.remove(name)? })),
            );
        }
        (environment, Arc::new(Parameters { variables: variables.into() }))
    }

    fn environment(&self, names: &Names<'_, '_>, named: &[&Named]) -> Environment {
        // What is not defined is told already, in better words.
        let constants: Map<String, Value> = named
            .iter()
            .flat_map(|named| &named.constants)
            .map(|name| {
                let value = names.constants.get(&**name).map_or(Value::Null, |constant| constant.value.clone());
                (name.to_string(), value)
            })
            .collect();
        let variables: BTreeSet<&str> = names.variables.keys().copied().collect();
        let variables = named.iter().flat_map(|named| &named.variables).map(|name| &**name).chain(variables);
        let variables: BTreeSet<&str> = variables.collect();
        self.linking.environment.clone().with_constants(constants).with_variables(variables)
    }
}

impl<'d, 'a> Names<'d, 'a> {
    fn constant(&mut self, constant: &'d ConstantDoc<'a>, origin: Origin<'_, 'a>) {
        if let Some(other) = self.constants.insert(constant.name, constant) {
            redefined("constant", origin, &other.at, &constant.at);
        }
    }

    fn variable(&mut self, variable: Rc<Variable<'d, 'a>>, origin: Origin<'_, 'a>) {
        let at = variable.expression.at();
        if let Some(other) = self.variables.insert(variable.name, variable) {
            redefined("variable", origin, other.expression.at(), at);
        }
    }

    /// Those variables, and what they use.
    fn used<'n>(&'n self, roots: impl Iterator<Item = &'n str>) -> BTreeSet<&'a str> {
        let mut used = BTreeSet::new();
        let mut rest: Vec<&str> = roots.collect();
        while let Some(name) = rest.pop() {
            let Some(variable) = self.variables.get(name) else { continue };
            if used.insert(variable.name) {
                rest.extend(variable.named.variables.iter().map(|name| &**name));
            }
        }
        used
    }

    /// The variables in groups, each after those that it uses.
    fn groups(&self) -> Vec<Vec<&str>> {
        let graph = self.variables.iter().map(|(name, variable)| (*name, variable.uses()));
        graph::groups(&graph.collect())
    }

    /// Notes that the variables of a group use each other, if they do.
    fn note_circle(&self, group: &[&str]) -> bool {
        let Some(first) = group.first().and_then(|name| self.variables.get(*name)) else { return false };
        let told = match group {
            [name] if !first.named.variables.contains(*name) => return false,
            [name] => format!("the variable `{name}` uses itself"),
            several => format!("the variables `{}` use each other", several.join("`, `")),
        };
        let at = first.expression.at();
        at.error_with_help(codes::CYCLE, told, "a variable uses others that do not lead back to it");
        true
    }
}

/// Notes that a name has two definitions. Told in the policy that has them both.
fn redefined(what: &str, origin: Origin<'_, '_>, one: &Cursor<'_>, other: &Cursor<'_>) {
    let place = |at: &Cursor<'_>| format!("{} ({})", at.source().file(), at.pointer());
    let told = format!("the {what} `{}` is defined in {} and in {}", origin.name, place(one), place(other));
    origin.at.error_with_help(codes::REDEFINED, told, "keep one of them, or give one another name");
}

/// Notes names that expressions cannot write.
pub(super) fn check_names<'n, 'a: 'n>(names: impl Iterator<Item = (&'a str, &'n Cursor<'a>)>, what: &str) {
    for (name, at) in names {
        if KEYWORDS.contains(&name) {
            let told = format!("`{name}` is a reserved word, and cannot name a {what}");
            at.error_with_help(codes::NAME, told, "give it another name");
        } else if !is_identifier(name) {
            let help = "a name has letters, digits and `_`, and does not start with a digit";
            at.error_with_help(codes::NAME, format!("`{name}` cannot name a {what}"), help);
        }
    }
}
