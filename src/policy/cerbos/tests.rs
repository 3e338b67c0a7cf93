//! How resource policies combine, and what of the language is refused.

use expect_test::{Expect, expect};
use serde_json::json;

use crate::{
    identity::Principal,
    policy::{PolicySet, testing::*},
};

const ROUTE: &str = "- id: c\n  path: /c/{owner}\n  authentication: optional\n  resource: { kind: contact, attributes: { owner: { path: owner }, level: { claim: 'custom:level' }, site: { const: main } } }\n  actions: { GET: read, PUT: 'contact:update' }";

fn with(rules: &str) -> PolicySet {
    let (set, report) = compile(&[file("routes.yaml", &routes_file(ROUTE)), cerbos_file(rules)]);
    assert!(report.is_empty(), "{report}");
    set.unwrap()
}

fn rule(effect: &str, roles: &str, more: &str) -> String {
    format!("- {{ actions: [read], effect: EFFECT_{effect}, roles: [{roles}]{more} }}\n")
}

fn when(expr: &str) -> String {
    format!(", condition: {{ match: {{ expr: '{expr}' }} }}")
}

fn read(set: &PolicySet, groups: &[&str]) -> String {
    ask(set, &user("u-1", groups), "GET /c/u-1")
}

#[test]
fn a_deny_for_one_role_does_not_beat_an_allow_for_another() {
    let set = with(&(rule("DENY", "a", "") + &rule("ALLOW", "b", "")));
    for groups in [["a", "b"], ["b", "a"]] {
        assert_eq!(read(&set, &groups), "allow resource.contact.vdefault#rule-002");
    }
    assert_eq!(read(&set, &["a"]), "explicit_deny");
}

#[test]
fn within_one_role_deny_wins() {
    let set = with(&(rule("ALLOW", "a", "") + &rule("DENY", "a", "") + &rule("ALLOW", "b", "")));
    assert_eq!(read(&set, &["a"]), "explicit_deny");
    let set = with(&(rule("ALLOW", "a, b", "") + &rule("DENY", "'*'", "")));
    assert_eq!(read(&set, &["a", "b"]), "explicit_deny");
}

#[test]
fn an_erring_deny_denies_its_role_and_an_erring_allow_grants_nothing() {
    let err = when("R.attr.missing == 1");
    let set = with(&(rule("ALLOW", "a", "") + &rule("DENY", "a", &err) + &rule("ALLOW", "b", "")));
    assert_eq!(read(&set, &["a"]), "evaluation_error");
    assert_eq!(read(&set, &["a", "b"]), "allow resource.contact.vdefault#rule-003");
    let set = with(&(rule("ALLOW", "a", &err) + &rule("ALLOW", "b", "")));
    assert_eq!(read(&set, &["a"]), "evaluation_error");
    assert_eq!(read(&set, &["a", "b"]), "allow resource.contact.vdefault#rule-002");
}

#[test]
fn what_no_rule_allows_is_no_rule() {
    let set = with(&rule("ALLOW", "a", &when("R.attr.owner == \"x\"")));
    assert_eq!(read(&set, &["a"]), "no_rule", "a condition that is false");
    assert_eq!(read(&set, &["b"]), "no_rule", "another role");
    assert_eq!(ask(&set, &user("u-1", &["a"]), "PUT /c/u-1"), "no_rule", "another action");
}

#[test]
fn the_roles_are_the_groups_and_a_word_of_the_gateway_only_where_there_are_none() {
    let set = with(&rule("ALLOW", "authenticated", ""));
    assert_eq!(read(&set, &[]), "allow resource.contact.vdefault#rule-001");
    assert_eq!(read(&set, &["a"]), "no_rule");
    assert_eq!(ask(&set, &machine(), "GET /c/x"), "allow resource.contact.vdefault#rule-001");
    assert_eq!(ask(&set, &Principal::Anonymous, "GET /c/x"), "no_rule");
    let set = with(&rule("ALLOW", "anonymous", ""));
    assert_eq!(ask(&set, &Principal::Anonymous, "GET /c/x"), "allow resource.contact.vdefault#rule-001");
    assert_eq!(read(&set, &[]), "no_rule");
    let set = with(&rule("ALLOW", "anyone", ""));
    assert_eq!(ask(&set, &Principal::Anonymous, "GET /c/x"), "no_rule", "`anyone` is never passed");
}

#[test]
fn conditions_see_the_roles_that_cerbos_would_be_given() {
    let set = with(&rule("ALLOW", "'*'", &when("P.roles == [\"authenticated\"]")));
    assert_eq!(read(&set, &[]), "allow resource.contact.vdefault#rule-001");
    assert_eq!(read(&set, &["a"]), "no_rule");
}

#[test]
fn attributes_come_from_claims_and_constants_too() {
    let expr =
        "R.attr.level == P.attr[\"custom:level\"] && R.attr.site == \"main\" && R.kind == \"contact\" && R.id == \"\"";
    let set = with(&rule("ALLOW", "'*'", &when(expr)));
    assert_eq!(
        ask(&set, &user_with(&json!({"custom:level": 3})), "GET /c/x"),
        "allow resource.contact.vdefault#rule-001"
    );
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /c/x"), "evaluation_error", "an absent claim stays absent");
}

#[test]
fn action_globs_stay_within_a_part() {
    let globs = |action: &str| with(&format!("- {{ actions: ['{action}'], effect: EFFECT_ALLOW, roles: ['*'] }}"));
    let put = |action: &str| ask(&globs(action), &user("u-1", &[]), "PUT /c/x").starts_with("allow");
    assert!(put("contact:*") && put("*") && put("*:update") && put("**"));
    assert!(!put("contact*") && !put("update") && !put("contact:read"));
}

#[test]
fn all_any_and_none_nest() {
    let nested = ", condition: { match: { all: { of: [ { any: { of: [ { expr: 'R.attr.owner == \"x\"' }, { expr: P.id == \"u-1\" } ] } }, { none: { of: [ { expr: R.attr.owner == \"y\" } ] } } ] } } }";
    let set = with(&rule("ALLOW", "'*'", nested));
    let answer = |who: &str, owner: &str| ask(&set, &user(who, &[]), &format!("GET /c/{owner}")).starts_with("allow");
    assert!(answer("u-1", "z") && answer("u-2", "x"));
    assert!(!answer("u-1", "y") && !answer("u-2", "z"));
}

#[test]
fn guard_rails_are_decided_before_the_resource_policy() {
    let route = format!(
        "{ROUTE}\n  rules: [ {{ id: frozen, effect: deny, methods: [PUT], when: 'resource.attr.owner == \"x\"' }} ]"
    );
    let policy = cerbos_file("- { actions: ['*'], effect: EFFECT_ALLOW, roles: ['*'] }");
    let (set, report) = compile(&[file("routes.yaml", &routes_file(&route)), policy]);
    assert!(report.is_empty(), "{report}");
    let set = set.unwrap();
    let (answer, seen) = Ask::new("PUT /c/x").of(&set, &user("u-1", &[]));
    assert_eq!((answer.as_str(), seen.rule.unwrap().as_str()), ("explicit_deny", "c/frozen"));
    assert_eq!(ask(&set, &user("u-1", &[]), "PUT /c/y"), "allow resource.contact.vdefault#rule-001");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /c/x"), "allow resource.contact.vdefault#rule-001");
}

#[test]
fn only_rules_that_read_an_attribute_of_the_body_wait_for_it() {
    let route = "- id: c\n  path: /c\n  resource: { kind: contact, attributes: { owner: { body: /owner }, site: { const: main } } }\n  actions: { POST: read, GET: read }";
    let rules = rule("ALLOW", "a", &when("R.attr.site == \"main\""))
        + &rule("ALLOW", "b", &when("R.attr.owner == P.id"))
        + &rule("DENY", "c", &when("R.attr.owner == \"x\""))
        + &rule("ALLOW", "c", "");
    let (set, report) = compile(&[file("routes.yaml", &routes_file(route)), cerbos_file(&rules)]);
    assert!(!report.has_errors(), "{report}");
    let set = set.unwrap();
    let post = |groups: &[&str]| ask(&set, &user("u-1", groups), "POST /c");
    assert_eq!(post(&["a"]), "allow resource.contact.vdefault#rule-001");
    assert_eq!(post(&["b"]), "needs_body");
    assert_eq!(post(&["c"]), "needs_body");
    assert_eq!(post(&["d"]), "no_rule");
    assert_eq!(post(&["b", "a"]), "allow resource.contact.vdefault#rule-001");
    let with_body = |groups: &[&str], owner: &str| {
        Ask::new("POST /c").body(json!({"owner": owner})).of(&set, &user("u-1", groups)).0
    };
    assert_eq!(with_body(&["b"], "u-1"), "allow resource.contact.vdefault#rule-002");
    assert_eq!(with_body(&["b"], "u-2"), "no_rule");
    assert_eq!(with_body(&["c"], "x"), "explicit_deny");
}

#[test]
fn a_repeated_attribute_is_malformed_whatever_the_rules_say() {
    let route = "- id: c\n  path: /c\n  resource: { kind: contact, attributes: { site: { query: s } } }\n  actions: { GET: read }";
    let (set, _) = compile(&[file("routes.yaml", &routes_file(route)), cerbos_file(&rule("ALLOW", "'*'", ""))]);
    let set = set.unwrap();
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /c?s=1&s=2"), "attribute_malformed");
    assert_eq!(ask(&set, &user("u-1", &[]), "GET /c"), "allow resource.contact.vdefault#rule-001");
}

#[test]
fn snake_case_keys_and_disabled_policies_are_read_as_cerbos_reads_them() {
    let text = "api_version: api.cerbos.dev/v1\ndescription: prose\nmetadata: { annotations: { a: b }, source_file: x }\nresource_policy:\n  version: default\n  resource: contact\n  scope: ''\n  scope_permissions: SCOPE_PERMISSIONS_OVERRIDE_PARENT\n  rules:\n  - { name: named, actions: [read], effect: EFFECT_ALLOW, roles: ['*'] }\n";
    let files = |text: &str| [file("routes.yaml", &routes_file(ROUTE)), file("contact.yaml", text)];
    let (set, report) = compile(&files(text));
    assert!(report.is_empty(), "{report}");
    assert_eq!(read(&set.unwrap(), &[]), "allow resource.contact.vdefault#named");
    let disabled = text.replace("description: prose", "disabled: true").replace("roles: ['*']", "derivedRoles: [x]");
    let (_, report) = compile(&files(&disabled));
    assert_eq!(report.findings().len(), 1, "{report}");
    assert!(report.to_string().contains("no policy is about the resource `contact`"), "{report}");
}

fn check(text: &str, expected: &Expect) {
    let (set, report) = compile(&[
        file("routes.yaml", &routes_file("- { id: p, path: /p, rules: [ { id: x, roles: [a] } ] }")),
        file("c.yaml", text),
    ]);
    assert!(set.is_none());
    expected.assert_eq(&report.to_string());
}

#[test]
fn what_cerbos_refuses_is_refused() {
    check(
        "apiVersion: api.cerbos.dev/v1\nresourcePolicy:\n  version: default\n  resource: 'con*'\n  rules:\n  - { name: a, actions: [read, read], effect: EFFECT_MAYBE, roles: [a] }\n  - { name: a, actions: ['[x'], effect: EFFECT_ALLOW }\n  - { name: 1a, actions: [x], effect: EFFECT_ALLOW, roles: [a], condition: { match: { expr: R.nope == 1, all: { of: [] } }, script: x } }\n  - { actions: [x], effect: EFFECT_ALLOW, roles: [a], condition: { match: { expr: R.nope == 1 } }, extra: 1 }\n",
        &expect![[r#"
            error[P023]: `con*` is not the name of a resource
              --> c.yaml:4:13  (resourcePolicy.resource)
              help: a name has no wildcards and no brackets; each resource has a policy of its own

            error[P023]: `read` is named twice
              --> c.yaml:6:32  (resourcePolicy.rules[0].actions[1])
              help: keep one of them

            error[P017]: `EFFECT_MAYBE` is not known here
              --> c.yaml:6:47  (resourcePolicy.rules[0].effect)
              help: write `EFFECT_ALLOW` or `EFFECT_DENY`

            error[P003]: there is a rule `a` already
              --> c.yaml:7:13  (resourcePolicy.rules[1].name)
              help: give each rule a name of its own, or none

            error[P023]: the pattern does not hold together: a bracket or a brace is left open, or it is too long
              --> c.yaml:7:26  (resourcePolicy.rules[1].actions[0])
              help: close it, or put a backslash before it

            error[P023]: the rule `a` names no roles and no derived roles
              --> c.yaml:7:5  (resourcePolicy.rules[1])
              help: write `roles`; `roles: ["*"]` takes them all

            error[P023]: `1a` is not the name of a rule
              --> c.yaml:8:13  (resourcePolicy.rules[2].name)
              help: a name starts with a letter and goes on with letters, digits, `_`, `@`, `.` and `-`

            error[P023]: scripts in conditions are no longer supported
              --> c.yaml:8:76  (resourcePolicy.rules[2].condition)
              help: write `match` with an `expr`

            error[P023]: a match is one of `expr`, `all`, `any` and `none`
              --> c.yaml:8:85  (resourcePolicy.rules[2].condition.match)
              help: nest them with `of`

            error[Y007]: unknown key `extra`
              --> c.yaml:9:107  (resourcePolicy.rules[3].extra)
              help: known keys are: name, actions, effect, roles, derivedRoles, derived_roles, condition, output"#]],
    );
}
