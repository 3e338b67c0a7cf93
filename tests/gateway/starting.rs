//! How a gateway starts, and how the command line says that it does not.

use std::net::TcpListener;

use serde_json::json;

use crate::support::{House, Upstream, routes_file, run};

const ROUTES: &str = "- { id: open, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

fn house() -> House {
    House::new(&Upstream::start(), ROUTES)
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = json!(taken.local_addr().unwrap().to_string());
    let pointers =
        ["/listeners/0/address", "/admin/address", "/decision_api/cerbos/address", "/decision_api/cerbos/grpc_address"];
    for pointer in pointers {
        let api = json!({ "address": "127.0.0.1:0", "grpc_address": "127.0.0.1:0" });
        let (code, said) = house().set("/decision_api/cerbos", api).set(pointer, address.clone()).fails();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(address.as_str().unwrap()), "{said}");
    }
}

#[test]
fn a_certificate_that_cannot_be_read_ends_the_start_with_1() {
    let tls = json!({ "certificate": "tls/cert.pem", "private_key": "tls/key.pem" });
    let (code, said) = house().set("/listeners/0/tls", tls.clone()).fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cert.pem"), "{said}");
    let garbled = house().file("tls/cert.pem", "no certificate").file("tls/key.pem", "no key");
    let (code, said) = garbled.set("/listeners/0/tls", tls).fails();
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_key_of_another_certificate_ends_the_start_with_1() {
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (pair(), pair());
    let tls = json!({ "certificate": "cert.pem", "private_key": "key.pem" });
    let mismatched = house().file("cert.pem", &one.cert.pem()).file("key.pem", &other.signing_key.serialize_pem());
    let (code, said) = mismatched.set("/listeners/0/tls", tls.clone()).fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("key.pem") && said.contains("cert.pem"), "{said}");
    let keyless = house().file("cert.pem", &one.cert.pem()).set("/listeners/0/tls", tls);
    let (code, said) = keyless.fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("key.pem"), "{said}");
}

#[test]
fn an_address_of_another_machine_ends_the_start_with_1() {
    // For documentation: no machine has it.
    for pointer in ["/listeners/0/address", "/admin/address"] {
        let (code, said) = house().set(pointer, json!("192.0.2.1:8080")).fails();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("cannot listen on 192.0.2.1:8080"), "{said}");
    }
}

#[test]
fn a_folder_of_the_upgrade_socket_that_is_not_there_ends_the_start_with_1() {
    let (code, said) = house().set("/upgrade_socket", json!("nowhere/upgrade.sock")).fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn one_address_of_several_that_cannot_be_had_leaves_no_process_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = json!([{ "address": "127.0.0.1:0" }, { "address": taken.local_addr().unwrap().to_string() }]);
    let (code, said) = house().set("/listeners", addresses).fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("\"listening\""), "a listener was announced: {said}");
}

#[test]
fn an_audit_file_that_cannot_be_opened_ends_the_start_with_1() {
    let (code, said) = house().set("/audit/destination", json!({ "file": "nowhere/audit.jsonl" })).fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("audit.jsonl"), "{said}");
}

#[test]
fn files_that_do_not_compile_end_the_start_with_3() {
    let cases = [
        house().set("/listenerz", json!([])),
        house().set("/trusted_proxies", json!(["0.0.0.0/0"])),
        house().set("/identity/providers/0/cognito/client_ids", json!([])),
        house().set("/identity/providers/0/id", json!("${COGWARD_TEST_UNSET}")),
        house().set("/policies/path", json!("nowhere")),
        house().file("policies/more.yaml", "apiVersion: cogward/v9\n"),
        house().file("policies/more.yaml", ""),
        house().file("policies/more.yaml", &routes_file(ROUTES)),
        house().file("policies/routes.yaml", "apiVersion: cogward/v1\nroutes: []\n"),
        house().file(
            "policies/routes.yaml",
            &routes_file("- { id: r, path: /r, rules: [ { id: x, when: 'principal.nothing' } ] }"),
        ),
        house().file("policies/routes.yaml", &routes_file("- { id: r, path: /r, rules: [ { id: x } ] }")),
        house().file("jwks.json", "{}"),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let (code, said) = case.fails();
        assert_eq!(code, Some(3), "{number}: {said}");
        assert!(said.contains("error["), "{number}: {said}");
    }
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let (code, said) = house()
        .set("/shutdown_grace", json!("soon"))
        .set("/limits", json!({ "headers": 0 }))
        .file("policies/one.yaml", "apiVersion: cogward/v1\nroutes: 7\n")
        .fails();
    assert_eq!(code, Some(3));
    for part in ["shutdown_grace", "limits.headers"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn arguments_that_make_no_sense_end_with_64() {
    for arguments in [
        &[][..],
        &["serv"],
        &["serve", "--nope"],
        &["serve", "extra"],
        &["validate", "--output", "xml"],
        &["token", "--nope"],
        &["--nope"],
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["help"]] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
}

#[test]
fn a_settings_file_that_is_not_there_is_told() {
    for command in ["serve", "validate"] {
        let (code, said) = run(&[command, "--config", "/nonexistent/cogward.yaml"]);
        assert!([Some(1), Some(3)].contains(&code), "{command}: {code:?} {said}");
        assert!(said.contains("/nonexistent/cogward.yaml"), "{said}");
    }
}

#[test]
fn healthcheck_asks_the_running_gateway() {
    let mut gateway = house().start();
    // The settings name port 0, so the check is given the same file with the port that was taken.
    let mut settings = gateway.settings();
    settings["admin"]["address"] = json!(gateway.admin.to_string());
    gateway.write("check.yaml", &settings.to_string());
    let config = gateway.path("check.yaml");
    let check = ["healthcheck", "--config", config.to_str().unwrap()];
    assert_eq!(run(&check).0, Some(0));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(run(&check).0, Some(1));
    assert!(gateway.folder().exists());
}

#[test]
fn validate_compiles_as_serve_does() {
    let gateway = house().start();
    let config = gateway.path("cogward.yaml");
    let validate = ["validate", "--config", config.to_str().unwrap()];
    assert_eq!(run(&validate).0, Some(0));
    gateway.write("policies/routes.yaml", "apiVersion: cogward/v1\nroutes: 7\n");
    let (code, said) = run(&validate);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("routes.yaml:2"), "{said}");
    let (code, said) = run(&[&validate[..], &["--output", "json"]].concat());
    assert_eq!(code, Some(3));
    assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok(), "{said}");
}

#[test]
fn several_listeners_serve_the_same_routes() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/listeners", json!([{ "address": "127.0.0.1:0" }, { "address": "127.0.0.1:0" }]))
        .start();
    let status = gateway.status();
    for place in 0..2 {
        let address = status["listeners"][place]["address"].as_str().unwrap().parse().unwrap();
        let mut client = crate::support::Client::connect(address);
        client.send("GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(upstream.take().len(), 2);
}
