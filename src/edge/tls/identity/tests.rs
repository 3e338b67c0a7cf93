//! What is read of a certificate.

use rcgen::{CustomExtension, DnType, DnValue, SanType};

use super::*;
use crate::edge::tests::certificates::Authority;

fn names(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Option<ClientCertificate> {
    read(&Authority::new("ca").issue("ann", change).der)
}

/// The subject and the common name of a certificate with these parts.
fn subject(parts: &[(DnType, DnValue)]) -> (String, Option<String>) {
    let found = names(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
    });
    let found = found.unwrap();
    (found.subject.into(), found.common_name.map(Into::into))
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.to_owned())
}

#[test]
fn the_names_of_a_certificate_are_read() {
    let issued = Authority::new("ca").issue("ann", |params| {
        params.subject_alt_names = vec![
            SanType::DnsName("Ann.Example".try_into().unwrap()),
            SanType::URI("spiffe://example/ann".try_into().unwrap()),
            SanType::Rfc822Name("ann@example.com".try_into().unwrap()),
            SanType::IpAddress([10, 0, 0, 1].into()),
            SanType::DnsName("b.example".try_into().unwrap()),
        ];
    });
    let found = read(&issued.der).unwrap();
    assert_eq!(&*found.subject, "CN=ann,O=Example");
    assert_eq!(found.common_name.as_deref(), Some("ann"));
    assert_eq!(*found.dns_names, ["ann.example".into(), "b.example".into()]);
    assert_eq!(*found.uris, ["spiffe://example/ann".into()]);
    assert_eq!(*found.emails, ["ann@example.com".into()]);
    assert_eq!(found.sha256.len(), 64);
    let digest = digest::digest(&digest::SHA256, &issued.der);
    let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(*found.sha256, hex.concat());
}

#[test]
fn a_subject_is_written_by_rfc_4514() {
    let (text, name) = subject(&[
        (DnType::CountryName, DnValue::PrintableString("CH".try_into().unwrap())),
        (DnType::OrganizationName, utf8("Ex, Inc.")),
        (DnType::OrganizationalUnitName, utf8("#1 \"a\" <b>; c+d\\e=f ")),
        (DnType::LocalityName, utf8(" Zürich")),
        (DnType::CommonName, utf8("ci")),
    ]);
    assert_eq!(text, r#"CN=ci,L=\ Zürich,OU=\#1 \"a\" \<b\>\; c\+d\\e=f\ ,O=Ex\, Inc.,C=CH"#);
    assert_eq!(name.as_deref(), Some("ci"));
    assert_eq!(subject(&[]), (String::new(), None));
}

#[test]
fn a_value_cannot_add_parts_to_a_subject() {
    let (forged, _) = subject(&[(DnType::CommonName, utf8("x,O=Admins"))]);
    let (real, _) = subject(&[(DnType::OrganizationName, utf8("Admins")), (DnType::CommonName, utf8("x"))]);
    assert_eq!((forged.as_str(), real.as_str()), (r"CN=x\,O=Admins", "CN=x,O=Admins"));
}

#[test]
fn what_is_no_text_is_written_by_its_bytes() {
    let kind = || DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]);
    let address = DnValue::Ia5String("a@b".try_into().unwrap());
    assert_eq!(subject(&[(kind(), address)]).0, "1.2.840.113549.1.9.1=#1603614062");
    let long = "x".repeat(200);
    assert!(subject(&[(kind(), utf8(&long))]).0.starts_with("1.2.840.113549.1.9.1=#0C81C87878"));
    let wide = DnValue::BmpString("cé".try_into().unwrap());
    assert_eq!(subject(&[(DnType::CommonName, wide)]), ("CN=cé".to_owned(), Some("cé".to_owned())));
}

#[test]
fn a_common_name_with_control_characters_is_none() {
    let (text, name) = subject(&[(DnType::CommonName, utf8("admin\0.example\n"))]);
    assert_eq!((text.as_str(), name), (r"CN=admin\00.example\0A", None));
    assert_eq!(subject(&[(DnType::CommonName, utf8(""))]).1, None);
}

#[test]
fn a_name_that_hides_another_behind_a_null_byte_is_refused() {
    let with = |content: &[u8]| {
        names(|params| {
            params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec())];
        })
    };
    assert!(with(b"\x30\x0d\x82\x0bann.example").is_some());
    // A null byte or a space in a DNS name, an e-mail address and a URI; and an empty name.
    assert!(with(b"\x30\x0d\x82\x0bann\0example").is_none());
    assert!(with(b"\x30\x0d\x81\x0bann@b.c\0d.e").is_none());
    assert!(with(b"\x30\x0d\x86\x0bspiffe://\0a").is_none());
    assert!(with(b"\x30\x0d\x82\x0bann example").is_none());
    assert!(with(b"\x30\x02\x82\x00").is_none());
    assert!(with(b"\x30\x0d\x82\x20ann.example").is_none());
}

#[test]
fn what_is_no_certificate_is_not_read() {
    let der = Authority::new("ca").client("ann").der.to_vec();
    assert!(read(&der).is_some());
    assert!(read(&der[..der.len() - 1]).is_none());
    assert!(read(&[&der[..], b"\0"].concat()).is_none());
    assert!(read(b"").is_none());
}
