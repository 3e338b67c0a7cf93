use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::*;
use crate::{
    policy::corpora::{cases, corpus},
    yaml::Node,
};

fn schemas(files: &[(&str, &str)]) -> Schemas {
    let files: Vec<_> = files.iter().map(|(path, text)| SchemaFile { path, text }).collect();
    Schemas::new(&files)
}

fn schema(text: &str) -> Arc<Schema> {
    schemas(&[("a.json", text)]).find("cerbos:///a.json").unwrap()
}

fn wrong(schema: &str, attributes: &str) -> Vec<String> {
    let attributes: Map<String, Value> = serde_json::from_str(attributes).unwrap();
    let told = self::schema(schema).validate(&attributes);
    told.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

/// The files below a folder by their path from there.
pub(crate) fn read_folder(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn attributes_are_validated_as_in_the_corpus() {
    let Some(root) = corpus("cerbos-0.51.0") else { return };
    let files = read_folder(&root.join("schema/fs/_schemas"));
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let schemas = schemas(&files);
    let cases = cases(&root.join("schema/test_cases"));
    assert_eq!(cases.len(), 18);
    let mut faults = Vec::new();
    for (name, case) in cases {
        let told = validate(&schemas, &case);
        let mut wanted: Vec<_> = case.get("wantValidationErrors").and_then(Node::as_list).unwrap_or_default().to_vec();
        wanted.retain(|error| error.get("path").is_some());
        let refused = case.get("wantValidationErrors").and_then(Node::as_list).unwrap_or_default().len() - wanted.len();
        // A plan may be asked about a resource of which not all is known.
        let partial = |[source, _, text]: &[String; 3]| source == "SOURCE_RESOURCE" && text.starts_with("missing");
        let is_plan = case.get("planResourcesInput").is_some();
        let (told, unusable): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| told.is_ok());
        let mut told: Vec<_> = told.into_iter().flatten().filter(|told| !(is_plan && partial(told))).collect();
        let text = |error: &Node, key: &str| error.get(key).and_then(Node::as_text).unwrap().to_owned();
        let mut wanted: Vec<_> =
            wanted.iter().map(|error| [text(error, "source"), text(error, "path"), text(error, "message")]).collect();
        told.sort();
        wanted.sort();
        if told != wanted || unusable.len() != refused {
            faults.push(format!("{name}: wanted {wanted:?} and {refused} refusals, but {told:?} and {unusable:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What the schemas of a case find wrong, and those that cannot be used.
fn validate(schemas: &Schemas, case: &Node) -> Vec<Result<[String; 3], String>> {
    let input = case.get("checkInput").or_else(|| case.get("planResourcesInput")).unwrap();
    let mut told = Vec::new();
    for (of, key, source) in
        [("principal", "principalSchema", "SOURCE_PRINCIPAL"), ("resource", "resourceSchema", "SOURCE_RESOURCE")]
    {
        let Some(used) = case.get("schemaRefs").and_then(|refs| refs.get(key)) else { continue };
        if ignores(used, input) {
            continue;
        }
        let attributes = input.get(of).and_then(|of| of.get("attr")).and_then(Node::to_json);
        let attributes = attributes.and_then(|value| value.as_object().cloned()).unwrap_or_default();
        match schemas.find(used.get("ref").and_then(Node::as_text).unwrap()) {
            Err(why) => told.push(Err(why)),
            Ok(schema) => told.extend(
                schema
                    .validate(&attributes)
                    .into_iter()
                    .map(|(path, text)| Ok([source.into(), path.into(), text.into()])),
            ),
        }
    }
    told
}

/// Is every action one that the schema is not looked at for?
fn ignores(used: &Node, input: &Node) -> bool {
    let list = |node: Option<&Node>| node.and_then(Node::as_list).unwrap_or_default().to_vec();
    let mut actions = list(input.get("actions"));
    actions.extend(input.get("action").cloned());
    let ignored = list(used.get("ignoreWhen").and_then(|when| when.get("actions")));
    let patterns: Vec<_> = ignored
        .iter()
        .map(|text| crate::policy::cerbos::ActionPattern::parse(text.as_text().unwrap()).unwrap())
        .collect();
    actions.iter().all(|action| patterns.iter().any(|pattern| pattern.matches(action.as_text().unwrap())))
}

#[test]
fn findings_are_told_in_the_words_of_cerbos() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            r#"{"properties":{"a":{"type":["string","null"],"enum":["x"]}}}"#,
            r#"{"a":1}"#,
            &["/a: expected null or string, but got number"],
        ),
        (r#"{"required":["a","b"]}"#, "{}", &["/: missing properties: 'a', 'b'"]),
        (r#"{"properties":{"a":{"enum":["x","y"]}}}"#, r#"{"a":"z"}"#, &[r#"/a: value must be one of "x", "y""#]),
        (r#"{"properties":{"a":{"const":"x"}}}"#, r#"{"a":"z"}"#, &[r#"/a: value must be "x""#]),
        (r#"{"properties":{"a":{"minLength":3}}}"#, r#"{"a":"ä"}"#, &["/a: length must be >= 3, but got 1"]),
        (r#"{"properties":{"a":{"maximum":3}}}"#, r#"{"a":4}"#, &["/a: must be <= 3 but found 4"]),
        (r#"{"properties":{"a":{"format":"date-time"}}}"#, r#"{"a":"x"}"#, &["/a: 'x' is not valid 'date-time'"]),
        (r#"{"properties":{"a":{"pattern":"^b"}}}"#, r#"{"a":"x"}"#, &["/a: does not match pattern '^b'"]),
        (
            r#"{"properties":{"a":{}},"additionalProperties":false}"#,
            r#"{"b":1,"c":1}"#,
            &["/: additionalProperties 'b', 'c' not allowed"],
        ),
        (
            r#"{"properties":{"a":{"anyOf":[{"type":"string"},{"minimum":3}]}}}"#,
            r#"{"a":1}"#,
            &["/a: expected string, but got number", "/a: must be >= 3 but found 1"],
        ),
        (
            r#"{"properties":{"a":{"minItems":2}}}"#,
            r#"{"a":[1]}"#,
            &["/a: minimum 2 items required, but found 1 items"],
        ),
        (r#"{"properties":{"a":false}}"#, r#"{"a":1}"#, &["/a: not allowed"]),
        (r#"{"properties":{"a":{"not":{}}}}"#, r#"{"a":1}"#, &["/a: not failed"]),
        (r#"{"properties":{"a":{"uniqueItems":true}}}"#, r#"{"a":[1,2,1]}"#, &["/a: items at index 0 and 2 are equal"]),
        (r#"{"properties":{"a":{"const":1.5}}}"#, r#"{"a":2}"#, &[r#"/a: value must be "1.5""#]),
        (r#"{"propertyNames":{"maxLength":2}}"#, r#"{"abc":1}"#, &["/abc: length must be <= 2, but got 3"]),
        (r#"{"unevaluatedProperties":false}"#, r#"{"a/b":1}"#, &["/a~1b: not allowed"]),
        (r#"{"properties":{"a":{"contentEncoding":"base64"}}}"#, r#"{"a":"%"}"#, &["/a: value is not base64 encoded"]),
        (
            r#"{"properties":{"a":{"contentMediaType":"application/json"}}}"#,
            r#"{"a":"{"}"#,
            &["/a: value is not of mediatype 'application/json'"],
        ),
        (
            r#"{"properties":{"a":{"contentMediaType":"application/json","contentEncoding":"base64"}}}"#,
            r#"{"a":"e30="}"#,
            &[],
        ),
        ("true", "{}", &[]),
    ];
    for (schema, attributes, expected) in table {
        assert_eq!(wrong(schema, attributes), *expected, "{schema} {attributes}");
    }
}

#[test]
fn numbers_are_doubles_and_told_as_go_writes_them() {
    let attributes = r#"{"a":-1.0,"b":-1,"c":-1.5,"d":1000000.0,"e":100000.0,"f":1234567,"g":9007199254740993,"h":-1e-7,"i":0.0001,"j":-0.0,"k":1e21}"#;
    let schema = r#"{"additionalProperties":{"exclusiveMinimum":1e305}}"#;
    let found = [
        "-1",
        "-1",
        "-1.5",
        "1e+06",
        "100000",
        "1.234567e+06",
        "9.007199254740992e+15",
        "-1e-07",
        "0.0001",
        "-0",
        "1e+21",
    ];
    let place = |place: u8| char::from(b'a' + place);
    let expected: Vec<_> =
        (0..).zip(found).map(|(nth, found)| format!("/{}: must be > 1e+305 but found {found}", place(nth))).collect();
    assert_eq!(wrong(schema, attributes), expected);
    let schema =
        r#"{"properties":{"a":{"multipleOf":2.0},"b":{"maximum":2},"c":{"minimum":5.0},"d":{"exclusiveMaximum":2}}}"#;
    let expected = [
        "/a: 3 not multipleOf 2",
        "/b: must be <= 2 but found 3",
        "/c: must be >= 5 but found 3",
        "/d: must be < 2 but found 3",
    ];
    assert_eq!(wrong(schema, r#"{"a":3.0,"b":3.0,"c":3,"d":3.0}"#), expected);
    let whole = r#"{"additionalProperties":{"type":"integer"}}"#;
    assert_eq!(wrong(whole, r#"{"a":1.0,"b":1e30,"c":1.5,"d":-0.0}"#), ["/c: expected integer, but got number"]);
    let equal = r#"{"properties":{"a":{"enum":[1,2]},"b":{"const":3},"c":{"uniqueItems":true}}}"#;
    assert_eq!(wrong(equal, r#"{"a":2.0,"b":3.0,"c":[1.0,1,2.5]}"#), ["/c: items at index 0 and 1 are equal"]);
}

#[test]
fn schemas_refer_to_each_other_by_address_and_by_path() {
    let found = schemas(&[
        ("s/a.json", r#"{"properties":{"a":{"$ref":"b.json"},"c":{"$ref":"/c.json#/$defs/d"}}}"#),
        ("s/b.json", r#"{"type":"string"}"#),
        ("c.json", r#"{"$defs":{"d":{"type":"boolean"}}}"#),
    ]);
    let attributes = serde_json::from_str(r#"{"a":1,"c":2}"#).unwrap();
    assert_eq!(found.find("cerbos:///s/a.json").unwrap().validate(&attributes).len(), 2);
    assert_eq!(found.find("cerbos:///c.json#/$defs/d").unwrap().validate(&attributes).len(), 1);
    assert!(found.find("cerbos:///c.json#/$defs/e").is_err());
}

#[test]
fn a_reference_out_of_the_folder_is_refused() {
    let files =
        |reference: &str| schemas(&[("a.json", &format!(r#"{{"properties":{{"a":{{"$ref":"{reference}"}}}}}}"#))]);
    for reference in [
        "https://example.com/a.json",
        "http://127.0.0.1:1/a.json",
        "file:///etc/passwd",
        "cerbos:///../secret.json",
        "cerbos://elsewhere/a.json",
        "/b.json",
    ] {
        assert!(files(reference).find("cerbos:///a.json").is_err(), "{reference}");
        assert!(files("").find(reference).is_err(), "{reference}");
    }
    let elsewhere = schemas(&[("a.json", r#"{"$schema":"https://example.com/schema"}"#)]);
    assert!(elsewhere.find("cerbos:///a.json").is_err(), "a dialect of one's own");
    assert!(schemas(&[("a.json", r#"{"type": 1}"#)]).find("cerbos:///a.json").is_err(), "no schema");
    assert!(schemas(&[("a.json", "{")]).find("cerbos:///a.json").is_err(), "no JSON");
}

#[test]
fn a_pattern_takes_linear_time() {
    let attributes = serde_json::json!({ "a": "a".repeat(50_000) + "!" });
    let schema = schema(r#"{"properties":{"a":{"pattern":"^(a+)+$"}}}"#);
    let start = Instant::now();
    assert_eq!(schema.validate(attributes.as_object().unwrap()).len(), 1);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(schemas(&[("a.json", r#"{"pattern":"(?=a)"}"#)]).find("cerbos:///a.json").is_err(), "looking ahead");
}

#[test]
fn schemas_that_lead_in_circles_or_far_are_refused() {
    let one = |text: &str| schemas(&[("a.json", text)]).find("cerbos:///a.json");
    for circle in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$anchor":"top","properties":{"a":{"not":{"$ref":"#/properties/a"}}}}"##,
        r##"{"$id":"cerbos:///elsewhere.json","anyOf":[{"$ref":"elsewhere.json"}]}"##,
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"if":{"$ref":"#/$defs/a"}}}}"##,
        r##"{"$dynamicAnchor":"top","oneOf":[{"$dynamicRef":"#top"}]}"##,
        r##"{"dependentSchemas":{"a":{"$ref":"a.json#"}}}"##,
        r##"{"properties":{"default":{"$ref":"#/properties/default"}}}"##,
    ] {
        assert!(one(circle).is_err(), "{circle}");
    }
    let two = schemas(&[("a.json", r#"{"$ref":"b.json"}"#), ("b.json", r#"{"$ref":"a.json"}"#)]);
    assert!(two.find("cerbos:///a.json").is_err());
    let chain = |links: usize, step: &dyn Fn(usize) -> String| {
        let links: Vec<_> = (0..links).map(|at| format!(r##""d{at}":{}"##, step(at + 1))).collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{}":{{}}}}}}"##, links.join(","), links.len())
    };
    let next = |at: usize| format!(r##"{{"$ref":"#/$defs/d{at}"}}"##);
    assert!(one(&chain(10, &next)).is_ok());
    assert!(one(&chain(20_000, &next)).is_err());
    let deeper = |at: usize| format!(r##"{{"properties":{{"a":{}}}}}"##, next(at));
    assert!(one(&chain(900, &deeper)).unwrap().validate(&Map::new()).is_empty());
    assert!(one(&chain(20_000, &deeper)).is_err());
}

#[test]
fn a_schema_of_trees_goes_as_deep_as_the_attributes() {
    let tree = schema(r##"{"properties":{"left":{"$ref":"#"},"name":{"type":"string"}}}"##);
    let mut attributes = serde_json::json!({ "name": 1 });
    for _ in 0..120 {
        attributes = serde_json::json!({ "left": attributes });
    }
    assert_eq!(tree.validate(attributes.as_object().unwrap()).len(), 1);
}
