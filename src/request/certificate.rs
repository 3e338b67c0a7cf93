//! A client's TLS certificate as plain data.
//!
//! Whoever terminates TLS verifies the certificate and reads it once for the connection; here it is only held. A value of this type says
//! that its certificate was verified for this very connection.

/// A verified client certificate (RFC 5280): what policies read as `request.client_certificate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject as a string of RFC 4514, the most specific part first: `CN=ci,OU=Build,O=Example`. Empty where it has none.
    pub subject: Box<str>,
    /// The common name of the subject; `None` where there is none, more than one, or one that is no text.
    pub common_name: Option<Box<str>>,
    /// DNS names of `subjectAltName`, in lower case.
    pub dns_names: Box<[Box<str>]>,
    /// URIs of `subjectAltName`, such as a SPIFFE id.
    pub uris: Box<[Box<str>]>,
    /// E-mail addresses of `subjectAltName`.
    pub emails: Box<[Box<str>]>,
    /// SHA-256 of the certificate, in lower-case hex.
    pub sha256: Box<str>,
}
