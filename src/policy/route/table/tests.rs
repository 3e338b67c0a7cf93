use http::Method;
use proptest::prelude::*;

use super::*;

fn table(routes: &[(&str, &str)]) -> RouteTable {
    let mut table = RouteTable::default();
    for (place, (host, pattern)) in routes.iter().enumerate() {
        let hosts: Vec<HostPattern> = host.split_whitespace().map(|host| host.parse().unwrap()).collect();
        table.insert(&hosts, &pattern.parse().unwrap(), &Methods::usual(), place).unwrap();
    }
    table
}

fn at(table: &RouteTable, host: &str, path: &str) -> Option<usize> {
    table.find(host, path).and_then(|taken| taken.by(&Method::GET))
}

#[test]
fn a_tail_takes_what_follows_its_slash_also_nothing() {
    let table = table(&[("", "/public/{rest..}")]);
    assert_eq!(at(&table, "a", "/public/"), Some(0));
    assert_eq!(at(&table, "a", "/public/x/y"), Some(0));
    assert_eq!(at(&table, "a", "/public"), None);
    assert_eq!(at(&table, "a", "/publicity"), None);
}

#[test]
fn a_capture_is_one_segment_and_not_empty() {
    let table = table(&[("", "/users/{id}")]);
    assert_eq!(at(&table, "a", "/users/7"), Some(0));
    assert_eq!(at(&table, "a", "/users/"), None);
    assert_eq!(at(&table, "a", "/users/7/"), None);
    assert_eq!(at(&table, "a", "/users/7/x"), None);
}

#[test]
fn paths_are_case_sensitive_and_a_trailing_slash_matters() {
    let table = table(&[("", "/users"), ("", "/users/")]);
    assert_eq!(at(&table, "a", "/users"), Some(0));
    assert_eq!(at(&table, "a", "/users/"), Some(1));
    assert_eq!(at(&table, "a", "/Users"), None);
}

#[test]
fn the_most_specific_pattern_wins_segment_by_segment() {
    let table = table(&[("", "/{a}/b"), ("", "/a/{b}"), ("", "/a/{rest..}"), ("", "/{rest..}"), ("", "/")]);
    assert_eq!(at(&table, "a", "/a/b"), Some(1), "a literal in front weighs more than one behind");
    assert_eq!(at(&table, "a", "/x/b"), Some(0));
    assert_eq!(at(&table, "a", "/a/b/c"), Some(2));
    assert_eq!(at(&table, "a", "/x/c"), Some(3), "back from a branch that leads nowhere");
    assert_eq!(at(&table, "a", "/"), Some(4));
}

#[test]
fn an_exact_host_goes_before_the_longest_suffix_before_none() {
    let table = table(&[("", "/x"), ("*.example.com", "/x"), ("*.eu.example.com", "/x"), ("a.example.com", "/x")]);
    assert_eq!(at(&table, "a.example.com", "/x"), Some(3));
    assert_eq!(at(&table, "b.example.com", "/x"), Some(1));
    assert_eq!(at(&table, "c.d.example.com", "/x"), Some(1));
    assert_eq!(at(&table, "a.eu.example.com", "/x"), Some(2));
    assert_eq!(at(&table, "example.com", "/x"), Some(0));
    assert_eq!(at(&table, "badexample.com", "/x"), Some(0));
    assert_eq!(at(&table, ".example.com", "/x"), Some(0), "nothing stands before the dot");
}

#[test]
fn a_host_with_routes_of_its_own_never_falls_through() {
    let table = table(&[("", "/x"), ("a.example.com", "/y"), ("*.example.com", "/z")]);
    assert_eq!(at(&table, "a.example.com", "/x"), None);
    assert_eq!(at(&table, "a.example.com", "/z"), None);
    assert_eq!(at(&table, "b.example.com", "/x"), None);
    assert_eq!(at(&table, "other", "/x"), Some(0));
}

#[test]
fn disjoint_methods_at_one_path_are_two_routes_and_allow_names_all() {
    let mut table = RouteTable::default();
    let get: Methods = [Method::GET].into_iter().collect();
    let put: Methods = [Method::PUT].into_iter().collect();
    table.insert(&[], &"/a/{x}".parse().unwrap(), &put, 0).unwrap();
    table.insert(&[], &"/a/{y}".parse().unwrap(), &get, 1).unwrap();
    let taken = table.find("h", "/a/1").unwrap();
    assert_eq!((taken.by(&Method::PUT), taken.by(&Method::HEAD), taken.by(&Method::POST)), (Some(0), Some(1), None));
    assert_eq!(taken.allow(), "GET, HEAD, PUT");
}

#[test]
fn overlapping_methods_at_one_path_are_an_error_whatever_the_captures_are_called() {
    let mut table = RouteTable::default();
    let methods = |list: &[Method]| list.iter().cloned().collect::<Methods>();
    table.insert(&[], &"/a/{x}".parse().unwrap(), &methods(&[Method::GET]), 0).unwrap();
    let overlap = table.insert(&[], &"/a/{y}".parse().unwrap(), &methods(&[Method::HEAD]), 1).unwrap_err();
    assert_eq!((overlap.with, overlap.method), (0, Method::HEAD));
    let elsewhere = ["b.example".parse().unwrap()];
    table.insert(&elsewhere, &"/a/{y}".parse().unwrap(), &methods(&[Method::HEAD]), 1).unwrap();
}

/// The definition, as DESIGN tells it: of all patterns that match the whole path, the smallest by segment kinds.
fn reference(patterns: &[PathPattern], path: &str) -> Option<usize> {
    let matching = patterns.iter().enumerate().filter_map(|(place, pattern)| Some((weigh(pattern, path)?, place)));
    matching.min().map(|(_, place)| place)
}

fn weigh(pattern: &PathPattern, path: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let mut kinds = Vec::new();
    for (place, segment) in pattern.segments().iter().enumerate() {
        let part = parts.get(place)?;
        match segment {
            Segment::Literal(text) if **text == **part => kinds.push(0),
            Segment::Capture(_) if !part.is_empty() => kinds.push(1),
            Segment::Tail(_) => {
                kinds.push(2);
                return Some(kinds);
            }
            Segment::Literal(_) | Segment::Capture(_) => return None,
        }
    }
    (parts.len() == pattern.segments().len()).then_some(kinds)
}

fn any_pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("{}")];
    let end = prop_oneof![Just(""), Just("/"), Just("/{rest..}")];
    (prop::collection::vec(part, 0..5), end).prop_map(|(parts, end)| {
        let mut text = String::new();
        for (place, part) in parts.iter().enumerate() {
            text.push('/');
            text.push_str(&part.replace("{}", &format!("{{c{place}}}")));
        }
        text.push_str(end);
        if text.is_empty() { "/".to_owned() } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_finds_what_the_definition_says(
        texts in prop::collection::hash_set(any_pattern(), 1..14),
        path in "(/(a|b|ab|c)){0,5}/?",
    ) {
        let patterns: Vec<PathPattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let mut table = RouteTable::default();
        for (place, pattern) in patterns.iter().enumerate() {
            table.insert(&[], pattern, &Methods::usual(), place).unwrap();
        }
        let path = if path.is_empty() { "/".to_owned() } else { path };
        prop_assert_eq!(at(&table, "h", &path), reference(&patterns, &path));
    }
}
