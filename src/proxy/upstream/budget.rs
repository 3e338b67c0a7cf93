//! How many requests of an upstream may be tried again, so that retries do not multiply an outage.
//!
//! Each request adds a fifth of a retry. Beside that there are a few a second, for upstreams with little to do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a retry costs.
const RETRY: u64 = 1000;
/// What a request adds.
const DEPOSIT: u64 = RETRY / 5;
/// What requests can save up.
const MOST_SAVED: u64 = 100 * RETRY;
/// So many retries a second are free.
const FREE: u64 = 3;

/// The retries that are left.
#[derive(Debug, Default)]
pub(super) struct Budget {
    saved: AtomicU64,
    /// The second in which free ones were taken last, and how many: `second * 16 + taken`.
    free: AtomicU64,
}

impl Budget {
    /// A request came.
    pub(super) fn deposit(&self) {
        let add = |saved: u64| (saved < MOST_SAVED).then(|| saved.saturating_add(DEPOSIT));
        // Full is as good.
        let _ = self.saved.fetch_update(Relaxed, Relaxed, add);
    }

    /// Takes one retry, if one is left at this time, in milliseconds.
    pub(super) fn withdraw(&self, now: u64) -> bool {
        let second = (now / 1000).saturating_mul(16);
        let free = |held: u64| match held.checked_sub(second) {
            Some(taken) if taken >= FREE => None,
            Some(_) => Some(held.saturating_add(1)),
            None => Some(second.saturating_add(1)),
        };
        self.free.fetch_update(Relaxed, Relaxed, free).is_ok()
            || self.saved.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(RETRY)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_multiplied_by_a_fifth_at_most() {
        let budget = Budget::default();
        let mut retries = 0;
        // 1,000 requests within a second, each of which would be tried again.
        for _ in 0..1000 {
            budget.deposit();
            retries += usize::from(budget.withdraw(5_500));
        }
        assert_eq!(retries, 200 + 3);
    }

    #[test]
    fn a_quiet_upstream_has_a_few_a_second() {
        let budget = Budget::default();
        let row = |now: u64| (0..5).filter(|_| budget.withdraw(now)).count();
        assert_eq!([row(1000), row(1999), row(2000), row(9000)], [3, 0, 3, 3]);
    }

    #[test]
    fn what_is_saved_has_a_bound() {
        let budget = Budget::default();
        (0..10_000).for_each(|_| budget.deposit());
        assert_eq!((0..10_000).filter(|_| budget.withdraw(1000)).count(), 100 + 3);
    }
}
