use expect_test::{Expect, expect};

use super::*;
use crate::diagnostic::Report;

fn check(text: &str, read: impl Fn(&Cursor<'_>), expected: Expect) {
    let report = match parse("file.yaml", text) {
        Err(finding) => [finding].into_iter().collect(),
        Ok(node) => {
            let source = Source::new("file.yaml", text);
            read(&Cursor::top(&source, &node));
            source.into_report()
        }
    };
    expected.assert_eq(&report.to_string());
}

#[test]
fn every_problem_is_told_with_its_place() {
    check(
        "routes:\n  - id: a\n    pth: /x\n    size: lots\n  -\n  - {}\n",
        |top| {
            let mut map = top.map().unwrap();
            for route in map.require("routes").unwrap().list().unwrap() {
                let Some(mut route) = route.map() else { continue };
                route.require("id").and_then(|id| id.text());
                route.require("path");
                route.take("size").and_then(|size| size.integer(1..=9));
                route.finish();
            }
            map.finish();
        },
        expect![[r#"
            error[Y005]: `path` is missing
              --> file.yaml:2:5  (routes[0])
              help: add `path` here

            error[Y003]: expected a whole number, found a string
              --> file.yaml:4:11  (routes[0].size)
              help: write a whole number here, or leave the key out where it has a default

            error[Y007]: unknown key `pth`
              --> file.yaml:3:10  (routes[0].pth)
              help: did you mean `path`?

            error[Y003]: expected a map, found nothing
              --> file.yaml:5:4  (routes[1])
              help: write a map here, or leave the key out where it has a default

            error[Y004]: the map is empty
              --> file.yaml:6:5  (routes[2])
              help: fill it or leave the key out"#]],
    );
}

#[test]
fn a_duplicate_key_is_refused() {
    check(
        "a: 1\nb: 2\na: 3\n",
        |_| (),
        expect![[r#"
            error[Y002]: the key `a` appears twice
              --> file.yaml:3:1
              help: a file is one YAML document: keys that are strings and differ, and plain values"#]],
    );
}

#[test]
fn a_second_document_a_tag_and_a_number_as_key_are_refused() {
    for text in ["a: 1\n---\nb: 2\n", "a: !secret x\n", "1: x\n", "", "a: [1\n"] {
        assert!(parse("file.yaml", text).is_err(), "{text}");
    }
}

#[test]
fn a_second_document_and_a_forbidden_character_are_told_with_their_place() {
    for (text, place) in [
        ("a: 1\n---\nb: 2\n", (2, 1)),
        ("# note\n---\na: 1\n\n--- # more\nb: 2\n", (5, 1)),
        ("a: 1\nbé: x\u{0}\n", (2, 6)),
        ("a: \"\u{7f}\"\n", (1, 5)),
    ] {
        let finding = parse("file.yaml", text).unwrap_err();
        assert_eq!((finding.line, finding.column), (Some(place.0), Some(place.1)), "{text:?}: {finding}");
        assert!(!finding.message.contains("position"), "{finding}");
    }
}

#[test]
fn an_alias_bomb_ends_with_an_error() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let refs = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    assert!(parse("file.yaml", &text).is_err());
    assert!(parse("file.yaml", &"[".repeat(10_000)).is_err());
}

#[test]
fn an_expanded_string_can_be_read_as_a_number_or_a_boolean() {
    let source = Source::new("f", "");
    let node = Node::Expanded("12".into());
    assert_eq!(Cursor::top(&source, &node).integer(1..=20), Some(12));
    let node = Node::Expanded("true".into());
    assert_eq!(Cursor::top(&source, &node).bool(), Some(true));
    let node = Node::Text("12".into());
    assert_eq!(Cursor::top(&source, &node).integer(1..=20), None);
}

#[test]
fn a_large_file_that_is_wrong_everywhere_is_told_soon() {
    let text = format!("items:\n{}", "  - { a: 1, b: 2, c: 3 }\n".repeat(35_000));
    let node = parse("large.yaml", &text).unwrap();
    let source = Source::new("large.yaml", &text);
    let mut map = Cursor::top(&source, &node).map().unwrap();
    for item in map.take("items").and_then(|items| items.list()).unwrap() {
        item.error_with_help("X001", "wrong", "mend it");
    }
    let report = source.into_report();
    assert_eq!(report.findings().len(), Report::MOST);
    let placed = report.findings().iter().filter(|finding| finding.line.is_some()).count();
    assert!((1..=5).contains(&placed), "{placed} readings of the whole file");
    assert_eq!(report.findings()[199].pointer, "items[199]", "without a line, the pointer tells the place");
}

#[test]
fn a_merge_key_brings_what_the_map_does_not_have_itself() {
    let text = "a: &a { x: 1, y: 2 }\nb: &b { y: 3, z: { <<: *a, w: 4 } }\nc: { y: 5, <<: [*a, *b] }\nd: { <<: 7 }\n";
    let merged = parse("a.yaml", text).unwrap().merged().to_json().unwrap();
    let all = serde_json::json!({
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "z": {"w": 4, "x": 1, "y": 2}},
        "c": {"y": 5, "x": 1, "z": {"w": 4, "x": 1, "y": 2}},
        "d": {"<<": 7},
    });
    assert_eq!(merged, all);
}
