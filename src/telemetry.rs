//! What operators see of a running gateway: numbers, audit lines and log lines.
//!
//! The core returns values; the edge hands them to this room. Nothing here reaches a client of the gateway, and nothing here ever
//! decides. A token never leaves through any of the three doors: audit lines and log lines pass [`text::redact`], metric labels
//! are closed enums and names that the configuration gave.

mod account;
pub mod audit;
pub mod logging;
pub mod metrics;
pub mod panics;

mod json;
mod servers;
mod spool;
mod text;

pub use account::{Account, Telemetry};
pub use audit::{AuditRecord, AuditSink, CheckRecord, CheckedResource, Decided, Outcome};
pub use metrics::Metrics;
pub use servers::{ServerState, ServerStatus, UpstreamStatus};
pub use spool::Loss;
pub(crate) use text::rfc3339;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since the epoch by the wall clock; zero where the clock stands before it.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
