//! Whatever the files hold, reading and linking them ends, soon, and without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// Pieces that policies are made of.
const PIECES: [&str; 44] = [
    "apiVersion: api.cerbos.dev/v1\n",
    "resourcePolicy:\n  resource: a\n  version: default\n",
    "principalPolicy:\n  principal: a\n  version: default\n",
    "rolePolicy:\n  role: a\n",
    "derivedRoles:\n  name: a\n  definitions:\n",
    "exportVariables:\n  name: a\n  definitions:\n",
    "exportConstants:\n  name: a\n  definitions:\n",
    "  rules:\n",
    "  - actions: [read, 'a:*']\n",
    "    effect: EFFECT_ALLOW\n",
    "    roles: [a, '*']\n",
    "    derivedRoles: [a]\n",
    "    condition: { match: { expr: V.a == C.a } }\n",
    "    condition:\n      match:\n        all:\n          of:\n",
    "          - expr: R.attr.a\n",
    "    output: { when: { ruleActivated: V.b } }\n",
    "    name: a\n",
    "    parentRoles: [a]\n",
    "  importDerivedRoles: [a]\n",
    "  variables:\n    import: [a]\n    local:\n",
    "      a: V.b\n",
    "      b: V.a + 1\n",
    "      'null': '1'\n",
    "  constants: { local: { a: 1, b: [x] }, import: [a] }\n",
    "    a: V.a\n",
    "    b: 1\n",
    "  schemas: { principalSchema: { ref: 'cerbos:///a.json', ignoreWhen: { actions: ['*'] } } }\n",
    "  scope: a.b\n",
    "  scopePermissions: SCOPE_PERMISSIONS_REQUIRE_PARENTAL_CONSENT_FOR_ALLOWS\n",
    "  - resource: a\n",
    "    allowActions: [a]\n",
    "    actions:\n",
    "      - { action: a, effect: EFFECT_DENY }\n",
    "variables: { a: '1' }\n",
    "disabled: false\n",
    "metadata: { annotations: { a: b } }\n",
    "  version: 1\n",
    "null\n",
    "~\n",
    "---\n",
    "&a [*a]\n",
    "  - name: a\n",
    "{",
    "\u{1}",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "[ -~\n]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_files_are_read_and_linked_without_a_panic(files in prop::collection::vec(prop::collection::vec(piece(), 0..14), 1..4)) {
        let texts: Vec<String> = files.iter().map(|pieces| pieces.concat()).collect();
        let files: Vec<_> = texts.iter().map(|text| ("a.yaml", text.as_str())).collect();
        told(&files);
    }
}

#[test]
fn what_many_policies_import_is_bounded_in_all() {
    let names: Vec<_> = (0..20_000).map(|number| format!("    v{number}: '1'\n")).collect();
    let export = format!("exportConstants:\n  name: all\n  definitions:\n{}", names.concat());
    let texts: Vec<String> = (0..200)
        .map(|number| {
            format!("resourcePolicy:\n  resource: r{number}\n  version: default\n  constants: {{ import: [all] }}\n")
        })
        .collect();
    let mut files: Vec<_> = texts.iter().map(|text| ("r.yaml", text.as_str())).collect();
    files.push(("e.yaml", &export));
    let start = Instant::now();
    assert!(told(&files).contains("policies import more than 1000000 definitions in all"));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_long_chain_of_variables_is_linked_in_order() {
    let names: Vec<_> = (0..300).map(|number| format!("      v{number}: V.v{}\n", number + 1)).collect();
    let text = format!(
        "resourcePolicy:\n  resource: r\n  version: default\n  variables:\n    local:\n{}      v300: '1'\n  rules:\n  - {{ actions: [a], roles: [a], effect: EFFECT_ALLOW, condition: {{ match: {{ expr: V.v0 == 1 }} }} }}\n",
        names.concat()
    );
    let files = [SourceFile { name: "r.yaml".into(), text: format!("apiVersion: api.cerbos.dev/v1\n{text}") }];
    let (environment, schemas) = (Environment::cerbos(), Schemas::default());
    let linking = Linking { environment: &environment, schemas: &schemas, schemas_enforced: true };
    let (policies, report) = linked(&files, &linking);
    assert!(report.is_empty(), "{report}");
    let names: Vec<_> = policies.resources[0].envelope.parameters.variables.iter().map(|each| &*each.name).collect();
    let wanted: Vec<_> = (0..=300).rev().map(|number| format!("v{number}")).collect();
    assert_eq!(names, wanted);
}

#[test]
fn a_scope_has_only_so_many_levels() {
    let scope = ["a"; 65].join(".");
    let text = format!("resourcePolicy:\n  resource: r\n  version: default\n  scope: {scope}\n");
    assert!(told(&[("r.yaml", &text)]).contains("the scope has more than 64 levels"));
}

#[test]
fn a_dot_alone_is_no_scope() {
    let text = |scope: &str| format!("resourcePolicy:\n  resource: r\n  version: default\n  scope: '{scope}'\n");
    for (scope, refusal) in
        [("", ""), (".", "`.` is not a scope"), ("..", "`..` is not a scope"), ("a.", "`a.` is not a scope")]
    {
        let told = told(&[("r.yaml", &text(scope))]);
        assert!(if refusal.is_empty() { told.is_empty() } else { told.contains(refusal) }, "`{scope}`: {told}");
    }
}
