//! Conditions on the client's certificate.

use super::*;

fn without() -> Sample {
    Sample { certificate: None, ..Sample::default() }
}

#[test]
fn every_field_of_a_client_certificate_is_read() {
    check(
        &Sample::default(),
        &native(),
        &[
            ("has(request.client_certificate)", "true"),
            ("request.client_certificate.subject == 'CN=ci,OU=Build,O=Example'", "true"),
            ("request.client_certificate.common_name == 'ci'", "true"),
            ("request.client_certificate.common_name.startsWith('c')", "true"),
            ("'build.example.com' in request.client_certificate.dns_names", "true"),
            ("request.client_certificate.dns_names[0] == 'ci.example.com'", "true"),
            ("request.client_certificate.dns_names == ['ci.example.com', 'build.example.com']", "true"),
            ("request.client_certificate.dns_names.exists(n, n.endsWith('.example.org'))", "false"),
            ("size(request.client_certificate.uris) == 1", "true"),
            ("'spiffe://example.com/ci' in request.client_certificate.uris", "true"),
            ("request.client_certificate.emails == []", "true"),
            ("has(request.client_certificate.emails)", "true"),
            ("request['client_certificate'].sha256 == '00ff'", "true"),
        ],
    );
}

#[test]
fn a_certificate_that_is_not_there_is_an_error_and_never_empty() {
    check(
        &without(),
        &native(),
        &[
            ("has(request.client_certificate)", "false"),
            ("!has(request.client_certificate)", "true"),
            ("has(request.client_certificate.common_name)", "false"),
            ("request.client_certificate.subject == ''", "error: `request.client_certificate.subject` is absent"),
            ("request.client_certificate.subject != 'x'", "error: `request.client_certificate.subject` is absent"),
            ("'x' in request.client_certificate.dns_names", "error: `request.client_certificate.dns_names` is absent"),
            ("!('x' in request.client_certificate.uris)", "error: `request.client_certificate.uris` is absent"),
            (
                "request.client_certificate.dns_names.all(n, n == 'x')",
                "error: `request.client_certificate.dns_names` is absent",
            ),
            ("has(request.client_certificate) && request.client_certificate.common_name == 'ci'", "false"),
        ],
    );
}

#[test]
fn a_certificate_without_a_common_name_has_none() {
    let mut sample = Sample::default();
    sample.certificate.as_mut().unwrap().common_name = None;
    check(
        &sample,
        &native(),
        &[
            ("has(request.client_certificate)", "true"),
            ("has(request.client_certificate.common_name)", "false"),
            (
                "request.client_certificate.common_name == 'ci'",
                "error: `request.client_certificate.common_name` is absent",
            ),
        ],
    );
}

#[test]
fn a_mistyped_field_of_a_certificate_does_not_compile() {
    for (text, message) in [
        ("request.client_certificate.subjct == ''", "`request.client_certificate` has no field `subjct`"),
        ("request.client_certificate == null", "`request.client_certificate` is not a value in itself"),
        ("'x' in request.client_certificate", "`request.client_certificate` is not a value in itself"),
        ("request.client_certificate[0] == ''", "`request.client_certificate` has no field `0`"),
        (
            "request.client_certificate.dns_names.first == ''",
            "`request.client_certificate.dns_names` is a list, it has no fields",
        ),
        (
            "request.client_certificate.subject.cn == ''",
            "`request.client_certificate.subject` is a text, it has no fields",
        ),
        ("request.client_certificate.dns_names", "the condition is never true or false"),
    ] {
        let error = Condition::compile(text, &native()).unwrap_err();
        assert_eq!(error.message, message, "{text}");
    }
    // The language of Cerbos has no such thing.
    assert!(Condition::compile("has(request.client_certificate)", &Environment::cerbos()).is_err());
}
