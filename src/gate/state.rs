//! What one request sees from start to end, and the cell that holds the current one.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::metering::Metering;
use crate::{
    config::Settings,
    identity::{Authenticator, VerifiedTokens},
    policy::PolicySet,
    request::ReservedHeaders,
    token::{KeyRing, TokenCache, Verifier},
};

/// Settings, policies and keys that belong together. Never changed, only replaced as a whole.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    pub(super) settings: Arc<Settings>,
    pub(super) policies: Arc<PolicySet>,
    pub(super) authenticator: Authenticator,
    pub(super) keys: Arc<KeyRing>,
    /// Verified tokens of this generation. A new one begins with an empty cache, so no token outlives its key.
    pub(super) cache: VerifiedTokens,
    pub(super) metering: Metering,
    reserved: ReservedHeaders,
}

impl Generation {
    /// The generation of freshly compiled files.
    pub fn new(number: u64, settings: Arc<Settings>, policies: Arc<PolicySet>, keys: Arc<KeyRing>) -> Self {
        let identity = &settings.identity;
        let providers = identity.providers.iter().map(|settings| settings.provider.clone()).collect();
        let authenticator = Authenticator::new(
            Verifier::new(providers),
            identity.credentials.clone(),
            identity.cookie_origins.clone(),
            settings.limits.token_bytes,
        );
        let names: Vec<_> = settings.identity_headers.iter().map(|header| header.name.clone()).collect();
        let cache = TokenCache::new(identity.token_cache_entries);
        let metering = Metering::new(&policies);
        Self {
            number,
            settings,
            policies,
            authenticator,
            keys,
            cache,
            metering,
            reserved: ReservedHeaders::new(&names),
        }
    }

    /// The same, after `previous`: what requests have used of limits that did not change stays used.
    #[must_use]
    pub fn following(mut self, previous: &Self) -> Self {
        self.metering.follow(&previous.metering);
        self
    }

    /// Counts up with every change that is applied.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The settings of this generation.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The policies of this generation.
    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    /// The keys of this generation.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// The names that no client may send to the upstream.
    pub fn reserved_headers(&self) -> &ReservedHeaders {
        &self.reserved
    }
}

/// A value that is replaced while it is read. Load it once a request, and keep what was loaded.
#[derive(Debug)]
pub struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// The current value. It stays valid, and the same, for as long as it is held.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value for whoever loads it from now on.
    pub fn swap(&self, value: Arc<T>) {
        self.0.store(value);
    }
}
