//! `derivedRoles`: roles that a principal has only towards some resources.

use std::collections::HashSet;

use super::{MatchDoc, Message, ParametersDoc, Text, condition, message, names, parameters};
use crate::{policy::codes, yaml::Cursor};

#[derive(Debug)]
pub(crate) struct DerivedRolesDoc<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) definitions: Vec<RoleDefinitionDoc<'a>>,
    pub(crate) parameters: ParametersDoc<'a>,
}

#[derive(Debug)]
pub(crate) struct RoleDefinitionDoc<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) parent_roles: Vec<Text<'a>>,
    pub(crate) condition: Option<MatchDoc<'a>>,
}

pub(super) fn read(mut message: Message<'_>) -> Option<DerivedRolesDoc<'_>> {
    let name = message.require("name", "name").filter(names::check_dashed);
    let items = message.require_list("definitions", "definitions");
    let parameters = parameters::read(&mut message);
    message.finish();
    let definitions: Vec<_> = items.iter().filter_map(read_definition).collect();
    let mut seen = HashSet::new();
    for definition in &definitions {
        let name = &definition.name;
        if !seen.insert(name.text()) {
            let told = format!("the derived role `{}` is defined twice", name.text());
            name.at().error_with_help(codes::DUPLICATE, told, "give it another name, or join the two with `any`");
        }
    }
    Some(DerivedRolesDoc { name: name?, definitions, parameters })
}

fn read_definition<'a>(at: &Cursor<'a>) -> Option<RoleDefinitionDoc<'a>> {
    let mut map = Message::new(at.map_or_empty()?);
    let name = map.require("name", "name").filter(names::check_dashed);
    let parent_roles = message::texts(map.require_list("parentRoles", "parent_roles"));
    let condition = condition::read_condition(&mut map);
    map.finish();
    Some(RoleDefinitionDoc { name: name?, parent_roles, condition: condition? })
}
