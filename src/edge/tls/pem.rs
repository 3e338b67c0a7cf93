//! Certificates as files hold them: of listeners, of the authorities of clients, of upstreams.
//!
//! Every certificate that the gateway takes from a file is read here, so that none reaches a library that panics at what it cannot parse.

use rustls::pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};
use thiserror::Error;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time};

use crate::time::UnixTime;

/// Why a file does not give certificates.
#[derive(Debug, Error)]
pub enum PemFault {
    /// It is not in PEM form.
    #[error("is no PEM file: {0}")]
    NotPem(pem::Error),
    /// It is, and has none.
    #[error("holds no certificate in PEM form")]
    Empty,
    /// One of them is malformed, or has something twice.
    #[error("holds a certificate that cannot be parsed")]
    Malformed,
}

/// The certificates of a PEM text: at least one, and each can be parsed.
///
/// # Errors
/// When there is none, or one is broken.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(PemFault::NotPem)?;
    if found.is_empty() {
        return Err(PemFault::Empty);
    }
    // SECURITY: pingora panics on what it cannot parse: `what_is_no_certificate_is_a_finding`.
    match found.iter().all(|certificate| Leaf::parse(certificate).is_some()) {
        true => Ok(found),
        false => Err(PemFault::Malformed),
    }
}

/// One certificate in DER form (RFC 5280), with nothing behind it.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().and_then(|(rest, certificate)| rest.is_empty().then_some(certificate))
}

/// What matters of one certificate.
pub(super) struct Leaf {
    /// The DNS names that it is for, in lower case and without a final dot.
    pub(super) names: Vec<Box<str>>,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Leaf {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = parse(der)?;
        let seconds = |time: ASN1Time| UnixTime::from_seconds(u64::try_from(time.timestamp()).unwrap_or(0));
        let alternative = certificate.subject_alternative_name().ok()?;
        let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase().into_boxed_str()),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::URI(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => None,
        });
        let validity = certificate.validity();
        Some(Self {
            names: names.collect(),
            not_before: seconds(validity.not_before),
            not_after: seconds(validity.not_after),
        })
    }
}
