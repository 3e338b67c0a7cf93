use std::{
    collections::HashSet,
    fs,
    io::Read,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use expect_test::{expect, expect_file};
use serde_json::Value;

use super::*;
use crate::{
    config::AuditDestination,
    telemetry::{Metrics, json},
};

const LONG: Duration = Duration::from_secs(60);

fn record<'a>() -> AuditRecord<'a> {
    AuditRecord {
        time: Duration::from_millis(1_795_343_037_123),
        request_id: "0b5e",
        generation: 3,
        route: None,
        method: Some("GET"),
        path: Some("/users/u-1"),
        outcome: Outcome::Deny,
        reason: Some("no_route"),
        rule: None,
        principal: None,
        kind: None,
        client_id: None,
        provider: None,
        roles: &[],
        owner_source: None,
        other_profile: None,
        status: Some(404),
        decision_us: Some(4),
        upstream_us: None,
    }
}

fn line(record: &AuditRecord<'_>) -> String {
    let mut out = Vec::new();
    json::write_line(record, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn fields(record: &AuditRecord<'_>) -> Value {
    serde_json::from_str(&line(record)).unwrap()
}

fn to_file(path: PathBuf) -> AuditSink {
    AuditSink::open(&AuditDestination::File(path), Arc::new(Metrics::new().unwrap())).unwrap()
}

#[test]
fn an_allow_and_a_deny_have_the_same_fields_in_the_same_order() {
    let roles = [Box::from("admin"), Box::from("user")];
    let allow = AuditRecord {
        route: Some("profile"),
        outcome: Outcome::Allow,
        reason: None,
        rule: Some("profile/self-reads"),
        principal: Some("u-1"),
        kind: Some(Kind::User),
        client_id: Some("app"),
        provider: Some("main"),
        roles: &roles,
        owner_source: Some("path.user_id"),
        other_profile: Some("deny"),
        status: Some(200),
        upstream_us: Some(1_200),
        ..record()
    };
    expect![[r#"
        {"time":"2026-11-22T10:23:57.123Z","request_id":"0b5e","generation":3,"route":"profile","method":"GET","path":"/users/u-1","outcome":"allow","reason":null,"rule":"profile/self-reads","principal":"u-1","kind":"user","client_id":"app","provider":"main","roles":["admin","user"],"owner_source":"path.user_id","other_profile":"deny","status":200,"decision_us":4,"upstream_us":1200}
    "#]]
    .assert_eq(&line(&allow));
    expect![[r#"
        {"time":"2026-11-22T10:23:57.123Z","request_id":"0b5e","generation":3,"route":null,"method":"GET","path":"/users/u-1","outcome":"deny","reason":"no_route","rule":null,"principal":null,"kind":null,"client_id":null,"provider":null,"roles":[],"owner_source":null,"other_profile":null,"status":404,"decision_us":4,"upstream_us":null}
    "#]]
    .assert_eq(&line(&record()));
}

#[test]
fn the_table_of_fields_is_what_is_written() {
    let text = line(&record());
    let mut at = 0;
    for (name, _) in FIELDS {
        let found = text
            .get(at..)
            .unwrap()
            .find(&format!("\"{name}\":"))
            .unwrap_or_else(|| panic!("{name} is not next in {text}"));
        at += found + 1;
    }
    assert_eq!(fields(&record()).as_object().unwrap().len(), FIELDS.len());
}

#[test]
fn a_forged_line_in_a_value_stays_in_its_value() {
    let forged = "u\"}\n{\"outcome\":\"allow\"}\u{2028}\u{85}\u{1b}[2J\u{7f}\r";
    let text = line(&AuditRecord { principal: Some(forged), path: Some(forged), ..record() });
    assert_eq!(text.lines().count(), 1);
    assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{2028}'), "{text}");
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["principal"], forged);
    assert_eq!(read["outcome"], "deny");
}

#[test]
fn a_token_in_the_path_is_not_written() {
    let path = "/reset/eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln";
    assert_eq!(fields(&AuditRecord { path: Some(path), ..record() })["path"], "/reset/[redacted]");
    for place in ["principal", "request_id", "client_id", "rule"] {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln";
        let mut with = record();
        match place {
            "principal" => with.principal = Some(token),
            "request_id" => with.request_id = token,
            "client_id" => with.client_id = Some(token),
            _ => with.rule = Some(token),
        }
        assert_eq!(fields(&with)[place], "[redacted]", "{place}");
    }
}

#[test]
fn a_query_string_is_not_written() {
    assert_eq!(fields(&AuditRecord { path: Some("/a?secret=1"), ..record() })["path"], "/a");
}

#[test]
fn long_values_are_cut_and_marked() {
    let long = "ä".repeat(5_000);
    let roles: Vec<Box<str>> = (0..150).map(|n| Box::from(format!("{n}-{long}"))).collect();
    let read = fields(&AuditRecord {
        path: Some(&long),
        principal: Some(&long),
        method: Some(&long),
        roles: &roles,
        ..record()
    });
    assert!(read["path"].as_str().unwrap().len() <= 2048 && read["path"].as_str().unwrap().ends_with('…'));
    assert!(read["principal"].as_str().unwrap().len() <= 512);
    assert!(read["method"].as_str().unwrap().len() <= 512);
    let shown = read["roles"].as_array().unwrap();
    assert_eq!((shown.len(), &shown[100]), (101, &Value::from("…")));
    assert!(shown.iter().all(|role| role.as_str().unwrap().len() <= 512));
}

#[test]
fn every_line_of_many_threads_is_in_the_file_once_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let sink = to_file(path.clone());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sink = &sink;
            scope.spawn(move || {
                for n in 0..2_000 {
                    sink.record(&AuditRecord { request_id: &format!("{thread}-{n}"), ..record() });
                }
            });
        }
    });
    assert!(sink.close(LONG));
    let text = fs::read_to_string(path).unwrap();
    let ids: HashSet<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((text.lines().count(), ids.len(), sink.dropped()), (8_000, 8_000, 0));
}

#[test]
fn flush_waits_for_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let sink = to_file(path.clone());
    for lines in 1..20 {
        sink.record(&record());
        assert!(sink.flush(LONG));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), lines);
    }
}

#[test]
fn a_rotated_file_is_opened_anew_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    let sink = to_file(path.clone());
    sink.record(&record());
    assert!(sink.flush(LONG));
    fs::rename(&path, &old).unwrap();
    sink.reopen();
    sink.record(&record());
    sink.record(&record());
    assert!(sink.close(LONG));
    let count = |path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((count(old), count(path), sink.dropped()), (1, 2, 0));
}

#[test]
fn a_rotation_that_cannot_open_the_file_keeps_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("audit.log"), folder.path().join("old"));
    let sink = to_file(path.clone());
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    sink.reopen();
    sink.record(&record());
    assert!(sink.close(LONG));
    assert_eq!((fs::read_to_string(old).unwrap().lines().count(), sink.dropped()), (1, 0));
}

#[test]
#[cfg(unix)]
fn a_new_file_is_for_its_owner_alone_and_an_old_one_is_appended_to() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    for _ in 0..2 {
        let sink = to_file(path.clone());
        sink.record(&record());
        assert!(sink.close(LONG));
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/audit.log");
    let fault = AuditSink::open(&AuditDestination::File(path.clone()), Arc::new(Metrics::new().unwrap())).unwrap_err();
    assert_eq!(fault.to_string(), format!("the audit file `{}` cannot be opened", path.display()));
}

#[test]
#[cfg(target_os = "linux")]
fn lines_that_a_full_disk_refuses_are_counted() {
    let sink = to_file("/dev/full".into());
    for _ in 0..3 {
        sink.record(&record());
    }
    assert!(sink.close(LONG));
    assert_eq!(sink.dropped(), 3);
    assert!(sink.metrics.render().contains("cogward_audit_dropped_total{reason=\"write_failed\"} 3\n"));
}

#[test]
fn a_line_after_the_end_is_counted_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let sink = to_file(folder.path().join("audit.log"));
    assert!(sink.close(LONG));
    sink.record(&record());
    assert!(sink.metrics.render().contains("cogward_audit_dropped_total{reason=\"closed\"} 1\n"));
    assert!(sink.flush(LONG) && sink.close(LONG), "a second end is no error");
}

#[test]
#[cfg(unix)]
fn a_destination_that_stands_still_slows_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::File::open(path).unwrap()
    });
    let sink = to_file(path);
    let mut pipe = reader.join().unwrap();

    let long = "p".repeat(2_000);
    let started = Instant::now();
    for _ in 0..20_000 {
        sink.record(&AuditRecord { path: Some(&long), ..record() });
    }
    assert!(started.elapsed() < LONG, "recording waited for the reader");
    let dropped = sink.dropped();
    assert!(dropped > 10_000, "{dropped} of 40 MB were dropped, the queue is not bounded");
    assert!(!sink.close(Duration::from_millis(50)), "the end is bounded although nobody reads");

    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count() as u64;
    assert_eq!(whole + dropped, 20_000, "each line is whole, or counted");
}

#[test]
fn audit_that_is_off_takes_lines_and_loses_none() {
    let sink = AuditSink::open(&AuditDestination::Off, Arc::new(Metrics::new().unwrap())).unwrap();
    sink.record(&record());
    sink.reopen();
    assert!(sink.flush(LONG) && sink.close(LONG));
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn the_reference_page_is_the_table() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")].assert_eq(&render_reference());
}
