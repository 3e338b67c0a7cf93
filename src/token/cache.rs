//! Tokens that verified, so that the next request with the same token costs no signature.
//!
//! Keyed by the whole token, compared byte for byte: two tokens never meet. Bounded, and it forgets only by being full: a cache
//! belongs to one generation of keys and settings, and whoever changes either makes a new, empty one. What depends on the
//! request (`now`, what the route takes) is not cached and is checked on each hit by [`Verifier::recheck`](super::Verifier::recheck).
//! Holds live tokens in memory; refused tokens are never kept. That a token was seen before shows in the time of the answer, but only
//! to who already has the whole token.

use std::fmt;

use quick_cache::{Weighter, sync::Cache};

use super::RawToken;

/// Memory that one entry stands for: a token and its claims, both of common size. What needs more takes the room of several.
const ENTRY_BYTES: usize = 4096;
/// The cache counts in these.
const UNIT: usize = 1024;

/// A bounded map from verified tokens to what they proved.
pub struct TokenCache<V: Clone>(Option<Cache<Box<str>, Entry<V>, ByMemory>>);

#[derive(Clone)]
struct Entry<V> {
    value: V,
    units: u64,
}

impl<V: Clone> TokenCache<V> {
    /// A cache of at most `entries` tokens, and of at most 4 KiB for each of them in all: tokens that need more count as several. 0 keeps
    /// nothing.
    pub fn new(entries: usize) -> Self {
        // One unit over, which makes room for no other entry: a cache of one would else be too small for one.
        let units = (entries as u64).saturating_mul((ENTRY_BYTES / UNIT) as u64).saturating_add(1);
        Self((entries > 0).then(|| Cache::with_weighter(entries, units, ByMemory)))
    }

    /// What is known of that token. The caller must recheck it against the clock and the route.
    pub fn get(&self, token: &RawToken<'_>) -> Option<V> {
        Some(self.0.as_ref()?.get(token.as_str())?.value)
    }

    /// Remembers a token that verified. `bytes` is the memory that the value holds.
    pub fn insert(&self, token: &RawToken<'_>, value: V, bytes: usize) {
        if let Some(cache) = &self.0 {
            let text = token.as_str();
            // SECURITY: a small token may hold claims that are large in memory: `claims_that_are_large_in_memory_take_the_room_of_several`.
            let units = text.len().saturating_add(bytes).max(ENTRY_BYTES).div_ceil(UNIT) as u64;
            cache.insert(text.into(), Entry { value, units });
        }
    }

    /// How many tokens it holds.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Cache::len)
    }

    /// Does it hold none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V: Clone> fmt::Debug for TokenCache<V> {
    /// Says nothing of the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct ByMemory;

impl<V> Weighter<Box<str>, Entry<V>> for ByMemory {
    fn weight(&self, _: &Box<str>, entry: &Entry<V>) -> u64 {
        entry.units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawToken<'_> {
        RawToken::parse(text.as_bytes(), 100_000).unwrap()
    }

    #[test]
    fn a_token_is_found_by_all_of_its_bytes_only() {
        let cache = TokenCache::new(100);
        cache.insert(&raw("e30.e30.AAAA"), 1, 0);
        assert_eq!(cache.get(&raw("e30.e30.AAAA")), Some(1));
        for other in
            ["e30.e30.AAAE", "e30.e30.AAAAAAAA", "e30.e30.AAA", "e3AA.e30.AAAA", "e30.e3AA.AAAA", "e30.AAAA.e30"]
        {
            assert_eq!(cache.get(&raw(other)), None, "{other}");
        }
    }

    #[test]
    fn a_hundred_thousand_tokens_are_never_mixed_up() {
        let cache = TokenCache::new(200_000);
        let token = |n: u32| format!("e30.e30.AAAA{n:08}");
        for n in 0..100_000 {
            cache.insert(&raw(&token(n)), n, 100);
        }
        for n in 0..200_000 {
            let found = cache.get(&raw(&token(n)));
            assert!(found.is_none_or(|found| found == n && n < 100_000), "{n}: {found:?}");
        }
        assert!(cache.len() > 90_000, "{}", cache.len());
    }

    #[test]
    fn a_flood_of_tokens_does_not_grow_the_cache() {
        let cache = TokenCache::new(64);
        for n in 0..10_000 {
            cache.insert(&raw(&format!("e30.e30.AAAA{n:08}")), n, 0);
        }
        assert!((1..=64).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn large_tokens_take_the_room_of_several() {
        let cache = TokenCache::new(64);
        for n in 0..64 {
            cache.insert(&raw(&format!("e30.{}.AAAA{n:08}", "AAAA".repeat(4000))), n, 0);
        }
        assert!((1..=16).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn claims_that_are_large_in_memory_take_the_room_of_several() {
        let cache = TokenCache::new(64);
        for n in 0..64 {
            cache.insert(&raw(&format!("e30.e30.AAAA{n:08}")), n, 4 * ENTRY_BYTES);
        }
        assert!((1..=16).contains(&cache.len()), "{}", cache.len());
        // What needs more than there is in all is not kept, and takes nobody's place.
        let before = cache.len();
        cache.insert(&raw("e30.e30.AAAA"), 1, 100 * ENTRY_BYTES);
        assert_eq!((cache.get(&raw("e30.e30.AAAA")), cache.len()), (None, before));
    }

    #[test]
    fn a_cache_of_no_entries_keeps_nothing() {
        let cache = TokenCache::new(0);
        cache.insert(&raw("e30.e30.AAAA"), 1, 0);
        assert_eq!((cache.get(&raw("e30.e30.AAAA")), cache.is_empty()), (None, true));
    }

    #[test]
    fn debug_shows_no_token() {
        let cache = TokenCache::new(8);
        cache.insert(&raw("e30.e30.AAAA"), 1, 0);
        assert_eq!(format!("{cache:?}"), "TokenCache { len: 1, .. }");
        assert!(!cache.is_empty());
    }
}
