//! `resourcePolicy`: who may do what with one kind of resource.

use std::collections::HashSet;

use super::{
    Effect, Header, HeaderReader, MatchDoc, Message, OutputDoc, ParametersDoc, Text, condition, message, names,
    parameters, read_effect,
};
use crate::{
    policy::{cerbos::ActionPattern, codes},
    yaml::Cursor,
};

#[derive(Debug)]
pub(crate) struct ResourcePolicyDoc<'a> {
    pub(crate) header: Header<'a>,
    /// Names of sets of derived roles.
    pub(crate) imports: Vec<Text<'a>>,
    pub(crate) parameters: ParametersDoc<'a>,
    pub(crate) principal_schema: Option<SchemaDoc<'a>>,
    pub(crate) resource_schema: Option<SchemaDoc<'a>>,
    pub(crate) rules: Vec<ResourceRuleDoc<'a>>,
}

#[derive(Debug)]
pub(crate) struct SchemaDoc<'a> {
    pub(crate) reference: Text<'a>,
    pub(crate) ignored_for: Vec<ActionPattern>,
}

#[derive(Debug)]
pub(crate) struct ResourceRuleDoc<'a> {
    pub(crate) name: Box<str>,
    pub(crate) actions: Vec<ActionPattern>,
    pub(crate) roles: Vec<Text<'a>>,
    pub(crate) derived_roles: Vec<Text<'a>>,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<MatchDoc<'a>>,
    pub(crate) output: OutputDoc<'a>,
}

pub(super) fn read(mut message: Message<'_>) -> Option<ResourcePolicyDoc<'_>> {
    let header = HeaderReader { name: ("resource", "resource"), what: "resource" }.read(&mut message);
    let imports = message::texts(message.list("importDerivedRoles", "import_derived_roles"));
    let parameters = parameters::read(&mut message);
    let (mut principal_schema, mut resource_schema) = (None, None);
    if let Some(mut map) = message.take("schemas", "schemas").and_then(|at| at.map_or_empty()).map(Message::new) {
        principal_schema = map.take("principalSchema", "principal_schema").and_then(|at| read_schema(&at));
        resource_schema = map.take("resourceSchema", "resource_schema").and_then(|at| read_schema(&at));
        map.finish();
    }
    let items = message.list("rules", "rules");
    message.finish();
    let mut seen = HashSet::new();
    let mut rules = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        let Some(mut map) = item.map_or_empty().map(Message::new) else { continue };
        let name = read_rule_name(&mut map, &mut seen).unwrap_or_else(|| format!("rule-{:03}", place + 1).into());
        rules.extend(read_rule(name, &mut map));
        map.finish();
    }
    let imports = imports.into_iter().filter(names::check_dashed).collect();
    Some(ResourcePolicyDoc { header: header?, imports, parameters, principal_schema, resource_schema, rules })
}

/// The name of a rule, when it has one of its own. Names that are given by place may meet one that is written.
pub(super) fn read_rule_name(message: &mut Message<'_>, seen: &mut HashSet<Box<str>>) -> Option<Box<str>> {
    let name = message.text("name", "name").filter(names::check_rule)?;
    if !seen.insert(name.text().into()) {
        let told = format!("there is a rule `{}` already", name.text());
        name.at().error_with_help(codes::DUPLICATE, told, "give each rule a name of its own, or none");
    }
    Some(name.text().into())
}

fn read_rule<'a>(name: Box<str>, map: &mut Message<'a>) -> Option<ResourceRuleDoc<'a>> {
    let actions = read_patterns(map.require_list("actions", "actions"));
    let effect = read_effect(map);
    let roles = message::texts(map.list("roles", "roles"));
    let named = map.list("derivedRoles", "derived_roles");
    if roles.is_empty() && named.is_empty() {
        let told = format!("the rule `{name}` names no roles and no derived roles");
        map.here().error_with_help(codes::CERBOS, told, "write `roles`; `roles: [\"*\"]` takes them all");
    }
    let derived_roles = message::texts(named).into_iter().filter(names::check_dashed).collect();
    let condition = condition::read_condition(map);
    let output = condition::read_output(map);
    Some(ResourceRuleDoc { name, actions, roles, derived_roles, effect: effect?, condition: condition?, output })
}

fn read_schema<'a>(at: &Cursor<'a>) -> Option<SchemaDoc<'a>> {
    let mut map = Message::new(at.map_or_empty()?);
    let reference = map.require("ref", "ref");
    let ignored = map.take("ignoreWhen", "ignore_when").and_then(|at| at.map_or_empty()).map(Message::new);
    let ignored_for = ignored.map(|mut map| {
        let actions = read_patterns(map.require_list("actions", "actions"));
        map.finish();
        actions
    });
    map.finish();
    Some(SchemaDoc { reference: reference?, ignored_for: ignored_for.unwrap_or_default() })
}

/// Names of actions with wildcards.
pub(super) fn read_patterns(items: Vec<Cursor<'_>>) -> Vec<ActionPattern> {
    message::texts(items).iter().filter_map(read_pattern).collect()
}

/// A name with wildcards.
pub(super) fn read_pattern(text: &Text<'_>) -> Option<ActionPattern> {
    let pattern = ActionPattern::parse(text.text());
    if pattern.is_none() {
        let told = "the pattern does not hold together: a bracket or a brace is left open, or it is too long";
        text.error(told, "close it, or put a backslash before it");
    }
    pattern
}
