use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn names(folder: &TempDir) -> Vec<String> {
    let (files, report) = read_policies(folder.path());
    assert!(report.is_empty(), "{report}");
    let root = format!("{}/", folder.path().display());
    files.iter().map(|file| file.name.strip_prefix(&root).unwrap().to_owned()).collect()
}

fn codes(path: &Path) -> Vec<&'static str> {
    read_policies(path).1.findings().iter().map(|finding| finding.code).collect()
}

#[test]
fn policies_are_read_recursively_and_sorted() {
    let folder =
        folder(&[("b.yaml", "b"), ("a/z.yml", "z"), ("a.json", "{}"), ("a/deep/er/x.yaml", "x"), ("notes.txt", "")]);
    assert_eq!(names(&folder), ["a.json", "a/deep/er/x.yaml", "a/z.yml", "b.yaml"]);
}

#[test]
fn tests_test_data_and_hidden_names_are_left_out() {
    let folder = folder(&[
        ("a.yaml", ""),
        ("a_test.yaml", ""),
        ("b_test.yml", ""),
        ("c_test.json", ""),
        ("testdata/auxiliary.yaml", ""),
        ("deep/testdata/x.yaml", ""),
        ("_schemas/user.yaml", ""),
        ("_schemas/.user.json", ""),
        (".hidden.yaml", ""),
        (".git/x.yaml", ""),
        ("deep/_schemas/counts.yaml", ""),
    ]);
    assert_eq!(names(&folder), ["a.yaml", "deep/_schemas/counts.yaml"]);
}

#[test]
fn schemas_come_apart_from_policies_by_their_path() {
    let folder = folder(&[
        ("z.yaml", ""),
        ("_schemas/user.json", "{}"),
        ("_schemas/testdata/a_test.json", "[]"),
        ("deep/_schemas/policy.json", ""),
    ]);
    let (files, report) = read_policies(folder.path());
    assert!(report.is_empty(), "{report}");
    let (policies, schemas) = schemas_apart(folder.path(), &files);
    let names: Vec<_> = policies.iter().map(|file| file.name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["policy.json", "z.yaml"]);
    let found: Vec<_> = schemas.iter().map(|schema| (schema.path, schema.text)).collect();
    assert_eq!(found, [("testdata/a_test.json", "[]"), ("user.json", "{}")]);
}

#[test]
fn a_deny_policy_in_upper_case_is_not_silently_missing() {
    assert_eq!(names(&folder(&[("DENY.YAML", ""), ("a_TEST.yaml", "")])), ["DENY.YAML", "a_TEST.yaml"]);
}

#[test]
fn a_config_map_mount_is_read_once_through_its_links() {
    let folder = folder(&[("..2026_11_22/users.yaml", "routes: []")]);
    symlink("..2026_11_22", folder.path().join("..data")).unwrap();
    symlink("..data/users.yaml", folder.path().join("users.yaml")).unwrap();
    assert_eq!(names(&folder), ["users.yaml"]);
    assert_eq!(read_policies(folder.path()).0[0].text, "routes: []");
}

#[test]
fn a_link_to_a_folder_is_followed_and_a_cycle_is_an_error() {
    let elsewhere = folder(&[("far.yaml", "")]);
    let folder = folder(&[("near.yaml", ""), ("sub/x.yaml", "")]);
    symlink(elsewhere.path(), folder.path().join("linked")).unwrap();
    assert_eq!(names(&folder), ["linked/far.yaml", "near.yaml", "sub/x.yaml"]);
    symlink(folder.path(), folder.path().join("sub/loop")).unwrap();
    assert_eq!(codes(folder.path()), ["F009"]);
}

#[test]
fn a_link_to_itself_is_an_error_and_ends() {
    let folder = folder(&[]);
    symlink("x.yaml", folder.path().join("x.yaml")).unwrap();
    assert_eq!(codes(folder.path()), ["F001"]);
}

#[test]
fn a_link_that_leads_nowhere_is_an_error() {
    let folder = folder(&[("a.yaml", "")]);
    symlink("gone", folder.path().join("more-rules")).unwrap();
    assert_eq!(codes(folder.path()), ["F001"]);
}

#[test]
fn a_missing_folder_is_an_error_and_not_an_empty_policy() {
    assert_eq!(codes(Path::new("/nowhere/at/all")), ["F005"]);
    let folder = folder(&[("file.yaml", "")]);
    assert_eq!(codes(&folder.path().join("file.yaml")), ["F005"]);
}

#[test]
fn what_is_not_plain_utf8_text_is_an_error_each() {
    let folder = folder(&[("bom.yaml", "\u{feff}a: 1")]);
    fs::write(folder.path().join("latin1.yaml"), b"a: 1\nb: \xe9").unwrap();
    fs::write(folder.path().join("huge.yaml"), vec![b'#'; MAX_BYTES + 1]).unwrap();
    fs::write(folder.path().join("largest.yaml"), vec![b'#'; MAX_BYTES]).unwrap();
    let (files, report) = read_policies(folder.path());
    assert_eq!(files.len(), 1);
    let found: Vec<_> = report.findings().iter().map(|finding| (finding.code, finding.line)).collect();
    assert_eq!(found, [("F003", None), ("F004", None), ("F002", Some(2))]);
}

#[test]
fn a_pipe_named_like_a_policy_does_not_hang_the_reload() {
    let folder = folder(&[]);
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.yaml")).status().unwrap();
    assert!(made.success());
    assert_eq!(codes(folder.path()), ["F010"]);
}

#[test]
fn folders_nest_only_so_deep() {
    let deep = |levels: usize| format!("{}x.yaml", "d/".repeat(levels));
    assert_eq!(names(&folder(&[(&deep(DEEPEST - 1), "")])).len(), 1);
    assert_eq!(codes(folder(&[(&deep(DEEPEST), "")]).path()), ["F008"]);
}

#[test]
fn a_flood_of_policy_files_is_an_error() {
    let folder = TempDir::new().unwrap();
    for number in 0..=MOST_FILES {
        fs::File::create(folder.path().join(format!("{number}.yaml"))).unwrap();
    }
    assert_eq!(codes(folder.path()), ["F006"]);
}

#[test]
fn more_than_64_mib_of_policies_is_an_error() {
    let folder = TempDir::new().unwrap();
    let text = vec![b'#'; MAX_BYTES];
    for number in 0..64 {
        fs::write(folder.path().join(format!("{number:02}.yaml")), &text).unwrap();
    }
    assert_eq!(codes(folder.path()), Vec::<&str>::new());
    fs::write(folder.path().join("zz.yaml"), "#").unwrap();
    assert_eq!(codes(folder.path()), ["F007"]);
}

#[test]
fn the_fingerprint_tells_every_change_apart() {
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    let none = Report::default();
    let unread: Report = [Diagnostic::of_file("F001", "a", "cannot be read")].into_iter().collect();
    let prints = [
        fingerprint(&[], &none),
        fingerprint(&[], &unread),
        fingerprint(&[file("a", "b")], &none),
        fingerprint(&[file("ab", "")], &none),
        fingerprint(&[file("a", "b"), file("", "")], &none),
        fingerprint(&[file("a", "c")], &none),
    ];
    for (place, print) in prints.iter().enumerate() {
        assert!(!prints[..place].contains(print), "{place}");
    }
    assert_eq!(fingerprint(&[file("a", "b")], &none), prints[2]);
}

#[test]
fn every_code_of_this_module_is_listed_once() {
    let (listed, body) = include_str!("../source.rs").split_once("];\n").unwrap();
    for (code, _) in CODES {
        assert_eq!(listed.matches(&format!("(\"{code}\"")).count(), 1, "{code}");
        assert!(body.contains(&format!("\"{code}\"")), "{code} is not used");
    }
    let used = body.match_indices("\"F0").map(|(at, _)| body.get(at + 1..at + 5).unwrap());
    for code in used {
        assert!(CODES.iter().any(|(listed, _)| *listed == code), "{code} is not listed");
    }
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let folder = folder(&[("good.yaml", "a")]);
    symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
    symlink(".", folder.path().join("loop")).unwrap();
    fs::write(folder.path().join("latin.yaml"), b"\xe9").unwrap();
    let (_, mut report) = read_policies(folder.path());
    report.append(read_policies(&folder.path().join("missing")).1);
    report.push(read_file(folder.path()).unwrap_err());
    assert_eq!(report.findings().len(), 5, "{report}");
    assert!(report.findings().iter().all(|finding| finding.help.is_some()), "{report}");
}
