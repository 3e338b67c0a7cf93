mod certificates;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::{
    testing::{Behaviour, KeyServer, jwks, provider, settings},
    *,
};
use crate::{
    config::{KeySource, Outline, Settings, TlsFiles, TlsSettings},
    diagnostic::Diagnostic,
    token::ProviderId,
    yaml::SourceFile,
};

/// Names and texts: what policies compile to here.
type Texts = Vec<(String, String)>;

const NEVER: u64 = 3600;

/// Compiles settings from JSON: `policies`, and what a test wants to differ.
fn compile_settings(file: &SourceFile) -> (Option<Settings>, Report) {
    let Ok(said) = serde_json::from_str::<Value>(&file.text) else {
        return (None, [Diagnostic::of_file("C001", &file.name, "not settings")].into_iter().collect());
    };
    assert!(said["panic"].is_null(), "a defect");
    let folder = Path::new(&file.name).parent().unwrap();
    let mut settings = settings(vec![provider("main", "https://keys.example/main")]);
    settings.policies.path = folder.join(said["policies"].as_str().unwrap_or("policies"));
    settings.policies.poll = Duration::from_secs_f64(said["poll"].as_f64().unwrap_or(NEVER as f64));
    settings.policies.test_on_reload = said["tested"] == true;
    if said["audit"] == "off" {
        settings.audit = crate::config::AuditDestination::Off;
    }
    settings.threads = said["threads"].as_u64().map(|threads| usize::try_from(threads).unwrap());
    if let Some(port) = said["admin"].as_u64() {
        settings.admin.set_port(u16::try_from(port).unwrap());
    }
    if let Some(port) = said["port"].as_u64() {
        settings.listeners[0].address.set_port(u16::try_from(port).unwrap());
    }
    if let Some(name) = said["tls"].as_str() {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let default = TlsFiles { certificate: file("pem"), private_key: file("key") };
        settings.listeners[0].tls = Some(TlsSettings { default, others: Vec::new(), clients: None });
    }
    if let Some(path) = said["keys"].as_str() {
        settings.identity.providers[0].keys = KeySource::File(folder.join(path));
    }
    (Some(settings), Report::default())
}

/// Compiles policies by taking their texts; one that says `bad` is refused, one that says `panic` is a defect of the compiler.
fn compile_policies(files: &[SourceFile], _: &Outline) -> (Option<Texts>, Report) {
    let mut report = Report::default();
    for file in files {
        assert!(!file.text.contains("panic"), "a defect");
        if file.text.contains("bad") {
            report.push(Diagnostic::of_file("P001", &file.name, "is bad"));
        }
    }
    let short = |name: &str| Path::new(name).file_name().unwrap().to_string_lossy().into_owned();
    let texts = files.iter().map(|file| (short(&file.name), file.text.clone())).collect();
    (if report.has_errors() { None } else { Some(texts) }, report)
}

/// A test expects that some policy has its text.
fn run_tests(tested: &Tested<'_, Texts>) -> Report {
    let suites = tested.tests.iter().flat_map(|folder| &folder.suites);
    let failed = suites.filter(|suite| {
        assert!(!suite.text.contains("panic"), "a defect");
        !tested.policies.iter().any(|(_, text)| *text == suite.text)
    });
    failed.map(|suite| Diagnostic::of_file("S015", &suite.name, "failed")).collect()
}

fn steps() -> Arc<Steps<Texts>> {
    Arc::new(Steps {
        settings: Box::new(compile_settings),
        outline: Box::new(|_| None),
        policies: Box::new(compile_policies),
        tests: Box::new(run_tests),
    })
}

/// A reload over a folder, and all that it published.
struct House {
    root: TempDir,
    server: KeyServer,
    published: Arc<Mutex<Vec<Parts<Texts>>>>,
    rejected: Arc<AtomicUsize>,
    news: Arc<Notify>,
    reload: Reload,
    status: SharedStatus,
}

impl House {
    fn new(said: Value) -> Self {
        Self::prepared(said, |root| {
            fs::create_dir(root.join("policies")).unwrap();
            fs::write(root.join("policies/a.yaml"), "one").unwrap();
        })
    }

    fn prepared(said: Value, prepare: impl FnOnce(&Path)) -> Self {
        pingora_rustls::install_default_crypto_provider();
        let root = TempDir::new().unwrap();
        fs::write(root.path().join("cogward.yaml"), said.to_string()).unwrap();
        prepare(root.path());
        let path = root.path().join("cogward.yaml");
        let (first, report) = compile(&path, &steps());
        assert!(report.is_empty(), "{report}");
        let (published, rejected, news) =
            (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default(), Arc::new(Notify::new()));
        let (log, count, tell) = (Arc::clone(&published), Arc::clone(&rejected), Arc::clone(&news));
        let status = SharedStatus::default();
        let surroundings = Surroundings {
            path,
            steps: steps(),
            fetcher: Arc::new(Fetcher::new().unwrap()),
            status: status.clone(),
            publish: Box::new(move |parts| log.lock().unwrap().push(parts)),
            observe: Box::new(move |news| {
                if matches!(news, News::Rejected) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                tell.notify_one();
            }),
        };
        let server = KeyServer::new(Behaviour::Answers(jwks(&["a"])));
        let (keys, events) = server.table();
        let reload = Reload::with(first.unwrap(), surroundings, keys, events);
        Self { root, server, published, rejected, news, reload, status }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn last(&self) -> Parts<Texts> {
        self.published.lock().unwrap().last().unwrap().clone()
    }

    fn text(&self) -> String {
        self.last().policies.first().map(|(_, text)| text.clone()).unwrap_or_default()
    }

    fn rejected(&self) -> usize {
        self.rejected.load(Ordering::SeqCst)
    }

    /// Waits until that is so: two seconds, as the design promises where events come.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                self.news.notified().await;
            }
        };
        timeout(Duration::from_secs(2), wait).await.unwrap_or_else(|_| panic!("within two seconds: {what}"));
    }

    async fn stays(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_millis(600);
        while Instant::now() < until {
            assert!(is_so(self), "{what}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_changed_policy_serves_within_two_seconds_as_the_next_generation() {
    let house = House::new(json!({}));
    house.until("keys are held", |house| house.last().keys.get(0).is_some()).await;
    let before = house.last().number;
    house.write("policies/a.yaml", "two");
    house.until("the change serves", |house| house.text() == "two").await;
    assert_eq!(house.last().number, before + 1);
    assert!(house.last().keys.get(0).is_some(), "the keys stay");
    let status = house.status.read();
    assert_eq!((status.generation, status.stale_since, status.rejected), (before + 1, None, None));
    assert!(status.applied.is_some());
}

#[tokio::test]
async fn a_reload_that_fails_a_test_is_rejected_and_the_last_good_one_serves() {
    let house = House::prepared(json!({ "tested": true, "poll": 0.05 }), |root| {
        fs::create_dir(root.join("policies")).unwrap();
        fs::write(root.join("policies/a.yaml"), "one").unwrap();
        fs::write(root.join("policies/a_test.yaml"), "one").unwrap();
    });
    house.write("policies/a.yaml", "two");
    house.until("it is rejected", |house| house.rejected() == 1).await;
    house.stays("what passed serves", |house| house.text() == "one").await;
    let finding = house.status.read().rejected.unwrap().report.findings()[0].clone();
    assert!(finding.code == "S015" && finding.file.ends_with("policies/a_test.yaml"), "{finding}");
    house.write("policies/a_test.yaml", "two");
    house.until("a corrected test lets it serve", |house| house.text() == "two").await;
    house.write("policies/a_test.yaml", "panic");
    house.until("a runner that fails refuses", |house| house.rejected() == 2).await;
    assert_eq!(house.text(), "two");
}

#[tokio::test]
async fn tests_are_not_looked_at_unless_the_settings_ask() {
    let house = House::prepared(json!({ "poll": 0.05 }), |root| {
        fs::create_dir(root.join("policies")).unwrap();
        fs::write(root.join("policies/a.yaml"), "one").unwrap();
        fs::write(root.join("policies/a_test.yaml"), "never").unwrap();
    });
    house.write("policies/a.yaml", "two");
    house.until("the change serves", |house| house.text() == "two").await;
    assert_eq!(house.rejected(), 0);
}

#[test]
fn policies_that_fail_their_tests_do_not_start() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("cogward.yaml");
    fs::create_dir(root.path().join("policies")).unwrap();
    fs::write(&path, r#"{ "tested": true }"#).unwrap();
    fs::write(root.path().join("policies/a.yaml"), "one").unwrap();
    fs::write(root.path().join("policies/a_test.yaml"), "two").unwrap();
    let (compiled, report) = compile(&path, &steps());
    assert!(compiled.is_none());
    assert_eq!(report.findings().iter().map(|finding| finding.code).collect::<Vec<_>>(), ["S015"]);
    fs::write(root.path().join("policies/a_test.yaml"), "one").unwrap();
    assert!(compile(&path, &steps()).0.is_some());
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told_once() {
    let house = House::new(json!({ "poll": 0.05 }));
    house.write("policies/b.yaml", "bad");
    house.until("it is rejected", |house| house.rejected() == 1).await;
    house.stays("one file, told once, whatever the poll", |house| house.rejected() == 1 && house.text() == "one").await;
    let status = house.status.read();
    assert!(status.stale_since.is_some());
    let report = status.rejected.unwrap().report;
    assert_eq!(report.findings()[0].code, "P001");
    assert!(report.findings()[0].file.ends_with("policies/b.yaml"));
    assert!(status.applied.unwrap().seconds() > 1_600_000_000);

    house.write("policies/b.yaml", "bad again");
    house.until("other bad content is told again", |house| house.rejected() == 2).await;
    let generation = house.last().number;
    fs::remove_file(house.path("policies/b.yaml")).unwrap();
    let started = Instant::now();
    while house.status.read().stale_since.is_some() {
        assert!(started.elapsed() < Duration::from_secs(10), "the files are again those that serve");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(house.last().number, generation, "nothing new serves");
    assert!(house.status.read().rejected.is_some(), "the last rejection stays to be read");
}

#[tokio::test]
async fn good_files_beside_a_bad_one_do_not_serve() {
    let house = House::new(json!({}));
    house.write("policies/b.yaml", "bad");
    house.write("policies/a.yaml", "two");
    house.until("they are rejected", |house| house.rejected() == 1).await;
    assert_eq!(house.text(), "one");
    house.write("policies/b.yaml", "good");
    house.until("all of them serve", |house| house.last().policies.len() == 2).await;
    assert_eq!(house.text(), "two");
}

#[tokio::test]
async fn deleted_or_unreadable_policies_are_not_an_empty_set() {
    let house = House::new(json!({}));
    fs::remove_dir_all(house.path("policies")).unwrap();
    house.until("the missing folder is rejected", |house| house.rejected() == 1).await;
    fs::create_dir(house.path("policies")).unwrap();
    house.write("policies/a.yaml", "two");
    house.until("the folder is back", |house| house.text() == "two").await;

    // Even for root a link that leads nowhere is unreadable.
    symlink("nowhere", house.path("policies/deny.yaml")).unwrap();
    house.until("the unreadable file is rejected", |house| house.rejected() >= 2).await;
    assert_eq!(house.text(), "two");
}

#[tokio::test]
async fn broken_or_missing_settings_change_nothing() {
    let house = House::new(json!({}));
    house.write("cogward.yaml", "{");
    house.until("they are rejected", |house| house.rejected() == 1).await;
    fs::remove_file(house.path("cogward.yaml")).unwrap();
    house.until("a missing file is rejected", |house| house.rejected() == 2).await;
    assert_eq!(house.text(), "one");
    house.write("policies/a.yaml", "two");
    house.write("cogward.yaml", "{}");
    house.until("good ones serve again", |house| house.text() == "two").await;
}

#[tokio::test]
async fn a_compiler_that_panics_rejects() {
    let house = House::new(json!({ "poll": 0.05 }));
    house.write("policies/a.yaml", "panic");
    house.until("the policies are rejected", |house| house.rejected() == 1).await;
    house.write("cogward.yaml", r#"{ "panic": true }"#);
    house.until("the settings are rejected", |house| house.rejected() == 2).await;
    house.stays("each once", |house| house.rejected() == 2 && house.text() == "one").await;
    assert_eq!(house.status.read().rejected.unwrap().report.findings()[0].code, "F021");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
    let house = House::new(json!({ "threads": 2 }));
    house.write("policies/a.yaml", "two");
    certificates::write_pair(&house.path("new"), 2050);
    house.write("cogward.yaml", r#"{ "threads": 3, "admin": 1, "tls": "new", "audit": "off", "poll": 7 }"#);
    house
        .until("the rest serves", |house| house.text() == "two" && house.last().settings.policies.poll.as_secs() == 7)
        .await;
    let serving = house.last().settings;
    assert_eq!((serving.threads, serving.admin.port(), &serving.listeners[0].tls), (Some(2), 9901, &None));
    assert_eq!(house.status.read().restart_needed, ["listeners.tls", "admin.address", "threads", "audit.destination"]);

    house.write("cogward.yaml", r#"{ "threads": 2, "port": 81 }"#);
    house.until("the next change serves", |house| house.last().settings.policies.poll.as_secs() == NEVER).await;
    assert_eq!(house.last().settings.listeners[0].address.port(), 0);
    assert_eq!(house.status.read().restart_needed, ["listeners"]);
}

#[tokio::test]
async fn another_policy_folder_is_watched_once_the_settings_name_it() {
    let house = House::new(json!({}));
    fs::create_dir(house.path("other")).unwrap();
    house.write("other/a.yaml", "other one");
    house.write("cogward.yaml", r#"{ "policies": "other" }"#);
    house.until("the other folder serves", |house| house.text() == "other one").await;
    house.write("other/a.yaml", "other two");
    house.until("its changes serve", |house| house.text() == "other two").await;
}

#[tokio::test]
async fn a_key_file_reloads_like_any_other_file() {
    let house = House::prepared(json!({ "keys": "keys.json" }), |root| {
        fs::create_dir(root.join("policies")).unwrap();
        fs::write(root.join("keys.json"), jwks(&["a"])).unwrap();
    });
    let kids = |house: &House| house.last().keys.get(0).map(|keys| keys.kids().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(kids(&house).unwrap(), ["a"]);
    fs::write(house.path("keys.json"), jwks(&["a", "b"])).unwrap();
    house.until("the new key serves", |house| kids(house).unwrap() == ["a", "b"]).await;
    house.write("keys.json", r#"{"keys":[]}"#);
    house.until("a set without keys is rejected", |house| house.rejected() == 1).await;
    assert_eq!(kids(&house).unwrap(), ["a", "b"]);
    assert_eq!(house.status.read().rejected.unwrap().report.findings()[0].code, "F011");
    assert_eq!(house.server.count(), 0);
}

#[tokio::test]
async fn other_keys_are_another_generation_of_the_same_files() {
    let house = House::new(json!({}));
    house.until("keys are held", |house| house.last().keys.get(0).is_some()).await;
    let first = house.last();
    assert_eq!(first.number, 2);
    house.server.behaves(Behaviour::Answers(jwks(&["a", "b"])));
    assert_eq!(house.reload.requests().refetch(&ProviderId::new("main")).await, Refetch::Done);
    let second = house.last();
    assert_eq!(second.number, 3);
    assert_eq!(second.keys.get(0).unwrap().len(), 2, "what was fetched serves when the caller goes on");
    assert!(Arc::ptr_eq(&first.policies, &second.policies) && Arc::ptr_eq(&first.settings, &second.settings));
    assert_eq!(house.status.read().keys[0].keys, 2);
}

#[tokio::test]
async fn keys_are_swapped_while_files_do_not_rest() {
    let house = House::new(json!({}));
    house.until("keys are held", |house| house.last().keys.get(0).is_some()).await;
    let path = house.path("policies/a.yaml");
    let writer = tokio::spawn(async move {
        for number in 0.. {
            fs::write(&path, number.to_string()).unwrap();
            sleep(Duration::from_millis(30)).await;
        }
    });
    sleep(Duration::from_millis(1500)).await;
    house.server.behaves(Behaviour::Answers(jwks(&["b"])));
    let started = Instant::now();
    assert_eq!(house.reload.requests().refetch(&ProviderId::new("main")).await, Refetch::Done);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    writer.abort();
}

#[tokio::test]
async fn a_poke_looks_where_no_event_comes() {
    let house = House::prepared(json!({ "policies": "outer/inner/policies" }), |root| {
        for (outer, text) in [("outer", "one"), ("next", "two")] {
            fs::create_dir_all(root.join(outer).join("inner/policies")).unwrap();
            fs::write(root.join(outer).join("inner/policies/a.yaml"), text).unwrap();
        }
    });
    sleep(Duration::from_millis(300)).await;
    // A folder far above is replaced: nobody watches there.
    fs::rename(house.path("outer"), house.path("old")).unwrap();
    fs::rename(house.path("next"), house.path("outer")).unwrap();
    house.stays("no event comes", |house| house.text() == "one").await;
    house.reload.poke();
    house.until("the look finds it", |house| house.text() == "two").await;
}

#[tokio::test]
async fn a_file_written_in_pieces_serves_whole_or_not_at_all() {
    use std::io::Write;
    let house = House::new(json!({ "poll": 0.02 }));
    for round in 0..10 {
        let mut file = fs::File::create(house.path("policies/a.yaml")).unwrap();
        for piece in 0..8 {
            write!(file, "{piece}").unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        write!(file, " end {round}").unwrap();
        drop(file);
        house.until("the whole file serves", |house| house.text() == format!("01234567 end {round}")).await;
    }
    for parts in house.published.lock().unwrap().iter() {
        let text = &parts.policies[0].1;
        assert!(text == "one" || text.starts_with("01234567 end "), "half a file served: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mixture_of_two_versions_is_ever_served() {
    const FILES: usize = 20;
    let swap = |folder: &Path, number: usize| {
        let version = format!("..v{number}");
        fs::create_dir(folder.join(&version)).unwrap();
        for file in 0..FILES {
            fs::write(folder.join(&version).join(format!("{file:02}.yaml")), number.to_string()).unwrap();
        }
        symlink(&version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    let house = House::prepared(json!({ "poll": 0.01 }), |root| {
        let policies = root.join("policies");
        fs::create_dir(&policies).unwrap();
        swap(&policies, 0);
        for file in 0..FILES {
            symlink(format!("..data/{file:02}.yaml"), policies.join(format!("{file:02}.yaml"))).unwrap();
        }
    });
    let policies = house.path("policies");
    let writer = tokio::spawn(async move {
        for number in 1..=300_usize {
            swap(&policies, number);
            fs::remove_dir_all(policies.join(format!("..v{}", number - 1))).unwrap();
            // Some rest long enough to be served.
            sleep(Duration::from_millis(if number % 30 == 0 { 400 } else { 2 })).await;
        }
    });
    writer.await.unwrap();
    house.until("the last version serves", |house| house.text() == "300").await;
    let published = house.published.lock().unwrap();
    let served: Vec<_> = published
        .iter()
        .map(|parts| {
            assert_eq!(parts.policies.len(), FILES);
            assert!(parts.policies.iter().all(|(_, text)| *text == parts.policies[0].1), "mixed: {:?}", parts.policies);
            parts.policies[0].1.parse::<usize>().unwrap()
        })
        .collect();
    assert!(served.is_sorted(), "{served:?}");
    assert!(served.len() >= 3, "{served:?}");
}

#[test]
fn a_start_with_files_that_do_not_compile_gives_a_report_and_nothing_else() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("cogward.yaml");
    let codes = |report: &Report| report.findings().iter().map(|finding| finding.code).collect::<Vec<_>>();
    let (compiled, report) = compile(&path, &steps());
    assert_eq!((compiled.is_none(), codes(&report)), (true, vec!["F001"]));
    fs::write(&path, r#"{ "keys": "missing.json" }"#).unwrap();
    let (compiled, report) = compile(&path, &steps());
    assert_eq!((compiled.is_none(), codes(&report)), (true, vec!["F005", "F001"]));
}

#[test]
fn an_error_behind_a_full_report_is_a_refusal() {
    use crate::diagnostic::Severity;
    let root = TempDir::new().unwrap();
    let path = root.path().join("cogward.yaml");
    fs::write(&path, "{}").unwrap();
    fs::create_dir(root.path().join("policies")).unwrap();
    let warnings = || {
        let warning = || Diagnostic { severity: Severity::Warning, ..Diagnostic::of_file("L001", "", "is odd") };
        std::iter::repeat_with(warning).take(Report::MOST).collect::<Report>()
    };
    let noisy: Steps<Texts> = Steps {
        settings: Box::new(move |file| (compile_settings(file).0, warnings())),
        outline: Box::new(|_| None),
        policies: Box::new(|files, settings| {
            let (_, report) = compile_policies(files, settings);
            (Some(Texts::new()), report)
        }),
        tests: Box::new(run_tests),
    };
    assert!(compile(&path, &noisy).0.is_some(), "warnings alone refuse nothing");
    fs::write(root.path().join("policies/a.yaml"), "bad").unwrap();
    assert!(compile(&path, &noisy).0.is_none());
    fs::remove_file(root.path().join("policies/a.yaml")).unwrap();
    symlink("nowhere", root.path().join("policies/b.yaml")).unwrap();
    assert!(compile(&path, &noisy).0.is_none());
}

#[test]
fn a_refusal_without_a_reason_still_has_one() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("cogward.yaml");
    fs::write(&path, "{}").unwrap();
    let mute: Steps<Texts> = Steps {
        settings: Box::new(|_| (None, Report::default())),
        outline: Box::new(|_| None),
        policies: Box::new(compile_policies),
        tests: Box::new(run_tests),
    };
    let (compiled, report) = compile(&path, &mute);
    assert!(compiled.is_none() && report.has_errors());
}

#[test]
fn every_code_of_this_module_is_listed_once() {
    let (listed, compile) = include_str!("compile.rs").split_once("];\n").unwrap();
    let body = format!("{compile}{}", include_str!("trust.rs"));
    for (code, _) in CODES {
        assert_eq!(listed.matches(&format!("(\"{code}\"")).count(), 1, "{code}");
        assert!(body.contains(&format!("\"{code}\"")), "{code} is not used");
    }
    for (at, _) in body.match_indices("\"F0") {
        let code = body.get(at + 1..at + 5).unwrap();
        assert!(CODES.iter().any(|(listed, _)| *listed == code), "{code} is not listed");
    }
}
