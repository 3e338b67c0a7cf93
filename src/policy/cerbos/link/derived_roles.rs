//! Derived roles: compiled once for the file that defines them, and given to each policy that imports them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Linker, compile_condition, index::Index};
use crate::policy::{
    cerbos::{
        document::{DerivedRolesDoc, Document, ResourcePolicyDoc, TextDoc},
        model::{DerivedRole, Parameters},
    },
    codes,
    condition::ConditionTree,
};

/// The derived roles of one file by name.
pub(super) struct RoleSet<'d> {
    file: &'d str,
    roles: BTreeMap<&'d str, Role>,
}

struct Role {
    parent_roles: Box<[Box<str>]>,
    condition: Option<Arc<ConditionTree>>,
    parameters: Arc<Parameters>,
}

impl Linker<'_> {
    pub(super) fn role_set<'d, 'a>(
        &self,
        document: &'d Document<'a>,
        roles: &'d DerivedRolesDoc<'a>,
        index: &Index<'d, 'a>,
    ) -> RoleSet<'d> {
        let names = self.names(&roles.parameters, &document.variables, index);
        let conditions = roles.definitions.iter().filter_map(|role| role.condition.as_ref());
        let expressions: Vec<_> = conditions.flat_map(|condition| condition.expressions()).collect();
        let (environment, parameters) = self.parameters(&names, &expressions, roles.name.at());
        let compiled = roles.definitions.iter().map(|role| {
            let compiled = Role {
                parent_roles: role.parent_roles.iter().map(|role| role.text().into()).collect(),
                condition: compile_condition(role.condition.as_ref(), &environment),
                parameters: Arc::clone(&parameters),
            };
            (role.name.text(), compiled)
        });
        RoleSet { file: roles.name.at().source().file(), roles: compiled.collect() }
    }

    /// The derived roles that the rules of a policy name.
    pub(super) fn derived_roles<'d, 'a>(
        &self,
        policy: &'d ResourcePolicyDoc<'a>,
        index: &Index<'d, 'a>,
    ) -> Vec<DerivedRole> {
        let sets: Vec<_> = policy.imports.iter().filter_map(|import| Some((import, index.roles(import)?))).collect();
        let mut found = BTreeMap::new();
        for name in policy.rules.iter().flat_map(|rule| &rule.derived_roles) {
            let defined: Vec<_> = sets.iter().filter(|(_, set)| set.roles.contains_key(name.text())).collect();
            match defined.as_slice() {
                [] => {
                    let told = format!("the derived role `{}` is not defined in any import", name.text());
                    let help = "name the set that defines it under `importDerivedRoles`, or correct the name";
                    name.at().error_with_help(codes::UNKNOWN_ROLE, told, help);
                }
                [(_, set)] => {
                    found.extend(set.roles.get(name.text()).map(|role| (name.text(), role)));
                }
                several => note_ambiguous(name, several),
            }
        }
        let role = |(name, role): (&str, &Role)| DerivedRole {
            name: name.into(),
            parent_roles: role.parent_roles.clone(),
            condition: role.condition.clone(),
            parameters: Arc::clone(&role.parameters),
        };
        found.into_iter().map(role).collect()
    }
}

fn note_ambiguous(name: &TextDoc<'_>, sets: &[&(&TextDoc<'_>, &RoleSet<'_>)]) {
    let places: Vec<_> = sets.iter().map(|(import, set)| format!("{} (as `{}`)", set.file, import.text())).collect();
    let told = format!("the derived role `{}` is defined in more than one import: {}", name.text(), places.join(", "));
    name.at().error_with_help(codes::AMBIGUOUS_ROLE, told, "import one of them, or give one another name");
}
