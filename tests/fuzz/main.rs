//! Parsers under arbitrary bytes: whatever comes, they end, do not panic, and keep their promises.
//!
//! Inputs are the files under `seeds`, changed a little or a lot. A plain `cargo test` gives each target two seconds; with
//! `BOLERO_RANDOM_TEST_TIME_MS=600000 cargo test --test fuzz` it is ten minutes each. A failure prints the seed that repeats it
//! (`BOLERO_RANDOM_SEED`); the input that failed goes into `seeds`, where it stays.

#[cfg(test)]
mod inputs;
#[cfg(test)]
mod targets;

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bolero::check;
use inputs::Mutated;

/// What a plain `cargo test` spends on one target.
const BOUND: Duration = Duration::from_secs(2);

/// Far over what any input needs, on the busiest machine.
const MOST: Duration = Duration::from_secs(20);

fn timed(target: fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    target(input);
    assert!(began.elapsed() < MOST, "{} bytes took {:?}", input.len(), began.elapsed());
}

macro_rules! targets {
    ($($(#[$about:meta])* $test:ident: $target:ident,)*) => {$(
        $(#[$about])*
        #[test]
        fn $test() {
            let inputs = Mutated::of(stringify!($target));
            inputs.seeds().for_each(|seed| timed(targets::$target, seed));
            let tried = AtomicUsize::new(0);
            check!().with_generator(inputs).with_test_time(BOUND).for_each(|input: &Vec<u8>| {
                tried.fetch_add(1, Relaxed);
                timed(targets::$target, input);
            });
            println!("{}: {} inputs", stringify!($target), tried.into_inner());
        }
    )*};
}

targets! {
    a_request_target_has_one_reading_or_none: target,
    a_credential_is_found_where_it_stands_and_taken_out_whole: credential,
    no_change_of_a_token_is_accepted: token,
    a_key_set_holds_usable_keys_or_is_none: jwks,
    settings_compile_or_say_why_not: settings,
    policies_compile_or_say_why_not: policy,
    a_head_is_judged_alike_however_it_is_cut: head,
    a_condition_has_types_or_says_where_not: condition,
}
