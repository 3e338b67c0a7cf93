use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::{
    policy::cerbos::{ActionResult, Effect, Output},
    token::ProviderId,
};

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

fn folder(suite: &str, fixtures: &[(&str, &str)]) -> TestFolder {
    let fixtures = fixtures.iter().map(|(name, text)| file(&format!("p/testdata/{name}"), text)).collect();
    TestFolder { suites: vec![file("p/a_test.yaml", suite)], fixtures }
}

fn vocabulary() -> (Vec<ProviderId>, Vec<&'static str>) {
    (vec![ProviderId::new("main"), ProviderId::new("partner")], vec!["no_route", "not_owner"])
}

fn read(folder: &TestFolder) -> Result<Suites<'_>, Report> {
    let (providers, denials) = vocabulary();
    Suites::read(std::slice::from_ref(folder), Vocabulary { providers: &providers, denials: &denials })
}

/// Lets everybody read, owners do all, and says who asked and what it was told besides.
fn engine(overrides: &Overrides) -> Result<Engine, String> {
    if overrides.default_scope.as_ref() == "broken" {
        return Err("there is no such engine".to_owned());
    }
    let overrides = overrides.clone();
    Ok(Arc::new(move |input, now| {
        let owns = input.resource.attributes.get("owner").and_then(|owner| owner.as_str()) == Some(input.principal.id);
        let actions = input.actions.iter().map(|action| {
            let is_allowed = owns || &**action == "read";
            let result = ActionResult {
                effect: if is_allowed { Effect::Allow } else { Effect::Deny },
                policy: "resource.album.vdefault".into(),
                scope: "".into(),
                rule: is_allowed.then(|| "rule-001".into()),
                errs: false,
                disputed: false,
            };
            (action.clone(), result)
        });
        let put = |source: &str, action: &str, value| Output { source: source.into(), action: action.into(), value };
        let told = serde_json::json!({
            "now": now.map(|now| now.time.seconds()),
            "claims": input.claims,
            "globals": overrides.globals,
            "roles": input.principal.roles,
        });
        let outputs = vec![
            put("p#told", "read", Some(told)),
            put("p#number", "read", Some(1.into())),
            put("p#none", "read", None),
        ];
        Ok(CheckOutput { actions: actions.collect(), outputs, ..CheckOutput::default() })
    }))
}

fn run_with(folder: &TestFolder, filter: Option<&str>) -> Results {
    let suites = read(folder).unwrap_or_else(|report| panic!("{report}"));
    let request = |case: &RequestCase| match &case.credential {
        CaseCredential::Absent => Answer::Denied { code: "no_route", status: 404 },
        CaseCredential::Token(_) => Answer::Preflight,
        CaseCredential::Claims { provider, claims } => Answer::Allowed {
            route: format!("r{provider}"),
            rule: format!("r{provider}/{}", claims.keys().cloned().collect::<String>()),
        },
    };
    suites.run(&Asking { engine: &engine, request: &request, filter })
}

fn check(suite: &str, fixtures: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&text(&run_with(&folder(suite, fixtures), None)));
}

/// What is wrong with a suite, one line each.
fn faults(suite: &str, fixtures: &[(&str, &str)], expected: Expect) {
    let folder = folder(suite, fixtures);
    let report = read(&folder).expect_err("it should not be read");
    let mut told = String::new();
    for finding in report.findings() {
        let (line, column) = (finding.line.unwrap_or(0), finding.column.unwrap_or(0));
        let _ = writeln!(
            told,
            "{} {}:{line}:{column} {}: {}",
            finding.code, finding.file, finding.pointer, finding.message
        );
    }
    expected.assert_eq(&told);
}

const PRINCIPALS: &str = "principals:
  ada: &user { id: u-1, roles: [user], attr: { a: 1 } }
  eve: { <<: *user, id: u-2 }
principalGroups: { all: { principals: [eve, ada] } }
";
const RESOURCES: &str = r#"{ "resources": { "album": { "kind": "album", "id": "a-1", "attr": { "owner": "u-1" } } } }"#;

#[test]
fn each_principal_resource_and_action_is_a_case_and_what_is_not_expected_is_denied() {
    check(
        "name: Albums
tests:
  - name: who does what
    input: { principalGroups: [all], resources: [album], actions: [read, drop] }
    expected:
      - { principal: ada, resource: album, actions: { read: EFFECT_ALLOW, drop: EFFECT_DENY } }
",
        &[("principals.yml", PRINCIPALS), ("resources.json", RESOURCES)],
        expect![[r"
            test Albums / who does what / eve / album / read ... FAILED
            test Albums / who does what / eve / album / drop ... ok
            test Albums / who does what / ada / album / read ... ok
            test Albums / who does what / ada / album / drop ... FAILED

            failures:

            ---- Albums / who does what / eve / album / read ----
              effect: expected EFFECT_DENY, got EFFECT_ALLOW, by resource.album.vdefault#rule-001
              --> p/a_test.yaml:3:5

            ---- Albums / who does what / ada / album / drop ----
              effect: expected EFFECT_DENY, got EFFECT_ALLOW, by resource.album.vdefault#rule-001
              --> p/a_test.yaml:3:5

            test result: FAILED. 4 cases: 2 passed, 2 failed"]],
    );
}

#[test]
fn a_suite_has_its_own_fixtures_over_those_of_its_folder() {
    check(
        "name: Albums
principals: { ada: { id: u-9, roles: [user] } }
tests:
  - name: own
    input: { principals: [ada], resources: [album], actions: [drop] }
    expected: [ { principal: ada, resource: album, actions: { drop: EFFECT_ALLOW } } ]
",
        &[("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)],
        expect![[r"
            test Albums / own / ada / album / drop ... FAILED

            failures:

            ---- Albums / own / ada / album / drop ----
              effect: expected EFFECT_ALLOW, got EFFECT_DENY, by resource.album.vdefault
              --> p/a_test.yaml:4:5

            test result: FAILED. 1 cases: 0 passed, 1 failed"]],
    );
}

#[test]
fn outputs_are_compared_by_source_with_numbers_as_doubles_and_options_reach_the_engine() {
    check(
        r#"name: Outputs
options: { now: "2022-08-02T15:00:00Z", globals: { g: 1 } }
auxData: { token: { jwt: { iss: x } } }
principals: { ada: { id: u-1, roles: [user, admin] } }
resources: { album: { kind: album, id: a-1 } }
tests:
  - name: same
    input: { principals: [ada], resources: [album], actions: [read], auxData: token }
    expected:
      - principal: ada
        resource: album
        actions: { read: EFFECT_ALLOW }
        outputs:
          - action: read
            expected:
              - { src: p#number, val: 1.0 }
              - { src: p#none }
              - src: p#told
                val: { now: 1659452400, claims: { iss: x }, globals: { g: 1 }, roles: [user, admin] }
  - name: other options replace those of the suite
    options: { lenientScopeSearch: true }
    input: { principals: [ada], resources: [album], actions: [read] }
    expected:
      - principal: ada
        resource: album
        actions: { read: EFFECT_ALLOW }
        outputs:
          - action: read
            expected:
              - { src: p#number, val: "1" }
              - { src: p#none, val: null }
              - { src: p#missing, val: 1 }
              - src: p#told
                val: { now: null, claims: null, globals: {}, roles: [user, admin] }
  - name: no engine
    options: { defaultScope: broken }
    input: { principals: [ada], resources: [album], actions: [read] }
    expected: [ { principal: ada, resource: album, actions: { read: EFFECT_ALLOW } } ]
"#,
        &[],
        expect![[r#"
            test Outputs / same / ada / album / read ... ok
            test Outputs / other options replace those of the suite / ada / album / read ... FAILED
            test Outputs / no engine / ada / album / read ... ERROR

            failures:

            ---- Outputs / other options replace those of the suite / ada / album / read ----
              output `p#missing`: expected 1, got no such output
              output `p#none`: expected null, got no value
              output `p#number`: expected "1", got 1
              --> p/a_test.yaml:20:5

            ---- Outputs / no engine / ada / album / read ----
              there is no such engine
              --> p/a_test.yaml:35:5

            test result: FAILED. 3 cases: 1 passed, 1 failed, 1 could not be run"#]],
    );
}

#[test]
fn what_is_skipped_says_so_and_is_not_asked() {
    let one = "input: { principals: [ada], resources: [album], actions: [drop] }
    expected: [ { principal: ada, resource: album, actions: { drop: EFFECT_DENY } } ]";
    let fixtures = [("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)];
    let test = format!("tests:\n  - name: t\n    skip: true\n    skipReason: not yet\n    {one}\n");
    check(
        &format!("name: Albums\n{test}"),
        &fixtures,
        expect![[r"
            test Albums / t / ada / album / drop ... skipped: not yet

            test result: ok. 1 cases: 0 passed, 0 failed, 1 skipped"]],
    );
    // A suite that is skipped may name what there is not.
    check(
        &format!("name: Albums\nskip: true\n{}", test.replace("ada", "nobody")),
        &fixtures,
        expect![[r"
            suite Albums ... skipped

            test result: ok. 0 cases: 0 passed, 0 failed; 1 suites skipped"]],
    );
}

#[test]
fn a_filter_takes_cases_by_their_printed_name() {
    let suite = "name: Albums
tests:
  - name: t
    input: { principals: [ada, eve], resources: [album], actions: [read, drop] }
    expected: [ { principals: [ada, eve], resource: album, actions: { read: EFFECT_ALLOW } } ]
";
    let folder = folder(suite, &[("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)]);
    let results = run_with(&folder, Some("eve / album / read"));
    assert_eq!((results.counts().passed, results.filtered, results.is_good()), (1, 3, true));
    let results = run_with(&folder, Some("nothing"));
    assert_eq!((results.counts(), results.filtered), (Counts::default(), 4));
}

#[test]
fn everything_that_is_wrong_with_a_suite_is_told_with_its_place() {
    faults(
        "name: Albums
colour: red
options: { now: yesterday }
principals: { bob: { id: u-3, roles: [], scope: 'a..b', policyVersion: v-1 } }
principalGroups: { g: { principals: [bob, nobody] } }
tests:
  - name: t
    input: { principals: [bob, bob], resources: [], actions: [read] }
    expected: [ { principal: bob, resource: album, actions: { read: EFFECT_NO_MATCH } } ]
  - name: t
    input: { principals: [eve], resources: [album], actions: [read], auxData: token }
    expected:
      - { principal: eve, principals: [eve], resource: album, actions: { read: EFFECT_ALLOW } }
      - { principal: eve, actions: { drop: EFFECT_ALLOW } }
",
        &[("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)],
        expect![[r#"
            Y004 p/a_test.yaml:4:38 principals.bob.roles: the list is empty
            S009 p/a_test.yaml:4:72 principals.bob.policyVersion: `v-1` is not a policy version
            S009 p/a_test.yaml:4:49 principals.bob.scope: `a..b` is not a scope
            S008 p/a_test.yaml:3:17 options.now: `yesterday` is not a moment
            Y007 p/a_test.yaml:2:9 colour: unknown key `colour`
            S003 p/a_test.yaml:10:5 tests[1]: there is a test `t` already
            S001 p/a_test.yaml:8:32 tests[0].input.principals[1]: `bob` stands twice in the list
            S007 p/a_test.yaml:8:12 tests[0].input: there are no `resources` here
            S007 p/a_test.yaml:13:9 tests[1].expected[0]: there are both `principal` and `principals` here
            S007 p/a_test.yaml:14:9 tests[1].expected[1]: there are no `resources` here
            S005 p/a_test.yaml:14:36 tests[1].expected[1].actions: the action `drop` is not in `input.actions`
        "#]],
    );
    faults(
        "name: Albums
tests:
  - name: t
    input: { principals: [ada], resources: [album, missing], actions: [read] }
    expected:
      - { principal: ada, resource: album, actions: { read: EFFECT_ALLOW } }
      - { principal: ada, resource: album, actions: { read: EFFECT_DENY } }
  - name: u
    input: { principals: [ada], resources: [album], actions: [read] }
    expected: [ { principal: eve, resource: album, actions: { read: EFFECT_ALLOW } } ]
  - name: v
    input: { principals: [ada], resources: [album, missing], actions: [read] }
    expected: [ { principal: ada, resource: album, actions: { read: EFFECT_ALLOW } } ]
",
        &[("principals.yaml", PRINCIPALS), ("principals.json", PRINCIPALS), ("resources.yaml", RESOURCES)],
        expect![[r#"
            S010 p/testdata/principals.json:1:1 : there is another file with `principals` in the folder
            S006 p/a_test.yaml:7:9 tests[0].expected[1]: something else is expected of the same principal, resource and action already
            S005 p/a_test.yaml:10:17 tests[1].expected[0]: `eve` and `album` are not both in `input`
            S004 p/a_test.yaml:12:12 tests[2].input: there is no resource `missing`
        "#]],
    );
}

#[test]
fn tests_that_multiply_beyond_the_bound_are_refused_before_they_are_made() {
    let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>().join(", ");
    let suite = format!(
        "name: Many\ntests:\n  - name: t\n    input: {{ principals: [ada], resources: [album], actions: [{}] }}\n    expected: [ {{ principal: ada, resource: album, actions: {{ n1: EFFECT_DENY }} }} ]\n",
        names(MOST_CASES + 1)
    );
    let fixtures = [("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)];
    faults(
        &suite,
        &fixtures,
        expect![[r#"
        S014 p/a_test.yaml:3:5 tests[0]: there are more than 20000 cases in all, or ten times as many expectations
    "#]],
    );
    let (many, wide) = (names(3_000), "principals: [%], resources: [%], actions: [%]");
    let suite = format!(
        "name: Many\ntests:\n  - name: t\n    input: {{ {} }}\n    expected: [ {{ {}, actions: {{ n1: EFFECT_DENY }} }} ]\n",
        wide.replace('%', &many),
        wide.replace(", actions: [%]", "").replace('%', &many)
    );
    faults(
        &suite,
        &fixtures,
        expect![[r#"
        S014 p/a_test.yaml:5:17 tests[0].expected[0]: there are more than 20000 cases in all, or ten times as many expectations
    "#]],
    );
}

#[test]
fn ten_thousand_cases_end() {
    let names = (0..10_000).map(|n| format!("n{n}")).collect::<Vec<_>>().join(", ");
    let suite = format!(
        "name: Many\ntests:\n  - name: t\n    input: {{ principals: [eve], resources: [album], actions: [{names}] }}\n    expected: [ {{ principal: eve, resource: album, actions: {{ n1: EFFECT_DENY }} }} ]\n",
    );
    let results = run_with(&folder(&suite, &[("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)]), None);
    assert_eq!(results.counts().passed, 10_000);
}

const CASES: &str = "apiVersion: cogward/v1
cases:
  - name: anonymous
    request: GET /a?b=c
    expect: { deny: no_route }
  - name: signed in
    request: PUT /a
    headers: { X-A: b, X-B: [c, d] }
    client_ip: 192.0.2.7
    body: { owner: u-1 }
    provider: partner
    claims: { sub: u-1, exp: null }
    expect: { allow: r1/expsub }
  - name: the route will do
    request: GET /a
    claims: { sub: u-1 }
    expect: { allow: r0 }
  - name: by status
    request: GET /a
    expect: { status: 404 }
  - name: a preflight
    request: OPTIONS /a
    token: x.y.z
    expect: { status: 204 }
  - name: wrong
    request: GET /a
    claims: { sub: u-1 }
    expect: { deny: not_owner }
  - { name: later, request: GET /a, expect: { status: 403 }, skip: true }
";

#[test]
fn http_cases_are_asked_with_who_asks_and_compared_by_what_they_state() {
    check(
        CASES,
        &[],
        expect![[r#"
        test a_test.yaml / anonymous / GET /a?b=c ... ok
        test a_test.yaml / signed in / PUT /a ... ok
        test a_test.yaml / the route will do / GET /a ... ok
        test a_test.yaml / by status / GET /a ... ok
        test a_test.yaml / a preflight / OPTIONS /a ... ok
        test a_test.yaml / wrong / GET /a ... FAILED
        test a_test.yaml / later / GET /a ... skipped

        failures:

        ---- a_test.yaml / wrong / GET /a ----
          answer: expected deny: not_owner, got allow: r0, by r0/sub
          --> p/a_test.yaml:25:5

        test result: FAILED. 7 cases: 5 passed, 1 failed, 1 skipped"#]],
    );
}

#[test]
fn everything_that_is_wrong_with_http_cases_is_told_with_its_place() {
    faults(
        "apiVersion: cogward/v1
cases:
  - { name: a, request: GET, expect: { status: 200 } }
  - { name: b, request: GET /a b, expect: { deny: whatever } }
  - { name: c, request: GET /, claims: { sub: a }, token: x, expect: { allow: a, status: 403 } }
  - { name: d, request: GET /, provider: main, expect: {} }
  - { name: e, request: GET /, provider: other, claims: { sub: a }, headers: { 'a b': c, d: \"x\\ny\" }, expect: { status: 403 }, now: 1 }
",
        &[],
        expect![[r#"
            S011 p/a_test.yaml:3:25 cases[0].request: `GET` is not a request
            S013 p/a_test.yaml:3:48 cases[0].expect.status: the gateway never answers 200 by itself
            S011 p/a_test.yaml:4:25 cases[1].request: `GET /a b` is not a request
            S013 p/a_test.yaml:4:51 cases[1].expect.deny: nothing is denied with `whatever`
            S012 p/a_test.yaml:5:59 cases[2].token: the case has claims and a token
            S013 p/a_test.yaml:5:70 cases[2].expect: a case expects one thing
            S012 p/a_test.yaml:6:42 cases[3].provider: there are no claims for the provider
            Y004 p/a_test.yaml:6:56 cases[3].expect: the map is empty
            S011 p/a_test.yaml:7:87 cases[4].headers.a b: `a b` is not a header that a request can have
            S011 p/a_test.yaml:7:93 cases[4].headers.d: `d` is not a header that a request can have
            S004 p/a_test.yaml:7:42 cases[4].provider: there is no provider `other`
            Y003 p/a_test.yaml:7:133 cases[4].now: expected a string, found a number
        "#]],
    );
}

/// A test of every result, with names that need care.
const TOLD: &str = "name: 'A & <B>'
tests:
  - name: \"it's \\e[31m\"
    input: { principals: [ada], resources: [album], actions: [read, drop] }
    expected: [ { principal: ada, resource: album, actions: { drop: EFFECT_ALLOW } } ]
  - name: later
    skip: true
    skipReason: '\"soon\"'
    input: { principals: [ada], resources: [album], actions: [read] }
    expected: [ { principal: ada, resource: album, actions: { read: EFFECT_ALLOW } } ]
  - name: broken
    options: { defaultScope: broken }
    input: { principals: [ada], resources: [album], actions: [read] }
    expected: [ { principal: ada, resource: album, actions: { read: EFFECT_ALLOW } } ]
";

fn told() -> Results {
    run_with(&folder(TOLD, &[("principals.yaml", PRINCIPALS), ("resources.yaml", RESOURCES)]), None)
}

#[test]
fn results_are_told_to_build_servers() {
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="cogward" tests="4" failures="1" errors="1" skipped="1">
          <testsuite name="A &amp; &lt;B&gt;" file="p/a_test.yaml" tests="4" failures="1" errors="1" skipped="1">
            <testcase name="it's �[31m / ada / album / read" classname="A &amp; &lt;B&gt;" file="p/a_test.yaml" line="3"><failure message="effect: expected EFFECT_DENY, got EFFECT_ALLOW, by resource.album.vdefault#rule-001"/></testcase>
            <testcase name="it's �[31m / ada / album / drop" classname="A &amp; &lt;B&gt;" file="p/a_test.yaml"/>
            <testcase name="later / ada / album / read" classname="A &amp; &lt;B&gt;" file="p/a_test.yaml"><skipped message="&quot;soon&quot;"/></testcase>
            <testcase name="broken / ada / album / read" classname="A &amp; &lt;B&gt;" file="p/a_test.yaml" line="11"><error message="there is no such engine"/></testcase>
          </testsuite>
        </testsuites>
    "#]].assert_eq(&junit(&told()));
}

const TOLD_AS_JSON: &str = r#"{
  "passed": false,
  "suites": [
    {
      "cases": [
        {
          "action": "read",
          "column": 5,
          "differences": [
            {
              "expected": "EFFECT_DENY",
              "got": "EFFECT_ALLOW, by resource.album.vdefault#rule-001",
              "what": "effect"
            }
          ],
          "line": 3,
          "principal": "ada",
          "resource": "album",
          "result": "failed",
          "test": "it's \u001b[31m"
        },
        {
          "action": "drop",
          "principal": "ada",
          "resource": "album",
          "result": "passed",
          "test": "it's \u001b[31m"
        },
        {
          "action": "read",
          "principal": "ada",
          "reason": "\"soon\"",
          "resource": "album",
          "result": "skipped",
          "test": "later"
        },
        {
          "action": "read",
          "column": 5,
          "line": 11,
          "principal": "ada",
          "reason": "there is no such engine",
          "resource": "album",
          "result": "errored",
          "test": "broken"
        }
      ],
      "file": "p/a_test.yaml",
      "name": "A & <B>"
    }
  ],
  "summary": {
    "cases": 4,
    "errored": 1,
    "failed": 1,
    "filtered": 0,
    "passed": 1,
    "skipped": 1
  }
}"#;

#[test]
fn results_are_told_to_programs() {
    assert_eq!(serde_json::to_string_pretty(&json(&told())).unwrap(), TOLD_AS_JSON);
}

#[test]
fn results_are_told_as_findings() {
    expect![[r#"
        error[S015]: the test `A & <B> / it's \u{1b}[31m / ada / album / read` failed: effect: expected EFFECT_DENY, got EFFECT_ALLOW, by resource.album.vdefault#rule-001
          --> p/a_test.yaml:3:5
          help: correct the policy or the test; `cogward test` runs the same tests

        error[S016]: the test `A & <B> / broken / ada / album / read` could not be run: there is no such engine
          --> p/a_test.yaml:11:5
          help: correct the policy or the test; `cogward test` runs the same tests"#]].assert_eq(&told().findings().to_string());
}
