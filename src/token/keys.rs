//! The public keys of a provider (RFC 7517), and of all providers.
//!
//! A set holds only keys that may verify: every other entry is left out and told with its reason. Fetches nothing.

mod jwk;

use std::{collections::BTreeMap, fmt, sync::Arc};

use jsonwebtoken::Algorithm;
use serde_json::Value;
use thiserror::Error;

pub(super) use jwk::Key;

use crate::json;

/// Largest JWKS document.
const MAX_BYTES: usize = 512 * 1024;
/// Most entries of a JWKS document, usable or not.
const MAX_KEYS: usize = 64;

/// The usable keys of one provider, by `kid`; at least one. Two sets are equal when they verify the same tokens.
#[derive(Clone, PartialEq)]
pub struct KeySet {
    keys: BTreeMap<Box<str>, Key>,
}

impl KeySet {
    /// Reads a JWKS document. `algorithms` are those that the provider accepts.
    ///
    /// Entries that cannot verify are left out and returned with their reason. Of entries that share a `kid` none is used.
    ///
    /// # Errors
    /// [`KeySetError`]; above all, a set without any usable key is no set.
    pub fn parse(json: &[u8], algorithms: &[Algorithm]) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        if json.len() > MAX_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let document = json::object(json).ok_or(KeySetError::NotAKeySet)?;
        let entries = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::NotAKeySet)?;
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut places: BTreeMap<Box<str>, Vec<(usize, Key)>> = BTreeMap::new();
        let mut skipped = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            match jwk::read(entry, algorithms) {
                Ok((kid, key)) => places.entry(kid).or_default().push((place, key)),
                Err(reason) => skipped.push(SkippedKey { place, kid: jwk::kid(entry), reason }),
            }
        }
        let mut keys = BTreeMap::new();
        for (kid, mut found) in places {
            match (found.pop(), found.is_empty()) {
                (Some((_, key)), true) => drop(keys.insert(kid, key)),
                // SECURITY: which of two keys is meant cannot be known: `two_keys_of_one_kid_are_both_left_out`.
                (last, _) => skipped.extend(found.into_iter().chain(last).map(|(place, _)| SkippedKey {
                    place,
                    kid: Some(kid.clone()),
                    reason: SkipReason::DuplicateKid,
                })),
            }
        }
        skipped.sort_by_key(|key| key.place);
        if keys.is_empty() { Err(KeySetError::NoUsableKey { skipped }) } else { Ok((Self { keys }, skipped)) }
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never true: a set without keys is not made.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of its keys, sorted.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(|kid| &**kid)
    }

    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// Why a JWKS document is no key set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// Over 512 KiB.
    #[error("the key set is larger than 512 KiB")]
    TooLarge,
    /// Not one JSON object with a list `keys`, or a member name stands twice.
    #[error("the key set is not a JSON object with a list `keys`")]
    NotAKeySet,
    /// Over 64 entries.
    #[error("the key set has more than 64 entries")]
    TooManyKeys,
    /// Nothing in it can verify an accepted token.
    #[error("the key set holds no usable key")]
    NoUsableKey {
        /// Why each entry was left out; empty when there was none.
        skipped: Vec<SkippedKey>,
    },
}

/// An entry of a JWKS document that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in the list, from 0.
    pub place: usize,
    /// Its `kid`, where it has one of at most 256 bytes.
    pub kid: Option<Box<str>>,
    /// Why.
    pub reason: SkipReason,
}

impl fmt::Display for SkippedKey {
    /// For the log: the `kid` is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "keys[{}] (kid {kid:?}): {}", self.place, self.reason),
            None => write!(f, "keys[{}]: {}", self.place, self.reason),
        }
    }
}

/// Why an entry of a JWKS document cannot verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SkipReason {
    /// It is not a JSON object.
    #[error("it is not an object")]
    NotAnObject,
    /// It carries its private part: whoever reads the set can sign.
    #[error("its private part is published")]
    PrivateParts,
    /// `use` is not `sig`, or `key_ops` does not hold `verify`.
    #[error("it is not meant for verifying signatures")]
    OtherUse,
    /// No `kid`, an empty one, one that is not text, or one of more than 256 bytes.
    #[error("it has no usable `kid`")]
    NoKid,
    /// `kty` is not `RSA`, `EC` or `OKP`, or its curve is not one that is known.
    #[error("its type is not known")]
    OtherType,
    /// Its `alg`, or every algorithm of its type, is not accepted for this provider.
    #[error("its algorithm is not accepted")]
    OtherAlgorithm,
    /// An RSA modulus under 2048 bits.
    #[error("its modulus has fewer than 2048 bits")]
    TooShort,
    /// An RSA modulus whose private key can be computed: it has the form of CVE-2017-15361 (ROCA).
    #[error("its private key can be computed (CVE-2017-15361)")]
    Weak,
    /// Numbers that are absent, not base64url, or no public key.
    #[error("it is not a public key")]
    NotAKey,
    /// Another usable entry has the same `kid`; both are left out.
    #[error("another key has the same `kid`")]
    DuplicateKid,
}

/// The keys that are held for each provider, in the order of the settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyRing(Vec<Option<Arc<KeySet>>>);

impl KeyRing {
    /// A ring of one place for each provider; `None` where no key is held yet.
    pub fn new(sets: Vec<Option<Arc<KeySet>>>) -> Self {
        Self(sets)
    }

    /// The keys of the provider in that place, if any are held.
    pub fn get(&self, provider: usize) -> Option<&Arc<KeySet>> {
        self.0.get(provider)?.as_ref()
    }
}

#[cfg(test)]
mod tests;
