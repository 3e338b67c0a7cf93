//! One certificate with its key, from PEM text.

use std::{path::Path, sync::Arc};

use rustls::{
    Error,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time};

use super::{Desk, provider};
use crate::{config::TlsFiles, time::UnixTime};

/// A certificate that can be served.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names that it is for, in lower case and without a final dot.
    pub(super) names: Vec<Box<str>>,
    pub(super) not_after: UnixTime,
    /// Where it was read from.
    pub(super) files: TlsFiles,
}

impl Pair {
    /// Reads both files. `None` when one is missing or wrong, which is told.
    pub(super) fn compile(desk: &mut Desk<'_>, files: &TlsFiles) -> Option<Self> {
        let chain = chain(desk, &files.certificate);
        let key = private_key(desk, &files.private_key);
        let chain = chain?;
        let Some(leaf) = chain.first().and_then(|leaf| Leaf::parse(leaf)) else {
            return malformed(desk, &files.certificate);
        };
        desk.judge_times(&files.certificate, (leaf.not_before, leaf.not_after));
        match CertifiedKey::from_der(chain, key?, &provider()) {
            Ok(key) => {
                Some(Self { key: Arc::new(key), names: leaf.names, not_after: leaf.not_after, files: files.clone() })
            }
            Err(error) => {
                let certificate = files.certificate.display();
                let message = if matches!(error, Error::InconsistentKeys(_)) {
                    format!("the private key is not that of `{certificate}`")
                } else {
                    format!("the private key does not serve `{certificate}`: {error}")
                };
                let help =
                    "a pair is renewed as a whole; keys are RSA from 2048 bits, ECDSA on P-256 or P-384, or Ed25519";
                desk.error("T004", &files.private_key, message, help);
                None
            }
        }
    }
}

fn malformed<T>(desk: &mut Desk<'_>, file: &Path) -> Option<T> {
    desk.error(
        "T005",
        file,
        "a certificate cannot be parsed",
        "`openssl x509 -noout -text -in FILE` shows what a good one holds",
    );
    None
}

/// The certificates of a PEM file, at least one.
pub(super) fn chain(desk: &mut Desk<'_>, file: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let text = (desk.read)(file)?;
    let Ok(chain) = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>() else {
        return malformed(desk, file);
    };
    if chain.is_empty() {
        desk.error("T002", file, "holds no certificate in PEM form", "it starts with `-----BEGIN CERTIFICATE-----`");
        return None;
    }
    if chain.iter().any(|certificate| Leaf::parse(certificate).is_none()) {
        return malformed(desk, file);
    }
    Some(chain)
}

fn private_key(desk: &mut Desk<'_>, file: &Path) -> Option<PrivateKeyDer<'static>> {
    let text = (desk.read)(file)?;
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => Some(key),
        Err(_) => {
            desk.error(
                "T003",
                file,
                "holds no unencrypted private key in PEM form",
                "it starts with `-----BEGIN PRIVATE KEY-----`; `openssl pkey -in FILE` removes a password",
            );
            None
        }
    }
}

/// What matters of one certificate.
pub(super) struct Leaf {
    names: Vec<Box<str>>,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Leaf {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
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
