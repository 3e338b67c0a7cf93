//! The cases of Cerbos's own engine, asked of its own policies.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::{
    diagnostic::Report,
    policy::{
        cerbos::{Linking, SchemaFile, Schemas, link, read_document},
        condition::Environment,
        corpora::{cases, corpus},
    },
    yaml::{self, Cursor, Source},
};

/// The files below a folder, by their path from there.
fn read(folder: &Path) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The policies of the corpus, as a server reads them.
fn store(root: &Path) -> Policies {
    let files = read(&root.join("store"));

    let schemas: Vec<_> =
        files.iter().filter_map(|(path, text)| Some((path.strip_prefix("_schemas/")?, text))).collect();
    let schemas: Vec<_> = schemas.iter().map(|(path, text)| SchemaFile { path, text }).collect();
    let left_out = |path: &str| {
        path.contains("testdata/")
            || path.contains("/.")
            || path.starts_with("_schemas")
            || path.ends_with("_test.yaml")
    };
    let files: Vec<_> = files.iter().filter(|(path, _)| !left_out(path)).collect();
    let nodes: Vec<_> = files.iter().map(|(name, text)| yaml::parse(name, text).unwrap()).collect();
    let sources: Vec<_> = files.iter().map(|(name, text)| Source::new(name, text)).collect();
    let documents =
        sources.iter().zip(&nodes).filter_map(|(source, node)| read_document(Cursor::top(source, node).map()?));
    let globals = json!({"environment": "test"}).as_object().unwrap().clone();
    let environment = Environment::cerbos().with_globals(globals).as_of_0_51();
    let schemas = Schemas::new(&schemas);
    let linking = Linking { environment: &environment, schemas: &schemas, schemas_enforced: true };
    let documents: Vec<_> = documents.collect();
    let policies = link(&documents, &linking);
    drop(documents);
    let mut report = Report::default();
    sources.into_iter().for_each(|source| report.append(source.into_report()));
    let told: Vec<_> = report.findings().iter().map(ToString::to_string).collect();
    assert!(!report.has_errors(), "{told:#?}");
    policies
}

/// What is wanted and what is answered, as comparable texts.
type Told = BTreeSet<String>;

fn texts_of(value: &Value, key: &str) -> Vec<Box<str>> {
    let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
    list.map(|text| text.as_str().unwrap().into()).collect()
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn object(value: &Value, path: &str) -> Map<String, Value> {
    value.pointer(path).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn answer(engine: &Engine, input: &Value) -> CheckOutput {
    let (roles, actions) = (texts_of(&input["principal"], "roles"), texts_of(input, "actions"));
    let (of_principal, of_resource) = (object(input, "/principal/attr"), object(input, "/resource/attr"));
    let claims = object(input, "/auxData/jwt");
    let input = CheckInput {
        principal: Subject {
            id: text(input, "/principal/id"),
            roles: &roles,
            attributes: &of_principal,
            policy_version: text(input, "/principal/policyVersion"),
            scope: text(input, "/principal/scope"),
        },
        resource: Object {
            kind: text(input, "/resource/kind"),
            id: text(input, "/resource/id"),
            attributes: &of_resource,
            policy_version: text(input, "/resource/policyVersion"),
            scope: text(input, "/resource/scope"),
        },
        actions: &actions,
        claims: Some(&claims),
    };
    engine.check(&input, NOON)
}

fn told_by(output: &CheckOutput) -> Told {
    let effect = |effect| if effect == Effect::Allow { "EFFECT_ALLOW" } else { "EFFECT_DENY" };
    let actions = output.actions.iter();
    let actions =
        actions.map(|(action, told)| format!("{action} {} {} {}", effect(told.effect), told.policy, told.scope));
    let roles = output.effective_derived_roles.iter().map(|role| format!("derived role {role}"));
    let outputs = output.outputs.iter().map(|output| {
        let value = output.value.as_ref().map(normal).unwrap_or_default();
        format!("output {} {value}", output.source)
    });
    let wrong = output.validation_errors.iter().map(|error| {
        let source = if error.source == ValidationSource::Principal { "SOURCE_PRINCIPAL" } else { "SOURCE_RESOURCE" };
        format!("wrong {source} {} {}", error.path, error.message)
    });
    actions.chain(roles).chain(outputs).chain(wrong).collect()
}

fn wanted(output: &Value) -> Told {
    let actions = output["actions"].as_object().into_iter().flatten().map(|(action, told)| {
        format!("{action} {} {} {}", text(told, "/effect"), text(told, "/policy"), text(told, "/scope"))
    });
    let roles = ["effectiveDerivedRoles", "effective_derived_roles"].map(|key| texts_of(output, key));
    let roles = roles.into_iter().flatten().map(|role| format!("derived role {role}"));
    let list = |key: &str| output.get(key).and_then(Value::as_array).into_iter().flatten();
    let outputs = list("outputs")
        .map(|output| format!("output {} {}", text(output, "/src"), output.get("val").map(normal).unwrap_or_default()));
    let wrong = list("validationErrors")
        .map(|error| format!("wrong {} {} {}", text(error, "/source"), text(error, "/path"), text(error, "/message")));
    actions.chain(roles).chain(outputs).chain(wrong).collect()
}

/// A value as one text; the order of a set of roles is not one of the language's.
fn normal(value: &Value) -> String {
    value.to_string()
}

/// Asks every case of a folder, and gives the number of questions.
fn compare(root: &Path, folder: &str, options: &Options) -> usize {
    let engine = Engine::new(store(root), Options { profile: Profile::Cerbos051, ..options.clone() });
    let (mut asked, mut faults) = (0, Vec::new());
    for (name, case) in cases(&root.join(folder)) {
        let case = case.to_json().unwrap();
        let inputs = case["inputs"].as_array().unwrap();
        for (place, (input, output)) in inputs.iter().zip(case["wantOutputs"].as_array().unwrap()).enumerate() {
            let (told, wanted) = (told_by(&answer(&engine, input)), wanted(output));
            if told != wanted {
                let missing: Vec<_> = wanted.difference(&told).collect();
                let besides: Vec<_> = told.difference(&wanted).collect();
                faults.push(format!("{folder}/{name}[{place}]: lacks {missing:#?}, has {besides:#?}"));
            }
            asked += 1;
        }
    }
    assert!(faults.is_empty(), "{} of {asked} differ:\n{}", faults.len(), faults.join("\n"));
    asked
}

#[test]
fn the_engine_answers_as_cerbos_does() {
    let Some(root) = corpus("cerbos-0.51.0") else { return };
    let options = Options::default();
    let lenient = Options { lenient_scope_search: true, ..options.clone() };
    assert_eq!(compare(&root, "engine", &options), 75);
    assert_eq!(compare(&root, "engine", &lenient), 75);
    assert_eq!(compare(&root, "engine_strict_scope_search", &options), 3);
    assert_eq!(compare(&root, "engine_lenient_scope_search", &lenient), 3);
}

#[test]
fn schemas_are_enforced_as_cerbos_does() {
    let Some(root) = corpus("cerbos-0.51.0") else { return };
    for (folder, schema_enforcement) in [("warn", SchemaEnforcement::Warn), ("reject", SchemaEnforcement::Reject)] {
        let options = Options { schema_enforcement, ..Options::default() };
        assert_eq!(compare(&root, &format!("engine_schema_enforcement/{folder}"), &options), 3);
    }
}
