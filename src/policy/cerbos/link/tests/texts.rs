//! What the authors of policies are told.

use expect_test::{Expect, expect};

use super::*;

fn check(files: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&told(files));
}

const ROLES: &str = "derivedRoles:\n  name: roles\n  definitions:\n  - { name: owner, parentRoles: [user], condition: { match: { expr: R.attr.owner == P.id } } }\n";

fn policy(more: &str) -> String {
    format!("resourcePolicy:\n  resource: contact\n  version: default\n{more}")
}

#[test]
fn every_kind_of_file_is_read_in_both_spellings() {
    let files = [
        ("a.yaml", policy("  import_derived_roles: [roles]\n  scope_permissions: 1\n  scope:\n  schemas: { principal_schema: { ref: 'cerbos:///a.json', ignore_when: { actions: ['a*'] } } }\n  rules:\n  - { actions: [1, true], derived_roles: [owner], effect: 1, output: { when: { rule_activated: P.id, condition_not_met: P.id } } }\n")),
        ("b.yaml", "principal_policy: { principal: 7, version: 1, rules: [ { resource: '*', actions: [ { action: '*', effect: EFFECT_DENY } ] } ] }\n".to_owned()),
        ("c.yaml", "role_policy: { role: a, parent_roles: [b], rules: [ { resource: 'a:*', allow_actions: [read] } ] }\n".to_owned()),
        ("d.yaml", "export_variables: { name: a }\n".to_owned()),
        ("e.yaml", "export_constants: { name: a, definitions: { x: { y: null } } }\n".to_owned()),
        ("f.yaml", ROLES.replace("derivedRoles", "derived_roles").replace("parentRoles", "parent_roles")),
        ("g.yaml", "disabled: true\nresourcePolicy: nonsense\n".to_owned()),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    check(&files, &expect![""]);
}

#[test]
fn what_is_no_policy_file_is_told() {
    check(
        &[("a.yaml", "description: nothing\n")],
        &expect![[r#"
        error[P023]: the file holds no policy
          --> a.yaml:1:1
          help: write one of `resourcePolicy`, `principalPolicy`, `rolePolicy`, `derivedRoles`, `exportVariables`, `exportConstants`"#]],
    );
    check(
        &[("a.yaml", "resourcePolicy: { resource: a, version: default }\nderivedRoles: { name: a }\nextra: 1\n")],
        &expect![[r#"
            error[Y007]: unknown key `extra`
              --> a.yaml:4:8  (extra)
              help: known keys are: apiVersion, api_version, description, $schema, disabled, metadata, variables, resourcePolicy, resource_policy, principalPolicy, principal_policy, rolePolicy, role_policy, derivedRoles, derived_roles, exportVariables, export_variables, exportConstants, export_constants

            error[P023]: `derivedRoles` stands beside another policy
              --> a.yaml:3:15  (derivedRoles)
              help: a file holds one policy"#]],
    );
    check(
        &[("a.yaml", "variables: { a: '1' }\nexportVariables: { name: a }\n")],
        &expect![[r#"
        error[P023]: `variables` cannot stand beside `exportVariables`
          --> a.yaml:2:12  (variables)
          help: define them inside"#]],
    );
    check(
        &[("a.yaml", "resourcePolicy: { resource: a, version: default, scope: a, rules: null, variables: null }\n")],
        &expect![[r#"
            error[Y004]: `variables` is empty
              --> a.yaml:2:84  (resourcePolicy.variables)
              help: fill it or leave the key out

            error[Y004]: `rules` is empty
              --> a.yaml:2:67  (resourcePolicy.rules)
              help: fill it or leave the key out

            error[P033]: the scope `a` needs the policy `resource.a.vdefault`, and there is none
              --> a.yaml:2:57  (resourcePolicy.scope)
              help: each level of a scope has a policy of its own, up to the one without a scope; a disabled one does not count"#]],
    );
    check(
        &[(
            "a.yaml",
            "rolePolicy: { role: '*', scopePermissions: SCOPE_PERMISSIONS_OVERRIDE_PARENT, variables: {}, rules: [ { resource: a } ] }\n",
        )],
        &expect![[r#"
            error[P023]: `*` is not the name of a role
              --> a.yaml:2:21  (rolePolicy.role)
              help: a name has no wildcards and no brackets; each role has a policy of its own

            error[P023]: a role policy cannot have these scope permissions
              --> a.yaml:2:44  (rolePolicy.scopePermissions)
              help: a role policy narrows what its parent roles may do, and never overrides

            error[Y007]: unknown key `variables`
              --> a.yaml:2:90  (rolePolicy.variables)
              help: known keys are: role, version, scope, scopePermissions, scope_permissions, parentRoles, parent_roles, rules

            error[Y005]: `allowActions` is missing
              --> a.yaml:2:103  (rolePolicy.rules[0])
              help: add `allowActions` here"#]],
    );
}

#[test]
fn names_that_do_not_fit_are_told() {
    check(
        &[
            (
                "a.yaml",
                "resourcePolicy: { resource: 'a*', version: a-b, scope: .a, importDerivedRoles: ['a b', r, r] }\n",
            ),
            (
                "b.yaml",
                "principalPolicy: { principal: a, version: v, rules: [ { resource: x, actions: [ { action: a, effect: 2, name: n }, { action: b, effect: 2, name: n } ] }, { resource: x, actions: [ { action: '[', effect: 3 } ] } ] }\n",
            ),
            (
                "c.yaml",
                "derivedRoles: { name: 'a b', definitions: [ { name: a, parentRoles: [a] }, { name: a, parentRoles: [] } ] }\n",
            ),
            (
                "d.yaml",
                "derivedRoles: { name: b, definitions: [ { name: a, parentRoles: [a] }, { name: a, parentRoles: [b] } ] }\n",
            ),
        ],
        &expect![[r#"
            error[P023]: `a*` is not the name of a resource
              --> a.yaml:2:29  (resourcePolicy.resource)
              help: a name has no wildcards and no brackets; each resource has a policy of its own

            error[P023]: `a-b` is not a version of policies
              --> a.yaml:2:44  (resourcePolicy.version)
              help: a version has letters, digits and `_`

            error[P023]: `.a` is not a scope
              --> a.yaml:2:56  (resourcePolicy.scope)
              help: a scope is levels with a dot between them, as in `acme.hr.uk`

            error[P023]: `r` is named twice
              --> a.yaml:2:91  (resourcePolicy.importDerivedRoles[2])
              help: keep one of them

            error[P023]: `a b` is not a name
              --> a.yaml:2:81  (resourcePolicy.importDerivedRoles[0])
              help: a name here has letters, digits, `_`, `-` and `.`

            error[P003]: there is a rule `n` already
              --> b.yaml:2:146  (principalPolicy.rules[0].actions[1].name)
              help: give each rule a name of its own, or none

            error[P003]: the resource `x` has rules already
              --> b.yaml:2:167  (principalPolicy.rules[1].resource)
              help: put its actions into one list

            error[P023]: the pattern does not hold together: a bracket or a brace is left open, or it is too long
              --> b.yaml:2:191  (principalPolicy.rules[1].actions[0].action)
              help: close it, or put a backslash before it

            error[P017]: the number is not known here
              --> b.yaml:2:204  (principalPolicy.rules[1].actions[0].effect)
              help: write `EFFECT_ALLOW` or `EFFECT_DENY`

            error[P023]: `a b` is not a name
              --> c.yaml:2:23  (derivedRoles.name)
              help: a name here has letters, digits, `_`, `-` and `.`

            error[Y004]: the list is empty
              --> c.yaml:2:100  (derivedRoles.definitions[1].parentRoles)
              help: fill it or leave the key out

            error[P003]: the derived role `a` is defined twice
              --> c.yaml:2:84  (derivedRoles.definitions[1].name)
              help: give it another name, or join the two with `any`

            error[P003]: the derived role `a` is defined twice
              --> d.yaml:2:80  (derivedRoles.definitions[1].name)
              help: give it another name, or join the two with `any`"#]],
    );
}

#[test]
fn policies_with_one_name_are_told() {
    let text = policy("").replace("contact", "'album:object'");
    let other = policy("").replace("contact", "album/object");
    check(
        &[("a.yaml", &text), ("b.yaml", &other)],
        &expect![[r#"
        error[P003]: there is a policy `resource.album_object.vdefault` already
          --> b.yaml:3:13  (resourcePolicy.resource)
          help: the other one is in a.yaml; names that differ only in `-`, `:`, `@` and `/` are one name"#]],
    );
}

#[test]
fn imports_that_lead_nowhere_and_scopes_without_parents_are_told() {
    let text = policy(
        "  scope: acme.hr\n  importDerivedRoles: [nowhere]\n  variables: { import: [nowhere] }\n  constants: { import: [nowhere] }\n  rules:\n  - { actions: [a], derivedRoles: [owner], effect: EFFECT_ALLOW }\n",
    );
    check(
        &[("a.yaml", &text)],
        &expect![[r#"
        error[P033]: the scope `acme.hr` needs the policy `resource.contact.vdefault/acme`, and there is none
          --> a.yaml:5:10  (resourcePolicy.scope)
          help: each level of a scope has a policy of its own, up to the one without a scope; a disabled one does not count

        error[P033]: the scope `acme.hr` needs the policy `resource.contact.vdefault`, and there is none
          --> a.yaml:5:10  (resourcePolicy.scope)
          help: each level of a scope has a policy of its own, up to the one without a scope; a disabled one does not count

        error[P026]: there are no constants `nowhere` to import
          --> a.yaml:8:25  (resourcePolicy.constants.import[0])
          help: correct the name, or add the file that defines them

        error[P026]: there are no variables `nowhere` to import
          --> a.yaml:7:25  (resourcePolicy.variables.import[0])
          help: correct the name, or add the file that defines them

        error[P026]: there are no derived roles `nowhere` to import
          --> a.yaml:6:24  (resourcePolicy.importDerivedRoles[0])
          help: correct the name, or add the file that defines them

        error[P027]: the derived role `owner` is not defined in any import
          --> a.yaml:10:36  (resourcePolicy.rules[0].derivedRoles[0])
          help: name the set that defines it under `importDerivedRoles`, or correct the name"#]],
    );
    let text = policy(
        "  importDerivedRoles: [roles, other]\n  rules:\n  - { actions: [a], derivedRoles: [owner], effect: EFFECT_ALLOW }\n",
    );
    check(
        &[("a.yaml", &text), ("b.yaml", ROLES), ("c.yaml", &ROLES.replace("name: roles", "name: other"))],
        &expect![[r#"
            error[P028]: the derived role `owner` is defined in more than one import: b.yaml (as `roles`), c.yaml (as `other`)
              --> a.yaml:7:36  (resourcePolicy.rules[0].derivedRoles[0])
              help: import one of them, or give one another name"#]],
    );
}

#[test]
fn variables_are_told_where_they_go_wrong() {
    let text = policy(
        "  constants: { import: [x], local: { c: 1, in: 2 } }\n  variables:\n    import: [x]\n    local: { a: V.b, b: V.a, c: V.c, d: P.nope, e: C.nope, f: V.x }\n  rules:\n  - { actions: [a], roles: [a], effect: EFFECT_ALLOW, condition: { match: { expr: V.nope && has(C.nope) } }, output: { when: { ruleActivated: '1 +' } } }\n",
    );
    check(
        &[
            ("a.yaml", &text),
            ("b.yaml", "exportVariables: { name: x, definitions: { f: '1', x: C.y } }\n"),
            ("c.yaml", "exportConstants: { name: x, definitions: { c: 1 } }\n"),
            (
                "d.yaml",
                "rolePolicy: { role: a, rules: [ { resource: a, allowActions: [a], condition: { match: { expr: V.x } } } ] }\n",
            ),
        ],
        &expect![[r#"
            error[P031]: `in` is a reserved word, and cannot name a constant
              --> a.yaml:5:48  (resourcePolicy.constants.local.in)
              help: give it another name

            error[P029]: the constant `c` is defined in c.yaml (exportConstants.definitions.c) and in a.yaml (resourcePolicy.constants.local.c)
              --> a.yaml:5:41  (resourcePolicy.constants.local.c)
              help: keep one of them, or give one another name

            error[P029]: the variable `f` is defined in b.yaml (exportVariables.definitions.f) and in a.yaml (resourcePolicy.variables.local.f)
              --> a.yaml:8:63  (resourcePolicy.variables.local.f)
              help: keep one of them, or give one another name

            error[P032]: the variable `e` uses the constant `nope`, which is not defined
              --> a.yaml:8:52  (resourcePolicy.variables.local.e)
              help: define it under `constants`, in the policy or in a file that it imports

            error[P032]: the constant `nope` is not defined
              --> a.yaml:10:83  (resourcePolicy.rules[0].condition.match.expr)
              help: define it under `constants`, in the policy or in a file that it imports

            error[P032]: the variable `nope` is not defined
              --> a.yaml:10:83  (resourcePolicy.rules[0].condition.match.expr)
              help: define it under `variables`, in the policy or in a file that it imports

            error[P019]: `P` has no field `nope`, at column 3 of the condition
              --> a.yaml:8:41  (resourcePolicy.variables.local.d)
              help: did you mean `P.scope`?

            error[P030]: the variables `a`, `b` use each other
              --> a.yaml:8:17  (resourcePolicy.variables.local.a)
              help: a variable uses others that do not lead back to it

            error[P030]: the variable `c` uses itself
              --> a.yaml:8:33  (resourcePolicy.variables.local.c)
              help: a variable uses others that do not lead back to it

            error[P019]: the condition is not an expression: unexpected end, at column 4 of the condition
              --> a.yaml:10:143  (resourcePolicy.rules[0].output.when.ruleActivated)
              help: an expression is CEL, as in `R.attr.owner == P.id`

            error[P032]: the variable `x` uses the constant `y`, which is not defined
              --> b.yaml:2:55  (exportVariables.definitions.x)
              help: define it under `constants`, in the policy or in a file that it imports

            error[P032]: the variable `x` is not defined
              --> d.yaml:2:95  (rolePolicy.rules[0].condition.match.expr)
              help: define it under `variables`, in the policy or in a file that it imports"#]],
    );
}

#[test]
fn a_schema_that_cannot_be_used_is_an_error_only_where_schemas_are_enforced() {
    let text = policy(
        "  schemas: { principalSchema: { ref: 'https://example.com/a.json' }, resourceSchema: { ref: 'cerbos:///b.json' } }\n",
    );
    check(
        &[("a.yaml", &text)],
        &expect![[r#"
        error[P034]: the schema `https://example.com/a.json` cannot be used: schema https://example.com/a.json doesn't exist
          --> a.yaml:5:38  (resourcePolicy.schemas.principalSchema.ref)
          help: schemas are files in the folder `_schemas` at the root of the policies, as in `cerbos:///user.json`

        error[P034]: the schema `cerbos:///b.json` cannot be used: schema _schemas/b.json doesn't exist
          --> a.yaml:5:93  (resourcePolicy.schemas.resourceSchema.ref)
          help: schemas are files in the folder `_schemas` at the root of the policies, as in `cerbos:///user.json`"#]],
    );
    let files = [SourceFile { name: "a.yaml".into(), text: format!("apiVersion: api.cerbos.dev/v1\n{text}") }];
    let (environment, schemas) = (Environment::cerbos(), Schemas::default());
    let linking = Linking { environment: &environment, schemas: &schemas, schemas_enforced: false };
    let (policies, report) = linked(&files, &linking);
    assert!(!report.has_errors() && report.findings().len() == 2, "{report}");
    assert!(policies.resources[0].schemas.principal.is_none());
}
