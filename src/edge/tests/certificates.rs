//! Certificates made for a test, and the files that they stand in.

use std::{collections::HashMap, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    config::{ClientCertificates, TlsFiles, TlsSettings},
    diagnostic::Report,
    edge::ListenerTls,
    time::UnixTime,
};

/// A certificate and its key.
pub(in crate::edge) struct Issued {
    pub(in crate::edge) der: CertificateDer<'static>,
    pub(in crate::edge) pem: String,
    pub(in crate::edge) key: String,
}

impl Issued {
    pub(in crate::edge) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A certificate for these names, signed by itself.
pub(in crate::edge) fn server(names: &[&str]) -> Issued {
    of(params(names))
}

/// Parameters of a certificate for these names.
pub(in crate::edge) fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// A certificate of these parameters, signed by itself.
pub(in crate::edge) fn of(params: CertificateParams) -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Issued { der: certificate.der().clone(), pem: certificate.pem(), key: key.serialize_pem() }
}

/// Who issues clients' certificates.
pub(in crate::edge) struct Authority {
    pub(in crate::edge) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one; of two with one name, each has a key of its own.
    pub(in crate::edge) fn new(name: &str) -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A client's certificate, changed as the test likes.
    pub(in crate::edge) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = params(&[]);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { der: certificate.der().clone(), pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client's certificate.
    pub(in crate::edge) fn client(&self, name: &str) -> Issued {
        self.issue(name, |params| {
            params.subject_alt_names = vec![SanType::DnsName(format!("{name}.example").try_into().unwrap())];
        })
    }
}

/// A certificate that has expired.
pub(in crate::edge) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
}

/// PEM files by name.
#[derive(Default)]
pub(in crate::edge) struct Files(HashMap<String, String>);

/// A certificate and a key file of that name.
pub(in crate::edge) fn pair(name: &str) -> TlsFiles {
    TlsFiles { certificate: format!("{name}.pem").into(), private_key: format!("{name}.key").into() }
}

/// Settings of that default pair, and nothing else.
pub(in crate::edge) fn settings(name: &str) -> TlsSettings {
    TlsSettings { default: pair(name), others: Vec::new(), clients: None }
}

/// Asks clients for certificates of the authority in the file `ca.pem`.
pub(in crate::edge) fn clients(required: bool) -> Option<ClientCertificates> {
    Some(ClientCertificates { ca: "ca.pem".into(), required })
}

impl Files {
    /// The files of that pair.
    pub(in crate::edge) fn with(self, name: &str, issued: &Issued) -> Self {
        self.file(&format!("{name}.pem"), &issued.pem).file(&format!("{name}.key"), &issued.key)
    }

    pub(in crate::edge) fn file(mut self, name: &str, text: &str) -> Self {
        self.0.insert(name.to_owned(), text.to_owned());
        self
    }

    pub(in crate::edge) fn text(&self, path: &Path) -> Option<&str> {
        self.0.get(path.to_str().unwrap()).map(String::as_str)
    }

    /// Compiles at the start of the year 2026.
    pub(in crate::edge) fn compile(&self, settings: &TlsSettings) -> (Option<Arc<ListenerTls>>, Report) {
        let read = |path: &Path| self.text(path);
        ListenerTls::compile(settings, &read, UnixTime::from_seconds(1_767_225_600))
    }

    #[track_caller]
    pub(in crate::edge) fn compiled(&self, settings: &TlsSettings) -> Arc<ListenerTls> {
        let (tls, report) = self.compile(settings);
        tls.unwrap_or_else(|| panic!("{report}"))
    }
}
