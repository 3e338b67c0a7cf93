//! One certificate with its key, from PEM text.

use std::{path::Path, sync::Arc};

use rustls::{
    Error,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    Desk,
    pem::{Leaf, PemFault, certificates},
    provider,
};
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
    match certificates((desk.read)(file)?) {
        Ok(chain) => Some(chain),
        Err(PemFault::NotPem(_) | PemFault::Malformed) => malformed(desk, file),
        Err(fault @ PemFault::Empty) => {
            desk.error("T002", file, fault.to_string(), "it starts with `-----BEGIN CERTIFICATE-----`");
            None
        }
    }
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
