//! Certificates of upstreams: whom they must be vouched for by, and what the gateway shows them.
//!
//! Takes PEM texts and gives what connections are made with. Everything that pingora would panic on later is a diagnostic here.

use std::{fmt, sync::Arc};

use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora_rustls::{
    CryptoProvider, PrivateKeyDer, RootCertStore, install_default_crypto_provider, sign::CertifiedKey,
};
use rustls_pki_types::pem::PemObject;

use crate::{
    config::{Settings, UpstreamTls},
    diagnostic::{Diagnostic, Report},
    edge::certificates,
    gate::source::{self, Fingerprint},
    yaml::SourceFile,
};

/// What TLS connections to one upstream are made with.
#[derive(Clone)]
pub struct Trust {
    /// The authorities that are believed; the platform's where absent.
    pub ca: Option<Arc<[WrappedX509]>>,
    /// The certificate that is shown, and its key.
    pub client: Option<Arc<CertKey>>,
    /// The digest of the files it came from: other files make another trust.
    pub fingerprint: Fingerprint,
}

impl Trust {
    /// The platform's authorities, and no certificate.
    #[cfg(test)]
    pub(crate) fn platform() -> Self {
        Self { ca: None, client: None, fingerprint: source::fingerprint([], &Report::default()) }
    }
}

impl fmt::Debug for Trust {
    // Not the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ca, client) = (self.ca.as_ref().map(|ca| ca.len()), self.client.is_some());
        f.debug_struct("Trust").field("ca", &ca).field("client", &client).finish_non_exhaustive()
    }
}

/// The files of one upstream, as far as they can be read.
#[derive(Debug, Default)]
pub(super) struct TrustFiles {
    ca: Option<SourceFile>,
    client: Option<(SourceFile, SourceFile)>,
}

impl TrustFiles {
    /// Reads what the settings name; what cannot be read is reported.
    pub(super) fn read(tls: &UpstreamTls, unread: &mut Report) -> Self {
        let mut read = |path: &std::path::Path| source::read_file(path).map_err(|finding| unread.push(finding)).ok();
        let ca = tls.ca.as_deref().and_then(&mut read);
        let client = tls.client.as_ref().and_then(|files| {
            let (certificate, private_key) = (read(&files.certificate), read(&files.private_key));
            Some((certificate?, private_key?))
        });
        Self { ca, client }
    }

    /// The files, for a fingerprint.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        let client = self.client.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(client)
    }
}

/// The files that the settings name for upstreams, to be watched.
pub(super) fn places(settings: &Settings) -> impl Iterator<Item = std::path::PathBuf> {
    settings.upstreams.iter().flat_map(|upstream| {
        let client = upstream.tls.client.iter().flat_map(|files| [&files.certificate, &files.private_key]);
        upstream.tls.ca.iter().chain(client).cloned()
    })
}

/// Compiles the files of each upstream, in the order of the settings. `None` for one whose files cannot be used.
pub(super) fn compile(files: &[TrustFiles]) -> (Option<Vec<Trust>>, Report) {
    let mut report = Report::default();
    let mut trusts = Vec::with_capacity(files.len());
    for files in files {
        match trust(files) {
            Ok(trust) => trusts.push(trust),
            Err(finding) => report.push(finding),
        }
    }
    ((trusts.len() == files.len()).then_some(trusts), report)
}

fn trust(files: &TrustFiles) -> Result<Trust, Diagnostic> {
    let ca = files.ca.as_ref().map(authorities).transpose()?;
    let client = files.client.as_ref().map(|(certificate, key)| client(certificate, key)).transpose()?;
    Ok(Trust { ca, client, fingerprint: source::fingerprint(files.iter(), &Report::default()) })
}

fn authorities(file: &SourceFile) -> Result<Arc<[WrappedX509]>, Diagnostic> {
    let unusable = |why: String| {
        Diagnostic::of_file("F030", &file.name, why)
            .with_help("a CA file holds the certificates of authorities in PEM form, and nothing that is broken")
    };
    let mut roots = RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in certificates(&file.text).map_err(|fault| unusable(fault.to_string()))? {
        // SECURITY: an authority that is passed over would be a smaller set than was written: `a_broken_authority_is_not_passed_over`.
        roots
            .add(certificate.clone())
            .map_err(|error| unusable(format!("holds a certificate of no authority: {error}")))?;
        found.push(WrappedX509::new(certificate.to_vec(), parse_x509));
    }
    Ok(found.into())
}

fn client(certificate: &SourceFile, private_key: &SourceFile) -> Result<Arc<CertKey>, Diagnostic> {
    let unusable = |file: &SourceFile, why: String| {
        Diagnostic::of_file("F031", &file.name, why).with_help(
            "`certificate` is a chain in PEM form, leaf first, and `private_key` the unencrypted key of the leaf",
        )
    };
    let chain = certificates(&certificate.text).map_err(|fault| unusable(certificate, fault.to_string()))?;
    // SECURITY: the reason is not repeated, it could hold a part of the key: `a_key_of_another_certificate_is_a_finding`.
    let no_key = || unusable(private_key, "holds no unencrypted private key in PEM form".to_owned());
    let key = PrivateKeyDer::from_pem_slice(private_key.text.as_bytes()).map_err(|_| no_key())?;
    let key_bytes = key.secret_der().to_vec();
    PrivateKeyDer::try_from(key_bytes.clone()).map_err(|_| no_key())?;
    install_default_crypto_provider();
    let provider = CryptoProvider::get_default().ok_or_else(no_key)?;
    let bytes = chain.iter().map(|certificate| certificate.to_vec()).collect();
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|_| unusable(private_key, format!("is not the key of the certificate `{}`", certificate.name)))?;
    Ok(Arc::new(CertKey::new(bytes, key_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: impl Into<String>) -> SourceFile {
        SourceFile { name: name.to_owned(), text: text.into() }
    }

    fn pair() -> (SourceFile, SourceFile) {
        let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
        (file("cert.pem", made.cert.pem()), file("key.pem", made.signing_key.serialize_pem()))
    }

    fn refused(files: TrustFiles) -> String {
        let (trust, report) = compile(&[files]);
        assert!(trust.is_none());
        report.to_string()
    }

    #[test]
    fn a_bundle_and_a_pair_are_taken() {
        let (certificate, key) = pair();
        let bundle = file("ca.pem", format!("# two of them\n{}{}", certificate.text, pair().0.text));
        let files = TrustFiles { ca: Some(bundle), client: Some((certificate, key)) };
        let (trusts, report) = compile(&[files, TrustFiles::default()]);
        let trusts = trusts.unwrap();
        assert!(report.is_empty());
        assert_eq!(trusts[0].ca.as_ref().map(|ca| ca.len()), Some(2));
        assert!(trusts[0].client.is_some() && trusts[1].ca.is_none() && trusts[1].client.is_none());
        assert_ne!(trusts[0].fingerprint, trusts[1].fingerprint);
    }

    #[test]
    fn what_is_no_certificate_is_a_finding() {
        let (good, key) = pair();
        let wrapped = |der: &str| format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
        for text in ["", "hello", &wrapped("aGVsbG8="), &wrapped("!"), &wrapped(""), &key.text] {
            let report = refused(TrustFiles { ca: Some(file("ca.pem", text)), client: None });
            assert!(report.contains("F030") && report.contains("ca.pem"), "{text}: {report}");
            let client = Some((file("cert.pem", text), key.clone()));
            let report = refused(TrustFiles { ca: None, client });
            assert!(report.contains("F031") && report.contains("cert.pem"), "{text}: {report}");
        }
        let client = Some((good.clone(), file("key.pem", good.text.clone())));
        assert!(refused(TrustFiles { ca: None, client }).contains("key.pem"));
    }

    #[test]
    fn a_broken_authority_is_not_passed_over() {
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let bundle = file("ca.pem", format!("{}{broken}", pair().0.text));
        assert!(refused(TrustFiles { ca: Some(bundle), client: None }).contains("F030"));
    }

    #[test]
    fn a_key_of_another_certificate_is_a_finding() {
        let report = refused(TrustFiles { ca: None, client: Some((pair().0, pair().1)) });
        assert!(report.contains("is not the key of the certificate"), "{report}");
        assert!(!report.contains("PRIVATE"), "{report}");
    }
}
