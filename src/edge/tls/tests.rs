//! What the files of a listener must hold, and what is told of them.

use expect_test::{Expect, expect};

use super::*;
use crate::{
    config::TlsSettings,
    edge::tests::certificates::{Authority, Files, Issued, clients, expired, of, pair, params, server, settings},
};
use names::ByName;

#[track_caller]
fn check(files: &Files, settings: &TlsSettings, expected: Expect) {
    let (tls, report) = files.compile(settings);
    assert_eq!(tls.is_some(), !report.has_errors(), "{report}");
    expected.assert_eq(&report.to_string());
}

fn with(others: &[&str]) -> TlsSettings {
    TlsSettings { others: others.iter().map(|name| pair(name)).collect(), ..settings("a") }
}

fn asking() -> TlsSettings {
    TlsSettings { clients: clients(true), ..settings("a") }
}

#[test]
fn good_files_have_nothing_to_tell() {
    let files = Files::default().with("a", &server(&["a.example"])).with("b", &server(&["b.example"]));
    check(&files, &with(&["b"]), expect![""]);
    check(&files.file("ca.pem", &Authority::new("ca").pem), &asking(), expect![""]);
}

#[test]
fn bad_tls_files_are_errors_that_name_the_file() {
    let (a, b) = (server(&["a.example"]), server(&["b.example"]));
    let files = || Files::default().with("a", &a);
    check(
        &files().file("a.pem", "nothing"),
        &settings("a"),
        expect![[r#"
        error[T002]: holds no certificate in PEM form
          --> a.pem
          help: it starts with `-----BEGIN CERTIFICATE-----`"#]],
    );
    check(
        &files().file("a.key", &a.pem),
        &settings("a"),
        expect![[r#"
        error[T003]: holds no unencrypted private key in PEM form
          --> a.key
          help: it starts with `-----BEGIN PRIVATE KEY-----`; `openssl pkey -in FILE` removes a password"#]],
    );
    check(
        &files().file("a.key", &b.key),
        &settings("a"),
        expect![[r#"
        error[T004]: the private key is not that of `a.pem`
          --> a.key
          help: a pair is renewed as a whole; keys are RSA from 2048 bits, ECDSA on P-256 or P-384, or Ed25519"#]],
    );
}

#[test]
fn a_garbled_certificate_is_an_error_wherever_it_stands() {
    let (a, b) = (server(&["a.example"]), server(&["b.example"]));
    let files = || Files::default().with("a", &a);
    let garbled = a.pem.replacen("MII", "AII", 1);
    check(
        &files().file("a.pem", &garbled),
        &settings("a"),
        expect![[r#"
        error[T005]: a certificate cannot be parsed
          --> a.pem
          help: `openssl x509 -noout -text -in FILE` shows what a good one holds"#]],
    );
    check(
        &files().file("a.pem", &format!("{}{garbled}", a.pem)),
        &settings("a"),
        expect![[r#"
        error[T005]: a certificate cannot be parsed
          --> a.pem
          help: `openssl x509 -noout -text -in FILE` shows what a good one holds"#]],
    );
    check(
        &files().file("ca.pem", &a.key),
        &asking(),
        expect![[r#"
        error[T002]: holds no certificate in PEM form
          --> ca.pem
          help: it starts with `-----BEGIN CERTIFICATE-----`"#]],
    );
    check(
        &files().file("ca.pem", &garbled),
        &asking(),
        expect![[r#"
        error[T005]: a certificate cannot be parsed
          --> ca.pem
          help: `openssl x509 -noout -text -in FILE` shows what a good one holds"#]],
    );
    // Everything at once, of all pairs.
    check(
        &files().file("a.key", "").file("b.pem", "").file("b.key", &b.key),
        &with(&["b"]),
        expect![[r#"
        error[T003]: holds no unencrypted private key in PEM form
          --> a.key
          help: it starts with `-----BEGIN PRIVATE KEY-----`; `openssl pkey -in FILE` removes a password

        error[T002]: holds no certificate in PEM form
          --> b.pem
          help: it starts with `-----BEGIN CERTIFICATE-----`"#]],
    );
    // What could not be read is told by whoever reads.
    check_unread(&files(), &with(&["none"]));
}

#[track_caller]
fn check_unread(files: &Files, settings: &TlsSettings) {
    let (tls, report) = files.compile(settings);
    assert!(tls.is_none() && report.is_empty(), "{report}");
}

#[test]
fn times_that_clients_will_not_accept_are_warnings() {
    let mut late = params(&["a.example"]);
    late.not_before = rcgen::date_time_ymd(2026, 1, 3);
    let mut early = params(&["b.example"]);
    expired(&mut early);
    let files = Files::default().with("a", &of(late)).with("b", &of(early));
    check(
        &files,
        &with(&["b"]),
        expect![[r#"
        warning[T007]: a certificate is not valid yet; it will be in 2 days or less
          --> a.pem
          help: check the clock of this machine, or wait

        warning[T006]: a certificate has expired, 2192 days ago or less
          --> b.pem
          help: renew it"#]],
    );
    assert_eq!(files.compiled(&with(&["b"])).expires(), UnixTime::from_seconds(1_577_836_800));
}

#[test]
fn of_two_certificates_for_one_name_the_first_serves_and_it_is_told() {
    let files = Files::default()
        .with("a", &server(&["a.example", "A.example.", "*.a.example"]))
        .with("b", &server(&["b.example", "*.A.example"]))
        .with("c", &server(&[]));
    check(
        &files,
        &with(&["b", "c"]),
        expect![[r#"
        warning[T008]: `*.a.example` is served with `a.pem` already
          --> b.pem
          help: of two certificates for one name the first one serves; leave one of them out

        warning[T009]: the certificate names no host, so that nobody is served with it
          --> c.pem
          help: a certificate is chosen by the DNS names of its `subjectAltName`; the common name does not count"#]],
    );
}

/// Certificates by name, and the number of the one that is found.
fn found(certificates: &[&[&str]], name: Option<&str>) -> usize {
    let issued: Vec<Issued> = certificates.iter().map(|names| server(names)).collect();
    let names: Vec<String> = (0..issued.len()).map(|place| place.to_string()).collect();
    let files = issued.iter().zip(&names).fold(Files::default(), |files, (issued, name)| files.with(name, issued));
    let read = |path: &Path| files.text(path);
    let mut desk = Desk { read: &read, now: UnixTime::from_seconds(1_767_225_600), report: Report::default() };
    let pairs = names.iter().map(|name| Pair::compile(&mut desk, &pair(name)).unwrap()).collect();
    let by_name = ByName::index(&mut desk, pairs);
    let shown = by_name.find(name).unwrap().cert.first().unwrap().clone();
    issued.iter().position(|issued| issued.der == shown).unwrap()
}

#[test]
fn a_name_finds_its_certificate_exact_before_wildcard() {
    let certificates: [&[&str]; 4] =
        [&["default.example"], &["*.shop.example"], &["a.shop.example"], &["shop.example"]];
    for (name, place) in [
        ("default.example", 0),
        ("shop.example", 3),
        ("a.shop.example", 2),
        ("A.SHOP.EXAMPLE", 2),
        ("a.shop.example.", 2),
        ("b.shop.example", 1),
        ("B.Shop.example.", 1),
        // One label, and a whole one.
        ("a.b.shop.example", 0),
        (".shop.example", 0),
        ("shopxexample", 0),
        ("example", 0),
        ("", 0),
    ] {
        assert_eq!(found(&certificates, Some(name)), place, "{name}");
    }
    assert_eq!(found(&certificates, None), 0);
    // The default certificate's own names come before those of others.
    assert_eq!(found(&[&["*.a.example"], &["*.a.example", "b.a.example"]], Some("c.a.example")), 0);
    assert_eq!(found(&[&["*.a.example"], &["*.a.example", "b.a.example"]], Some("b.a.example")), 1);
}

#[test]
fn only_authenticated_encryption_with_forward_secrecy_is_spoken() {
    let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    assert_eq!(
        suites,
        [
            "TLS13_AES_256_GCM_SHA384",
            "TLS13_AES_128_GCM_SHA256",
            "TLS13_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ]
    );
    let groups: Vec<_> = provider().kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
    assert_eq!(groups, ["X25519", "secp256r1", "secp384r1"]);
    let page = include_str!("../../../docs/security-model.md");
    for suite in suites {
        assert!(page.contains(&suite), "{suite} is not in docs/security-model.md");
    }
}

#[test]
fn the_same_files_have_the_same_digest_and_others_do_not() {
    let (a, b) = (server(&["a.example"]), server(&["a.example"]));
    let files = || Files::default().with("a", &a).with("b", &b).file("ca.pem", &Authority::new("ca").pem);
    let one = files();
    let digest = |files: &Files, settings: &TlsSettings| files.compiled(settings).digest;
    assert_eq!(digest(&one, &asking()), digest(&one, &asking()));
    let lenient = TlsSettings { clients: clients(false), ..settings("a") };
    let all = [
        digest(&one, &settings("a")),
        digest(&one, &settings("b")),
        digest(&one, &with(&["b"])),
        digest(&one, &asking()),
        digest(&one, &lenient),
        digest(&files(), &asking()),
    ];
    for (place, one) in all.iter().enumerate() {
        assert!(!all[..place].contains(one), "{place}");
    }
}

#[test]
fn a_resumed_session_does_not_outlive_the_clients_certificate() {
    let authority = Authority::new("ca");
    let files = Files::default().with("a", &server(&["a.example"])).file("ca.pem", &authority.pem);
    let tls = files.compiled(&asking());
    let clients = tls.clients.as_deref().unwrap();
    let identify = |issued: &Issued| clients::identify(clients, std::slice::from_ref(&issued.der));
    let ann = identify(&authority.client("ann")).unwrap().unwrap();
    assert_eq!(ann.common_name.as_deref(), Some("ann"));
    // What a resumed session brings is judged like this, by the clock of now.
    let error = identify(&authority.issue("ann", expired)).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    assert!(clients::identify(clients, &[]).is_err(), "the handshake requires one");
}
