//! The section `upstreams`: where allowed requests go.

mod health;
mod tls;

pub use health::{HealthCheck, OutlierEjection};
pub use tls::UpstreamTls;

use super::{
    Endpoint, Protocol, Timeouts, Upstream, UpstreamHost,
    bounds::{CONNECT, IDLE, READ, RETRIES, STREAM_IDLE, WRITE},
    read::{Ids, count, each_once, or, within, word},
    url::{Site, authority_parts},
};
use crate::yaml::{Cursor, MapCursor};

/// Reads the section.
pub(super) fn upstreams(at: &Cursor<'_>) -> Option<Vec<Upstream>> {
    let mut ids = Ids::default();
    let items = at.list()?;
    let found: Vec<_> = items.iter().filter_map(|at| upstream(at, &mut ids)).collect();
    (found.len() == items.len()).then_some(found)
}

fn upstream(at: &Cursor<'_>, ids: &mut Ids) -> Option<Upstream> {
    let mut map = at.map()?;
    let id = map.require("id").and_then(|at| ids.read(&at));
    let endpoints = map.require("endpoints").and_then(|at| each_once(&at.list()?, endpoint));
    let host = or(&mut map, "host", || UpstreamHost::Preserve, host);
    let timeouts = or(&mut map, "timeouts", Timeouts::default, |at| Timeouts::read(at, Timeouts::default()));
    let protocol = or(&mut map, "protocol", Protocol::default, |at| word(at, PROTOCOLS));
    let tls = or(&mut map, "tls", || None, |at| tls::tls(at).map(Some));
    let health_check = or(&mut map, "health_check", || None, |at| health::health_check(at).map(Some));
    let outlier_ejection = or(&mut map, "outlier_ejection", OutlierEjection::default, health::outlier_ejection);
    let retries = count(&mut map, "retries", &RETRIES);
    let (endpoints, tls) = (endpoints?, tls?);
    let fits = tls::check(map.here(), &endpoints, tls.as_ref());
    map.finish();
    Some(Upstream {
        id: id?,
        endpoints: fits.then_some(endpoints)?,
        host: host?,
        timeouts: timeouts?,
        protocol: protocol?,
        tls: tls.unwrap_or_default(),
        health_check: health_check?,
        outlier_ejection: outlier_ejection?,
        retries: retries?,
    })
}

const PROTOCOLS: &[(&str, Protocol)] = &[("http1", Protocol::Http1), ("http2", Protocol::Http2)];

fn endpoint(at: &Cursor<'_>) -> Option<Endpoint> {
    let text = at.text()?;
    match Site::parse(text) {
        Ok(site) => Some(Endpoint { tls: site.tls, port: site.port(), host: site.host }),
        Err(error) => {
            at.error_with_help(
                "C026",
                error.about("endpoint", text),
                "an endpoint is a scheme, a host and perhaps a port, such as `http://127.0.0.1:9000` or `https://api.internal`",
            );
            None
        }
    }
}

fn host(at: &Cursor<'_>) -> Option<UpstreamHost> {
    let text = at.text()?;
    if text == "preserve" {
        return Some(UpstreamHost::Preserve);
    }
    if authority_parts(text).is_err() {
        at.error_with_help(
            "C027",
            format!("`{text}` is neither `preserve` nor a host"),
            "write `preserve`, or a host such as `api.internal` or `api.internal:8080`",
        );
        return None;
    }
    Some(UpstreamHost::Named(text.to_ascii_lowercase()))
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT.default.duration(),
            read: READ.default.duration(),
            write: WRITE.default.duration(),
            idle: IDLE.default.duration(),
            stream_idle: STREAM_IDLE.default.duration(),
        }
    }
}

impl Timeouts {
    /// Reads a map of timeouts; a key that is left out keeps its value of `otherwise`.
    fn read(at: &Cursor<'_>, otherwise: Self) -> Option<Self> {
        let mut map = at.map()?;
        let duration = |map: &mut MapCursor<'_>, key, bounds, otherwise| match map.take(key) {
            Some(at) => within(&at, "C003", bounds).map(crate::units::Span::duration),
            None => Some(otherwise),
        };
        let connect = duration(&mut map, "connect", &CONNECT, otherwise.connect);
        let read = duration(&mut map, "read", &READ, otherwise.read);
        let write = duration(&mut map, "write", &WRITE, otherwise.write);
        let idle = duration(&mut map, "idle", &IDLE, otherwise.idle);
        let stream_idle = duration(&mut map, "stream_idle", &STREAM_IDLE, otherwise.stream_idle);
        map.finish();
        Some(Self { connect: connect?, read: read?, write: write?, idle: idle?, stream_idle: stream_idle? })
    }
}
