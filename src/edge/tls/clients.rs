//! Which client certificates are believed.
//!
//! A certificate is verified in the handshake, and again whenever a session is resumed, since a resumed one is not asked for: it must
//! still chain to the authorities, be for client authentication and not have expired. Revocation lists are not looked at.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{Desk, identity, pair::chain, pem::Leaf, provider};
use crate::{config::ClientCertificates, request::ClientCertificate};

/// Reads the authorities. `None` when their file is missing or wrong, which is told.
pub(super) fn verifier(desk: &mut Desk<'_>, settings: &ClientCertificates) -> Option<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in chain(desk, &settings.ca)? {
        if let Some(leaf) = Leaf::parse(&authority) {
            desk.judge_times(&settings.ca, (leaf.not_before, leaf.not_after));
        }
        if let Err(error) = roots.add(authority) {
            return unusable(desk, &settings.ca, &error);
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if settings.required { builder } else { builder.allow_unauthenticated() };
    match builder.build() {
        Ok(believes) => Some(Arc::new(Readable { believes })),
        Err(error) => unusable(desk, &settings.ca, &error),
    }
}

fn unusable<T>(desk: &mut Desk<'_>, file: &Path, error: &dyn std::error::Error) -> Option<T> {
    let message = format!("a certificate cannot vouch for clients: {error}");
    desk.error("T005", file, message, "name the certificates of the authorities that issue clients' certificates");
    None
}

/// Who a client is whose handshake is over: its certificate, verified now.
pub(super) fn identify(
    clients: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'_>],
) -> Result<Option<ClientCertificate>, Error> {
    let Some((certificate, intermediates)) = chain.split_first() else {
        return match clients.client_auth_mandatory() {
            // SECURITY: no session gets around it: `a_session_without_a_certificate_does_not_serve_where_one_is_required`.
            true => Err(Error::NoCertificatesPresented),
            false => Ok(None),
        };
    };
    // SECURITY: a resumed session brings the certificate of an earlier handshake, which may have expired since:
    // `a_resumed_session_does_not_outlive_the_clients_certificate`.
    clients.verify_client_cert(certificate, intermediates, UnixTime::now())?;
    identity::read(certificate).map(Some).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// Believes what webpki believes and what can be read: the library below panics at a certificate that its parser does not take.
#[derive(Debug)]
struct Readable {
    believes: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Readable {
    fn offer_client_auth(&self) -> bool {
        self.believes.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.believes.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.believes.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.believes.verify_client_cert(certificate, intermediates, now)?;
        match identity::read(certificate) {
            Some(_) => Ok(verified),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.believes.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.believes.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.believes.supported_verify_schemes()
    }
}
