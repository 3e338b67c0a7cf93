//! Who may import whom. A module that is not listed fails, so a new one states its place here.

use std::collections::BTreeSet;

use crate::sources::{root, rust_files};

const GROUND: &[&str] = &[];

/// Module, and the modules of the crate that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("diagnostic", GROUND),
    ("time", GROUND),
    ("json", GROUND),
    ("units", GROUND),
    ("yaml", &["diagnostic"]),
    ("request", GROUND),
    ("token", &["time", "json"]),
    ("identity", &["request", "token", "time"]),
    ("rate", &["time"]),
    ("policy", &["diagnostic", "yaml", "time", "units", "rate", "request", "token", "identity"]),
    ("config", &["diagnostic", "yaml", "units", "request", "token", "identity", "policy"]),
    ("gate", &["diagnostic", "yaml", "time", "rate", "request", "token", "identity", "policy", "config"]),
    // From here on: the edge.
    ("edge", &["config", "diagnostic", "request", "time"]),
    ("handover", GROUND),
    ("telemetry", &["config", "gate", "identity", "policy", "time", "token"]),
    ("reload", &["config", "diagnostic", "edge", "gate", "time", "token", "yaml"]),
    ("admission", &["gate", "identity", "policy", "reload", "request", "time", "token"]),
    ("proxy", &["admission", "config", "edge", "gate", "identity", "json", "policy", "reload", "request", "telemetry"]),
    ("admin", &["diagnostic", "edge", "reload", "telemetry", "time"]),
    ("dev", &["time", "token"]),
    (
        "server",
        &[
            "admin",
            "admission",
            "config",
            "diagnostic",
            "edge",
            "gate",
            "handover",
            "policy",
            "proxy",
            "reload",
            "telemetry",
            "time",
            "token",
            "yaml",
        ],
    ),
    ("cli", &["admin", "admission", "config", "dev", "diagnostic", "policy", "server", "token", "units"]),
];

/// Crates that one module alone may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("serde_yaml", &["yaml"]),
    ("arc_swap", &["gate", "edge", "proxy", "telemetry"]),
    ("notify::", &["reload"]),
    ("prometheus::", &["telemetry"]),
    ("clap::", &["cli"]),
    ("cel::", &["policy"]),
    ("jsonschema::", &["policy"]),
    ("rustix::", &["handover"]),
    ("quick_cache", &["token"]),
    ("rustls::", &["edge"]),
    ("x509_parser::", &["edge"]),
    ("pingora", &["admin", "dev", "edge", "proxy", "reload", "server"]),
];

/// Each file below `src` that is not a test: the module it belongs to, its path from there, and its code.
fn modules() -> Vec<(String, String, String)> {
    let src = root().join("src");
    let named = |(path, code): (std::path::PathBuf, String)| {
        let path = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let module = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        (module, path, code)
    };
    rust_files("src").into_iter().map(named).collect()
}

#[test]
fn modules_import_only_what_their_layer_allows() {
    let mut faults = BTreeSet::new();
    for (module, _, code) in modules() {
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            faults.insert(format!("{module} is not in LAYERS"));
            continue;
        };
        for target in imports(&code) {
            if target != module && !allowed.contains(&target.as_str()) {
                faults.insert(format!("{module} -> {target}"));
            }
        }
    }
    assert_eq!(faults, BTreeSet::new());
}

#[test]
fn a_layer_allows_nothing_that_its_module_does_not_use() {
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (module, _, code) in modules() {
        used.extend(imports(&code).into_iter().map(|target| (module.clone(), target)));
    }
    let idle = LAYERS.iter().flat_map(|(module, allowed)| allowed.iter().map(move |target| (*module, *target)));
    let idle: Vec<_> = idle.filter(|(module, target)| !used.contains(&((*module).into(), (*target).into()))).collect();
    assert_eq!(idle, []);
}

/// The crate's modules that a text names: `crate::a::…`, and `use crate::{a::…, b::…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    found.insert(word(list.get(at..).unwrap_or_default()));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn each_foreign_crate_has_its_owners() {
    let mut faults = BTreeSet::new();
    for (module, _, code) in modules() {
        for (name, owners) in OWNERS {
            let is_named = code.match_indices(name).any(|(at, _)| {
                !code
                    .get(..at)
                    .unwrap_or_default()
                    .ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"' || c == '`')
            });
            if is_named && !owners.contains(&module.as_str()) && module != "main" {
                faults.insert(format!("{module} names {name}"));
            }
        }
    }
    assert_eq!(faults, BTreeSet::new());
}

#[test]
fn nothing_in_the_core_reads_clock_file_environment_or_network() {
    let edge =
        ["edge", "handover", "admission", "proxy", "reload", "telemetry", "admin", "server", "dev", "cli", "main"];
    // The one reader of files; and the compilers of conditions and of schemas, which need a larger stack than their caller may have.
    let exceptions = [
        ("gate/source.rs", "fs::"),
        ("policy/condition/parse.rs", "std::thread"),
        ("policy/cerbos/schema.rs", "std::thread"),
    ];
    let forbidden = ["fs::", "std::env", "SystemTime", "Instant::now", "std::net::Tcp", "std::thread", "tokio"];
    let mut faults = BTreeSet::new();
    for (module, path, code) in modules() {
        for name in forbidden {
            let is_known = exceptions.contains(&(path.as_str(), name));
            if !edge.contains(&module.as_str()) && !is_known && code.contains(name) {
                faults.insert(format!("{path} names {name}"));
            }
        }
    }
    assert_eq!(faults, BTreeSet::new());
}
