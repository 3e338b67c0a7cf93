//! What pages and comments say that a test holds is held by a test of that name.

use std::{collections::BTreeSet, fs};

use crate::sources::{files, read, root};

/// The names of all tests, of the crate and of the interop suite.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (folder, ending, word) in [("src", "rs", "fn "), ("tests", "rs", "fn "), ("tests", "py", "def ")] {
        for path in files(folder, ending) {
            let text = fs::read_to_string(path).unwrap();
            for rest in text.split(word).skip(1) {
                names.insert(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
            }
        }
    }
    names
}

/// What stands in backticks and reads as a sentence: four words or more.
fn sentences(text: &str) -> BTreeSet<String> {
    let is_sentence = |name: &str| {
        name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.split('`').skip(1).step_by(2).filter(|name| is_sentence(name)).map(str::to_owned).collect()
}

fn missing(named: BTreeSet<String>) -> Vec<String> {
    let tests = tests();
    named.into_iter().filter(|name| !tests.contains(name)).collect()
}

#[test]
fn every_test_that_the_security_model_names_exists() {
    let named = sentences(&read("docs/security-model.md"));
    assert!(named.len() > 20, "the page names hardly any test: {named:?}");
    assert_eq!(missing(named), Vec::<String>::new());
}

#[test]
fn every_foot_gun_of_pingora_has_a_row_and_a_test_of_its_own() {
    let page = read("docs/pingora.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|') && line.contains("`footgun_")).collect();
    assert_eq!(rows.len(), 24);
    for (place, row) in rows.iter().enumerate() {
        let number = place + 1;
        assert!(row.starts_with(&format!("| {number} |")), "{row}");
        assert!(row.contains(&format!("`footgun_{number:02}_")), "{row}");
    }
    assert_eq!(missing(sentences(&page)), Vec::<String>::new());
}

#[test]
fn every_test_that_a_security_comment_names_exists() {
    let mut named = BTreeSet::new();
    let mut nameless = Vec::new();
    for path in files("src", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (place, line) in
            lines.iter().enumerate().filter(|(_, line)| line.starts_with("//") && line.contains("SECURITY:"))
        {
            let comment: String = lines[place..].iter().take_while(|line| line.starts_with("//")).copied().collect();
            let found = sentences(&comment);
            if found.is_empty() {
                nameless.push(format!("{}: {line}", path.strip_prefix(root()).unwrap().display()));
            }
            named.extend(found);
        }
    }
    assert_eq!(nameless, Vec::<String>::new(), "comments that name no test");
    assert_eq!(missing(named), Vec::<String>::new());
}
