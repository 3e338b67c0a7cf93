//! Which certificate serves which name (SNI, RFC 6066 section 3).
//!
//! Exact names come before wildcards, and `*` stands for one whole label (RFC 6125 section 6.4.3). Of two certificates for one name the
//! earlier in the settings serves. Who names no host, or one that no certificate is for, gets the first certificate. Which one a client is
//! shown decides nothing: requests are decided by their `Host`.

use std::{collections::HashMap, fmt, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Desk, pair::Pair};

/// The certificates of one listener.
pub(super) struct ByName {
    default: Option<Arc<CertifiedKey>>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName").field("exact", &self.exact.keys()).field("wildcard", &self.wildcard.keys()).finish()
    }
}

impl ByName {
    /// The first pair is the default one.
    pub(super) fn index(desk: &mut Desk<'_>, pairs: Vec<Pair>) -> Self {
        let default = pairs.first().map(|pair| Arc::clone(&pair.key));
        let mut found = Self { default, exact: HashMap::new(), wildcard: HashMap::new() };
        let mut holders: HashMap<Box<str>, usize> = HashMap::new();
        for (place, pair) in pairs.iter().enumerate() {
            if pair.names.is_empty() && place > 0 {
                desk.warn(
                    "T009",
                    &pair.files.certificate,
                    "the certificate names no host, so that nobody is served with it",
                    "a certificate is chosen by the DNS names of its `subjectAltName`; the common name does not count",
                );
            }
            for name in &pair.names {
                match holders.get(name).and_then(|holder| pairs.get(*holder).map(|pair| (*holder, pair))) {
                    Some((holder, _)) if holder == place => {}
                    Some((_, other)) => desk.warn(
                        "T008",
                        &pair.files.certificate,
                        format!("`{name}` is served with `{}` already", other.files.certificate.display()),
                        "of two certificates for one name the first one serves; leave one of them out",
                    ),
                    None => {
                        holders.insert(name.clone(), place);
                        found.insert(name, &pair.key);
                    }
                }
            }
        }
        found
    }

    fn insert(&mut self, name: &str, key: &Arc<CertifiedKey>) {
        let (names, name) = match name.strip_prefix("*.") {
            Some(suffix) => (&mut self.wildcard, suffix),
            None => (&mut self.exact, name),
        };
        names.insert(name.into(), Arc::clone(key));
    }

    /// The certificate for a name in any case, with or without a final dot.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let Some(name) = name else { return self.default.as_ref() };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let by_suffix = || {
            let (label, suffix) = name.split_once('.')?;
            self.wildcard.get(suffix).filter(|_| !label.is_empty())
        };
        self.exact.get(name.as_str()).or_else(by_suffix).or(self.default.as_ref())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}
