//! From the files on disk to settings, policies and keys that may serve, or a report.
//!
//! Start, reload and `validate` take this one way. All files or none: any error anywhere, and nothing is given. Blocks on the file system;
//! changes nothing.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    certificates::{self, PemFiles},
    status::now,
    trust::{self, Trust, TrustFiles},
};
use crate::{
    config::{KeySource, Outline, Settings},
    diagnostic::{Diagnostic, Report, Severity},
    edge::ListenerTls,
    gate::source::{self, Fingerprint, TestFolder},
    time::UnixTime,
    token::{KeyRing, KeySet, ProviderId},
    yaml::SourceFile,
};

/// Each code of this module, and what it says. Listed in `docs/diagnostics.md`.
pub const CODES: [(&str, &str); 6] = [
    ("F011", "a key file holds no usable key"),
    ("F012", "warning: a key of a key file is not used"),
    ("F020", "the files do not compile, and no reason was given"),
    ("F021", "compiling the files failed: a defect of the gateway"),
    ("F030", "a file of certificate authorities cannot be used"),
    ("F031", "a client certificate or its key cannot be used"),
];

/// Compiles the settings file.
pub type SettingsStep = dyn Fn(&SourceFile) -> (Option<Settings>, Report) + Send + Sync;

/// Guesses what a settings file that does not compile has to say to policies.
pub type OutlineStep = dyn Fn(&SourceFile) -> Option<Outline> + Send + Sync;

/// Compiles all policy files against what they need of the settings.
pub type PoliciesStep<P> = dyn Fn(&[SourceFile], &Outline) -> (Option<P>, Report) + Send + Sync;

/// Runs the tests of policies that compiled. Its report holds an error for each that fails.
pub type TestsStep<P> = dyn Fn(&Tested<'_, P>) -> Report + Send + Sync;

/// Policies, and the tests that they must pass before they serve.
#[derive(Debug)]
pub struct Tested<'a, P> {
    /// The tests.
    pub tests: &'a [TestFolder],
    /// The policy files.
    pub files: &'a [SourceFile],
    /// What they were compiled against.
    pub outline: &'a Outline,
    /// The settings.
    pub settings: &'a Settings,
    /// What they compiled to.
    pub policies: &'a Arc<P>,
    /// The keys of each provider that has them in a file, in the order of the settings.
    pub keys: &'a [Option<Arc<KeySet>>],
    /// The time.
    pub now: UnixTime,
}

/// How text becomes settings and policies. `P` is what the policies compile to.
pub struct Steps<P> {
    /// From one file.
    pub settings: Box<SettingsStep>,
    /// From a file that does not compile.
    pub outline: Box<OutlineStep>,
    /// From all policy files.
    pub policies: Box<PoliciesStep<P>>,
    /// Whether they do what their tests expect, where the settings ask that.
    pub tests: Box<TestsStep<P>>,
}

impl<P> fmt::Debug for Steps<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

/// Files that compile.
#[derive(Debug)]
pub struct Compiled<P> {
    /// The settings.
    pub settings: Settings,
    /// The policies.
    pub policies: Arc<P>,
    /// The keys of each provider that has them in a file, in the order of the settings.
    pub keys: Vec<Option<Arc<KeySet>>>,
    /// What each listener shakes hands with, in the order of the settings; `None` for plain ones.
    pub tls: Vec<Option<Arc<ListenerTls>>>,
    /// The certificates of each upstream, in the order of the settings.
    pub trust: Vec<Trust>,
    /// What was read.
    pub fingerprint: Fingerprint,
}

/// The files at one moment.
#[derive(Debug)]
pub(super) struct Sources {
    /// Absent where they do not compile.
    settings: Option<Settings>,
    /// What the policies are compiled against; a guess where the settings do not compile.
    outline: Option<Outline>,
    policies: Vec<SourceFile>,
    /// Read only where the settings ask that policies are tested.
    tests: Vec<TestFolder>,
    keys: Vec<Option<SourceFile>>,
    pem: PemFiles,
    trust: Vec<TrustFiles>,
    report: Report,
    name: String,
    pub(super) fingerprint: Fingerprint,
}

/// Reads and compiles everything that the settings file at `path` leads to. The report has warnings beside a result, errors without one.
pub fn compile<P>(path: &Path, steps: &Steps<P>) -> (Option<Compiled<P>>, Report) {
    build(gather(path, steps), steps)
}

/// Reads all files, and compiles the settings to know which they are.
pub(super) fn gather<P>(path: &Path, steps: &Steps<P>) -> Sources {
    let name = path.display().to_string();
    let file = match source::read_file(path) {
        Ok(file) => file,
        Err(finding) => {
            let report: Report = [finding].into_iter().collect();
            let fingerprint = source::fingerprint([], &report);
            return Sources {
                settings: None,
                outline: None,
                policies: Vec::new(),
                tests: Vec::new(),
                keys: Vec::new(),
                pem: PemFiles::default(),
                trust: Vec::new(),
                report,
                name,
                fingerprint,
            };
        }
    };
    let (settings, findings) = guarded(&name, || (steps.settings)(&file));
    let (mut policies, mut keys, mut trust, mut unread) = (Vec::new(), Vec::new(), Vec::new(), Report::default());
    let mut tests = Vec::new();
    let outline = match &settings {
        Some(settings) => Some(settings.outline()),
        None => (steps.outline)(&file),
    };
    if let Some(outline) = &outline {
        (policies, unread) = source::read_policies(&outline.policies);
    }
    if let Some(settings) = &settings {
        if settings.policies.test_on_reload {
            let (found, findings) = source::read_tests(&settings.policies.path);
            tests = found;
            unread.append_new(findings);
        }
        for provider in &settings.identity.providers {
            keys.push(match &provider.keys {
                KeySource::Url(_) => None,
                KeySource::File(path) => source::read_file(path).map_err(|finding| unread.push(finding)).ok(),
            });
        }
        trust.extend(settings.upstreams.iter().map(|upstream| TrustFiles::read(&upstream.tls, &mut unread)));
    }
    let pem = settings.as_ref().map(|settings| PemFiles::read(settings, &mut unread)).unwrap_or_default();
    let all = std::iter::once(&file).chain(&policies).chain(keys.iter().flatten()).chain(pem.iter());
    let all = all.chain(trust.iter().flat_map(TrustFiles::iter)).chain(tests.iter().flat_map(TestFolder::files));
    let fingerprint = source::fingerprint(all, &unread);
    // First what could not be read: a full report drops what comes last, and must not drop an error for a warning.
    let mut report = unread;
    report.append(findings);
    Sources { settings, outline, policies, tests, keys, trust, pem, report, name, fingerprint }
}

/// Compiles what was read.
pub(super) fn build<P>(sources: Sources, steps: &Steps<P>) -> (Option<Compiled<P>>, Report) {
    let Sources { settings, outline, policies: files, tests, keys, trust, pem, mut report, name, fingerprint } =
        sources;
    // SECURITY: what is wrong must count although a full report drops it: `an_error_behind_a_full_report_is_a_refusal`.
    let mut refused = report.has_errors();
    let Some(mut outline) = outline else { return (None, at_least_one_error(report, &name)) };
    // A folder that cannot be listed is told already; that it holds no route is not known.
    outline.allow_empty |= report.findings().iter().any(source::is_unlisted_folder);
    let (policies, findings) = guarded(&name, || (steps.policies)(&files, &outline));
    refused |= findings.has_errors();
    report.append(findings);
    let Some(settings) = settings else { return (None, at_least_one_error(report, &name)) };
    let mut sets = Vec::new();
    for (provider, file) in settings.identity.providers.iter().zip(keys) {
        sets.push(file.and_then(|file| {
            let (set, findings) = key_set(&provider.provider.id, &file, &provider.provider.algorithms);
            refused |= set.is_none();
            report.append(findings);
            set
        }));
    }
    let (trust, findings) = guarded(&name, || trust::compile(&trust));
    report.append(findings);
    let now = now().unwrap_or(UnixTime::from_seconds(0));
    let (tls, findings) = guarded(&name, || pem.compile(&settings.listeners, now));
    report.append(findings);
    match (policies.map(Arc::new), trust, tls) {
        (Some(policies), Some(trust), Some(tls)) if !refused => {
            if settings.policies.test_on_reload {
                let tested = Tested {
                    tests: &tests,
                    files: &files,
                    outline: &outline,
                    settings: &settings,
                    policies: &policies,
                    keys: &sets,
                    now,
                };
                // SECURITY: held by `policies_that_fail_their_tests_do_not_start` and `a_reload_that_fails_a_test_is_rejected_and_the_last_good_one_serves`.
                let (passed, findings) = guarded(&name, || {
                    let findings = (steps.tests)(&tested);
                    ((!findings.has_errors()).then_some(()), findings)
                });
                report.append(findings);
                if passed.is_none() {
                    return (None, at_least_one_error(report, &name));
                }
            }
            (Some(Compiled { settings, policies, keys: sets, trust, tls, fingerprint }), report)
        }
        (Some(_) | None, Some(_) | None, Some(_) | None) => (None, at_least_one_error(report, &name)),
    }
}

fn key_set(
    provider: &ProviderId,
    file: &SourceFile,
    algorithms: &[jsonwebtoken::Algorithm],
) -> (Option<Arc<KeySet>>, Report) {
    match KeySet::parse(file.text.as_bytes(), algorithms) {
        Ok((set, skipped)) => {
            let warn = |key| {
                let message = format!("a key of provider `{provider}` is not used: {key}");
                Diagnostic {
                    severity: Severity::Warning,
                    ..Diagnostic::of_file("F012", &file.name, message)
                        .with_help("tokens signed with it are refused; leave it out, or correct it")
                }
            };
            (Some(Arc::new(set)), skipped.iter().map(warn).collect())
        }
        Err(error) => {
            let message = format!("no keys for provider `{provider}`: {error}");
            let finding = Diagnostic::of_file("F011", &file.name, message);
            (None, [finding.with_help("a key file is a JWK Set (RFC 7517)")].into_iter().collect())
        }
    }
}

/// A compiler that panics refuses, like one that says no: the last good files go on serving.
fn guarded<T>(name: &str, step: impl FnOnce() -> (Option<T>, Report)) -> (Option<T>, Report) {
    // What the step worked on is dropped with it, so that nothing half-changed is seen again.
    panic::catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        let finding = Diagnostic::of_file("F021", name, "compiling the files failed; this is a defect of the gateway");
        (None, [finding].into_iter().collect())
    })
}

/// Nothing is refused without saying why, whatever a step left unsaid.
fn at_least_one_error(mut report: Report, name: &str) -> Report {
    if !report.has_errors() {
        report.push(Diagnostic::of_file("F020", name, "the files do not compile, and no reason was given"));
    }
    report
}

/// What a new generation is made of.
#[derive(Debug)]
pub struct Parts<P> {
    /// Counts up with every swap; the first is 1.
    pub number: u64,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The policies.
    pub policies: Arc<P>,
    /// The certificates of each upstream, in the order of the settings.
    pub trust: Arc<[Trust]>,
    /// The keys that are held.
    pub keys: Arc<KeyRing>,
    /// What each listener shakes hands with, in the order of the settings; `None` for plain ones.
    pub tls: Arc<[Option<Arc<ListenerTls>>]>,
}

impl<P> Clone for Parts<P> {
    fn clone(&self) -> Self {
        let Self { number, settings, policies, trust, keys, tls } = self;
        Self {
            number: *number,
            settings: Arc::clone(settings),
            policies: Arc::clone(policies),
            trust: Arc::clone(trust),
            keys: Arc::clone(keys),
            tls: Arc::clone(tls),
        }
    }
}

/// The files that a generation was read from, to be watched.
pub(super) fn places(path: &Path, settings: &Settings) -> super::watch::Places {
    let keys = settings.identity.providers.iter().filter_map(|provider| match &provider.keys {
        KeySource::Url(_) => None,
        KeySource::File(path) => Some(path.clone()),
    });
    let pem = certificates::paths(settings).map(Path::to_owned);
    super::watch::Places {
        files: std::iter::once(path.to_owned())
            .chain(keys)
            .chain(pem)
            .chain(trust::places(settings))
            .collect::<Vec<PathBuf>>(),
        folders: vec![settings.policies.path.clone()],
        poll: settings.policies.poll,
    }
}
