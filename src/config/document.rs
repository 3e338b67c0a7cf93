//! The settings file as a whole: its top-level keys, and the checks that look across sections.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;

use super::{
    AuditDestination, CerbosApi, Listener, Settings,
    bounds::{SHUTDOWN_DELAY, SHUTDOWN_GRACE, THREADS_MOST},
    decision_api, headers, identity, limits, policies, proxies,
    read::{duration, or, parsed, path, scalar},
    streams, tls, upstreams,
};
use crate::yaml::{Cursor, Node};

/// Where requests are taken when `listeners` is left out.
pub(super) const LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
/// Where operators look when `admin` is left out.
pub(super) const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// Reads the whole document. Every section is read, also when an earlier one failed.
pub(super) fn settings(top: &Cursor<'_>) -> Option<Settings> {
    let mut map = top.map()?;
    let listeners = or(&mut map, "listeners", || vec![Listener { address: LISTENER, tls: None }], listeners);
    let admin = or(&mut map, "admin", || ADMIN, admin_address);
    if let (Some(listeners), Some(admin)) = (&listeners, admin) {
        keep_apart(top, listeners, admin);
    }
    let threads = or(&mut map, "threads", || None, threads);
    let trusted_proxies = or(&mut map, "trusted_proxies", Default::default, proxies::trusted);
    let shutdown_delay = duration(&mut map, "shutdown_delay", &SHUTDOWN_DELAY);
    let shutdown_grace = duration(&mut map, "shutdown_grace", &SHUTDOWN_GRACE);
    let upgrade_socket = or(&mut map, "upgrade_socket", || None, |at| path(at).map(Some));
    let identity_headers = or(&mut map, "identity_headers", headers::defaults, headers::identity_headers);
    let identity = map.require("identity").and_then(|at| identity::identity(&at, identity_headers.as_deref()));
    let upstreams = map.require("upstreams").and_then(|at| upstreams::upstreams(&at));
    let forward_credential = or(&mut map, "forward_credential", || false, Cursor::bool);
    let policies = policies::policies(map.take("policies").as_ref(), top.source().file());
    let audit = or(&mut map, "audit", || AuditDestination::Stdout, audit);
    let limits = limits::limits(map.take("limits").as_ref());
    let streams = streams::streams(map.take("streams").as_ref());
    let cerbos_api = or(&mut map, "decision_api", || None, decision_api::decision_api);
    if let (Some(listeners), Some(admin), Some(Some(api))) = (&listeners, admin, &cerbos_api) {
        keep_api_apart(top, listeners, admin, api);
    }
    map.finish();
    Some(Settings {
        listeners: listeners?,
        admin: admin?,
        threads: threads?,
        trusted_proxies: trusted_proxies?,
        shutdown_delay: shutdown_delay?,
        shutdown_grace: shutdown_grace?,
        upgrade_socket: upgrade_socket?,
        identity: identity?,
        upstreams: upstreams?,
        identity_headers: identity_headers?,
        forward_credential: forward_credential?,
        policies: policies?,
        audit: audit?,
        limits: limits?,
        streams: streams?,
        cerbos_api: cerbos_api?,
    })
}

/// What an address looks like.
const ADDRESS_HELP: &str = "write an address such as `0.0.0.0:8080`, `127.0.0.1:9901` or `[::]:8080`";

/// An address and port, without look-ups.
#[derive(Clone, Copy)]
struct Address(SocketAddr);

#[derive(Debug, Error)]
#[error("`{0}` is not an IP address with a port")]
struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.parse().map(Self).map_err(|_| AddressError(text.to_owned()))
    }
}

fn listeners(at: &Cursor<'_>) -> Option<Vec<Listener>> {
    let mut found: Vec<Listener> = Vec::new();
    let items = at.list()?;
    for item in &items {
        let Some(listener) = listener(item) else { continue };
        match found.iter().find(|other| overlap(other.address, listener.address)) {
            Some(other) => item.error_with_help(
                "C011",
                format!("`{}` and `{}` cannot both be listened on", other.address, listener.address),
                "give each listener an address or a port of its own",
            ),
            None => found.push(listener),
        }
    }
    (found.len() == items.len()).then_some(found)
}

fn listener(at: &Cursor<'_>) -> Option<Listener> {
    let mut map = at.map()?;
    let address = map.require("address").and_then(|at| address(&at));
    let tls = or(&mut map, "tls", || None, |at| tls::tls(at).map(Some));
    map.finish();
    Some(Listener { address: address?, tls: tls? })
}

fn admin_address(at: &Cursor<'_>) -> Option<SocketAddr> {
    let mut map = at.map()?;
    let address = map.require("address").and_then(|at| address(&at));
    map.finish();
    address
}

/// An address to listen on.
pub(super) fn address(at: &Cursor<'_>) -> Option<SocketAddr> {
    parsed::<Address>(at, "C010", ADDRESS_HELP).map(|address| address.0)
}

fn keep_apart(top: &Cursor<'_>, listeners: &[Listener], admin: SocketAddr) {
    // SECURITY: metrics and status on a public port would be for everyone: `the_admin_listener_never_shares_a_public_port`.
    if let Some(listener) = listeners.iter().find(|listener| overlap(listener.address, admin)) {
        top.error_with_help(
            "C011",
            format!("the listener `{}` and the admin address `{admin}` cannot both be listened on", listener.address),
            "give `admin.address` a port of its own",
        );
    }
}

/// A listener of the decision API has an address of its own.
fn keep_api_apart(top: &Cursor<'_>, listeners: &[Listener], admin: SocketAddr, api: &CerbosApi) {
    let taken = listeners.iter().map(|listener| listener.address).chain([admin]);
    let pairs = taken.flat_map(|other| [(api.address, other), (api.grpc_address, other)]);
    let mut pairs = pairs.chain([(api.grpc_address, api.address)]);
    // SECURITY: who reaches the proxy must not reach the API by it: `the_decision_api_never_shares_a_port`.
    if let Some((one, other)) = pairs.find(|(one, other)| overlap(*one, *other)) {
        top.error_with_help(
            "C011",
            format!("`{one}` of the decision API and `{other}` cannot both be listened on"),
            "give each listener an address or a port of its own",
        );
    }
}

/// True when both addresses would take the same connections. Port 0 is another free port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (any || a.ip().to_canonical() == b.ip().to_canonical())
}

fn threads(at: &Cursor<'_>) -> Option<Option<usize>> {
    let text = scalar(at)?;
    if text == "auto" {
        return Some(None);
    }
    let threads = text.parse().ok().filter(|threads| (1..=THREADS_MOST).contains(threads));
    if threads.is_none() {
        at.error_with_help(
            "C007",
            format!("`{text}` is neither `auto` nor a number from 1 to {THREADS_MOST}"),
            "write `auto` for one thread a core",
        );
    }
    threads.map(Some)
}

fn audit(at: &Cursor<'_>) -> Option<AuditDestination> {
    let mut map = at.map()?;
    let destination = map.require("destination").and_then(|at| destination(&at));
    map.finish();
    destination
}

fn destination(at: &Cursor<'_>) -> Option<AuditDestination> {
    if let Node::Map(_) = at.node() {
        let mut map = at.map()?;
        let file = map.require("file").and_then(|at| path(&at));
        map.finish();
        return file.map(AuditDestination::File);
    }
    match scalar(at)?.as_ref() {
        "stdout" => Some(AuditDestination::Stdout),
        "off" => Some(AuditDestination::Off),
        other => {
            at.error_with_help(
                "C007",
                format!("`{other}` is not a destination"),
                "write `stdout`, `off` or `{ file: PATH }`",
            );
            None
        }
    }
}
