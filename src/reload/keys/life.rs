//! The life of one provider's keys: fetched at once, refreshed, retried, and dropped when they are too old.
//!
//! One task, so that two fetches of one provider never overlap. Knows neither other providers nor who uses the keys.

use std::{error::Error, fmt::Write, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use super::{Ask, Fetch, FetchError, Held, KeyEvent, KeyFault, KeyNews, KeyPlan, MOST_WAITING, Refetch, pace};
use crate::token::{KeySet, KeySetError, SkippedKey};

pub(super) struct Life {
    plan: KeyPlan,
    fetch: Fetch,
    held: Option<Held>,
    asks: mpsc::Receiver<Ask>,
    waiting: Vec<Ask>,
    /// In a row, up to now.
    failures: u32,
    /// The last failure's code: another one is news again.
    failing: Option<&'static str>,
    last_refetch: Option<Instant>,
    /// When the last fetch that failed began, whatever caused it.
    last_failure: Option<Instant>,
    last_change: Option<Instant>,
    skipped: Vec<SkippedKey>,
}

/// Where a life tells what happened.
struct Told {
    life: u64,
    events: mpsc::Sender<KeyEvent>,
}

impl Life {
    pub(super) fn new(plan: KeyPlan, fetch: Fetch, held: Option<Held>, asks: mpsc::Receiver<Ask>) -> Self {
        Self {
            plan,
            fetch,
            held,
            asks,
            waiting: Vec::new(),
            failures: 0,
            failing: None,
            last_refetch: None,
            last_failure: None,
            last_change: None,
            skipped: Vec::new(),
        }
    }

    /// Lives until the table lets go of it.
    pub(super) async fn run(mut self, life: u64, events: mpsc::Sender<KeyEvent>) {
        let told = Told { life, events };
        let now = Instant::now();
        let mut next = self.held.as_ref().map_or(now, |held| held.since + pace::next(&self.plan.times, 0, true));
        loop {
            let stale = self.stale_at();
            tokio::select! {
                biased;
                () = sleep_until(stale.unwrap_or(next)), if stale.is_some() => {
                    self.drop_keys(&told).await;
                    next = next.min(Instant::now() + self.pace());
                    continue;
                }
                () = sleep_until(next) => {}
                Some(ask) = self.asks.recv() => if !self.is_due(ask) { continue },
            }
            self.attempt(&told).await;
            next = Instant::now() + self.pace();
        }
    }

    fn pace(&self) -> std::time::Duration {
        pace::next(&self.plan.times, self.failures, self.held.is_some())
    }

    /// When the keys in hand are too old; while fetches succeed they never are.
    fn stale_at(&self) -> Option<Instant> {
        if self.failures == 0 {
            return None;
        }
        self.held.as_ref().and_then(|held| held.since.checked_add(self.plan.times.stale_if_error))
    }

    /// Lets the caller wait for a fetch that is now due, or tells it that none is.
    ///
    /// SECURITY: `a_flood_of_unknown_keys_costs_one_fetch_in_ten_seconds`. A retry that failed counts as well:
    /// `a_flood_of_unknown_keys_in_an_outage_adds_no_fetch`.
    fn is_due(&mut self, ask: Ask) -> bool {
        let now = Instant::now();
        let lately = |last: Option<Instant>| last.is_some_and(|last| now < last + self.plan.times.min_refetch);
        if lately(self.last_refetch) || lately(self.last_failure) {
            // Keys that have just changed may be news to a caller that began before.
            let _ = ask.send(if lately(self.last_change) { Refetch::Done } else { Refetch::NotDue });
            return false;
        }
        self.last_refetch = Some(now);
        self.waiting.push(ask);
        true
    }

    /// Lets the caller wait for the fetch that is under way.
    ///
    /// SECURITY: a slow key server and a flood of unknown keys together must not hold callers without bound:
    /// `a_flood_of_unknown_keys_waits_in_a_bounded_queue`.
    fn wait(&mut self, ask: Ask) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push(ask);
        } else {
            let _ = ask.send(Refetch::NotDue);
        }
    }

    async fn attempt(&mut self, told: &Told) {
        let began = Instant::now();
        let mut fetch = (self.fetch)(self.plan.times.clone(), self.plan.url.clone());
        let result = loop {
            let stale = self.stale_at();
            tokio::select! {
                biased;
                result = &mut fetch => break result,
                () = sleep_until(stale.unwrap_or_else(Instant::now)), if stale.is_some() => self.drop_keys(told).await,
                Some(ask) = self.asks.recv() => self.wait(ask),
            }
        };
        let (news, outcome) = match self.judge(result) {
            Ok(news) => (news, Refetch::Done),
            Err(fault) => {
                self.last_failure = Some(began);
                (self.failed(&fault), Refetch::Failed)
            }
        };
        self.tell(told, news).await;
        // Whoever asked while the keys were being put to serve is answered by them too.
        while let Ok(ask) = self.asks.try_recv() {
            self.wait(ask);
        }
        for ask in self.waiting.drain(..) {
            let _ = ask.send(outcome);
        }
    }

    fn judge(&mut self, fetched: Result<Vec<u8>, FetchError>) -> Result<KeyNews, KeyFault> {
        let (keys, skipped) = match KeySet::parse(&fetched?, &self.plan.algorithms) {
            Ok(parsed) => parsed,
            Err(error) => {
                if let KeySetError::NoUsableKey { skipped } = &error {
                    self.log_skipped(skipped.clone());
                }
                return Err(error.into());
            }
        };
        self.log_skipped(skipped);
        let same = self.held.take().map(|held| held.keys).filter(|held| **held == keys);
        let changed = same.is_none();
        let keys = same.unwrap_or_else(|| Arc::new(keys));
        let provider = &self.plan.provider;
        if changed {
            self.last_change = Some(Instant::now());
            info!(%provider, keys = keys.len(), kids = ?keys.kids().collect::<Vec<_>>(), "signing keys are held");
        } else if self.failures > 0 {
            info!(%provider, failures = self.failures, "signing keys are fetched again");
        }
        self.held = Some(Held { keys: Arc::clone(&keys), since: Instant::now() });
        (self.failures, self.failing) = (0, None);
        Ok(KeyNews::Fetched { keys, changed })
    }

    fn failed(&mut self, fault: &KeyFault) -> KeyNews {
        self.failures = self.failures.saturating_add(1);
        // The host only: a URL may carry a password.
        let (provider, host, code) = (&self.plan.provider, self.plan.url.host().unwrap_or_default(), fault.code());
        let (failures, held) = (self.failures, self.held.is_some());
        let error = chain(fault);
        if self.failing.replace(code) == Some(code) {
            debug!(%provider, host, error, failures, held, "signing keys cannot be fetched");
        } else {
            warn!(%provider, host, error, failures, held, "signing keys cannot be fetched");
        }
        KeyNews::Failed(code)
    }

    async fn drop_keys(&mut self, told: &Told) {
        self.held = None;
        let provider = &self.plan.provider;
        error!(%provider, after = ?self.plan.times.stale_if_error, "signing keys are too old and are dropped: tokens cannot be verified");
        self.tell(told, KeyNews::Dropped).await;
    }

    /// Tells, and waits until it was acted on.
    async fn tell(&self, told: &Told, news: KeyNews) {
        let (acted, wait) = oneshot::channel();
        let event = KeyEvent { provider: self.plan.provider.clone(), life: told.life, news, _acted: acted };
        if told.events.send(event).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Once per change, not per fetch.
    fn log_skipped(&mut self, skipped: Vec<SkippedKey>) {
        if skipped != self.skipped {
            for key in &skipped {
                warn!(provider = %self.plan.provider, %key, "a key is not used");
            }
            self.skipped = skipped;
        }
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
