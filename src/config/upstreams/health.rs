//! The keys `upstreams[].health_check` and `upstreams[].outlier_ejection`: which servers of an upstream are asked.

use std::time::Duration;

use super::super::{
    bounds::{
        CHECK_INTERVAL, CHECK_TIMEOUT, CONSECUTIVE_FAILURES, EJECTION_BASE, EJECTION_MOST, HEALTHY_AFTER,
        UNHEALTHY_AFTER,
    },
    read::{count, duration},
};
use crate::yaml::Cursor;

/// Servers are asked how they are, beside the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for, with GET; an answer of 200 to 399 is a good one.
    pub path: String,
    /// From one check to the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Good checks in a row after which a red server is green.
    pub healthy: usize,
    /// Bad checks in a row after which a green server is red.
    pub unhealthy: usize,
}

/// Servers that fail requests are left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierEjection {
    /// Failures in a row that eject.
    pub consecutive_failures: usize,
    /// How long the first time; longer with each time that follows.
    pub base: Duration,
    /// The largest part of the servers that may be ejected at once, in percent; 0 ejects none.
    pub most: usize,
}

impl Default for OutlierEjection {
    fn default() -> Self {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            consecutive_failures: count(CONSECUTIVE_FAILURES.default),
            base: EJECTION_BASE.default.duration(),
            most: count(EJECTION_MOST.default),
        }
    }
}

/// Reads the section `health_check`.
pub(super) fn health_check(at: &Cursor<'_>) -> Option<HealthCheck> {
    let mut map = at.map()?;
    let path = map.require("path").and_then(|at| check_path(&at));
    let interval = duration(&mut map, "interval", &CHECK_INTERVAL);
    let timeout = duration(&mut map, "timeout", &CHECK_TIMEOUT);
    let healthy = count(&mut map, "healthy", &HEALTHY_AFTER);
    let unhealthy = count(&mut map, "unhealthy", &UNHEALTHY_AFTER);
    map.finish();
    Some(HealthCheck { path: path?, interval: interval?, timeout: timeout?, healthy: healthy?, unhealthy: unhealthy? })
}

fn check_path(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    if text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') && text.len() <= 1024 {
        return Some(text.to_owned());
    }
    at.error_with_help(
        "C043",
        format!("`{text}` is not a path that can be asked for"),
        "write a path such as `/healthz`",
    );
    None
}

/// Reads the section `outlier_ejection`.
pub(super) fn outlier_ejection(at: &Cursor<'_>) -> Option<OutlierEjection> {
    let mut map = at.map()?;
    let consecutive_failures = count(&mut map, "consecutive_failures", &CONSECUTIVE_FAILURES);
    let base = duration(&mut map, "base", &EJECTION_BASE);
    let most = count(&mut map, "most", &EJECTION_MOST);
    map.finish();
    Some(OutlierEjection { consecutive_failures: consecutive_failures?, base: base?, most: most? })
}
