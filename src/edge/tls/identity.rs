//! From the bytes of a certificate to what policies read of it.
//!
//! A certificate whose names have two readings is read by nobody: `None`, and the connection is refused.

use std::fmt::Write;

use aws_lc_rs::digest;
use x509_parser::extensions::GeneralName;

use super::{pem, subject};
use crate::request::ClientCertificate;

/// Reads a DER certificate (RFC 5280). Verifies nothing.
pub(super) fn read(der: &[u8]) -> Option<ClientCertificate> {
    let certificate = pem::parse(der)?;
    // An error where the extension stands twice or does not parse.
    let alternative = certificate.subject_alternative_name().ok()?;
    let (mut dns_names, mut uris, mut emails) = (Vec::new(), Vec::new(), Vec::new());
    for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => dns_names.push(visible(name)?.to_ascii_lowercase().into()),
            GeneralName::URI(uri) => uris.push(visible(uri)?.into()),
            GeneralName::RFC822Name(address) => emails.push(visible(address)?.into()),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    Some(ClientCertificate {
        subject: subject::render(certificate.subject()).into(),
        common_name: subject::common_name(certificate.subject()).map(Into::into),
        dns_names: dns_names.into(),
        uris: uris.into(),
        emails: emails.into(),
        sha256: fingerprint(der).into(),
    })
}

/// A name without the characters by which it would look like another one.
fn visible(name: &str) -> Option<&str> {
    // SECURITY: `a_name_that_hides_another_behind_a_null_byte_is_refused`.
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

fn fingerprint(der: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, der).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
