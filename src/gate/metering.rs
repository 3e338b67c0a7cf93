//! Counts requests against the limits of their route, each at its place on the line.
//!
//! By address before the credential is looked at, so that guessing tokens is limited; by principal and claim once they are known, before
//! the rules, so that asking for what is denied counts; for the route as a whole, those that were allowed only, so that nobody uses up what
//! others share by being refused. One that is used up refuses before the credential, too.

use std::{collections::HashMap, net::IpAddr, num::NonZeroU32, sync::Arc};

use http::HeaderValue;
use serde_json::Value;

use super::Denial;
use crate::{
    identity::Principal,
    policy::{PolicySet, RateKey, RateLimit, Route},
    rate::{Ledger, Meter, Standing},
    request::household,
    time::Moment,
};

/// What is owed to all limits of a generation.
#[derive(Debug, Default)]
pub(super) struct Metering {
    ledger: Arc<Ledger>,
    /// Of limits by route: they have one key, which no flood may push out. By the limit's identity.
    meters: HashMap<Arc<str>, Arc<Meter>>,
}

/// The limits that a request was counted against, and how they stand. A request that is admitted in two steps is counted once.
#[derive(Clone, Debug, Default)]
pub struct Tally(Vec<(Arc<RateLimit>, Standing)>);

/// One key of one limit.
#[derive(Hash)]
enum Key<'a> {
    Address(IpAddr),
    Principal(&'a str, &'a str),
    Text(&'a str, &'a str),
    Other(&'a str, String),
}

impl Metering {
    /// Of these policies; nothing is owed yet.
    pub(super) fn new(policies: &PolicySet) -> Self {
        let limits = policies.routes().iter().flat_map(|route| &route.rate_limits.limits);
        let of_routes = limits.filter(|limit| limit.key == RateKey::Route);
        let meters = of_routes.map(|limit| (Arc::clone(&limit.identity), Arc::default())).collect();
        Self { ledger: Arc::default(), meters }
    }

    /// Takes over what is owed to limits that have not changed.
    pub(super) fn follow(&mut self, previous: &Self) {
        self.ledger = Arc::clone(&previous.ledger);
        for (identity, meter) in &mut self.meters {
            if let Some(previous) = previous.meters.get(identity) {
                *meter = Arc::clone(previous);
            }
        }
    }

    /// Counts by address, and refuses where the route has nothing left.
    pub(super) fn arrived(&self, route: &Route, client: IpAddr, now: Moment, tally: &mut Tally) -> Result<(), Denial> {
        for limit in &route.rate_limits.limits {
            match limit.key {
                RateKey::Address => self.count(limit, &Key::of_address(client), now, tally)?,
                RateKey::Principal | RateKey::Claim(_) => {}
                RateKey::Route => {
                    let looked = self.meters.get(&limit.identity).map_or(Ok(()), |meter| meter.look(limit.rate, now));
                    looked.map_err(|standing| tally.refuse(limit, standing))?;
                }
            }
        }
        Ok(())
    }

    /// Counts by principal and by claim.
    pub(super) fn authenticated(
        &self,
        route: &Route,
        (principal, client): (&Principal, IpAddr),
        now: Moment,
        tally: &mut Tally,
    ) -> Result<(), Denial> {
        let by_principal = || Key::of_principal(principal).unwrap_or_else(|| Key::of_address(client));
        for limit in &route.rate_limits.limits {
            match &limit.key {
                RateKey::Address | RateKey::Route => {}
                RateKey::Principal => self.count(limit, &by_principal(), now, tally)?,
                RateKey::Claim(name) => {
                    let key = Key::of_claim(principal, name).unwrap_or_else(by_principal);
                    self.count(limit, &key, now, tally)?;
                }
            }
        }
        Ok(())
    }

    /// Counts for the route as a whole.
    pub(super) fn allowed(&self, route: &Route, now: Moment, tally: &mut Tally) -> Result<(), Denial> {
        for limit in &route.rate_limits.limits {
            let Some(meter) = self.meters.get(&limit.identity).filter(|_| limit.key == RateKey::Route) else {
                continue;
            };
            match meter.take(limit.rate, now) {
                Ok(standing) => tally.note(limit, standing),
                Err(standing) => return Err(tally.refuse(limit, standing)),
            }
        }
        Ok(())
    }

    fn count(&self, limit: &Arc<RateLimit>, key: &Key<'_>, now: Moment, tally: &mut Tally) -> Result<(), Denial> {
        // SECURITY: asking twice is one request: `a_request_that_is_decided_in_two_steps_counts_once`.
        if tally.holds(limit) {
            return Ok(());
        }
        match self.ledger.take(limit.rate, (&*limit.identity, key), now) {
            Ok(standing) => tally.note(limit, standing),
            Err(standing) => return Err(tally.refuse(limit, standing)),
        }
        Ok(())
    }
}

impl Tally {
    fn holds(&self, limit: &RateLimit) -> bool {
        self.0.iter().any(|(counted, _)| counted.identity == limit.identity)
    }

    fn note(&mut self, limit: &Arc<RateLimit>, standing: Standing) {
        self.0.push((Arc::clone(limit), standing));
    }

    fn refuse(&mut self, limit: &Arc<RateLimit>, standing: Standing) -> Denial {
        self.note(limit, standing);
        Denial::RateLimited { wait: standing.wait_seconds() }
    }

    /// The value of `RateLimit`: what is left of each limit, and until when no more.
    pub fn field(&self) -> Option<HeaderValue> {
        let item = |(limit, standing): &(Arc<RateLimit>, Standing)| {
            let wait: NonZeroU32 = standing.wait_seconds();
            format!("\"{}\";r={};t={wait}", limit.name, standing.remaining)
        };
        let items = self.0.iter().map(item).collect::<Vec<_>>().join(", ");
        HeaderValue::try_from(items).ok().filter(|value| !value.is_empty())
    }
}

impl<'a> Key<'a> {
    fn of_address(client: IpAddr) -> Self {
        // SECURITY: `the_addresses_of_one_ipv6_network_are_one_client`.
        Self::Address(household(client))
    }

    fn of_principal(principal: &'a Principal) -> Option<Self> {
        let verified = principal.verified()?;
        Some(Self::Principal(verified.provider().as_str(), verified.id()))
    }

    /// A claim with one value. Equal values of two providers are two.
    fn of_claim(principal: &'a Principal, name: &str) -> Option<Self> {
        let provider = principal.verified()?.provider().as_str();
        match principal.claim(name)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(Self::Text(provider, text)),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(Self::Other(provider, value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}
