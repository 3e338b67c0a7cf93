//! `cogward test`, and policies that serve only when they pass the tests beside them.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Gateway, House, Upstream, eventually, routes_file, run};

const POLICY: &str = "apiVersion: api.cerbos.dev/v1
resourcePolicy:
  version: default
  resource: album
  rules:
    - name: readers
      actions: [read]
      effect: EFFECT_ALLOW
      roles: [user]
    - name: owners
      actions: ['*']
      effect: EFFECT_ALLOW
      roles: [user]
      condition: { match: { expr: R.attr.owner == P.id } }
";
const SUITE: &str = "name: Albums
tests:
  - name: who does what
    input: { principals: [ada, eve], resources: [album], actions: [read, drop] }
    expected:
      - { principal: ada, resource: album, actions: { read: EFFECT_ALLOW, drop: EFFECT_ALLOW } }
      - { principal: eve, resource: album, actions: { read: EFFECT_ALLOW } }
";
const PRINCIPALS: &str = "principals: { ada: &user { id: u-1, roles: [user] }, eve: { <<: *user, id: u-2 } }\n";
const RESOURCES: &str = r#"{ "resources": { "album": { "kind": "album", "id": "a-1", "attr": { "owner": "u-1" } } } }"#;

/// A repository as Cerbos users have it.
fn repository() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("testdata")).unwrap();
    let files = [
        ("album.yaml", POLICY),
        ("album_test.yaml", SUITE),
        ("testdata/principals.yml", PRINCIPALS),
        ("testdata/resources.json", RESOURCES),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn test(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let folder = folder.to_str().unwrap();
    run(&[&["test", folder], more].concat())
}

#[test]
fn a_cerbos_repository_is_tested_as_it_is() {
    let folder = repository();
    let (code, said) = test(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "test Albums / who does what / ada / album / read ... ok",
        "test Albums / who does what / eve / album / drop ... ok",
        "test result: ok. 4 cases: 4 passed, 0 failed",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

#[test]
fn a_test_that_fails_is_told_with_what_was_expected_and_ends_with_2() {
    let folder = repository();
    fs::write(folder.path().join("album.yaml"), POLICY.replace("[read]", "[list]")).unwrap();
    let report = folder.path().join("report.xml");
    let (code, said) = test(folder.path(), &["--junit", report.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("effect: expected EFFECT_ALLOW, got EFFECT_DENY"), "{said}");
    assert!(said.contains("album_test.yaml:3:5"), "{said}");
    assert!(said.contains("test result: FAILED. 4 cases: 3 passed, 1 failed"), "{said}");
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("tests=\"4\" failures=\"1\" errors=\"0\""), "{report}");

    let (code, said) = test(folder.path(), &["--output", "json", "--filter", "eve / album"]);
    assert_eq!(code, Some(2), "{said}");
    let told: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(told["passed"], false);
    let cases = json!({ "cases": 2, "passed": 1, "failed": 1, "errored": 0, "skipped": 0, "filtered": 2 });
    assert_eq!(told["summary"], cases);
    assert_eq!(told["suites"][0]["cases"][0]["result"], "failed");
    assert_eq!(test(folder.path(), &["--filter", "ada"]).0, Some(0));
}

#[test]
fn a_suite_that_cannot_be_read_is_told_with_its_place_and_ends_with_3() {
    let folder = repository();
    fs::write(folder.path().join("album_test.yaml"), SUITE.replace("[album]", "[record]")).unwrap();
    let (code, said) = test(folder.path(), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("there is no resource `record`") && said.contains("album_test.yaml:4:12"), "{said}");
    fs::write(folder.path().join("album.yaml"), "apiVersion: api.cerbos.dev/v1\nresourcePolicy: {}\n").unwrap();
    assert_eq!(test(folder.path(), &[]).0, Some(3));
    assert_eq!(test(&folder.path().join("missing"), &[]).0, Some(3));
    assert_eq!(run(&["test", "--config", "a.yaml", "folder"]).0, Some(64));
    assert_eq!(run(&["test", "--whatever"]).0, Some(64));
}

#[test]
fn the_shipped_policies_pass_the_tests_beside_them() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cogward.yaml");
    let (code, said) = run(&["test", "--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("31 cases: 31 passed"), "{said}");
}

const OPEN: &str = "- { id: page, path: /page, rules: [ { id: everyone, roles: [anyone] } ] }";
const CLOSED: &str = "- { id: page, path: /page, rules: [ { id: admins, roles: [admin] } ] }";
const CASES: &str = "apiVersion: cogward/v1
cases:
  - name: the page stays open
    request: GET /page
    expect: { allow: page }
";

fn house(routes: &str) -> House {
    let tested = House::new(&Upstream::start(), routes).set("/policies/test_on_reload", json!(true));
    tested.file("policies/page_test.yaml", CASES)
}

fn rejections(gateway: &Gateway) -> f64 {
    gateway.metric("cogward_reloads_total", &["rejected"])
}

#[test]
fn policies_that_fail_their_tests_do_not_start() {
    let (code, said) = house(CLOSED).fails();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("error[S015]: the test `page_test.yaml / the page stays open / GET /page` failed"), "{said}");
    assert!(said.contains("page_test.yaml:3:5"), "{said}");
}

#[test]
fn a_change_that_fails_a_test_is_rejected_and_what_passed_serves() {
    let gateway = house(OPEN).start();
    assert_eq!(gateway.get_anonymously("/page").status, 200);
    gateway.write("policies/routes.yaml", &routes_file(CLOSED));
    let rejected = eventually("the rejection", || {
        (rejections(&gateway) > 0.0).then(|| gateway.status()["last_rejected"].clone()).filter(|told| !told.is_null())
    });
    let told = rejected.to_string();
    assert!(told.contains("S015") && told.contains("the page stays open"), "{told}");
    assert!(gateway.log().contains("the page stays open"));
    assert_eq!(gateway.get_anonymously("/page").status, 200);

    gateway.write("policies/page_test.yaml", &CASES.replace("{ allow: page }", "{ status: 401 }"));
    eventually("the new decision", || (gateway.get_anonymously("/page").status == 401).then_some(()));
    gateway.write("policies/page_test.yaml", "cases: [");
    let before = rejections(&gateway);
    eventually("a broken test is a rejection", || (rejections(&gateway) > before || before > 1.0).then_some(()));
    assert_eq!(gateway.get_anonymously("/page").status, 401);
}
