//! `rolePolicy`: the most that one role may do.

use super::{
    Header, HeaderReader, MatchDoc, Message, Text, condition, message,
    resource::{read_pattern, read_patterns},
};
use crate::{
    policy::cerbos::{ActionPattern, glob::Glob},
    yaml::Cursor,
};

#[derive(Debug)]
pub(crate) struct RolePolicyDoc<'a> {
    pub(crate) header: Header<'a>,
    pub(crate) parent_roles: Vec<Text<'a>>,
    pub(crate) rules: Vec<RoleRuleDoc<'a>>,
}

#[derive(Debug)]
pub(crate) struct RoleRuleDoc<'a> {
    pub(crate) resource: Glob,
    pub(crate) allow_actions: Vec<ActionPattern>,
    pub(crate) condition: Option<MatchDoc<'a>>,
}

pub(super) fn read(mut message: Message<'_>) -> Option<RolePolicyDoc<'_>> {
    let header = HeaderReader { name: ("role", "role"), what: "role" }.read(&mut message);
    let parent_roles = message::texts(message.list("parentRoles", "parent_roles"));
    let items = message.list("rules", "rules");
    message.finish();
    let rules = items.iter().filter_map(read_rule).collect();
    Some(RolePolicyDoc { header: header?, parent_roles, rules })
}

fn read_rule<'a>(at: &Cursor<'a>) -> Option<RoleRuleDoc<'a>> {
    let mut map = Message::new(at.map_or_empty()?);
    let resource = map.require("resource", "resource").and_then(|text| read_pattern(&text));
    let allow_actions = read_patterns(map.require_list("allowActions", "allow_actions"));
    let condition = condition::read_condition(&mut map);
    map.finish();
    Some(RoleRuleDoc { resource: resource?, allow_actions, condition: condition? })
}
