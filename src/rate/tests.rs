//! The arithmetic against its bound, and the ledger under many keys and many hands.

use std::{collections::VecDeque, thread};

use proptest::prelude::*;

use super::*;

fn rate(requests: u32, seconds: u64, burst: u32) -> Rate {
    let count = |count| NonZeroU32::new(count).unwrap();
    Rate::new(count(requests), Duration::from_secs(seconds), count(burst))
}

fn at(millis: u64) -> Moment {
    Moment::after_start(Duration::from_millis(millis))
}

#[test]
fn a_burst_passes_at_once_and_then_one_request_in_each_interval() {
    let (meter, rate) = (Meter::default(), rate(60, 60, 3));
    let at_start: Vec<_> = (0..5).map(|_| meter.take(rate, at(0))).collect();
    let standing = |remaining, millis| Standing { remaining, wait: Duration::from_millis(millis) };
    assert_eq!(
        at_start,
        [
            Ok(standing(2, 1000)),
            Ok(standing(1, 1000)),
            Ok(standing(0, 1000)),
            Err(standing(0, 1000)),
            Err(standing(0, 1000))
        ]
    );
    assert_eq!(meter.take(rate, at(999)), Err(standing(0, 1)));
    assert_eq!(meter.take(rate, at(1000)), Ok(standing(0, 1000)));
    assert_eq!(meter.take(rate, at(1500)), Err(standing(0, 500)));
    assert_eq!(meter.take(rate, at(10_000)), Ok(standing(2, 1000)), "rest is not saved up beyond the burst");
}

#[test]
fn what_is_refused_costs_nothing() {
    let (meter, rate) = (Meter::default(), rate(1, 1, 1));
    meter.take(rate, at(0)).unwrap();
    for millis in 0..1000 {
        assert!(meter.take(rate, at(millis)).is_err());
        assert!(meter.look(rate, at(millis)).is_err());
    }
    assert!(meter.look(rate, at(1000)).is_ok());
    assert!(meter.take(rate, at(1000)).is_ok());
}

#[test]
fn a_wait_is_told_in_whole_seconds_rounded_up_and_never_zero() {
    for (millis, seconds) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (59_001, 60)] {
        let standing = Standing { remaining: 0, wait: Duration::from_millis(millis) };
        assert_eq!(standing.wait_seconds().get(), seconds, "{millis}");
    }
    let standing = Standing { remaining: 0, wait: Duration::MAX };
    assert_eq!(standing.wait_seconds().get(), u32::MAX);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let end = Moment::after_start(Duration::MAX);
    for burst in [1, 1_000_000] {
        let (meter, rate) = (Meter::default(), rate(1, 86_400, burst));
        assert!(meter.take(rate, at(0)).is_ok());
        assert!(meter.take(rate, end).is_ok());
    }
    let (meter, rate) = (Meter::default(), rate(1, 1, 1));
    meter.take(rate, end).unwrap();
    assert!(meter.take(rate, at(0)).is_err(), "a clock that is behind lets nothing through");
}

#[test]
fn eight_threads_pass_exactly_the_burst() {
    let (meter, ledger, rate) = (Meter::default(), Ledger::default(), rate(1, 3600, 1000));
    let passed: (usize, usize) = thread::scope(|scope| {
        let run = || {
            let count = |take: &dyn Fn() -> bool| (0..500).filter(|_| take()).count();
            (
                count(&|| meter.take(rate, at(5)).is_ok()),
                count(&|| ledger.take(rate, ("limit", "somebody"), at(5)).is_ok()),
            )
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    assert_eq!(passed, (1000, 1000));
}

#[test]
fn each_key_of_each_limit_owes_for_itself() {
    let (ledger, rate) = (Ledger::default(), rate(1, 60, 1));
    for key in [("a", "x"), ("a", "y"), ("b", "x"), ("a", "xy"), ("ax", "y")] {
        assert!(ledger.take(rate, key, at(0)).is_ok(), "{key:?}");
        assert!(ledger.take(rate, key, at(0)).is_err(), "{key:?}");
    }
}

#[test]
fn a_flood_of_addresses_does_not_make_a_debt_forgotten() {
    let (ledger, rate) = (Ledger::default(), rate(1, 3600, 5));
    for _ in 0..5 {
        ledger.take(rate, "attacker", at(0)).unwrap();
    }
    for other in 0..2 * Ledger::CAPACITY {
        assert!(ledger.take(rate, other, at(1)).is_ok(), "a newcomer is never locked out");
    }
    assert!(ledger.take(rate, "attacker", at(2)).is_err());
}

#[test]
fn a_debt_of_few_requests_over_a_long_time_does_not_push_out_one_of_many_over_a_short_time() {
    let ledger = Ledger::default();
    let (short, long) = (rate(5, 5, 5), rate(1, 86_400, 1));
    for _ in 0..5 {
        ledger.take(short, "attacker", at(0)).unwrap();
    }
    for other in 0..2 * Ledger::CAPACITY {
        ledger.take(long, other, at(0)).unwrap();
    }
    assert!(ledger.take(short, "attacker", at(1)).is_err());
}

#[test]
fn a_flood_of_addresses_has_bounded_memory_and_it_is_given_back() {
    let (ledger, rate) = (Ledger::default(), rate(60, 60, 1));
    assert_eq!(ledger.sets_in_memory(), 0);
    for key in 0..3 * Ledger::CAPACITY {
        ledger.take(rate, key, at(0)).unwrap();
    }
    let most = Ledger::CAPACITY / 8;
    assert_eq!(ledger.sets_in_memory(), most);
    for key in 0..most {
        ledger.take(rate, ("later", key), at(60_000 + 2000 * key as u64)).unwrap();
    }
    assert!(ledger.sets_in_memory() < most / 2, "{}", ledger.sets_in_memory());
}

#[test]
fn a_key_that_has_paid_is_as_good_as_new() {
    let (ledger, rate) = (Ledger::default(), rate(10, 10, 2));
    let first = ledger.take(rate, "a", at(0));
    ledger.take(rate, "a", at(0)).unwrap();
    assert_eq!(ledger.take(rate, "a", at(2000)), first);
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_requests_and_a_burst(
        requests in 1_u32..50,
        seconds in 1_u64..20,
        burst in 1_u32..50,
        steps in prop::collection::vec(0_u64..400, 1..600),
    ) {
        let (meter, ledger, rate) = (Meter::default(), Ledger::default(), rate(requests, seconds, burst));
        let (mut millis, mut window, mut whole) = (0, VecDeque::new(), 0_u64);
        for step in steps {
            // Many at the same moment, and now and then a rest.
            millis += if step < 300 { step / 100 } else { step };
            let passes = meter.take(rate, at(millis));
            prop_assert_eq!(passes, ledger.take(rate, "key", at(millis)));
            if passes.is_err() {
                continue;
            }
            whole += 1;
            window.push_back(millis);
            while window.front().is_some_and(|first| millis - first >= seconds * 1000) {
                window.pop_front();
            }
            prop_assert!(window.len() as u64 <= u64::from(requests) + u64::from(burst));
            prop_assert!(whole <= u64::from(burst) + millis * u64::from(requests) / (seconds * 1000));
        }
    }

    #[test]
    fn what_is_told_to_remain_does_pass_and_after_the_wait_one_more(
        requests in 1_u32..100,
        burst in 1_u32..30,
        gaps in prop::collection::vec(0_u64..500, 0..60),
    ) {
        let (meter, rate) = (Meter::default(), rate(requests, 7, burst));
        let mut now = 0;
        for gap in gaps {
            now += gap;
            let _ = meter.take(rate, at(now));
        }
        let standing = match meter.take(rate, at(now)) { Ok(standing) | Err(standing) => standing };
        let later = Moment::after_start(Duration::from_millis(now) + standing.wait);
        for _ in 0..standing.remaining {
            prop_assert!(meter.take(rate, at(now)).is_ok());
        }
        prop_assert!(meter.take(rate, at(now)).is_err());
        prop_assert!(meter.take(rate, later).is_ok());
    }
}
