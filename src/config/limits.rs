//! The section `limits`: sizes and times that no client may exceed.

use super::{
    Limits,
    bounds::{
        BODY_BYTES, BODY_STALL, CONNECTIONS, CONNECTIONS_PER_ADDRESS, DECISION_BODY_BYTES, EXCHANGE_TIME, HEADER_BYTES,
        HEADER_TIMEOUT, HEADERS, KEEPALIVE, MIN_RATE, REQUESTS, REQUESTS_PER_CONNECTION, STREAMS, TARGET_BYTES,
        TLS_HANDSHAKE, TOKEN_BYTES, WRITE_STALL,
    },
    read::{bytes, count, duration, memory},
};
use crate::yaml::{Cursor, MapCursor};

/// Reads the section; every key has a default.
pub(super) fn limits(at: Option<&Cursor<'_>>) -> Option<Limits> {
    let Some(at) = at else { return Some(Limits::default()) };
    let mut map = at.map()?;
    let limits = read(&mut map);
    map.finish();
    limits
}

fn read(map: &mut MapCursor<'_>) -> Option<Limits> {
    let header_bytes = memory(map, "header_bytes", &HEADER_BYTES);
    let headers = count(map, "headers", &HEADERS);
    let target_bytes = memory(map, "target_bytes", &TARGET_BYTES);
    let token_bytes = memory(map, "token_bytes", &TOKEN_BYTES);
    let body_bytes = bytes(map, "body_bytes", &BODY_BYTES);
    let decision_body_bytes = memory(map, "decision_body_bytes", &DECISION_BODY_BYTES);
    let connections = count(map, "connections", &CONNECTIONS);
    let connections_per_address = per_address(map, connections);
    let streams = count(map, "streams", &STREAMS);
    let requests_per_connection = count(map, "requests_per_connection", &REQUESTS_PER_CONNECTION);
    let requests = count(map, "requests", &REQUESTS);
    let header_timeout = duration(map, "header_timeout", &HEADER_TIMEOUT);
    let body_stall = duration(map, "body_stall", &BODY_STALL);
    let keepalive = duration(map, "keepalive", &KEEPALIVE);
    let write_stall = duration(map, "write_stall", &WRITE_STALL);
    let tls_handshake = duration(map, "tls_handshake", &TLS_HANDSHAKE);
    let exchange_time = duration(map, "exchange_time", &EXCHANGE_TIME);
    let min_rate = memory(map, "min_rate", &MIN_RATE);
    Some(Limits {
        header_bytes: header_bytes?,
        headers: headers?,
        target_bytes: target_bytes?,
        token_bytes: token_bytes?,
        body_bytes: body_bytes?,
        decision_body_bytes: decision_body_bytes?,
        connections: connections?,
        connections_per_address: connections_per_address?,
        streams: streams?,
        requests_per_connection: requests_per_connection?,
        requests: requests?,
        header_timeout: header_timeout?,
        body_stall: body_stall?,
        keepalive: keepalive?,
        write_stall: write_stall?,
        tls_handshake: tls_handshake?,
        exchange_time: exchange_time?,
        min_rate: min_rate?,
    })
}

/// Where it is left out, one address may have all connections.
fn per_address(map: &mut MapCursor<'_>, connections: Option<usize>) -> Option<usize> {
    match map.take("connections_per_address") {
        Some(at) => at.integer(CONNECTIONS_PER_ADDRESS).and_then(|count| usize::try_from(count).ok()),
        None => connections,
    }
}

impl Default for Limits {
    fn default() -> Self {
        let memory = |bounds: super::bounds::Bounds<crate::units::ByteSize>| {
            usize::try_from(bounds.default.count()).unwrap_or(usize::MAX)
        };
        let count = |bounds: super::bounds::Bounds<u64>| usize::try_from(bounds.default).unwrap_or(usize::MAX);
        Self {
            header_bytes: memory(HEADER_BYTES),
            headers: count(HEADERS),
            target_bytes: memory(TARGET_BYTES),
            token_bytes: memory(TOKEN_BYTES),
            body_bytes: BODY_BYTES.default.count(),
            decision_body_bytes: memory(DECISION_BODY_BYTES),
            connections: count(CONNECTIONS),
            connections_per_address: count(CONNECTIONS),
            streams: count(STREAMS),
            requests_per_connection: count(REQUESTS_PER_CONNECTION),
            requests: count(REQUESTS),
            header_timeout: HEADER_TIMEOUT.default.duration(),
            body_stall: BODY_STALL.default.duration(),
            keepalive: KEEPALIVE.default.duration(),
            write_stall: WRITE_STALL.default.duration(),
            tls_handshake: TLS_HANDSHAKE.default.duration(),
            exchange_time: EXCHANGE_TIME.default.duration(),
            min_rate: memory(MIN_RATE),
        }
    }
}
