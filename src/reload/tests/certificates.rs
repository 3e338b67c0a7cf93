//! Certificates that are renewed, badly and well.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A certificate that expires at the start of that year, and its key.
fn pair(year: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec!["gateway.example".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Writes such a pair as `NAME.pem` and `NAME.key`.
pub(super) fn write_pair(name: &Path, year: i32) {
    let (certificate, key) = pair(year);
    fs::write(name.with_extension("pem"), certificate).unwrap();
    fs::write(name.with_extension("key"), key).unwrap();
}

fn house() -> House {
    House::prepared(json!({ "tls": "tls" }), |root| {
        fs::create_dir(root.join("policies")).unwrap();
        fs::write(root.join("policies/a.yaml"), "one").unwrap();
        write_pair(&root.join("tls"), 2050);
    })
}

/// The year in which the certificate that serves expires.
fn year(house: &House) -> u64 {
    1970 + house.last().tls[0].as_ref().unwrap().expires().seconds() / 31_556_952
}

#[tokio::test]
async fn a_renewed_pair_serves_within_two_seconds() {
    let house = house();
    assert_eq!(year(&house), 2050);
    write_pair(&house.path("tls"), 2051);
    house.until("the new pair serves", |house| year(house) == 2051).await;
    assert_eq!((house.rejected(), house.text()), (0, "one".to_owned()));
}

#[tokio::test]
async fn a_pair_that_is_replaced_file_by_file_is_never_told_to_be_wrong() {
    for first in ["pem", "key"] {
        let house = house();
        house.until("keys are held", |house| house.last().keys.get(0).is_some()).await;
        let (certificate, key) = pair(2051);
        let text = |ending: &str| if ending == "pem" { &certificate } else { &key };
        house.write(&format!("tls.{first}"), text(first));
        house.stays("half a pair changes nothing", |house| year(house) == 2050 && house.rejected() == 0).await;
        let second = if first == "pem" { "key" } else { "pem" };
        house.write(&format!("tls.{second}"), text(second));
        house.until("the new pair serves", |house| year(house) == 2051).await;
        assert_eq!(house.rejected(), 0);
    }
}

#[tokio::test]
async fn a_bad_pair_changes_nothing_and_is_told_once() {
    let house = house();
    house.write("tls.key", &pair(2051).1);
    let told = timeout(Duration::from_secs(10), async {
        while house.rejected() == 0 {
            house.news.notified().await;
        }
    });
    told.await.expect("it is told");
    house.stays("once", |house| house.rejected() == 1 && year(house) == 2050).await;
    let report = house.status.read().rejected.unwrap().report;
    assert_eq!(report.findings()[0].code, "T004");
    assert!(report.findings()[0].file.ends_with("tls.key"), "{report}");
    // No key stands in what is told.
    assert!(!report.to_string().contains("PRIVATE KEY"), "{report}");
    write_pair(&house.path("tls"), 2052);
    house.until("a good pair serves", |house| year(house) == 2052).await;
    assert_eq!(house.status.read().stale_since, None);
}

#[tokio::test]
async fn what_else_is_wrong_is_told_without_waiting_for_certificates() {
    let house = house();
    house.write("tls.key", "");
    house.write("policies/a.yaml", "bad");
    house.until("both are told", |house| house.rejected() == 1).await;
    let report = house.status.read().rejected.unwrap().report;
    let codes: Vec<_> = report.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["P001", "T003"]);
}

#[tokio::test]
async fn a_mounted_secret_that_swaps_its_data_serves() {
    let swap = |root: &Path, number: usize, year: i32| {
        let version = root.join(format!("..v{number}"));
        fs::create_dir(&version).unwrap();
        write_pair(&version.join("tls"), year);
        symlink(format!("..v{number}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    let house = House::prepared(json!({ "tls": "mount/tls" }), |root| {
        fs::create_dir(root.join("policies")).unwrap();
        fs::write(root.join("policies/a.yaml"), "one").unwrap();
        let mount = root.join("mount");
        fs::create_dir(&mount).unwrap();
        swap(&mount, 1, 2050);
        for name in ["tls.pem", "tls.key"] {
            symlink(format!("..data/{name}"), mount.join(name)).unwrap();
        }
    });
    swap(&house.path("mount"), 2, 2051);
    fs::remove_dir_all(house.path("mount/..v1")).unwrap();
    house.until("the new pair serves", |house| year(house) == 2051).await;
    // As certbot does it: links that lead to another file.
    write_pair(&house.path("live2"), 2052);
    for ending in ["pem", "key"] {
        let name = house.path(&format!("mount/tls.{ending}"));
        fs::remove_file(&name).unwrap();
        symlink(format!("../live2.{ending}"), &name).unwrap();
    }
    house.until("the linked pair serves", |house| year(house) == 2052).await;
    assert_eq!(house.rejected(), 0);
}

#[tokio::test]
async fn settings_that_name_another_pair_are_taken_over() {
    let house = house();
    write_pair(&house.path("other"), 2055);
    house.write("cogward.yaml", r#"{ "tls": "other" }"#);
    house.until("the other pair serves", |house| year(house) == 2055).await;
    assert_eq!(house.status.read().restart_needed, [""; 0]);
    write_pair(&house.path("other"), 2056);
    house.until("it is watched", |house| year(house) == 2056).await;
}

#[tokio::test]
async fn a_listener_that_is_gone_from_the_settings_serves_on_until_the_restart() {
    let house = house();
    house.write("cogward.yaml", r#"{ "port": 81 }"#);
    house.until("the settings are taken", |house| house.status.read().restart_needed == ["listeners"]).await;
    assert_eq!((year(&house), house.last().settings.listeners[0].address.port()), (2050, 0));
    house.write("cogward.yaml", "{}");
    house.until("plain text needs a restart", |house| house.status.read().restart_needed == ["listeners.tls"]).await;
    assert_eq!(year(&house), 2050);
}

#[test]
fn a_start_with_bad_certificates_tells_each_file_once() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("policies")).unwrap();
    let path = root.path().join("cogward.yaml");
    fs::write(&path, r#"{ "tls": "tls" }"#).unwrap();
    let twice: Steps<Texts> = Steps {
        settings: Box::new(|file| {
            let (settings, report) = compile_settings(file);
            let twice = settings.map(|mut settings| {
                settings.listeners.push(settings.listeners[0].clone());
                settings
            });
            (twice, report)
        }),
        outline: Box::new(|_| None),
        policies: Box::new(compile_policies),
        tests: Box::new(run_tests),
    };
    let codes = || {
        let (compiled, report) = compile(&path, &twice);
        assert!(compiled.is_none());
        assert!(only_tls_is_wrong(&report), "{report}");
        report.findings().iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(), ["T001", "T001"]);
    fs::write(root.path().join("tls.pem"), "").unwrap();
    assert_eq!(codes(), ["T001", "T002"]);
    fs::write(root.path().join("tls.key"), "").unwrap();
    assert_eq!(codes(), ["T002", "T003"]);
    fs::write(root.path().join("policies/a.yaml"), "bad").unwrap();
    let (_, report) = compile(&path, &twice);
    assert!(!only_tls_is_wrong(&report), "{report}");
}
