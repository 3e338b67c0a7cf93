//! Reads one whole request head before pingora sees a byte of it.
//!
//! Bounded in time from its first byte and in bytes, and judged line by line as it arrives: pingora repairs some of what is refused
//! here, so its parsed header is not the wire. Also finds out whether a plain connection speaks HTTP/2 by prior knowledge.
//! Does not parse fields: it hands over a head that has one reading, with its target in origin form, and says where its body ends.

use std::io;

use super::{
    guard::{Body, Guard, PREFACE},
    refusal::EdgeRefusal,
};
use crate::request::wire::{HeadLimits, HeadScan, WireFault, in_origin_form};

/// What the first bytes of a connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// A request head only.
    Http1,
    /// A request head, or the preface of HTTP/2.
    Any,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A head with one reading; the guard now lets pingora read that request.
    Granted,
    /// The preface of HTTP/2, still in the input of the guard.
    Http2,
    /// The client went away.
    Gone,
    /// Something that must be refused.
    Refused(EdgeRefusal),
}

impl From<WireFault> for EdgeRefusal {
    fn from(fault: WireFault) -> EdgeRefusal {
        match fault {
            WireFault::Malformed(_) => EdgeRefusal::Malformed,
            WireFault::TooManyHeaders | WireFault::TargetTooLong => EdgeRefusal::HeadersTooLarge,
        }
    }
}

/// Reads the head that the guard's input begins, or will begin, with.
pub(super) async fn read(guard: &mut Guard, greeting: Greeting) -> Head {
    let within = guard.limits().header_timeout;
    // SECURITY: `a_head_that_stops_coming_is_answered_408` and `a_head_that_drips_is_answered_408`.
    match tokio::time::timeout(within, gather(guard, greeting)).await {
        Ok(Ok(head)) => head,
        Ok(Err(_)) => Head::Gone,
        Err(_) => Head::Refused(EdgeRefusal::Timeout),
    }
}

async fn gather(guard: &mut Guard, greeting: Greeting) -> io::Result<Head> {
    while greeting == Greeting::Any && is_begun_preface(guard.input()) {
        if guard.input().starts_with(PREFACE) {
            return Ok(Head::Http2);
        }
        if !guard.fill().await? {
            return Ok(Head::Gone);
        }
    }
    let limits = *guard.limits();
    let mut scan = HeadScan::new(HeadLimits { headers: limits.headers, target_bytes: limits.target_bytes });
    loop {
        match scan.feed(guard.input()) {
            Err(fault) => {
                tracing::debug!(peer = %guard.conn().peer(), %fault, "a request head is refused");
                return Ok(Head::Refused(fault.into()));
            }
            // SECURITY: `a_huge_head_is_answered_431`.
            Ok(Some(end)) if end > limits.header_bytes => return Ok(Head::Refused(EdgeRefusal::HeadersTooLarge)),
            Ok(None) if guard.input().len() >= limits.header_bytes => {
                return Ok(Head::Refused(EdgeRefusal::HeadersTooLarge));
            }
            Ok(Some(end)) => return Ok(grant(guard, end)),
            Ok(None) => {}
        }
        if !guard.fill().await? {
            return Ok(Head::Gone);
        }
    }
}

fn grant(guard: &mut Guard, end: usize) -> Head {
    let head = guard.input().get(..end).unwrap_or_default();
    // SECURITY: pingora would answer it, and nobody would know: `a_connect_is_refused_by_the_edge`.
    if head.starts_with(b"CONNECT ") {
        return Head::Refused(EdgeRefusal::Connect);
    }
    let end = match in_origin_form(head) {
        Ok(None) => end,
        Ok(Some(rewrite)) => {
            guard.rewrite(rewrite.place.clone(), rewrite.target.as_bytes());
            end - rewrite.place.len() + rewrite.target.len()
        }
        Err(fault) => {
            tracing::debug!(peer = %guard.conn().peer(), %fault, "a request target is refused");
            return Head::Refused(EdgeRefusal::Ambiguous);
        }
    };
    match Body::announced(guard.input().get(..end).unwrap_or_default()) {
        Ok(body) => {
            guard.grant(end, body);
            Head::Granted
        }
        Err(_) => Head::Refused(EdgeRefusal::Malformed),
    }
}

/// Whether the input may be, or become, the preface of HTTP/2.
fn is_begun_preface(input: &[u8]) -> bool {
    input.iter().zip(PREFACE).all(|(byte, expected)| byte == expected)
}
