//! How resource policies combine, and what of the language is refused.

use expect_test::{Expect, expect};
use serde_json::json;

use crate::{
    identity::{Authentication, Principal},
    policy::{PolicySet, testing::*},
    yaml::SourceFile,
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

const TENANTS: &str = "apiVersion: api.cerbos.dev/v1
resourcePolicy:
  version: default
  resource: contact
  scope: SCOPE
  rules:
  - { actions: [read], effect: EFFECT_ALLOW, roles: [ROLE] }
";

/// The root lets `a` in, the scope `acme` lets `b` in.
fn of_tenants(scope: &str, more: &[SourceFile]) -> PolicySet {
    let route = format!(
        "- id: c\n  path: /c/{{tenant}}\n  authentication: optional\n  resource: {{ kind: contact, scope: {scope} }}\n  actions: {{ GET: read }}"
    );
    let policy = |name, scope, role| file(name, &TENANTS.replace("SCOPE", scope).replace("ROLE", role));
    let mut files = vec![
        file("routes.yaml", &routes_file(&route)),
        policy("root.yaml", "''", "a"),
        policy("acme.yaml", "acme", "b"),
    ];
    files.extend_from_slice(more);
    let (set, report) = compile(&files);
    assert!(!report.has_errors(), "{report}");
    set.unwrap()
}

#[test]
fn a_route_names_the_scope_of_its_resource() {
    let set = of_tenants("{ path: tenant }", &[]);
    let (a, b) = (user("u-1", &["a"]), user("u-1", &["b"]));
    assert_eq!(ask(&set, &b, "GET /c/acme"), "allow resource.contact.vdefault/acme#rule-001");
    assert_eq!(ask(&set, &a, "GET /c/acme"), "allow resource.contact.vdefault#rule-001");
    assert_eq!(ask(&set, &a, "GET /c/other"), "no_rule", "no policy has that scope");
    assert_eq!(ask(&set, &a, "GET /c/a%20b"), "attribute_malformed");
}

#[test]
fn a_resource_whose_scope_is_absent_is_not_decided_by_the_root() {
    let set = of_tenants("{ claim: 'custom:tenant' }", &[]);
    let of = |claims| ask(&set, &user_with(&claims), "GET /c/x");
    assert!(of(json!({"cognito:groups": ["a"], "custom:tenant": "acme"})).starts_with("allow "));
    assert_eq!(of(json!({"cognito:groups": ["a"]})), "no_rule");
    assert_eq!(of(json!({"cognito:groups": ["a"], "custom:tenant": ""})), "no_rule");
    assert_eq!(of(json!({"cognito:groups": ["a"], "custom:tenant": 7})), "attribute_malformed");
    assert_eq!(ask(&set, &Principal::Anonymous, "GET /c/x"), "no_rule");
}

#[test]
fn the_scope_of_a_resource_cannot_come_out_of_the_body() {
    let route = "- { id: c, path: /c, resource: { kind: contact, scope: { body: /tenant }, policy_version: 'v 1' }, actions: { PUT: read } }";
    expect![[r#"
        error[P004]: `v 1` is not a policy version
          --> routes.yaml:3:91  (routes[0].resource.policy_version)
          help: a version is letters, digits and `_`, such as `default`

        error[P015]: the scope of a resource cannot come out of the body
          --> routes.yaml:3:56  (routes[0].resource.scope)
          help: take it from the path, the host, a header, a claim or a constant"#]]
    .assert_eq(&report(route));
}

#[test]
fn a_route_names_the_version_of_its_policies() {
    let route = |version: &str| {
        file(
            "routes.yaml",
            &routes_file(&format!(
                "- {{ id: c, path: /c, resource: {{ kind: contact, policy_version: {version} }}, actions: {{ GET: read }} }}"
            )),
        )
    };
    let policy = |version: &str, role: &str| {
        let text = TENANTS.replace("SCOPE", "''").replace("ROLE", role).replace("version: default", version);
        file(&format!("{role}.yaml"), &text)
    };
    let files = |version| [route(version), policy("version: default", "a"), policy("version: two", "b")];
    let (set, _) = compile(&files("two"));
    let set = set.unwrap();
    assert_eq!(ask(&set, &user("u-1", &["b"]), "GET /c"), "allow resource.contact.vtwo#rule-001");
    assert_eq!(ask(&set, &user("u-1", &["a"]), "GET /c"), "no_rule");
    let (_, report) = compile(&files("three"));
    assert!(report.to_string().contains("no policy is about the resource `contact`"), "{report}");
}

#[test]
fn what_the_other_profile_would_have_said_is_found() {
    let err = when("R.attr.missing == 1");
    let set = with(&(rule("ALLOW", "a", "") + &rule("DENY", "a", &err) + &rule("ALLOW", "b", &err)));
    let found = |groups: &[&str]| {
        let (word, seen) = Ask::new("GET /c/u-1").of(&set, &user("u-1", groups));
        (word, seen.other_profile, seen.rule.map(|rule| rule.to_string()))
    };
    let rule = |nth| Some(format!("resource.contact.vdefault#rule-00{nth}"));
    assert_eq!(found(&["a"]), ("evaluation_error".to_owned(), Some("allow"), rule(2)));
    assert_eq!(found(&["b"]), ("evaluation_error".to_owned(), None, rule(3)), "0.51 grants nothing either");
}

const OWNERS: &str = "apiVersion: api.cerbos.dev/v1
derivedRoles:
  name: owners
  definitions:
  - { name: owner, parentRoles: [user, anonymous], condition: { match: { expr: R.attr.owner == P.id } } }
";
const OF_OWNERS: &str = "apiVersion: api.cerbos.dev/v1
resourcePolicy:
  version: default
  resource: contact
  importDerivedRoles: [owners]
  rules:
  - { actions: [read], effect: EFFECT_ALLOW, derivedRoles: [owner] }
";

#[test]
fn derived_roles_are_looked_into_by_the_gateway() {
    let files = |route: &str| {
        [file("routes.yaml", &routes_file(route)), file("owners.yaml", OWNERS), file("contact.yaml", OF_OWNERS)]
    };
    let in_body = "- { id: c, path: /c, resource: { kind: contact, attributes: { owner: { body: /owner } } }, actions: { PUT: read } }";
    let (set, report) = compile(&files(in_body));
    assert!(report.to_string().contains("warning[P101]"), "a derived role compares what the client claims: {report}");
    let set = set.unwrap();
    assert_eq!(set.routes()[0].authentication, Authentication::Optional, "one of its parents is `anonymous`");
    let of = |body| Ask::new("PUT /c").body(body).of(&set, &user("u-1", &["user"])).0;
    assert_eq!(ask(&set, &user("u-1", &["user"]), "PUT /c"), "needs_body");
    assert_eq!(ask(&set, &user("u-1", &["other"]), "PUT /c"), "no_rule", "denied without reading the body");
    assert_eq!(of(json!({"owner": "u-1"})), "allow resource.contact.vdefault#rule-001");
    assert_eq!(of(json!({"owner": "u-2"})), "no_rule");
    assert_eq!(of(json!({})), "evaluation_error");
}

#[test]
fn principal_and_role_policies_decide_in_the_gateway() {
    let role = "apiVersion: api.cerbos.dev/v1\nrolePolicy:\n  role: clerk\n  parentRoles: [b]\n  rules:\n  - { resource: contact, allowActions: [read] }\n";
    let principal = "apiVersion: api.cerbos.dev/v1\nprincipalPolicy:\n  principal: u-9\n  version: default\n  rules:\n  - resource: contact\n    actions: [ { action: read, effect: EFFECT_DENY } ]\n";
    let acme = [
        file("role.yaml", &role.replace("role: clerk", "role: clerk\n  scope: acme")),
        file("principal.yaml", principal),
    ];
    let set = of_tenants("{ path: tenant }", &acme);
    let b = |id| user(id, &["b"]);
    assert!(ask(&set, &user("u-1", &["clerk"]), "GET /c/acme").starts_with("allow "));
    assert!(ask(&set, &b("u-1"), "GET /c/acme").starts_with("allow "));
    assert_eq!(ask(&set, &b("u-9"), "GET /c/acme"), "explicit_deny");
    let (_, seen) = Ask::new("GET /c/acme").of(&set, &b("u-9"));
    assert_eq!(seen.rule.unwrap().as_str(), "principal.u_9.vdefault#contact_rule-001");
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
