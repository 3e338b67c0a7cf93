//! How long to wait before the next fetch.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::config::KeyTimes;

/// Without keys: the first retry, and the longest time between two.
const URGENT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// While good keys serve: the longest time between two retries.
const PATIENT: Duration = Duration::from_secs(60);

/// The time to the next fetch after so many failures in a row: never longer than `refresh`, and with keys in hand never shorter than
/// `min_refetch` where that is the smaller. At random within a quarter, so that many gateways do not ask at once.
pub(super) fn next(times: &KeyTimes, failures: u32, held: bool) -> Duration {
    if failures == 0 {
        return shorten(times.refresh, 0.1);
    }
    // What is taken off at random leaves at least `min_refetch`.
    let (first, longest) = if held { (times.min_refetch * 4 / 3, PATIENT) } else { URGENT };
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures - 1));
    let longest = if held { longest.max(first).min(times.refresh) } else { longest };
    shorten(doubled.min(longest), 0.25)
}

/// Takes off up to that part, at random.
fn shorten(full: Duration, part: f64) -> Duration {
    // A fresh `RandomState` is as random as a schedule needs.
    let random = RandomState::new().hash_one(0) >> 32;
    let share = f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u32::MAX);
    full.mul_f64(1.0 - part * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> KeyTimes {
        let [refresh, min_refetch, stale_if_error, timeout] = [3600, 10, 86400, 5].map(Duration::from_secs);
        KeyTimes { refresh, min_refetch, stale_if_error, timeout }
    }

    /// The longest of many random answers, in milliseconds.
    fn longest(failures: u32, held: bool) -> u128 {
        let some = (0..200).map(|_| next(&times(), failures, held).as_millis());
        let (low, high) = some.fold((u128::MAX, 0), |(low, high), one| (low.min(one), high.max(one)));
        assert!(low * 4 >= high * 3 - 4, "{low} to {high}");
        assert!(low < high, "always {low}");
        high
    }

    #[test]
    fn retries_double_from_a_quarter_second_to_ten_seconds_without_keys() {
        for (failures, most) in [(1, 250), (2, 500), (3, 1000), (6, 8000), (7, 10_000), (400, 10_000)] {
            assert!((most * 9 / 10..=most).contains(&longest(failures, false)), "{failures}");
        }
    }

    #[test]
    fn an_outage_with_keys_in_hand_costs_at_most_one_fetch_in_ten_seconds() {
        for (failures, most) in [(1, 13_333), (2, 26_666), (3, 53_333), (4, 60_000), (u32::MAX, 60_000)] {
            assert!((most * 9 / 10..=most).contains(&longest(failures, true)), "{failures}");
            assert!((0..200).all(|_| next(&times(), failures, true) >= times().min_refetch), "{failures}");
        }
        let slow = KeyTimes { min_refetch: Duration::from_secs(600), ..times() };
        assert!(next(&slow, 1, true) >= slow.min_refetch);
    }

    #[test]
    fn a_refresh_is_never_late() {
        let longest = longest(0, true);
        assert!((3_500_000..=3_600_000).contains(&longest), "{longest}");
        let quick = KeyTimes { refresh: Duration::from_secs(1), ..times() };
        assert!(next(&quick, 9, true) <= Duration::from_secs(1));
    }
}
