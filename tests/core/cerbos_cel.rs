//! The conditions that Cerbos tests its own conditions with: `cel_eval` of the corpus.

use std::path::{Path, PathBuf};

use cogward::identity::Kind;
use cogward::policy::condition::{Condition, ConditionTree, Environment, PrincipalView, ResourceView, Scope};
use cogward::time::UnixTime;
use serde_json::{Map, Value};

/// The corpus, if it is there. It must be where tests run for a release.
fn corpus() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let root = std::env::var_os("COGWARD_CORPORA").map_or_else(beside, PathBuf::from);
    let folder = root.join("cerbos-0.51.0/cel_eval");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("COGWARD_CORPORA").is_none(), "no corpus at {}", folder.display());
    eprintln!("SKIPPED: no corpus at {}; set COGWARD_CORPORA", folder.display());
    None
}

/// A condition, and how many expressions it has.
fn tree(condition: &Value, environment: &Environment, count: &mut usize) -> ConditionTree {
    if let Some(expression) = condition.get("expr").and_then(Value::as_str) {
        *count += 1;
        let compiled = Condition::compile(expression, environment);
        return ConditionTree::Expression(compiled.unwrap_or_else(|error| panic!("{expression}: {error:?}")));
    }
    let mut branches = |of: &str| -> Option<Vec<ConditionTree>> {
        let branches = condition.get(of)?.get("of")?.as_array()?;
        Some(branches.iter().map(|branch| tree(branch, environment, count)).collect())
    };
    match (branches("all"), branches("any"), branches("none")) {
        (Some(all), None, None) => ConditionTree::All(all),
        (None, Some(any), None) => ConditionTree::Any(any),
        (None, None, Some(none)) => ConditionTree::None(none),
        _ => panic!("not a condition: {condition}"),
    }
}

fn text<'v>(of: &'v Value, field: &str) -> &'v str {
    of.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn map(of: &Value, field: &str) -> Map<String, Value> {
    of.get(field).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// What the file says of a condition, with the time that Cerbos's own test has.
fn answers(request: &Value, ask: impl Fn(&Scope<'_>) -> bool) -> bool {
    let (principal, resource) = (&request["principal"], &request["resource"]);
    let (claims, attributes) = (map(principal, "attr"), map(resource, "attr"));
    let token = request.get("auxData").map(|data| map(data, "jwt"));
    let roles: Vec<Box<str>> =
        principal["roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().into()).collect();
    ask(&Scope {
        principal: PrincipalView {
            id: Some(text(principal, "id")),
            kind: Kind::User,
            roles: &roles,
            claims: Some(&claims),
            policy_version: text(principal, "policyVersion"),
            scope: text(principal, "scope"),
            token: token.as_ref(),
            ..PrincipalView::ANONYMOUS
        },
        request: None,
        captures: &[],
        resource: Some(ResourceView {
            kind: text(resource, "kind"),
            id: text(resource, "id"),
            attributes: &attributes,
            policy_version: text(resource, "policyVersion"),
            scope: text(resource, "scope"),
        }),
        now: UnixTime::from_seconds(1_619_103_920),
        nanos: 21_000_000,
        variables: None,
        derived_roles: &[],
    })
}

#[test]
fn every_condition_of_the_corpus_is_what_cerbos_says_it_is() {
    let Some(folder) = corpus() else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for environment in [Environment::cerbos(), Environment::cerbos().as_of_0_51()] {
        let (mut expressions, mut wrong) = (0, Vec::new());
        for file in &files {
            let read = std::fs::read_to_string(file).unwrap();
            let case: Value = serde_yaml::from_str(&read).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let condition = tree(&case["condition"], &environment, &mut expressions);
            let want = case["want"].as_bool().unwrap();
            let mut told = String::new();
            if let ConditionTree::All(branches) = &condition {
                for (at, branch) in branches.iter().enumerate() {
                    let answer = std::cell::RefCell::new(String::new());
                    answers(&case["request"], |scope| {
                        *answer.borrow_mut() = format!("\n    {at}: {:?}", branch.test(scope));
                        true
                    });
                    told.push_str(&answer.into_inner());
                }
            }
            let got = answers(&case["request"], |scope| condition.test_leniently(scope).0);
            if got != want {
                wrong.push(format!("{}: want {want}{told}", file.display()));
            }
        }
        assert_eq!((files.len(), expressions), (15, 121));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
