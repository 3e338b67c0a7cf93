//! The reference page and the shipped file know the same keys as the compiler.

use super::*;

const FILE: &str = include_str!("../../../config/cogward.yaml");
const PAGE: &str = include_str!("../../../docs/configuration.md");

/// The full file with an unknown key in each of its maps; the compiler then tells which keys it knows there.
const PROBES: &str = include_str!("probes.yaml");

#[test]
fn the_reference_page_is_rendered_from_the_table() {
    let (before, rest) = PAGE.split_once("<!-- keys").unwrap();
    let (marker, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once("<!-- end of keys").unwrap();
    let page = format!("{before}<!-- keys{marker}\n\n{}\n<!-- end of keys{after}", render_keys());
    expect_file!["../../../docs/configuration.md"].assert_eq(&page);
}

#[test]
fn the_table_and_the_compiler_know_the_same_keys() {
    let (_, report) = compile(PROBES);
    let mut known = BTreeSet::new();
    for finding in report.findings() {
        assert_eq!(finding.code, "Y007", "{finding}");
        let parent = finding
            .pointer
            .strip_suffix("xyzzyxyzzyxyzzyxyzzyxyzzy")
            .unwrap()
            .replace("[0]", "[]")
            .replace("[1]", "[]");
        let keys = finding.help.as_deref().unwrap().strip_prefix("known keys are: ").unwrap();
        known.extend(keys.split(", ").map(|key| format!("{parent}{key}")));
    }
    // A provider's common keys may also stand inside its block; the table lists them once, beside it.
    for block in ["cognito", "oidc"] {
        for key in super::super::providers::COMMON {
            assert!(known.remove(&format!("identity.providers[].{block}.{key}")), "{block}.{key}");
        }
    }
    let table: BTreeSet<String> =
        KEYS.iter().map(|key| key.pointer.to_owned()).filter(|key| !key.ends_with(".*")).collect();
    assert_eq!(known, table);
}

#[test]
fn every_key_is_shown_in_the_shipped_file() {
    for key in KEYS {
        let name = key.pointer.trim_end_matches(".*").rsplit('.').next().unwrap();
        assert!(FILE.contains(&format!("{name}:")), "{}", key.pointer);
    }
}

#[test]
fn what_is_commented_out_in_the_shipped_file_compiles_too() {
    let lines = FILE.lines().map(|line| {
        let code = line.trim_start();
        let indent = line.strip_suffix(code).unwrap();
        match code.strip_prefix("# ") {
            // Sentences stay comments: what is left are keys and list items of the examples.
            Some(rest) if is_yaml(rest) => format!("{indent}{rest}\n"),
            _ => format!("{line}\n"),
        }
    });
    let (settings, report) = compile(&lines.collect::<String>());
    let settings = settings.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(settings.identity.providers.len(), 2);
    assert_eq!(settings.identity.providers[0].provider.role_prefix, "main:");
    assert_eq!(settings.identity.providers[1].provider.roles_claim, "groups");
}

fn is_yaml(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches("- ");
    let word = line.split(':').next().unwrap_or_default();
    line.contains(':') && !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn the_ends_of_every_range_are_accepted_and_the_next_values_refused() {
    for key in KEYS {
        let Some((section, name)) = key.pointer.rsplit_once('.').or(Some(("", key.pointer))) else { continue };
        let (good, bad) = match key.shape {
            Shape::Duration(Bounds { least, most, .. }) => {
                let millis = |span: Span| span.duration().as_millis() as u64;
                let below = millis(least).checked_sub(1).map(|n| format!("{n}ms"));
                ([least.to_string(), most.to_string()], [below, Some(format!("{}ms", millis(most) + 1))])
            }
            Shape::Size(Bounds { least, most, .. }) => {
                let below = least.count().checked_sub(1).map(|n| format!("{n}B"));
                ([least.to_string(), most.to_string()], [below, Some(format!("{}B", most.count() + 1))])
            }
            Shape::Count(Bounds { least, most, .. }) => (
                [least.to_string(), most.to_string()],
                [least.checked_sub(1).map(|n| n.to_string()), Some((most + 1).to_string())],
            ),
            Shape::Bool { .. } | Shape::Other { .. } | Shape::Section { .. } => continue,
        };
        for value in good {
            let (settings, report) = compile(&setting(section, name, &value));
            assert!(settings.is_some(), "{}: {value}: {report}", key.pointer);
        }
        for value in bad.into_iter().flatten() {
            assert!(compile(&setting(section, name, &value)).0.is_none(), "{}: {value}", key.pointer);
        }
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_compiler() {
    let mut checked = BTreeSet::new();
    for key in KEYS {
        let default = match key.shape {
            Shape::Bool { default } => default.to_string(),
            Shape::Other { default, .. } => match default.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
                Some(text) if !text.contains(['`', '<']) && !text.starts_with("identity.") => text.to_owned(),
                Some(_) | None => continue,
            },
            Shape::Duration(bounds) => bounds.default.to_string(),
            Shape::Size(bounds) => bounds.default.to_string(),
            Shape::Count(bounds) => bounds.default.to_string(),
            Shape::Section { .. } => continue,
        };
        let default = if default.contains(':') { format!("'{default}'") } else { default };
        let (section, name) = key.pointer.rsplit_once('.').unwrap_or(("", key.pointer));
        let said = format!("{:?}", compiled(&setting(section, name, &default)));
        let unsaid = format!("{:?}", compiled(&without(section)));
        assert_eq!(said, unsaid, "{}", key.pointer);
        checked.insert(key.pointer);
    }
    assert!(checked.len() > 40, "{checked:?}");
}

#[test]
fn the_table_and_the_compiler_agree_on_what_needs_a_restart() {
    let old = compiled(&with(""));
    let mut new = compiled(&with(
        "listeners: [{ address: '0.0.0.0:1' }]\nadmin: { address: '127.0.0.1:2' }\nthreads: 3\nupgrade_socket: a\naudit: { destination: off }\ntrusted_proxies: [10.0.0.0/8]\ndecision_api: { cerbos: { address: '127.0.0.1:7' } }\nforward_credential: true",
    ));
    let section = |pointer: &'static str| pointer.split(['.', '[']).next().unwrap();
    let table: BTreeSet<_> = KEYS.iter().filter(|key| key.restart).map(|key| section(key.pointer)).collect();
    let compiler: BTreeSet<_> = new.keep_until_restart(&old).into_iter().map(section).collect();
    assert_eq!(table, compiler);
}

/// The file of [`setting`] without the key.
fn without(section: &str) -> String {
    let provider = |block: &str| providers(&format!("    - {{ id: main, {block} }}"));
    match section {
        "identity.providers[].oidc" => {
            provider("issuer: 'https://a.example', jwks: { file: k }, oidc: { audiences: [api] }")
        }
        "identity.providers[].jwks" => {
            provider("cognito: { user_pool_id: eu-west-1_A, client_ids: [web] }, jwks: { file: k }")
        }
        section if section.starts_with("identity") => {
            provider("cognito: { user_pool_id: eu-west-1_A, client_ids: [web] }")
        }
        "upstreams[].tls" => format!("{IDENTITY}upstreams: [{{ id: a, endpoints: ['https://a'] }}]\n"),
        "upstreams[].health_check" => {
            format!("{IDENTITY}upstreams: [{{ id: a, endpoints: ['http://a'], health_check: {{ path: /b }} }}]\n")
        }
        section if section.starts_with("upstreams") => {
            format!("{IDENTITY}upstreams: [{{ id: a, endpoints: ['http://a'] }}]\n")
        }
        "listeners[].tls.client_certificates" => with(&tls_with("client_certificates: { ca: c }")),
        "decision_api.cerbos" | "decision_api.cerbos.limits" => {
            with("decision_api: { cerbos: { limits: { request_bytes: 4MiB } } }")
        }
        "decision_api.cerbos.aux_data.jwt" => {
            with("decision_api: { cerbos: { aux_data: { jwt: { key_sets: [{ id: a, file: b }] } } } }")
        }
        _ => with(""),
    }
}

/// A listener whose TLS has this key too.
fn tls_with(key: &str) -> String {
    format!("listeners: [{{ address: '0.0.0.0:1', tls: {{ certificate: a, private_key: b, {key} }} }}]")
}

/// The least file in which one key has this value.
fn setting(section: &str, name: &str, value: &str) -> String {
    let pool = "user_pool_id: eu-west-1_A, client_ids: [web]";
    let in_identity = |lines: &str| {
        format!("identity: {{ providers: [{{ id: main, cognito: {{ {pool} }} }}], {lines} }}\n{UPSTREAMS}")
    };
    let provider = |block: &str| providers(&format!("    - {{ id: main, {block} }}"));
    match section {
        "" => with(&format!("{name}: {value}")),
        "identity" => in_identity(&format!("{name}: {value}")),
        "identity.keys" | "identity.token_cache" => {
            in_identity(&format!("{}: {{ {name}: {value} }}", section.trim_start_matches("identity.")))
        }
        "identity.providers[].cognito" => provider(&format!("cognito: {{ {pool}, {name}: {value} }}")),
        "identity.providers[].oidc" => provider(&format!(
            "issuer: 'https://a.example', jwks: {{ file: k }}, oidc: {{ audiences: [api], {name}: {value} }}"
        )),
        "identity.providers[].jwks" => {
            provider(&format!("cognito: {{ {pool} }}, jwks: {{ file: k, {name}: {value} }}"))
        }
        "upstreams[]" => format!("{IDENTITY}upstreams: [{{ id: a, endpoints: ['http://a'], {name}: {value} }}]\n"),
        "upstreams[].timeouts" => {
            format!("{IDENTITY}upstreams: [{{ id: a, endpoints: ['http://a'], timeouts: {{ {name}: {value} }} }}]\n")
        }
        "listeners[].tls.client_certificates" => {
            with(&tls_with(&format!("client_certificates: {{ ca: c, {name}: {value} }}")))
        }
        "upstreams[].health_check" => format!(
            "{IDENTITY}upstreams: [{{ id: a, endpoints: ['http://a'], health_check: {{ path: /b, {name}: {value} }} }}]\n"
        ),
        "upstreams[].outlier_ejection" => format!(
            "{IDENTITY}upstreams: [{{ id: a, endpoints: ['http://a'], outlier_ejection: {{ {name}: {value} }} }}]\n"
        ),
        "policies.cerbos" => with(&format!("policies: {{ cerbos: {{ {name}: {value} }} }}")),
        "decision_api.cerbos" => {
            with(&format!("decision_api: {{ cerbos: {{ {name}: {value}, limits: {{ request_bytes: 4MiB }} }} }}"))
        }
        "decision_api.cerbos.limits" => {
            with(&format!("decision_api: {{ cerbos: {{ limits: {{ {name}: {value} }} }} }}"))
        }
        "decision_api.cerbos.aux_data.jwt" => with(&format!(
            "decision_api: {{ cerbos: {{ aux_data: {{ jwt: {{ key_sets: [{{ id: a, file: b }}], {name}: {value} }} }} }} }}"
        )),
        section => with(&format!("{section}: {{ {name}: {value} }}")),
    }
}

#[test]
fn every_code_has_a_golden_diagnostic_and_is_listed_once() {
    let goldens = include_str!("diagnostics.rs");
    let mut codes: Vec<_> = CODES.iter().map(|(code, _)| *code).collect();
    for code in &codes {
        assert!(goldens.contains(&format!("[{code}]: ")), "{code} has no golden");
    }
    codes.dedup();
    assert_eq!(codes.len(), CODES.len());
}
