//! Reading a file of `apiVersion: api.cerbos.dev/v1`.

use std::collections::HashSet;

use super::ActionPattern;
use crate::{
    policy::{
        codes,
        condition::{ConditionTree, Environment},
        decision::RuleId,
        read::{read_condition, read_word},
        rule::{Actions, Combine, Effect, Kinds, Role, Roles, Row, RuleTable},
    },
    yaml::{Cursor, MapCursor},
};

/// The policy about one resource kind.
#[derive(Debug)]
pub(crate) struct ResourcePolicy<'a> {
    pub(crate) kind: &'a str,
    /// Where the kind is named.
    pub(crate) at: Cursor<'a>,
    pub(crate) table: RuleTable,
}

/// Reads a policy file from its top, for decisions on that version of policies; `None` when it is disabled or cannot be used.
pub(crate) fn read_policy<'a>(mut map: MapCursor<'a>, version: &str) -> Option<ResourcePolicy<'a>> {
    either(&mut map, "apiVersion", "api_version");
    for prose in ["description", "$schema"] {
        map.take(prose).and_then(|at| at.text());
    }
    if map.take("disabled").and_then(|at| at.bool()) == Some(true) {
        // Cerbos does not look into it either, so it may hold what is not decided with yet.
        return None;
    }
    if let Some(at) = map.take("metadata") {
        read_metadata(&at);
    }
    let refused = refuse(
        &mut map,
        &[
            ("principalPolicy", "principal_policy"),
            ("rolePolicy", "role_policy"),
            ("derivedRoles", "derived_roles"),
            ("exportVariables", "export_variables"),
            ("exportConstants", "export_constants"),
            ("variables", "variables"),
        ],
    );
    let body = either(&mut map, "resourcePolicy", "resource_policy");
    let here = map.here().clone();
    map.finish();
    if body.is_none() && !refused {
        here.error_with_help(codes::CERBOS, "the file holds no resource policy", "write `resourcePolicy`");
    }
    read_body(&body?, version)
}

fn read_body<'a>(at: &Cursor<'a>, version: &str) -> Option<ResourcePolicy<'a>> {
    let mut map = at.map()?;
    let kind_at = map.require("resource");
    let kind = kind_at.as_ref().and_then(read_kind);
    if let Some(at) = map.require("version") {
        read_version(&at, version);
    }
    refuse(
        &mut map,
        &[
            ("importDerivedRoles", "import_derived_roles"),
            ("schemas", "schemas"),
            ("variables", "variables"),
            ("constants", "constants"),
        ],
    );
    if let Some(at) = map.take("scope").filter(|at| at.node().as_text() != Some("")) {
        unsupported(&at, "scope");
    }
    // Without a scope there is no parent whose consent could be required.
    if let Some(at) = either(&mut map, "scopePermissions", "scope_permissions") {
        let words = [
            ("SCOPE_PERMISSIONS_OVERRIDE_PARENT", true),
            ("SCOPE_PERMISSIONS_UNSPECIFIED", true),
            ("SCOPE_PERMISSIONS_REQUIRE_PARENTAL_CONSENT_FOR_ALLOWS", false),
        ];
        if read_word(&at, &words) == Some(false) {
            unsupported(&at, "scopePermissions");
        }
    }
    let reader = RuleReader { kind: kind.unwrap_or_default(), version, environment: Environment::cerbos() };
    let rows = map.take("rules").map(|rules| reader.read(&rules)).unwrap_or_default();
    map.finish();
    let table = RuleTable { combine: Combine::RoleByRole, rows: rows.into() };
    Some(ResourcePolicy { kind: kind?, at: kind_at?, table })
}

fn read_kind<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    let kind = at.text()?;
    if kind.contains(['!', '*', '?', '[', ']', '{', '}']) {
        let help = "a name has no wildcards and no brackets; each kind has a policy of its own";
        at.error_with_help(codes::CERBOS, format!("`{kind}` is not the name of a resource"), help);
        return None;
    }
    Some(kind)
}

fn read_version(at: &Cursor<'_>, wanted: &str) {
    if at.text().is_some_and(|version| version != wanted) {
        at.error_with_help(
            codes::UNSUPPORTED,
            format!("policies of other versions than `{wanted}` are not decided with yet"),
            format!("write `version: {wanted}`, or keep the file out of the folder"),
        );
    }
}

/// What Cerbos itself does not decide with either.
fn read_metadata(at: &Cursor<'_>) {
    let Some(mut map) = at.map() else { return };
    for (camel, snake) in [
        ("sourceFile", "source_file"),
        ("annotations", "annotations"),
        ("hash", "hash"),
        ("storeIdentifier", "store_identifier"),
        ("sourceAttributes", "source_attributes"),
    ] {
        either(&mut map, camel, snake);
    }
    map.finish();
}

struct RuleReader<'r> {
    kind: &'r str,
    version: &'r str,
    environment: Environment,
}

impl RuleReader<'_> {
    fn read(&self, at: &Cursor<'_>) -> Vec<Row> {
        let mut names = HashSet::new();
        let mut rows = Vec::new();
        for (place, rule) in at.list_or_empty().unwrap_or_default().iter().enumerate() {
            let Some(mut map) = rule.map() else { continue };
            let name = map.take("name").map(|at| (read_name(&at).unwrap_or_default().to_owned(), at));
            let default = format!("rule-{:03}", place + 1);
            let name = match name {
                Some((name, at)) if !names.insert(name.clone()) => {
                    let help = "give each rule a name of its own, or none";
                    at.error_with_help(codes::DUPLICATE, format!("the policy has two rules `{name}`"), help);
                    name
                }
                Some((name, _)) if !name.is_empty() => name,
                Some(_) | None => default,
            };
            rows.extend(self.rule(&name, &mut map));
            map.finish();
        }
        rows
    }

    fn rule(&self, name: &str, map: &mut MapCursor<'_>) -> Option<Row> {
        let actions = map.require("actions").and_then(|at| read_actions(&at));
        let words = [("EFFECT_ALLOW", Effect::Allow), ("EFFECT_DENY", Effect::Deny)];
        let effect = map.require("effect").and_then(|at| read_word(&at, &words));
        let derived = refuse(map, &[("derivedRoles", "derived_roles")]);
        refuse(map, &[("output", "output")]);
        let roles = match map.take("roles") {
            Some(at) => read_roles(&at),
            None if derived => None,
            None => {
                map.here().error_with_help(
                    codes::CERBOS,
                    "the rule names no roles",
                    "write `roles`; `roles: [\"*\"]` takes them all",
                );
                None
            }
        };
        let condition = match map.take("condition") {
            None => None,
            Some(at) => Some(self.condition(&at)?),
        };
        Some(Row {
            id: RuleId::new(&format!("resource.{}.v{}#{name}", self.kind, self.version)),
            effect: effect?,
            actions: Actions::Named(actions?),
            roles: Roles::AnyOf(roles?),
            kinds: Kinds::Unstated,
            scopes: Box::default(),
            owner: None,
            condition: condition.map(Into::into),
        })
    }

    fn condition(&self, at: &Cursor<'_>) -> Option<ConditionTree> {
        let mut map = at.map()?;
        if let Some(script) = map.take("script") {
            let message = "scripts in conditions are no part of the language any more";
            script.error_with_help(codes::CERBOS, message, "write `match` with an `expr`");
        }
        let tree = map.require("match").and_then(|at| self.tree(&at, ConditionTree::DEPTH));
        map.finish();
        tree
    }

    fn tree(&self, at: &Cursor<'_>, depth: usize) -> Option<ConditionTree> {
        let Some(depth) = depth.checked_sub(1) else {
            let message = format!("conditions nest more than {} deep", ConditionTree::DEPTH);
            at.error_with_help(codes::CERBOS, message, "write the inner ones as one `expr`");
            return None;
        };
        let mut map = at.map()?;
        let expr = map.take("expr");
        let branches = ["all", "any", "none"].map(|word| map.take(word).map(|at| (word, at)));
        let mut branches = branches.into_iter().flatten();
        let tree = match (expr, branches.next(), branches.next()) {
            (Some(expr), None, None) => read_condition(&expr, &self.environment).map(ConditionTree::Expression),
            (None, Some((word, at)), None) => self.branches(&at, depth).map(|all| match word {
                "all" => ConditionTree::All(all),
                "any" => ConditionTree::Any(all),
                _ => ConditionTree::None(all),
            }),
            (Some(_) | None, _, _) => {
                map.here().error_with_help(
                    codes::CERBOS,
                    "a match is one of `expr`, `all`, `any` and `none`",
                    "nest them with `of`",
                );
                None
            }
        };
        map.finish();
        tree
    }

    fn branches(&self, at: &Cursor<'_>, depth: usize) -> Option<Vec<ConditionTree>> {
        let mut map = at.map()?;
        let all = map.require("of").and_then(|of| of.each(|each| self.tree(each, depth)));
        map.finish();
        all
    }
}

/// `^([a-zA-Z][\w@.\-]*)*$`
fn read_name<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    let name = at.text()?;
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "_@.-".contains(letter);
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(inner) {
        return Some(name);
    }
    let help = "a name starts with a letter and goes on with letters, digits, `_`, `@`, `.` and `-`";
    at.error_with_help(codes::CERBOS, format!("`{name}` is not the name of a rule"), help);
    None
}

fn read_actions(at: &Cursor<'_>) -> Option<Box<[ActionPattern]>> {
    refuse_repeats(at);
    let actions = at.each(|each| {
        let pattern = ActionPattern::parse(each.text()?);
        if pattern.is_none() {
            let message = "the pattern does not hold together: a bracket or a brace is left open";
            each.error_with_help(codes::CERBOS, message, "close it, or put a backslash before it");
        }
        pattern
    });
    actions.map(Into::into)
}

fn read_roles(at: &Cursor<'_>) -> Option<Box<[Role]>> {
    refuse_repeats(at);
    at.each(|role| role.text().map(Role::cerbos)).map(Into::into)
}

fn refuse_repeats(at: &Cursor<'_>) {
    let mut seen = HashSet::new();
    for each in at.list_or_empty().into_iter().flatten() {
        let Some(text) = each.node().as_text() else { continue };
        if !seen.insert(text) {
            each.error_with_help(codes::CERBOS, format!("`{text}` is named twice"), "keep one of them");
        }
    }
}

/// The value of a key in either spelling.
fn either<'a>(map: &mut MapCursor<'a>, camel: &'static str, snake: &'static str) -> Option<Cursor<'a>> {
    let (first, second) = (map.take(camel), if camel == snake { None } else { map.take(snake) });
    if let (Some(_), Some(second)) = (&first, &second) {
        second.error_with_help(codes::CERBOS, format!("`{camel}` and `{snake}` are one key"), "keep one of them");
    }
    first.or(second)
}

/// Notes each part of the language that is used and not decided with, and tells whether there was one.
fn refuse(map: &mut MapCursor<'_>, parts: &[(&'static str, &'static str)]) -> bool {
    let mut refused = false;
    for (camel, snake) in parts {
        if let Some(at) = either(map, camel, snake) {
            unsupported(&at, camel);
            refused = true;
        }
    }
    refused
}

fn unsupported(at: &Cursor<'_>, part: &str) {
    at.error_with_help(
        codes::UNSUPPORTED,
        format!("`{part}` is not decided with yet"),
        "this version reads resource policies with rules, roles and conditions; keep other files out of the folder",
    );
}
