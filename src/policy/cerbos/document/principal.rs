//! `principalPolicy`: what holds for one principal, whatever its roles are.

use std::collections::HashSet;

use super::{
    Effect, Header, HeaderReader, MatchDoc, Message, OutputDoc, ParametersDoc, condition, parameters, read_effect,
    resource::{read_pattern, read_rule_name},
};
use crate::{
    policy::{
        cerbos::{ActionPattern, glob::Glob},
        codes,
    },
    yaml::Cursor,
};

#[derive(Debug)]
pub(crate) struct PrincipalPolicyDoc<'a> {
    pub(crate) header: Header<'a>,
    pub(crate) parameters: ParametersDoc<'a>,
    pub(crate) rules: Vec<PrincipalRuleDoc<'a>>,
}

/// One action of one resource.
#[derive(Debug)]
pub(crate) struct PrincipalRuleDoc<'a> {
    pub(crate) name: Box<str>,
    pub(crate) resource: Glob,
    pub(crate) action: ActionPattern,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<MatchDoc<'a>>,
    pub(crate) output: OutputDoc<'a>,
}

pub(super) fn read(mut message: Message<'_>) -> Option<PrincipalPolicyDoc<'_>> {
    let header = HeaderReader { name: ("principal", "principal"), what: "principal" }.read(&mut message);
    let parameters = parameters::read(&mut message);
    let items = message.list("rules", "rules");
    message.finish();
    let mut resources = HashSet::new();
    let mut rules = Vec::new();
    for item in &items {
        read_rules(item, &mut resources, &mut rules);
    }
    Some(PrincipalPolicyDoc { header: header?, parameters, rules })
}

fn read_rules<'a>(item: &Cursor<'a>, resources: &mut HashSet<Box<str>>, rules: &mut Vec<PrincipalRuleDoc<'a>>) {
    let Some(mut map) = item.map_or_empty().map(Message::new) else { return };
    let resource = map.require("resource", "resource");
    let actions = map.require_list("actions", "actions");
    map.finish();
    let Some(resource) = resource else { return };
    if !resources.insert(resource.text().into()) {
        let told = format!("the resource `{}` has rules already", resource.text());
        resource.at().error_with_help(codes::DUPLICATE, told, "put its actions into one list");
    }
    let Some(pattern) = read_pattern(&resource) else { return };
    let mut names = HashSet::new();
    for (place, action) in actions.iter().enumerate() {
        let Some(mut map) = action.map_or_empty().map(Message::new) else { continue };
        let name = read_rule_name(&mut map, &mut names)
            .unwrap_or_else(|| format!("{}_rule-{:03}", resource.text(), place + 1).into());
        rules.extend(read_rule(name, pattern.clone(), &mut map));
        map.finish();
    }
}

fn read_rule<'a>(name: Box<str>, resource: Glob, map: &mut Message<'a>) -> Option<PrincipalRuleDoc<'a>> {
    let action = map.require("action", "action").and_then(|text| read_pattern(&text));
    let effect = read_effect(map);
    let condition = condition::read_condition(map);
    let output = condition::read_output(map);
    Some(PrincipalRuleDoc { name, resource, action: action?, effect: effect?, condition: condition?, output })
}
