//! The id of a call: a ULID, 48 bits of milliseconds and 80 random ones.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The alphabet of Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new id for a call at that time.
pub(super) fn new(since_epoch: Duration) -> String {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Not a secret, so the seed of a hash map will do: a generator for keys would gather entropy for tens of milliseconds first.
    let count = COUNT.fetch_add(1, Relaxed);
    let random = [SEED.hash_one((count, 0_u8)), SEED.hash_one((count, 1_u8))].map(u64::to_be_bytes);
    let mut bytes = [0; 10];
    for (to, from) in bytes.iter_mut().zip(random.as_flattened()) {
        *to = *from;
    }
    write(since_epoch, bytes)
}

fn write(since_epoch: Duration, random: [u8; 10]) -> String {
    let millis = since_epoch.as_millis() & ((1 << 48) - 1);
    let number = random.iter().fold(millis, |number, byte| number << 8 | u128::from(*byte));
    let digit = |place: u32| ALPHABET.get(usize::try_from(number >> (5 * place) & 31).unwrap_or_default());
    (0..26).rev().filter_map(|place| digit(place).copied().map(char::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_its_specification_says() {
        let millis = Duration::from_millis(1_469_918_176_385);
        assert_eq!(write(millis, [0; 10]), format!("01ARYZ6S41{}", "0".repeat(16)));
        assert_eq!(write(Duration::from_millis((1 << 48) - 1), [0xff; 10]), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(write(Duration::ZERO, [0; 10]), "0".repeat(26));
    }

    #[test]
    fn two_calls_have_two_ids() {
        assert_ne!(new(Duration::ZERO), new(Duration::ZERO));
    }
}
