//! Policies on trial: for `cogward test`, and for whoever lets nothing serve that fails its tests.

use std::{path::Path, sync::Arc};

use super::files::{compile_policies, environment};
use crate::{
    admission::now,
    config::{KeySource, Settings},
    diagnostic::Report,
    gate::{Trial, denials, source},
    policy::{
        PolicySet,
        suite::{Asking, Engine, Overrides, Results, Suites, Vocabulary},
    },
    reload::Tested,
    token::KeySet,
    yaml::SourceFile,
};

/// The settings of a folder that has none: one user pool, any client, one upstream.
const DEFAULTS: &str = "identity: { providers: [{ id: main, cognito: { user_pool_id: eu-west-1_EXAMPLE, client_ids: any, token_use: [access, id] } }] }
upstreams: [{ id: main, endpoints: ['http://127.0.0.1:9000'] }]
policies: { path: '.', allow_empty: true }
";

/// Which tests are run.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Those beside the policies that a settings file names.
    Settings(&'a Path),
    /// Those of a folder, with default settings.
    Folder(&'a Path),
}

/// Compiles policies and runs the tests beside them; the report has what there is to be said of both.
///
/// # Errors
/// What does not compile: settings, policies, tests.
pub fn test(place: Place<'_>, filter: Option<&str>) -> Result<(Results, Report), Report> {
    let (settings, warnings) = settings(place)?;
    let mut report = warnings;
    let outline = settings.outline();
    let (files, unread) = source::read_policies(&outline.policies);
    let (tests, untested) = source::read_tests(&outline.policies);
    report.append(unread);
    report.append_new(untested);
    let (policies, findings) = compile_policies(&files, &outline);
    // A folder that cannot be listed is told already; that it holds no route is not known.
    if !report.has_errors() {
        report.append(findings);
    }
    let Some(policies) = policies.filter(|_| !report.has_errors()) else { return Err(report) };
    let policies = Arc::new(policies);
    let keys = keys(&settings);
    let tested = Tested {
        tests: &tests,
        files: &files,
        outline: &outline,
        settings: &settings,
        policies: &policies,
        keys: &keys,
        now: now(),
    };
    let results = run(&tested, filter).map_err(|findings| {
        let mut all = report.clone();
        all.append(findings);
        all
    })?;
    Ok((results, report))
}

fn settings(place: Place<'_>) -> Result<(Settings, Report), Report> {
    let (settings, report) = match place {
        Place::Settings(path) => {
            let file = source::read_file(path).map_err(|finding| [finding].into_iter().collect::<Report>())?;
            Settings::compile(&file, &environment)
        }
        Place::Folder(folder) => {
            let file = SourceFile { name: "default settings".to_owned(), text: DEFAULTS.to_owned() };
            let (settings, report) = Settings::compile(&file, &|_| None);
            let in_folder = settings.map(|mut settings| {
                folder.clone_into(&mut settings.policies.path);
                settings
            });
            (in_folder, report)
        }
    };
    settings.map(|settings| (settings, report.clone())).ok_or(report)
}

/// The keys that providers have in files. A machine that runs tests need not hold them: only tokens that cases bring are verified with them.
fn keys(settings: &Settings) -> Vec<Option<Arc<KeySet>>> {
    let providers = settings.identity.providers.iter();
    let read = providers.map(|one| match &one.keys {
        KeySource::Url(_) => None,
        KeySource::File(path) => {
            let file = source::read_file(path).ok()?;
            KeySet::parse(file.text.as_bytes(), &one.provider.algorithms).ok().map(|(keys, _)| Arc::new(keys))
        }
    });
    read.collect()
}

/// What stands in the way of policies that serve only when they pass their tests.
pub(super) fn gate(tested: &Tested<'_, PolicySet>) -> Report {
    run(tested, None).map_or_else(|report| report, |results| results.findings())
}

fn run(tested: &Tested<'_, PolicySet>, filter: Option<&str>) -> Result<Results, Report> {
    let denials = denials();
    let known = Vocabulary { providers: &tested.outline.providers, denials: &denials };
    let suites = Suites::read(tested.tests, known)?;
    let trial = Trial::new(tested.settings, Arc::clone(tested.policies), tested.keys.to_vec(), tested.now);
    let asking = Asking { engine: &|overrides| engine(tested, overrides), request: &|case| trial.ask(case), filter };
    Ok(suites.run(&asking))
}

fn engine(_: &Tested<'_, PolicySet>, _: &Overrides) -> Result<Engine, String> {
    Err("there is no engine".to_owned())
}
