//! The TLS files of the listeners, read and compiled like all other files.
//!
//! A key and its certificate are two files, often replaced one after the other: what is wrong with them may be over in a moment.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{Listener, Settings},
    diagnostic::{Diagnostic, Report, Severity},
    edge::ListenerTls,
    gate::source,
    time::UnixTime,
    yaml::SourceFile,
};

/// The files that were read, each once.
#[derive(Default)]
pub(super) struct PemFiles(BTreeMap<PathBuf, Option<SourceFile>>);

impl fmt::Debug for PemFiles {
    /// Names only: some of the texts are private keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl PemFiles {
    /// Reads what the listeners name, and tells what cannot be read.
    pub(super) fn read(settings: &Settings, unread: &mut Report) -> Self {
        let mut files = BTreeMap::new();
        for path in paths(settings) {
            if files.contains_key(path) {
                continue;
            }
            let read = source::read_file(path).map_err(|finding| unread.push(Diagnostic { code: "T001", ..finding }));
            files.insert(path.to_owned(), read.ok());
        }
        Self(files)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.0.values().flatten()
    }

    /// What each listener shakes hands with; `None` for plain ones. No result where the files of any of them are wrong.
    pub(super) fn compile(&self, listeners: &[Listener], now: UnixTime) -> (Option<Compiled>, Report) {
        let read = |path: &Path| self.0.get(path)?.as_ref().map(|file| file.text.as_str());
        let mut report = Report::default();
        let compiled = listeners.iter().map(|listener| {
            let Some(settings) = &listener.tls else { return Some(None) };
            let (tls, findings) = ListenerTls::compile(settings, &read, now);
            // Two listeners may name one file.
            let new = findings.findings().iter().filter(|finding| !report.findings().contains(finding));
            let new: Report = new.cloned().collect();
            report.append(new);
            tls.map(Some)
        });
        let compiled: Vec<_> = compiled.collect();
        (compiled.into_iter().collect(), report)
    }
}

/// For each listener what it shakes hands with.
pub(super) type Compiled = Vec<Option<Arc<ListenerTls>>>;

/// The TLS files that the listeners name.
pub(super) fn paths(settings: &Settings) -> impl Iterator<Item = &Path> {
    let listeners = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    listeners.chain(settings.cerbos_api.iter().filter_map(|api| api.tls.as_ref())).flat_map(|tls| tls.files())
}

/// Is nothing wrong but the TLS files of the listeners?
pub fn only_tls_is_wrong(report: &Report) -> bool {
    let mut errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error).peekable();
    errors.peek().is_some() && errors.all(|finding| finding.code.starts_with('T'))
}
