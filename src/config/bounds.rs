//! Every number of the settings that has a range: the least, the most and the default, in one place.
//!
//! The compiler reads with these, the reference page prints them. A zero that would switch a protection off is below the least.

use std::ops::RangeInclusive;

use crate::units::{ByteSize, Span};

/// What a numeric key may hold, and what it holds when it is left out.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<T> {
    /// The smallest accepted value.
    pub least: T,
    /// The largest accepted value.
    pub most: T,
    /// The value of a key that is left out.
    pub default: T,
}

const fn span(least: Span, most: Span, default: Span) -> Bounds<Span> {
    Bounds { least, most, default }
}

const fn size(least: ByteSize, most: ByteSize, default: ByteSize) -> Bounds<ByteSize> {
    Bounds { least, most, default }
}

const fn count(least: u64, most: u64, default: u64) -> Bounds<u64> {
    Bounds { least, most, default }
}

pub(super) const THREADS_MOST: usize = 1024;
pub(super) const SHUTDOWN_DELAY: Bounds<Span> = span(Span::millis(0), Span::minutes(5), Span::seconds(5));
pub(super) const SHUTDOWN_GRACE: Bounds<Span> = span(Span::millis(0), Span::hours(1), Span::seconds(20));

pub(super) const LEEWAY: Bounds<Span> = span(Span::millis(0), Span::minutes(5), Span::seconds(5));
pub(super) const MAX_LIFETIME: Bounds<Span> = span(Span::seconds(1), Span::hours(720), Span::hours(24));
pub(super) const KEY_REFRESH: Bounds<Span> = span(Span::seconds(1), Span::hours(24), Span::hours(1));
pub(super) const KEY_MIN_REFETCH: Bounds<Span> = span(Span::millis(100), Span::hours(1), Span::seconds(10));
pub(super) const KEY_STALE: Bounds<Span> = span(Span::seconds(1), Span::hours(168), Span::hours(24));
pub(super) const KEY_TIMEOUT: Bounds<Span> = span(Span::millis(100), Span::minutes(1), Span::seconds(5));
pub(super) const TOKEN_CACHE: Bounds<u64> = count(1, 10_000_000, 50_000);

pub(super) const CONNECT: Bounds<Span> = span(Span::millis(10), Span::minutes(5), Span::seconds(2));
pub(super) const READ: Bounds<Span> = span(Span::millis(10), Span::hours(1), Span::seconds(30));
pub(super) const WRITE: Bounds<Span> = span(Span::millis(10), Span::hours(1), Span::seconds(30));
pub(super) const IDLE: Bounds<Span> = span(Span::millis(10), Span::hours(1), Span::seconds(4));
pub(super) const STREAM_IDLE: Bounds<Span> = span(Span::millis(10), Span::hours(24), Span::minutes(5));

pub(super) const RETRIES: Bounds<u64> = count(0, 5, 1);
pub(super) const CHECK_INTERVAL: Bounds<Span> = span(Span::millis(100), Span::minutes(10), Span::seconds(5));
pub(super) const CHECK_TIMEOUT: Bounds<Span> = span(Span::millis(10), Span::minutes(1), Span::seconds(2));
pub(super) const HEALTHY_AFTER: Bounds<u64> = count(1, 100, 2);
pub(super) const UNHEALTHY_AFTER: Bounds<u64> = count(1, 100, 3);
pub(super) const CONSECUTIVE_FAILURES: Bounds<u64> = count(1, 1000, 5);
pub(super) const EJECTION_BASE: Bounds<Span> = span(Span::millis(100), Span::hours(1), Span::seconds(10));
pub(super) const EJECTION_MOST: Bounds<u64> = count(0, 100, 50);
pub(super) const EXPIRY_GRACE: Bounds<Span> = span(Span::millis(0), Span::hours(24), Span::millis(0));

pub(super) const POLL: Bounds<Span> = span(Span::millis(100), Span::hours(1), Span::seconds(10));

pub(super) const HEADER_BYTES: Bounds<ByteSize> = size(ByteSize::kib(1), ByteSize::mib(1), ByteSize::kib(32));
pub(super) const HEADERS: Bounds<u64> = count(1, 1000, 100);
pub(super) const TARGET_BYTES: Bounds<ByteSize> = size(ByteSize::bytes(64), ByteSize::kib(64), ByteSize::kib(8));
pub(super) const TOKEN_BYTES: Bounds<ByteSize> = size(ByteSize::bytes(256), ByteSize::kib(64), ByteSize::kib(8));
pub(super) const BODY_BYTES: Bounds<ByteSize> = size(ByteSize::bytes(1), ByteSize::gib(64), ByteSize::mib(10));
/// pingora keeps at most 64 KiB of a body that is read before it is forwarded.
pub(super) const DECISION_BODY_BYTES: Bounds<ByteSize> = size(ByteSize::bytes(1), ByteSize::kib(64), ByteSize::kib(64));
pub(super) const CONNECTIONS: Bounds<u64> = count(1, 1_000_000, 10_000);
pub(super) const HEADER_TIMEOUT: Bounds<Span> = span(Span::millis(100), Span::minutes(5), Span::seconds(10));
pub(super) const BODY_STALL: Bounds<Span> = span(Span::millis(100), Span::minutes(10), Span::seconds(10));
pub(super) const KEEPALIVE: Bounds<Span> = span(Span::millis(100), Span::hours(1), Span::seconds(60));
pub(super) const WRITE_STALL: Bounds<Span> = span(Span::millis(100), Span::minutes(10), Span::seconds(10));
pub(super) const TLS_HANDSHAKE: Bounds<Span> = span(Span::millis(100), Span::minutes(1), Span::seconds(5));
pub(super) const CONNECTIONS_PER_ADDRESS: RangeInclusive<u64> = 1..=1_000_000;
pub(super) const STREAMS: Bounds<u64> = count(1, 10_000, 100);
pub(super) const REQUESTS_PER_CONNECTION: Bounds<u64> = count(1, 1_000_000_000, 10_000);
pub(super) const REQUESTS: Bounds<u64> = count(1, 1_000_000, 10_000);
pub(super) const EXCHANGE_TIME: Bounds<Span> = span(Span::seconds(1), Span::hours(720), Span::hours(24));
pub(super) const API_ACTIONS: Bounds<u64> = count(1, 500, 50);
pub(super) const API_RESOURCES: Bounds<u64> = count(1, 500, 50);
pub(super) const API_REQUEST_BYTES: Bounds<ByteSize> = size(ByteSize::kib(1), ByteSize::mib(16), ByteSize::mib(4));
pub(super) const MIN_RATE: Bounds<ByteSize> = size(ByteSize::bytes(1), ByteSize::mib(1), ByteSize::bytes(240));
