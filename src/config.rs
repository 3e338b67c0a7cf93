//! Settings: the file `config/cogward.yaml`, as typed values.
//!
//! `compile` is the only way from text to [`Settings`]; every field already has the type that it is used as, and nothing is
//! checked again later. Relative paths are resolved against the folder of the file that names them.

mod bounds;
mod codes;
mod document;
mod headers;
mod identity;
mod interpolate;
mod limits;
mod outline;
mod policies;
mod providers;
mod proxies;
mod read;
mod reference;
mod streams;
mod tls;
mod upstreams;
mod url;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::HeaderName;

use crate::{
    diagnostic::{Diagnostic, Report},
    identity::{CredentialSource, Origin},
    policy::cerbos::Options,
    request::TrustedProxies,
    token::Provider,
    yaml::{self, Cursor, SourceFile},
};

pub use bounds::Bounds;
pub use codes::CODES;
pub use outline::Outline;
pub use reference::{KEYS, Key, Shape, render_keys};
pub use tls::{ClientCertificates, TlsFiles, TlsSettings};
pub use upstreams::{HealthCheck, OutlierEjection, UpstreamTls};

/// Everything that the settings file says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests are taken, at least one. Other addresses, and TLS where there was none, need a restart.
    pub listeners: Vec<Listener>,
    /// Where metrics, health and status are told. A change needs a restart.
    pub admin: SocketAddr,
    /// Worker threads; `None` is one a core. A change needs a restart.
    pub threads: Option<usize>,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: TrustedProxies,
    /// After SIGTERM: how long to go on accepting while readiness is red.
    pub shutdown_delay: Duration,
    /// How long requests in flight may then take.
    pub shutdown_grace: Duration,
    /// Where a new process waits for the sockets of this one; without it none is taken over. A change needs a restart.
    pub upgrade_socket: Option<PathBuf>,
    /// Whose tokens are accepted, and where they stand.
    pub identity: Identity,
    /// Where allowed requests go, at least one.
    pub upstreams: Vec<Upstream>,
    /// Which header fields tell the upstream who asks.
    pub identity_headers: Vec<IdentityHeader>,
    /// Leaves the credential that authenticated in the forwarded request.
    pub forward_credential: bool,
    /// Where the policies are.
    pub policies: Policies,
    /// Where audit lines go.
    pub audit: AuditDestination,
    /// Sizes and times that no client may exceed.
    pub limits: Limits,
    /// When streams end.
    pub streams: Streams,
}

/// One address where requests are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// How it speaks TLS; plain text without.
    pub tls: Option<TlsSettings>,
}

/// Whose tokens are accepted, and where they stand in a request.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The issuers, at least one.
    pub providers: Vec<ProviderSettings>,
    /// The places that are looked at, all of them each time.
    pub credentials: Vec<CredentialSource>,
    /// Origins (`https://app.example`) whose pages may send a cookie with an unsafe method.
    pub cookie_origins: Vec<Origin>,
    /// The life of signing keys.
    pub keys: KeyTimes,
    /// How many verified tokens are remembered.
    pub token_cache_entries: usize,
}

/// One provider, and where its keys come from.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// What its tokens must say.
    pub provider: Provider,
    /// Where its keys are.
    pub keys: KeySource,
}

/// Where the keys of a provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Fetched and refreshed. `https`, or `http` on loopback or where the settings say `allow_insecure`.
    Url(http::Uri),
    /// A JWKS file, read with the settings.
    File(PathBuf),
}

/// The life of signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    /// How often they are fetched.
    pub refresh: Duration,
    /// The least time between two fetches that unknown keys cause.
    pub min_refetch: Duration,
    /// How long the last good keys serve through an outage.
    pub stale_if_error: Duration,
    /// Total time of one fetch.
    pub timeout: Duration,
}

/// Where allowed requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in policies, metrics and audit lines.
    pub id: String,
    /// Its servers, at least one, used in turn.
    pub endpoints: Vec<Endpoint>,
    /// The `Host` that it is sent.
    pub host: UpstreamHost,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// What it speaks.
    pub protocol: Protocol,
    /// How it is known, and how it knows the gateway. Of no account without https endpoints.
    pub tls: UpstreamTls,
    /// How its servers are checked; not at all without.
    pub health_check: Option<HealthCheck>,
    /// When a server that fails is left alone.
    pub outlier_ejection: OutlierEjection,
    /// How often a request is tried again.
    pub retries: usize,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over https, by prior knowledge over http.
    Http2,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `https`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The `Host` that an upstream is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The client's own.
    Preserve,
    /// This one, always.
    Named(String),
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// For one write.
    pub write: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// Between two reads of an upgraded connection or an event stream.
    pub stream_idle: Duration,
}

/// One header field that tells the upstream who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Its name.
    pub name: HeaderName,
    /// What it tells.
    pub value: IdentityValue,
}

/// What an identity header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityValue {
    /// The principal's id.
    Id,
    /// Its roles, joined by `,`.
    Roles,
    /// The provider's name.
    Provider,
    /// The app client.
    ClientId,
    /// `user` or `machine`.
    Kind,
    /// A claim; `username` falls back to `cognito:username`.
    Claim(String),
}

/// Where the policies are and how they are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// The folder.
    pub path: PathBuf,
    /// How often it is looked at where no event comes.
    pub poll: Duration,
    /// Accepts a folder without any route.
    pub allow_empty: bool,
    /// Policies that fail a test beside them do not serve.
    pub test_on_reload: bool,
    /// How Cerbos policies are read.
    pub cerbos: Options,
}

/// Where audit lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditDestination {
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// Sizes and times that no client may exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
    /// Bytes of a token.
    pub token_bytes: usize,
    /// Bytes of a request body, where a route does not say otherwise.
    pub body_bytes: u64,
    /// Bytes of a body that a decision reads.
    pub decision_body_bytes: usize,
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// Connections at once from one IPv4 address, or from one IPv6 network of 64 bits.
    pub connections_per_address: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: usize,
    /// Requests on one connection before it is closed.
    pub requests_per_connection: usize,
    /// Requests at once, over all connections.
    pub requests: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// How long a request body may come more slowly than `min_rate`.
    pub body_stall: Duration,
    /// Between two requests of a connection.
    pub keepalive: Duration,
    /// How long a client may take an answer more slowly than `min_rate`.
    pub write_stall: Duration,
    /// For a TLS handshake.
    pub tls_handshake: Duration,
    /// From the head of a request to the last byte of its answer.
    pub exchange_time: Duration,
    /// Bytes a second that a client brings or takes at least.
    pub min_rate: usize,
}

/// When WebSockets, event streams and gRPC calls end, where a route does not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// They end when the token expires that opened them.
    pub end_at_expiry: bool,
    /// So long after it.
    pub expiry_grace: Duration,
}

impl Settings {
    /// Compiles the settings file; `env` answers for the variables that it names. `None` when the report has errors.
    pub fn compile(file: &SourceFile, env: &dyn Fn(&str) -> Option<String>) -> (Option<Self>, Report) {
        let node = match yaml::parse(&file.name, &file.text) {
            Ok(node) => node,
            Err(finding) => return (None, Report::from_iter([finding])),
        };
        let (node, flaws) = interpolate::interpolate(node, env);
        let source = yaml::Source::new(&file.name, &file.text);
        let settings = document::settings(&Cursor::top(&source, &node));
        let report = merge(file, flaws, source.into_report());
        // SECURITY: a full report has dropped findings, errors perhaps among them: `a_report_that_is_full_is_a_refusal`.
        let refused = report.has_errors() || report.findings().len() >= Report::MOST;
        (settings.filter(|_| !refused), report)
    }

    /// For each listener that serves, the one of these settings that goes on in its place: the same address, and TLS in both or in
    /// neither. `None` where there is none.
    pub fn continued_listeners(&self, serving: &Self) -> Vec<Option<usize>> {
        let mut taken = Vec::new();
        let continued = serving.listeners.iter().map(|old| {
            let mut found = self.listeners.iter().enumerate().filter(|(at, new)| {
                new.address == old.address && new.tls.is_some() == old.tls.is_some() && !taken.contains(at)
            });
            let at = found.next().map(|(at, _)| at);
            taken.extend(at);
            at
        });
        continued.collect()
    }

    /// Puts back listeners that a running gateway does not have, and takes over the files of those that go on.
    fn keep_listeners(&mut self, serving: &Self) -> Option<&'static str> {
        let continued = self.continued_listeners(serving);
        let addresses = |settings: &Self| {
            let mut found: Vec<_> = settings.listeners.iter().map(|one| one.address).collect();
            found.sort_unstable();
            found
        };
        let kept = match continued.iter().all(Option::is_some) && self.listeners.len() == continued.len() {
            true => None,
            false if addresses(self) == addresses(serving) => Some("listeners.tls"),
            false => Some("listeners"),
        };
        let new = std::mem::take(&mut self.listeners);
        let listeners = serving.listeners.iter().zip(continued);
        self.listeners = listeners.map(|(old, at)| at.and_then(|at| new.get(at)).unwrap_or(old).clone()).collect();
        kept
    }

    /// Puts back what a running gateway cannot take over without a restart, and names it.
    pub fn keep_until_restart(&mut self, serving: &Self) -> Vec<&'static str> {
        let mut kept = Vec::new();
        kept.extend(self.keep_listeners(serving));
        if self.admin != serving.admin {
            kept.push("admin.address");
            self.admin = serving.admin;
        }
        if self.threads != serving.threads {
            kept.push("threads");
            self.threads = serving.threads;
        }
        if self.upgrade_socket != serving.upgrade_socket {
            kept.push("upgrade_socket");
            self.upgrade_socket.clone_from(&serving.upgrade_socket);
        }
        if self.audit != serving.audit {
            kept.push("audit.destination");
            self.audit.clone_from(&serving.audit);
        }
        kept
    }
}

/// One report of what the environment lacks and what the file gets wrong. A string that could not be filled in has no second finding
/// about what it does not say.
fn merge(file: &SourceFile, flaws: Vec<(yaml::Pointer, interpolate::Flaw)>, found: Report) -> Report {
    let unfilled: Vec<String> = flaws.iter().map(|(pointer, _)| pointer.to_string()).collect();
    let source = yaml::Source::new(&file.name, &file.text);
    for (pointer, flaw) in flaws {
        source.note(&pointer, Diagnostic::of_file(flaw.code(), "", flaw.to_string()).with_help(flaw.help()));
    }
    let mut report = source.into_report();
    let others = found.findings().iter().filter(|finding| !unfilled.contains(&finding.pointer));
    report.append(others.cloned().collect());
    report
}

#[cfg(test)]
mod tests;
