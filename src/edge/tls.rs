//! TLS of the listeners: certificates by name, clients' certificates, and their replacement while connections are served.
//!
//! [`ListenerTls`] is everything that one listener answers handshakes with, compiled from the text of its files and never changed; a reload
//! puts another one into the [`TlsSlot`]. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, no early data. Reads no file: every fault of one
//! is a finding with its name. Invariant: what one `ListenerTls` has handed out resumes with that one only.

mod clients;
mod handshake;
mod identity;
mod names;
mod pair;
mod pem;
mod subject;

use std::{
    fmt,
    path::Path,
    sync::{Arc, LazyLock},
};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use pingora::listeners::tls::Acceptor;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, danger::ClientCertVerifier},
    version,
};

use crate::{
    config::TlsSettings,
    diagnostic::{Diagnostic, Report, Severity},
    time::UnixTime,
};
use names::ByName;
use pair::Pair;

pub use handshake::Handshake;
pub(super) use handshake::shake;
pub use pem::{PemFault, certificates};

/// Each code of this module, and what it says. Listed in `docs/diagnostics.md`.
pub const CODES: [(&str, &str); 10] = [
    ("T001", "a certificate, key or CA file cannot be read"),
    ("T002", "a certificate or CA file holds no certificate in PEM form"),
    ("T003", "a key file holds no unencrypted private key in PEM form"),
    ("T004", "a private key does not belong to its certificate, or is of a kind that is not supported"),
    ("T005", "a certificate is malformed"),
    ("T006", "warning: a certificate has expired"),
    ("T007", "warning: a certificate is not valid yet"),
    ("T008", "warning: two certificates of a listener are for the same name"),
    ("T009", "warning: a further certificate of a listener names no host, and serves nobody"),
    ("T010", "TLS cannot be set up"),
];

/// Gives the text of a file; `None` for one that cannot be read, which whoever reads has told.
pub type PemText<'t> = dyn Fn(&Path) -> Option<&'t str> + 't;

/// The application protocols, the preferred one first. A client that offers others only is refused.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a listener answers handshakes with.
pub struct ListenerTls {
    acceptor: Acceptor,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    expires: UnixTime,
    /// Of all files and settings that it was compiled from.
    digest: [u8; 32],
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl ListenerTls {
    /// Compiles the files of one listener. The report has warnings beside a result, errors (or files that `read` does not give) without.
    pub fn compile<'t>(settings: &TlsSettings, read: &'t PemText<'t>, now: UnixTime) -> (Option<Arc<Self>>, Report) {
        let mut desk = Desk { read, now, report: Report::default() };
        let pairs: Vec<_> = settings.pairs().map(|files| Pair::compile(&mut desk, files)).collect();
        let clients = settings.clients.as_ref().map(|clients| clients::verifier(&mut desk, clients));
        let pairs: Option<Vec<Pair>> = pairs.into_iter().collect();
        let clients = clients.map_or(Some(None), |clients| clients.map(Some));
        let (Some(pairs), Some(clients), false) = (pairs, clients, desk.report.has_errors()) else {
            return (None, desk.report);
        };
        let expires = pairs.iter().map(|pair| pair.not_after).min().unwrap_or(UnixTime::MAX);
        let by_name = ByName::index(&mut desk, pairs);
        match configure(by_name, clients.clone()) {
            Ok(config) => {
                let acceptor = Acceptor::from_server_config(Arc::new(config));
                let digest = digest_of(settings, desk.read);
                (Some(Arc::new(Self { acceptor, clients, expires, digest })), desk.report)
            }
            Err(error) => {
                let file = settings.default.certificate.display().to_string();
                desk.report.push(Diagnostic::of_file("T010", file, format!("TLS cannot be set up: {error}")));
                (None, desk.report)
            }
        }
    }

    /// When the first of its certificates expires.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }
}

/// The place of a listener's [`ListenerTls`]. While it is empty, connections are closed unanswered.
#[derive(Debug, Default)]
pub struct TlsSlot {
    current: ArcSwapOption<ListenerTls>,
}

impl TlsSlot {
    /// The next handshakes use this one. False, and nothing happens, where the same files serve already: sessions go on being resumed.
    pub fn set(&self, tls: &Arc<ListenerTls>) -> bool {
        let is_new = self.current.load().as_ref().is_none_or(|current| current.digest != tls.digest);
        if is_new {
            self.current.store(Some(Arc::clone(tls)));
        }
        is_new
    }

    pub(super) fn current(&self) -> Option<Arc<ListenerTls>> {
        self.current.load_full()
    }
}

/// What the parts of a compilation share.
struct Desk<'r> {
    read: &'r PemText<'r>,
    now: UnixTime,
    report: Report,
}

impl Desk<'_> {
    fn error(&mut self, code: &'static str, file: &Path, message: impl Into<String>, help: &str) {
        self.report.push(Diagnostic::of_file(code, file.display().to_string(), message).with_help(help));
    }

    fn warn(&mut self, code: &'static str, file: &Path, message: impl Into<String>, help: &str) {
        let finding = Diagnostic::of_file(code, file.display().to_string(), message).with_help(help);
        self.report.push(Diagnostic { severity: Severity::Warning, ..finding });
    }

    /// Warns of a certificate that clients will not accept now.
    fn judge_times(&mut self, file: &Path, (not_before, not_after): (UnixTime, UnixTime)) {
        let days = |from: UnixTime, to: UnixTime| to.seconds_since(from).div_ceil(24 * 3600);
        if self.now > not_after {
            let days = days(not_after, self.now);
            self.warn("T006", file, format!("a certificate has expired, {days} days ago or less"), "renew it");
        }
        if self.now < not_before {
            let days = days(self.now, not_before);
            let message = format!("a certificate is not valid yet; it will be in {days} days or less");
            self.warn("T007", file, message, "check the clock of this machine, or wait");
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}

fn configure(by_name: ByName, clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<ServerConfig, rustls::Error> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    // SECURITY: early data can be replayed by whoever sees it: `early_data_is_never_accepted`.
    config.max_early_data_size = 0;
    // SECURITY: a session remembers a verified client. Its keys are those of this configuration alone, and change every six hours:
    // `a_session_does_not_outlive_the_authority_that_vouched_for_it`.
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn digest_of(settings: &TlsSettings, read: &PemText<'_>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for file in settings.files() {
        for part in [file.as_os_str().as_encoded_bytes(), read(file).unwrap_or_default().as_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    context.update(&[u8::from(settings.clients.as_ref().is_some_and(|clients| clients.required))]);
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests;
