//! One server of an upstream, and how it has behaved: what decides whether it is asked.
//!
//! Three judgements, independent of each other: it refused a connection (the others first, for a moment), it failed requests in a row
//! (ejected), its health checks fail (red). After a rest or an ejection one request tries it, and the others follow when that one went
//! well. Times are milliseconds of [`now`]; nothing here waits, and nothing takes a lock.

use std::{
    net::SocketAddr,
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    config::{Endpoint, HealthCheck, OutlierEjection},
    telemetry::ServerState,
};

/// A server that refused is left alone for this long, doubled with each refusal in a row.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// The longest ejection, where `base` is not longer.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
/// So many times `base` after an ejection it is forgotten.
const FORGIVEN_AFTER: u32 = 10;
/// So long one request tries a server alone, before the next one does.
const TRIAL: Duration = Duration::from_secs(1);

/// Milliseconds since some moment before the first server.
pub(super) fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // Never 0: that stands for "never".
    millis(START.elapsed()).saturating_add(1)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time until which a server is left alone, and who tries it then.
#[derive(Debug, Default)]
struct Absence {
    /// 0: it is not.
    until: AtomicU64,
    /// Somebody tries it, until then.
    tried_until: AtomicU64,
}

impl Absence {
    fn begin(&self, until: u64) {
        self.until.store(until, Relaxed);
        self.tried_until.store(0, Relaxed);
    }

    fn end(&self) {
        self.until.store(0, Relaxed);
    }

    fn lasts(&self) -> bool {
        self.until.load(Relaxed) != 0
    }

    fn is_over(&self, now: u64) -> bool {
        now >= self.until.load(Relaxed)
    }

    /// May this request ask the server? When the time is over, one of them may.
    fn admits(&self, now: u64) -> bool {
        if !self.lasts() {
            return true;
        }
        let tried = self.tried_until.load(Relaxed);
        self.is_over(now)
            && now >= tried
            && self.tried_until.compare_exchange(tried, now.saturating_add(millis(TRIAL)), Relaxed, Relaxed).is_ok()
    }
}

/// One address of an endpoint.
#[derive(Debug)]
pub(in crate::proxy) struct Server {
    pub(super) endpoint: Endpoint,
    pub(super) address: SocketAddr,
    rest: Absence,
    refusals: AtomicU32,
    ejection: Absence,
    failures: AtomicUsize,
    ejections: AtomicU32,
    last_ejection_until: AtomicU64,
    red: AtomicBool,
    /// Checks in a row that speak against what is held.
    contrary_checks: AtomicUsize,
}

/// How willingly a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// In turn.
    Ready,
    /// When no other is ready.
    Resting,
    /// When all others are absent too.
    Ejected,
    /// Never.
    Red,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint, address: SocketAddr) -> Self {
        Self {
            endpoint,
            address,
            rest: Absence::default(),
            refusals: AtomicU32::new(0),
            ejection: Absence::default(),
            failures: AtomicUsize::new(0),
            ejections: AtomicU32::new(0),
            last_ejection_until: AtomicU64::new(0),
            red: AtomicBool::new(false),
            contrary_checks: AtomicUsize::new(0),
        }
    }

    /// How it stands for this request. Says `Ready` to one request only when an absence is over.
    pub(super) fn rank(&self, now: u64) -> Rank {
        if self.red.load(Relaxed) {
            Rank::Red
        } else if !self.ejection.admits(now) {
            Rank::Ejected
        } else if !self.rest.admits(now) {
            Rank::Resting
        } else {
            Rank::Ready
        }
    }

    /// How it stands, for people.
    pub(super) fn state(&self) -> ServerState {
        if self.red.load(Relaxed) {
            ServerState::Unhealthy
        } else if self.ejection.lasts() {
            ServerState::Ejected
        } else if self.rest.lasts() {
            ServerState::Resting
        } else {
            ServerState::Available
        }
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejection.lasts()
    }

    /// A connection was refused: it is skipped for a while. True when it was not skipped before.
    pub(super) fn refused(&self, now: u64) -> bool {
        let refusals = self.refusals.fetch_add(1, Relaxed).min(16);
        let rest = FIRST_REST.saturating_mul(1 << refusals).min(LONGEST_REST);
        self.rest.begin(now.saturating_add(millis(rest)));
        refusals == 0
    }

    /// A connection was made. True when it was skipped before.
    pub(super) fn accepted(&self) -> bool {
        if self.refusals.load(Relaxed) == 0 {
            return false;
        }
        self.rest.end();
        self.refusals.swap(0, Relaxed) != 0
    }

    /// An answer came. True when that ends an ejection.
    pub(super) fn succeeded(&self, now: u64) -> bool {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        // What was sent before the ejection proves nothing.
        let returns = self.ejection.lasts() && self.ejection.is_over(now);
        if returns {
            self.ejection.end();
        }
        returns
    }

    /// A request failed. True when that is one too many.
    pub(super) fn failed(&self, now: u64, ejection: OutlierEjection) -> bool {
        if self.ejection.lasts() {
            // Only the one that tried it counts.
            return self.ejection.is_over(now);
        }
        self.failures.fetch_add(1, Relaxed).saturating_add(1) >= ejection.consecutive_failures
    }

    /// Leaves it alone, for longer each time; tells for how long.
    pub(super) fn eject(&self, now: u64, base: Duration) -> Duration {
        let forgiven =
            self.last_ejection_until.load(Relaxed).saturating_add(millis(base.saturating_mul(FORGIVEN_AFTER)));
        if now > forgiven {
            self.ejections.store(0, Relaxed);
        }
        let times = self.ejections.fetch_add(1, Relaxed).saturating_add(1);
        let time = base.saturating_mul(times).min(LONGEST_EJECTION.max(base));
        let until = now.saturating_add(millis(time));
        self.last_ejection_until.store(until, Relaxed);
        self.failures.store(0, Relaxed);
        self.ejection.begin(until);
        time
    }

    /// A health check ended. True when that changes the colour.
    pub(super) fn checked(&self, good: bool, check: &HealthCheck) -> bool {
        let red = self.red.load(Relaxed);
        if good != red {
            self.contrary_checks.store(0, Relaxed);
            return false;
        }
        let needed = if red { check.healthy } else { check.unhealthy };
        let turns = self.contrary_checks.fetch_add(1, Relaxed).saturating_add(1) >= needed;
        if turns {
            self.contrary_checks.store(0, Relaxed);
            self.red.store(!red, Relaxed);
            if red {
                // It was asked and answered: what it did before it was red is over.
                self.ejection.end();
                self.failures.store(0, Relaxed);
                let _ = self.accepted();
            }
        }
        turns
    }

    /// No health checks any more: what the last ones said is of no account.
    pub(super) fn unchecked(&self) {
        self.red.store(false, Relaxed);
        self.contrary_checks.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server::new(Endpoint { tls: false, host: "app".into(), port: 80 }, SocketAddr::from(([127, 0, 0, 1], 80)))
    }

    const EJECTION: OutlierEjection =
        OutlierEjection { consecutive_failures: 3, base: Duration::from_secs(10), most: 50 };

    #[test]
    fn after_a_rest_one_request_tries_and_the_others_wait_for_it() {
        let server = server();
        assert!(server.refused(1000));
        assert_eq!([server.rank(1000), server.rank(1499)], [Rank::Resting; 2]);
        assert_eq!(
            [server.rank(1500), server.rank(1500), server.rank(2499)],
            [Rank::Ready, Rank::Resting, Rank::Resting]
        );
        assert_eq!(server.rank(2500), Rank::Ready, "the one that tried has not come back");
        assert!(!server.refused(2600), "told once");
        assert_eq!([server.rank(3599), server.rank(3600)], [Rank::Resting, Rank::Ready], "twice as long");
        assert!(server.accepted());
        assert_eq!([server.rank(3600), server.rank(3600)], [Rank::Ready; 2]);
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_does_not() {
        let server = server();
        assert!(!server.failed(1, EJECTION) && !server.failed(1, EJECTION));
        server.succeeded(1);
        assert!(!server.failed(1, EJECTION) && !server.failed(1, EJECTION) && server.failed(1, EJECTION));
        assert_eq!(server.eject(1, EJECTION.base), Duration::from_secs(10));
        assert!(!server.succeeded(5000), "sent before");
        assert_eq!([server.rank(5000), server.rank(10_000)], [Rank::Ejected; 2]);
        assert_eq!([server.rank(10_001), server.rank(10_001)], [Rank::Ready, Rank::Ejected]);
        assert!(server.failed(10_002, EJECTION), "one failure is enough for who came back on trial");
        assert_eq!(server.eject(10_002, EJECTION.base), Duration::from_secs(20));
        assert_eq!(server.rank(30_002), Rank::Ready);
        assert!(server.succeeded(30_003));
        assert_eq!(server.rank(30_003), Rank::Ready);
        assert_eq!(server.eject(200_000, EJECTION.base), Duration::from_secs(10), "long ago is forgotten");
    }

    #[test]
    fn an_ejection_never_grows_past_its_bound() {
        let server = server();
        let longest = (0..100).map(|_| server.eject(1, EJECTION.base)).max();
        assert_eq!(longest, Some(LONGEST_EJECTION));
        assert_eq!(server.eject(1, Duration::from_secs(3600)), Duration::from_secs(3600));
    }

    #[test]
    fn colours_change_after_checks_in_a_row() {
        let (server, check) = (
            server(),
            HealthCheck {
                path: "/".into(),
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                healthy: 2,
                unhealthy: 3,
            },
        );
        let checks =
            |server: &Server, row: &[bool]| row.iter().map(|good| server.checked(*good, &check)).collect::<Vec<_>>();
        assert_eq!(
            checks(&server, &[false, false, true, false, false, false]),
            [false, false, false, false, false, true]
        );
        assert_eq!((server.rank(1), server.state()), (Rank::Red, ServerState::Unhealthy));
        server.eject(1, EJECTION.base);
        assert_eq!(checks(&server, &[true, false, true, true]), [false, false, false, true]);
        assert_eq!(server.rank(2), Rank::Ready, "green again, and the ejection is over");
        checks(&server, &[false, false, false]);
        server.unchecked();
        assert_eq!(server.rank(2), Rank::Ready);
    }
}
