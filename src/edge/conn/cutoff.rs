//! When an HTTP/2 exchange ends.
//!
//! Its own clocks, since many share a connection: what fires drops the exchange's future, which resets the stream alone.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use pingora::protocols::http::ServerSession;
use tokio::{sync::Notify, time::Instant};

use super::{Conn, Cut};
use crate::{
    config::Limits,
    edge::{crowd::Turn, guard::due},
};

tokio::task_local! {
    pub(in crate::edge) static CUTOFF: Arc<Cutoff>;
}

/// How long an exchange that is told politely to end may take to do so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// When an HTTP/2 exchange ends at the latest.
pub(in crate::edge) struct Cutoff {
    body_stall: Duration,
    /// The least bytes of a body in that time.
    due: usize,
    /// The latest end of the exchange.
    latest: Option<Instant>,
    /// Among the requests in flight.
    pub(super) turn: Option<Turn>,
    times: Mutex<Times>,
    earlier: Notify,
    pub(super) cut: AtomicU8,
    /// A session that was watched.
    parked: Mutex<Option<ServerSession>>,
}

impl fmt::Debug for Cutoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutoff").field("times", &self.times).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Times {
    expires: Option<Instant>,
    /// The session knows by itself when it expires.
    polite: bool,
    body: Option<Instant>,
    window: usize,
}

impl Times {
    fn time_up(&self, latest: Option<Instant>) -> Cut {
        if self.expires < latest { Cut::Expired } else { Cut::Overdue }
    }

    fn next(&self, latest: Option<Instant>) -> Option<(Instant, Cut)> {
        let extra = if self.polite { LAST_WORDS } else { Duration::ZERO };
        let expires = self.expires.map(|at| (at + extra, self.time_up(latest)));
        let body = self.body.map(|at| (at, Cut::BodyStalled));
        [expires, body].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

impl Cutoff {
    pub(in crate::edge) fn new(conn: &Conn, limits: &Limits) -> Cutoff {
        let latest = Instant::now().checked_add(limits.exchange_time);
        Cutoff {
            body_stall: limits.body_stall,
            due: due(limits.min_rate, limits.body_stall),
            latest,
            turn: conn.turn(limits.requests),
            times: Mutex::new(Times { expires: latest, polite: false, body: None, window: 0 }),
            earlier: Notify::new(),
            cut: AtomicU8::new(0),
            parked: Mutex::default(),
        }
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expire_in(&self, remaining: Duration) {
        let at = Instant::now().checked_add(remaining);
        self.times().expires = [at, self.latest].into_iter().flatten().min();
        self.earlier.notify_one();
    }

    /// Whether the session knows by itself when it expires; it is then reset a moment later only.
    pub(in crate::edge) fn set_polite(&self, polite: bool) {
        self.times().polite = polite;
        self.earlier.notify_one();
    }

    /// Resolves when the exchange has expired, by what is known when it is asked.
    pub(in crate::edge) async fn expired(&self) {
        let at = self.times().expires;
        match at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    pub(in crate::edge) fn note_cut(&self, cut: Cut) {
        self.cut.store(cut.code(), Relaxed);
    }

    /// What it means that the exchange has expired.
    pub(in crate::edge) fn time_up(&self) -> Cut {
        self.times().time_up(self.latest)
    }

    /// Keeps a session until it is asked for.
    pub(in crate::edge) fn park(&self, session: ServerSession) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    pub(in crate::edge) fn unpark(&self) -> Option<ServerSession> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn body_awaited(&self) {
        let mut times = self.times();
        times.body = Some(Instant::now() + self.body_stall);
        times.window = 0;
        drop(times);
        self.earlier.notify_one();
    }

    pub(super) fn body_progress(&self, bytes: usize) {
        let mut times = self.times();
        times.window = times.window.saturating_add(bytes);
        // Later, never earlier: the waiter finds it when it wakes.
        if times.window >= self.due && times.body.is_some() {
            times.window = 0;
            times.body = Some(Instant::now() + self.body_stall);
        }
    }

    pub(super) fn body_complete(&self) {
        self.times().body = None;
    }

    /// Resolves when the exchange must end.
    pub(in crate::edge) async fn fires(&self) -> Cut {
        loop {
            let next = self.times().next(self.latest);
            let Some((at, _)) = next else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.earlier.notified() => {}
            }
            if let Some((at, cut)) = self.times().next(self.latest)
                && at <= Instant::now()
            {
                self.note_cut(cut);
                return cut;
            }
        }
    }
}
