//! How often a route may be asked, and for whom that is counted, as its file says it.
//!
//! Counts nothing: the gate does, with a [`Rate`] from here.

use std::{collections::HashSet, num::NonZeroU32, sync::Arc};

use http::HeaderValue;

use crate::{
    policy::{codes, read::read_word},
    rate::Rate,
    units::Span,
    yaml::Cursor,
};

/// The most requests, and the largest burst.
const MOST: u64 = 1_000_000;

/// The longest time that requests are counted over.
const LONGEST: Span = Span::hours(24);

/// The longest name of a claim.
const LONGEST_NAME: usize = 128;

/// For whom requests are counted, from the narrowest to the widest. They are asked in this order, so that a client which is refused for
/// itself takes nothing from what it shares with others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RateKey {
    /// Each client address; of IPv6 the first 64 bits.
    Address,
    /// Each principal; where there is none, each address.
    Principal,
    /// Each value of a claim; where there is none, each principal.
    Claim(Box<str>),
    /// All requests of the route together.
    Route,
}

/// One entry of `rate_limit` as a file says it.
#[derive(Clone, Debug)]
pub(crate) struct RateRule {
    rate: Rate,
    key: RateKey,
    name: Box<str>,
}

/// One limit of one route.
#[derive(Debug)]
pub struct RateLimit {
    /// How often.
    pub rate: Rate,
    /// For whom.
    pub key: RateKey,
    /// Its name in the fields of an answer: a string that needs no escaping.
    pub name: Box<str>,
    /// Route, name and numbers: limits with one identity count together, also over a reload.
    pub identity: Arc<str>,
}

/// The limits of one route.
#[derive(Debug, Default)]
pub struct RateLimits {
    /// From the narrowest key to the widest.
    pub limits: Vec<Arc<RateLimit>>,
    /// The value of `RateLimit-Policy`.
    pub policy: Option<HeaderValue>,
}

impl RateRule {
    /// Reads `rate_limit`: one limit, a list of them, or `none`.
    pub(crate) fn read(at: &Cursor<'_>) -> Option<Vec<Self>> {
        if at.node().as_text().is_some() {
            return read_word(at, &[("none", ())]).map(|()| Vec::new());
        }
        if at.node().as_list().is_none() {
            return Self::read_one(at).map(|one| vec![one]);
        }
        let mut rules = at.each(Self::read_one)?;
        rules.sort_by(|a, b| a.key.cmp(&b.key));
        let mut names = HashSet::new();
        if let Some(rule) = rules.iter().find(|rule| !names.insert(&rule.name)) {
            at.error_with_help(
                codes::RATE,
                format!("there are two limits `{}`", rule.name),
                "keep the stricter one, or give them different times",
            );
        }
        Some(rules)
    }

    fn read_one(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        let requests = map.require("requests").and_then(|at| read_count(&at));
        let per = map.require("per").and_then(|at| read_time(&at));
        let burst = map.take("burst").map_or(requests, |at| read_count(&at));
        let key = map.require("key").and_then(|at| read_key(&at));
        map.finish();
        let (requests, per, burst, key) = (requests?, per?, burst?, key?);
        let name = format!("{}-{per}", key.word()).into();
        Some(Self { rate: Rate::new(requests, per.duration(), burst), key, name })
    }
}

impl RateKey {
    fn word(&self) -> &str {
        match self {
            Self::Address => "address",
            Self::Principal => "principal",
            Self::Claim(name) => name,
            Self::Route => "route",
        }
    }
}

impl RateLimits {
    /// The limits of that route.
    pub(crate) fn compile(rules: &[RateRule], route: &str) -> Self {
        let limit = |rule: &RateRule| {
            let RateRule { rate, key, name } = rule.clone();
            let identity = format!("{route}/{name}/{}/{}", rate.requests(), rate.burst()).into();
            Arc::new(RateLimit { rate, key, name, identity })
        };
        let limits: Vec<_> = rules.iter().map(limit).collect();
        let item = |limit: &Arc<RateLimit>| {
            format!("\"{}\";q={};w={}", limit.name, limit.rate.requests(), limit.rate.per().as_secs())
        };
        let policy = limits.iter().map(item).collect::<Vec<_>>().join(", ");
        Self { policy: HeaderValue::try_from(policy).ok().filter(|_| !limits.is_empty()), limits }
    }
}

fn read_count(at: &Cursor<'_>) -> Option<NonZeroU32> {
    u32::try_from(at.integer(1..=MOST)?).ok().and_then(NonZeroU32::new)
}

fn read_time(at: &Cursor<'_>) -> Option<Span> {
    let help = format!("write whole seconds up to {LONGEST}, such as `1s`, `1m` or `1h`");
    let time = at.parse::<Span>(codes::UNIT, &help)?;
    // The fields of an answer tell whole seconds.
    if time.duration().is_zero() || time > LONGEST || time.duration().subsec_nanos() > 0 {
        at.error_with_help(codes::UNIT, format!("`{time}` is longer than a day, or no whole seconds"), help);
        return None;
    }
    Some(time)
}

fn read_key(at: &Cursor<'_>) -> Option<RateKey> {
    if at.node().as_map().is_none() {
        let words = [("principal", &RateKey::Principal), ("address", &RateKey::Address), ("route", &RateKey::Route)];
        return read_word(at, &words).cloned();
    }
    let mut map = at.map()?;
    let claim = map.require("claim").and_then(|at| read_claim(&at));
    map.finish();
    claim.map(RateKey::Claim)
}

/// The name stands in answers, within quotes.
fn read_claim(at: &Cursor<'_>) -> Option<Box<str>> {
    let text = at.text()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if !is_plain || text.len() > LONGEST_NAME {
        at.error_with_help(
            codes::RATE,
            format!("requests cannot be counted by the claim `{text}`"),
            format!("name a claim of at most {LONGEST_NAME} visible ASCII characters without quotes"),
        );
        return None;
    }
    Some(text.into())
}

#[cfg(test)]
mod tests;
