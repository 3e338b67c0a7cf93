//! How files become what serves: the same way for `serve`, `validate` and every reload.

use std::path::Path;

use super::trial;
use crate::{
    config::{Outline, Settings},
    diagnostic::Report,
    gate::source,
    policy::{PolicySet, World},
    reload::{self, Compiled, Steps},
    yaml::SourceFile,
};

/// The environment, as settings may refer to it.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How files become settings and policies: the same way for `serve`, `validate` and every reload.
pub(super) fn steps() -> Steps<PolicySet> {
    Steps {
        settings: Box::new(|file| Settings::compile(file, &environment)),
        outline: Box::new(|file| Outline::guess(file, &environment)),
        policies: Box::new(compile_policies),
        tests: Box::new(trial::gate),
    }
}

/// Compiles policies against the names that the settings give.
pub(super) fn compile_policies(files: &[SourceFile], outline: &Outline) -> (Option<PolicySet>, Report) {
    let (policies, schemas) = source::schemas_apart(&outline.policies, files);
    let world = World {
        providers: &outline.providers,
        upstreams: &outline.upstreams,
        identity_headers: &outline.identity_headers,
        credential_headers: &outline.credential_headers,
        cerbos: &outline.cerbos,
        schemas: &schemas,
        allow_empty: outline.allow_empty,
    };
    PolicySet::compile(policies, &world)
}

/// Compiles the settings at `path` and everything that they lead to.
pub fn compile(path: &Path) -> (Option<Compiled<PolicySet>>, Report) {
    reload::compile(path, &steps())
}

/// Compiles the settings alone.
///
/// # Errors
/// Everything that is wrong with them.
pub fn read_settings(path: &Path) -> Result<Settings, Report> {
    let file = source::read_file(path).map_err(|finding| [finding].into_iter().collect::<Report>())?;
    let (settings, report) = Settings::compile(&file, &environment);
    settings.ok_or(report)
}
