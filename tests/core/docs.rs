//! Every YAML example of the pages compiles, without a warning.

use cogward::{
    config::Settings,
    diagnostic::Report,
    policy::{PolicySet, World},
    token::ProviderId,
    yaml::SourceFile,
};

use crate::sources::read;

/// A fenced block: the line of its fence, and its text.
struct Block {
    line: usize,
    text: String,
}

/// The fenced YAML blocks of a page, also those that are indented in a list.
fn blocks(page: &str) -> Vec<Block> {
    let (mut found, mut open) = (Vec::new(), None);
    for (place, line) in page.lines().enumerate() {
        let fence = line.trim_start();
        match &mut open {
            None if fence == "```yaml" => {
                open = Some((line.len() - fence.len(), Block { line: place + 1, text: String::new() }))
            }
            None => {}
            Some(_) if fence == "```" => found.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block does not end");
    found
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// The whole file that an example is a part of: `- id` starts a route, `rules` are those of a route with two captures.
fn whole(text: &str) -> String {
    let route = |text: &str| format!("apiVersion: cogward/v1\nroutes:\n{}", indented(text, 2));
    if text.starts_with("- id:") {
        route(text)
    } else if text.starts_with("rules:") {
        route(&format!("- id: example\n  path: /users/{{user_id}}/orders/{{order_id}}\n{}", indented(text, 2)))
    } else {
        text.to_owned()
    }
}

fn is_cerbos(text: &str) -> bool {
    text.contains("apiVersion: api.cerbos.dev/v1")
}

fn is_policy(text: &str) -> bool {
    is_cerbos(text) || text.contains("apiVersion: cogward/v1")
}

fn file(text: &str) -> SourceFile {
    SourceFile { name: "example.yaml".to_owned(), text: text.to_owned() }
}

/// Settings of an example have what it needs to be whole.
fn compile_settings(text: &str) -> Report {
    let mut text = text.to_owned();
    let client = "client_ids: [4h57example]";
    for (key, rest) in [
        (
            "identity",
            format!("{{ providers: [{{ id: main, cognito: {{ user_pool_id: eu-west-1_a1B2c3D4e, {client} }} }}] }}"),
        ),
        ("upstreams", "[{ id: api, endpoints: [http://127.0.0.1:9000] }]".to_owned()),
    ] {
        if !text.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            text.push_str(&format!("{key}: {rest}\n"));
        }
    }
    Settings::compile(&file(&text), &|_| None).1
}

/// A file of routes is compiled with the resource policies of its page. There are two upstreams where the example names one, and two
/// providers likewise; else one of each.
fn compile_policies(text: &str, page: &[Block]) -> Report {
    let mut files = vec![file(text)];
    if !is_cerbos(text) {
        files.extend(page.iter().filter(|block| is_cerbos(&block.text)).map(|block| file(&block.text)));
    }
    let known = |names: &[&str], several: bool| -> Vec<String> {
        names.iter().take(if several { names.len() } else { 1 }).map(|&name| name.to_owned()).collect()
    };
    let upstreams = known(&["api", "reports"], text.contains("upstream:"));
    let providers: Vec<_> =
        known(&["main", "partner"], text.contains("providers:")).iter().map(|name| ProviderId::new(name)).collect();
    let world = World {
        providers: &providers,
        upstreams: &upstreams,
        identity_headers: &[],
        credential_headers: &[],
        cerbos: &cogward::policy::cerbos::Options::default(),
        schemas: &[],
        allow_empty: is_cerbos(text),
    };
    PolicySet::compile(&files, &world).1
}

/// Compiles every example of a page; there must be some.
fn check(path: &str) {
    let page = blocks(&read(path));
    let page: Vec<Block> = page.into_iter().map(|block| Block { text: whole(&block.text), ..block }).collect();
    assert!(!page.is_empty(), "{path} has no example");
    let mut faults = String::new();
    for Block { line, text } in &page {
        let report = if is_policy(text) { compile_policies(text, &page) } else { compile_settings(text) };
        if !report.is_empty() {
            faults.push_str(&format!("{path}:{line}\n{report}\n\n"));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn the_examples_of_the_policy_page_compile() {
    check("docs/policies.md");
}

#[test]
fn the_examples_of_the_configuration_page_compile() {
    check("docs/configuration.md");
}

#[test]
fn the_examples_of_the_readme_compile() {
    check("README.md");
}

/// A file with an unknown key in each map that routes have: the help of each finding lists the known ones.
const PROBE: &str = "apiVersion: cogward/v1
xyzzyxyzzy: 1
defaults: { xyzzyxyzzy: 1 }
routes:
  - id: probe
    xyzzyxyzzy: 1
    path: /a/{b}
    timeouts: { xyzzyxyzzy: 1 }
    streams: { xyzzyxyzzy: 1 }
    request_headers: { xyzzyxyzzy: 1 }
    response_headers: { xyzzyxyzzy: 1 }
    cors: { xyzzyxyzzy: 1 }
    rate_limit: { xyzzyxyzzy: 1, key: { xyzzyxyzzy: 1 } }
    rules:
      - { id: a, roles: [x], xyzzyxyzzy: 1, owner: { path: b, xyzzyxyzzy: 1 } }
  - id: other
    path: /c
    resource: { kind: thing, xyzzyxyzzy: 1, id: { const: 1, xyzzyxyzzy: 1 } }
    actions: { GET: read }
";

#[test]
fn every_key_of_route_policies_is_in_the_policy_page() {
    let report = compile_policies(PROBE, &[]);
    let lists: Vec<&str> = report
        .findings()
        .iter()
        .filter(|finding| finding.code == "Y007")
        .filter_map(|finding| finding.help.as_deref()?.strip_prefix("known keys are: "))
        .collect();
    assert_eq!(lists.len(), PROBE.matches("xyzzyxyzzy").count(), "{report}");
    let page = read("docs/policies.md");
    for key in lists.iter().flat_map(|list| list.split(", ")) {
        assert!(
            page.contains(&format!("`{key}`")) || page.contains(&format!(".{key}`")),
            "`{key}` is not in docs/policies.md"
        );
    }
}
