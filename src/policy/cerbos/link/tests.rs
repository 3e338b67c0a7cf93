use std::{collections::BTreeSet, fs};

use super::*;
use crate::{
    diagnostic::{Diagnostic, Report},
    gate::source,
    policy::{
        cerbos::{
            document::read_document,
            model::Envelope,
            schema::{SchemaFile, tests::read_folder},
        },
        corpora::{cases, corpus},
    },
    yaml::{self, Node, Source, SourceFile},
};

mod corpus_compile;
mod limits;
mod texts;

/// Reads and links files as the compiler of policies does.
fn linked(files: &[SourceFile], linking: &Linking<'_>) -> (Policies, Report) {
    let nodes: Vec<_> = files.iter().map(|file| yaml::parse(&file.name, &file.text)).collect();
    let sources: Vec<_> = files.iter().map(|file| Source::new(&file.name, &file.text)).collect();
    let documents: Vec<_> = sources
        .iter()
        .zip(&nodes)
        .filter_map(|(source, node)| read_document(Cursor::top(source, node.as_ref().ok()?).map()?))
        .collect();
    let policies = link(&documents, linking);
    drop(documents);
    let mut report: Report = nodes.iter().filter_map(|node| node.as_ref().err().cloned()).collect();
    sources.into_iter().for_each(|source| report.append(source.into_report()));
    (policies, report)
}

/// What is told about files that stand beside a plain policy about `other`.
fn told(files: &[(&str, &str)]) -> String {
    let schemas = Schemas::new(&[SchemaFile { path: "a.json", text: r#"{"type":"object"}"# }]);
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| SourceFile {
            name: (*name).to_owned(),
            text: format!("apiVersion: api.cerbos.dev/v1\n{text}"),
        })
        .collect();
    let environment = Environment::cerbos();
    linked(&files, &Linking { environment: &environment, schemas: &schemas, schemas_enforced: true }).1.to_string()
}

#[test]
fn the_store_of_the_corpus_is_a_policy_folder() {
    let Some(root) = corpus("cerbos-0.51.0") else { return };
    let folder = root.join("store");
    let (files, report) = source::read_policies(&folder);
    assert!(report.is_empty(), "{report}");
    let (policies, schemas) = source::schemas_apart(&folder, &files);
    let schemas = Schemas::new(&schemas);
    let environment = Environment::cerbos();
    let linking = Linking { environment: &environment, schemas: &schemas, schemas_enforced: true };
    let (linked, report) = linked(policies, &linking);
    assert!(report.is_empty(), "{report}");
    let wanted = (30, 11, 8);
    assert_eq!((linked.resources.len(), linked.principals.len(), linked.roles.len()), wanted);
}
