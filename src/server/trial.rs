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
        cerbos::{self, CheckInput, CheckOutput, Clock, SchemaEnforcement},
        suite::{Asking, Engine, Overrides, Results, Suites, Vocabulary},
    },
    reload::Tested,
    time::UnixTime,
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
                // As `cerbos compile` tests a repository.
                settings.policies.cerbos.schema_enforcement = SchemaEnforcement::Reject;
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

/// The engine of the policies, read as a test wants it. What a test leaves out is as the settings have it.
fn engine(tested: &Tested<'_, PolicySet>, overrides: &Overrides) -> Result<Engine, String> {
    let mut outline = tested.outline.clone();
    let options = &mut outline.cerbos;
    if !overrides.globals.is_empty() {
        options.globals.clone_from(&overrides.globals);
    }
    options.lenient_scope_search |= overrides.lenient_scope_search;
    for (option, wanted) in [
        (&mut options.default_policy_version, &overrides.default_policy_version),
        (&mut options.default_scope, &overrides.default_scope),
    ] {
        if !wanted.is_empty() {
            *option = wanted.to_string();
        }
    }
    let policies = if outline.cerbos == tested.outline.cerbos {
        Arc::clone(tested.policies)
    } else {
        let (policies, report) = compile_policies(tested.files, &outline);
        let first = || report.findings().first().map_or_else(String::new, |finding| format!(": {}", finding.message));
        Arc::new(
            policies.ok_or_else(|| format!("the policies do not compile with the options of the test{}", first()))?,
        )
    };
    Ok(Arc::new(move |input, now| match now {
        Some(now) => Ok(policies.cerbos().check(input, now)),
        None => check_without_time(policies.cerbos(), input),
    }))
}

/// The answer to a test that names no time: one that the time has a part in would be another one tomorrow, and is an error.
fn check_without_time(engine: &cerbos::Engine, input: &CheckInput<'_>) -> Result<CheckOutput, String> {
    // Reading the one is an error in every condition, reading the other is not.
    let at = |time| engine.check(input, Clock { time, nanos: 0 });
    let (never, once) = (at(UnixTime::from_seconds(u64::MAX)), at(UnixTime::from_seconds(0)));
    if never != once {
        return Err("a condition reads the time, and the test has no `options.now`".to_owned());
    }
    Ok(once)
}
