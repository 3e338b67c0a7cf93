//! The section `decision_api`: listeners that answer questions of other programs, and forward nothing.
//!
//! Who may ask is decided here or by nobody: such a listener takes the caller's word for the principal. So it is off where the section is
//! left out, and an address that others can reach needs a secret or clients' certificates.

use std::{fmt, net::SocketAddr, path::PathBuf};

use super::{
    Listener,
    bounds::{API_ACTIONS, API_REQUEST_BYTES, API_RESOURCES},
    document::address,
    read::{Ids, count, memory, or, path},
    tls::{ClientCertificates, TlsFiles, TlsSettings},
};
use crate::yaml::{Cursor, MapCursor};

/// Where the Cerbos API listens for HTTP when the key is left out.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3592);
/// Where the Cerbos API listens for gRPC when the key is left out.
const GRPC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3593);

/// The fewest characters of a secret.
const SHORTEST_SECRET: usize = 16;
/// The most characters of a secret.
const LONGEST_SECRET: usize = 4096;

/// The listeners of the Cerbos API, and whom they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CerbosApi {
    /// Where HTTP is taken. A change needs a restart.
    pub address: SocketAddr,
    /// Where gRPC is taken. A change needs a restart.
    pub grpc_address: SocketAddr,
    /// What callers must show as a bearer token; nothing without.
    pub secret: Option<Secret>,
    /// How both listeners speak TLS; plain text without. To begin or to end with it needs a restart.
    pub tls: Option<TlsSettings>,
    /// How tokens in questions are verified.
    pub aux_jwt: AuxJwt,
    /// The most actions that are asked about one resource.
    pub most_actions: usize,
    /// The most resources of a question.
    pub most_resources: usize,
    /// The most bytes of a question.
    pub most_bytes: usize,
}

impl CerbosApi {
    /// Both listen on the same addresses, and both or neither with TLS: a reload can take the one for the other.
    pub(super) fn listens_alike(one: Option<&Self>, other: Option<&Self>) -> bool {
        let place = |api: &Self| (api.address, api.grpc_address, api.tls.is_some());
        one.map(place) == other.map(place)
    }

    /// Its listeners: for HTTP, and for gRPC.
    pub fn listeners(&self) -> [Listener; 2] {
        [self.address, self.grpc_address].map(|address| Listener { address, tls: self.tls.clone() })
    }
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Here.
    Text(Box<str>),
    /// In a file, which is read with the settings.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Secret {
    /// Can a text be a secret? Visible ASCII, so that every client can send it, and long enough not to be guessed.
    pub fn is_acceptable(text: &str) -> bool {
        (SHORTEST_SECRET..=LONGEST_SECRET).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// What a secret looks like.
    pub const HELP: &str = "a secret is 16 to 4096 visible ASCII characters; `openssl rand -hex 32` makes one";
}

/// How the token of `auxData` is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuxJwt {
    /// The key sets that a question may name.
    pub key_sets: Vec<AuxKeySet>,
    /// Believes every token. For tests.
    pub disable_verification: bool,
}

/// One key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuxKeySet {
    /// Its name in questions.
    pub id: String,
    /// A JWK Set or a single JWK, read with the settings.
    pub file: PathBuf,
}

/// Reads the section.
pub(super) fn decision_api(at: &Cursor<'_>) -> Option<Option<CerbosApi>> {
    let mut map = at.map()?;
    let cerbos = map.require("cerbos").and_then(|at| cerbos(&at));
    map.finish();
    cerbos.map(Some)
}

fn cerbos(at: &Cursor<'_>) -> Option<CerbosApi> {
    let mut map = at.map()?;
    let http = or(&mut map, "address", || HTTP, address);
    let grpc = or(&mut map, "grpc_address", || GRPC, address);
    let (secret, says_secret) = secret(&mut map);
    let tls = or(&mut map, "tls", || None, |at| tls(at).map(Some));
    let allow_insecure = or(&mut map, "allow_insecure", || false, Cursor::bool);
    let aux_jwt = or(&mut map, "aux_data", AuxJwt::default, aux_data);
    let limits = or(&mut map, "limits", Asked::default, limits);
    map.finish();
    let (http, grpc, secret, tls) = (http?, grpc?, secret?, tls?);
    let knows_callers = says_secret || tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    for address in [http, grpc] {
        // SECURITY: whoever reaches it may claim to be anybody: `an_open_decision_api_is_refused`.
        if !knows_callers && !address.ip().to_canonical().is_loopback() && !allow_insecure? {
            at.error_with_help(
                "C050",
                format!("everybody who reaches `{address}` could ask in any name"),
                "set `secret`, `secret_file` or `tls.client_ca`, listen on 127.0.0.1, or write `allow_insecure: true`",
            );
            return None;
        }
    }
    allow_insecure?;
    let limits = limits?;
    Some(CerbosApi {
        address: http,
        grpc_address: grpc,
        secret,
        tls,
        aux_jwt: aux_jwt?,
        most_actions: limits.actions,
        most_resources: limits.resources,
        most_bytes: limits.bytes,
    })
}

/// The secret, and whether one is written at all.
fn secret(map: &mut MapCursor<'_>) -> (Option<Option<Secret>>, bool) {
    match (map.take("secret"), map.take("secret_file")) {
        (None, None) => (Some(None), false),
        (Some(at), Some(_)) => {
            at.error_with_help("C013", "`secret` and `secret_file` are both there", "keep one of them");
            (None, true)
        }
        (Some(at), None) => {
            let text = at.text().filter(|text| {
                let good = Secret::is_acceptable(text);
                if !good {
                    at.error_with_help("C051", "this cannot be a secret", Secret::HELP);
                }
                good
            });
            (text.map(|text| Some(Secret::Text(text.into()))), true)
        }
        (None, Some(at)) => (path(&at).map(|path| Some(Secret::File(path))), true),
    }
}

fn tls(at: &Cursor<'_>) -> Option<TlsSettings> {
    let mut map = at.map()?;
    let certificate = map.require("certificate").and_then(|at| path(&at));
    let private_key = map.require("private_key").and_then(|at| path(&at));
    let ca = or(&mut map, "client_ca", || None, |at| path(at).map(Some));
    map.finish();
    let default = TlsFiles { certificate: certificate?, private_key: private_key? };
    let clients = ca?.map(|ca| ClientCertificates { ca, required: true });
    Some(TlsSettings { default, others: Vec::new(), clients })
}

fn aux_data(at: &Cursor<'_>) -> Option<AuxJwt> {
    let mut map = at.map()?;
    let jwt = map.require("jwt").and_then(|at| aux_jwt(&at));
    map.finish();
    jwt
}

fn aux_jwt(at: &Cursor<'_>) -> Option<AuxJwt> {
    let mut map = at.map()?;
    let key_sets = or(&mut map, "key_sets", Vec::new, key_sets);
    let disable_verification = or(&mut map, "disable_verification", || false, unverified);
    map.finish();
    Some(AuxJwt { key_sets: key_sets?, disable_verification: disable_verification? })
}

fn unverified(at: &Cursor<'_>) -> Option<bool> {
    let disabled = at.bool()?;
    if disabled {
        at.warning(
            "C052",
            "tokens in questions are believed without a look at their signature",
            "this is for tests; leave `disable_verification` out",
        );
    }
    Some(disabled)
}

fn key_sets(at: &Cursor<'_>) -> Option<Vec<AuxKeySet>> {
    let mut ids = Ids::default();
    let items = at.list()?;
    let read: Vec<_> = items.iter().map(|item| key_set(item, &mut ids)).collect();
    read.into_iter().collect()
}

fn key_set(at: &Cursor<'_>, ids: &mut Ids) -> Option<AuxKeySet> {
    let mut map = at.map()?;
    let id = map.require("id").and_then(|at| ids.read(&at));
    let file = map.require("file").and_then(|at| path(&at));
    map.finish();
    Some(AuxKeySet { id: id?, file: file? })
}

/// How much may be asked at once.
struct Asked {
    actions: usize,
    resources: usize,
    bytes: usize,
}

impl Default for Asked {
    fn default() -> Self {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            actions: count(API_ACTIONS.default),
            resources: count(API_RESOURCES.default),
            bytes: count(API_REQUEST_BYTES.default.count()),
        }
    }
}

fn limits(at: &Cursor<'_>) -> Option<Asked> {
    let mut map = at.map()?;
    let actions = count(&mut map, "actions_per_resource", &API_ACTIONS);
    let resources = count(&mut map, "resources_per_request", &API_RESOURCES);
    let bytes = memory(&mut map, "request_bytes", &API_REQUEST_BYTES);
    map.finish();
    Some(Asked { actions: actions?, resources: resources?, bytes: bytes? })
}
