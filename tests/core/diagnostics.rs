//! `docs/diagnostics.md` is rendered from the lists of codes, and every code that the sources use is in one of them.

use std::{collections::BTreeMap, fmt::Write};

use cogward::{config, edge, gate::source, policy, reload, yaml};
use expect_test::expect_file;

use crate::sources::rust_files;

const INTRODUCTION: &str = "# Diagnostics

What `cogward validate`, `serve` and a rejected reload say about files. This page is rendered from the code; a test compares it.

A finding names its code, the file, line and column, the place in the document, and what to do:

```text
error[P014]: the route has no capture `user`
  --> policies/users.yaml:12:18  (routes[0].rules[1].owner)
  help: captures of `/users/{user_id}` are: user_id
```

`validate --output json` prints `{\"valid\": ..., \"diagnostics\": [...]}` with the members `severity`, `code`, `file`, `line`, `column`,
`pointer`, `message` and `help`. At most 200 findings are told at once. A code never changes its meaning. Errors stop all files from being used;
warnings stop nothing and change no exit code.
";

fn rooms() -> [(&'static str, Vec<(&'static str, &'static str)>); 6] {
    let files = source::CODES.iter().chain(&reload::CODES).copied().collect();
    [
        ("F: files as a whole", files),
        ("Y: the shape of a file, settings and policies alike", yaml::CODES.to_vec()),
        ("C: settings", config::CODES.to_vec()),
        ("T: certificates of listeners", edge::CODES.to_vec()),
        ("P: policies", policy::CODES.to_vec()),
        ("S: policy tests", policy::suite::CODES.to_vec()),
    ]
}

/// The sentence of a code, as it stands in the table: the rooms write it as a comment or as a value.
fn told(says: &str) -> (&'static str, String) {
    let says = says.trim().trim_end_matches('.');
    let (kind, says) = match says.split_once(": ") {
        Some((word, rest)) if word.eq_ignore_ascii_case("warning") => ("warning", rest),
        Some(_) | None => ("error", says),
    };
    let mut letters = says.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    (kind, first + letters.as_str())
}

fn render() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, codes) in rooms() {
        let _ = write!(page, "\n## {title}\n\n| code | kind | what it says |\n|---|---|---|\n");
        for (code, says) in codes {
            let (kind, says) = told(says);
            let _ = writeln!(page, "| `{code}` | {kind} | {says} |");
        }
    }
    page
}

#[test]
fn the_diagnostics_page_is_rendered_from_the_lists() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/docs/diagnostics.md")].assert_eq(&render());
}

/// How often each code stands in the sources as a literal.
fn literals() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (_, code) in rust_files("src") {
        for literal in code.split('"') {
            let is_code = literal.len() == 4
                && literal.starts_with(|c: char| c.is_ascii_uppercase())
                && literal.bytes().skip(1).all(|byte| byte.is_ascii_digit());
            if is_code {
                *found.entry(literal.to_owned()).or_default() += 1;
            }
        }
    }
    found
}

#[test]
fn every_code_of_the_sources_is_listed_once_and_every_listed_one_is_used() {
    let mut listed = BTreeMap::new();
    for (code, _) in rooms().into_iter().flat_map(|(_, codes)| codes) {
        *listed.entry(code.to_owned()).or_insert(0) += 1;
    }
    let repeated: Vec<_> = listed.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "listed twice: {repeated:?}");
    for (code, uses) in literals() {
        assert!(listed.contains_key(&code), "`{code}` is in no list");
        // A code of policies and their tests is a constant, whose use the compiler watches; the others stand in their list and where they are used.
        assert!(code.starts_with(['P', 'S']) || uses > 1, "`{code}` is listed and never told");
    }
    assert_eq!(listed.keys().collect::<Vec<_>>(), literals().keys().collect::<Vec<_>>());
}
