//! The key `upstreams[].tls`: whom an upstream must prove to be, and who the gateway proves to be.
//!
//! Names files and does not read them. Invariant: an https endpoint always has a name that is verified, and the name that is verified is
//! the one that is written.

use std::path::PathBuf;

use super::super::{Endpoint, TlsFiles, read::path, url::authority_parts};
use crate::yaml::Cursor;

/// TLS to an upstream. Without anything: the platform's certificate authorities, no client certificate, the endpoint's own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of the certificate authorities that are believed instead of the platform's.
    pub ca: Option<PathBuf>,
    /// The certificate that the gateway shows, and its key.
    pub client: Option<TlsFiles>,
    /// The name that the upstream's certificate must bear, instead of the endpoint's host.
    pub server_name: Option<String>,
}

/// Reads the section.
pub(super) fn tls(at: &Cursor<'_>) -> Option<UpstreamTls> {
    let mut map = at.map()?;
    let ca = match map.take("ca") {
        Some(at) => Some(path(&at)?),
        None => None,
    };
    let client = match (map.take("certificate"), map.take("private_key")) {
        (None, None) => None,
        (certificate, private_key) => {
            // What is missing of the two is reported.
            let certificate = certificate.or_else(|| map.require("certificate")).and_then(|at| path(&at));
            let private_key = private_key.or_else(|| map.require("private_key")).and_then(|at| path(&at));
            Some(TlsFiles { certificate: certificate?, private_key: private_key? })
        }
    };
    let server_name = match map.take("server_name") {
        Some(at) => Some(server_name(&at)?),
        None => None,
    };
    map.finish();
    Some(UpstreamTls { ca, client, server_name })
}

fn server_name(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    match authority_parts(text) {
        Ok((name, None)) if is_verifiable(&name) => Some(name),
        Ok(_) | Err(_) => {
            at.error_with_help(
                "C041",
                format!("`{text}` is not a name that a certificate bears"),
                "write a DNS name without underscores, or an IP address (IPv6 in brackets), and no port",
            );
            None
        }
    }
}

/// Whether exactly this name is looked for in the certificate: of a name with an underscore, another one is.
fn is_verifiable(name: &str) -> bool {
    // SECURITY: pingora puts `-` for `_` before it verifies: `a_name_that_is_verified_as_another_is_refused`.
    !name.contains('_')
}

/// What the section and the endpoints say together.
pub(super) fn check(at: &Cursor<'_>, endpoints: &[Endpoint], tls: Option<&UpstreamTls>) -> bool {
    if tls.is_some() && endpoints.iter().any(|endpoint| !endpoint.tls) {
        // SECURITY: what asks for a proof must not be sent in the clear: `tls_settings_beside_a_plain_endpoint_are_refused`.
        at.error_with_help(
            "C040",
            "`tls` is set, and an endpoint is plain `http`",
            "write `https://` for every endpoint, or leave `tls` out",
        );
        return false;
    }
    let named = tls.is_some_and(|tls| tls.server_name.is_some());
    if let Some(endpoint) = endpoints.iter().find(|one| one.tls && !named && !is_verifiable(&one.host)) {
        at.error_with_help(
            "C041",
            format!("`{}` is not a name that a certificate bears", endpoint.host),
            "set `tls: { server_name: NAME }` to the name in the upstream's certificate",
        );
        return false;
    }
    true
}
