//! What many keys owe, in memory that does not grow with their number.
//!
//! Sets of eight places each: a key belongs to the set that its hash names, under a secret of the process. A key that owes nothing is the
//! same as one that was never seen, so its place is free. Where all eight owe, the newcomer takes the place of the one that owes the
//! fewest requests. So nobody is locked out, whatever flood there is, and a flood of new keys takes that one place over and over: to have a
//! debt forgotten, somebody must run up the same debt under seven other keys of its set, and cannot know which those are.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Mutex, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Rate, Standing};
use crate::time::Moment;

/// A power of two.
const SETS: usize = 1 << 14;
const WAYS: usize = 8;

/// One key.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Two hashes with secrets of their own: 128 bits stand for the key.
    key: [u64; 2],
    /// When all is paid. Not after now: the place is free.
    due: u64,
    /// In what time one request is paid.
    interval: u64,
}

impl Place {
    /// Requests that are not paid yet. Counted in requests, not in time: what they cost their sender is the same for every limit.
    fn unpaid(&self, now: Moment) -> u64 {
        self.due.saturating_sub(now.nanos()).div_ceil(self.interval.max(1))
    }
}

type Set = Mutex<Option<Box<[Place; WAYS]>>>;

/// What keys owe. At most 131,072 at once, in about 4.5 MiB.
#[derive(Default)]
pub struct Ledger {
    /// Made for the first key: most gateways limit nothing.
    sets: OnceLock<Box<[Set]>>,
    secrets: [RandomState; 2],
    /// The set that is tidied next.
    hand: AtomicUsize,
}

impl Ledger {
    /// How many keys may owe something at once.
    pub const CAPACITY: usize = SETS * WAYS;

    /// Counts one request of `key`, which must name its limit too.
    ///
    /// # Errors
    /// It is one too many, and is not counted.
    pub fn take(&self, rate: Rate, key: impl Hash, now: Moment) -> Result<Standing, Standing> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let key = self.secrets.each_ref().map(|secret| secret.hash_one(&key));
        let Some(set) = sets.get(place_of(key)) else { return Err(never()) };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let places = set.get_or_insert_default();

        if let Some(place) = places.iter_mut().find(|place| place.key == key) {
            let (due, standing) = rate.charge(place.due, now)?;
            (place.due, place.interval) = (due, rate.interval);
            return Ok(standing);
        }
        let (due, standing) = rate.charge(0, now)?;
        // SECURITY: `a_flood_of_addresses_does_not_make_a_debt_forgotten`.
        if let Some(place) = places.iter_mut().min_by_key(|place| place.unpaid(now)) {
            *place = Place { key, due, interval: rate.interval };
        }
        drop(set);
        self.tidy(sets, now);
        Ok(standing)
    }

    /// Gives back the memory of one set in which everything is paid. Each newcomer pays for the visit of one.
    fn tidy(&self, sets: &[Set], now: Moment) {
        let hand = self.hand.fetch_add(1, Ordering::Relaxed) % SETS;
        let mut set = match sets.get(hand).map(Mutex::try_lock) {
            Some(Ok(set)) => set,
            Some(Err(TryLockError::Poisoned(poisoned))) => poisoned.into_inner(),
            // Somebody is at it, so it is in use.
            Some(Err(TryLockError::WouldBlock)) | None => return,
        };
        if set.as_ref().is_some_and(|places| places.iter().all(|place| place.unpaid(now) == 0)) {
            *set = None;
        }
    }

    #[cfg(test)]
    pub(super) fn sets_in_memory(&self) -> usize {
        let held = |set: &Set| set.lock().unwrap().is_some();
        self.sets.get().map_or(0, |sets| sets.iter().filter(|set| held(set)).count())
    }
}

/// The set of a key.
fn place_of([first, _]: [u64; 2]) -> usize {
    // The remainder fits: there are fewer sets than `usize` has numbers.
    usize::try_from(first % SETS as u64).unwrap_or(0)
}

/// There is always a set; should there be none, nothing passes uncounted.
fn never() -> Standing {
    Standing { remaining: 0, wait: std::time::Duration::from_secs(1) }
}

impl fmt::Debug for Ledger {
    /// Says nothing of the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}
