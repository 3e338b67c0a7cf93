use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    diagnostic::{Diagnostic, Report},
    policy::{
        cerbos::{document::read_document, model::Envelope, schema::SchemaFile},
        corpora::{cases, corpus},
    },
    yaml::{self, Node, Source, SourceFile},
};

mod corpus_compile;

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
