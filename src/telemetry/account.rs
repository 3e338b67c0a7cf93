//! The one account of a request: from what the exchange knows at its end to an audit line and to numbers.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};

use super::{
    AuditRecord, AuditSink, Metrics, Outcome,
    metrics::{MethodLabel, StatusClass},
    since_epoch,
};
use crate::{
    gate::{Denial, Seen},
    identity::{AuthenticationError, Kind, Principal},
    policy::RuleId,
};

/// The reason of an allow that is no permit: the answer to a preflight.
const PREFLIGHT: &str = "preflight";

/// Where accounts go.
#[derive(Debug)]
pub struct Telemetry {
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The audit lines.
    pub audit: AuditSink,
}

/// What is known of a request when it is over.
#[derive(Debug)]
pub struct Account<'a> {
    /// Its id.
    pub request_id: &'a str,
    /// The generation that serves.
    pub generation: u64,
    /// The method, once a head was read.
    pub method: Option<&'a Method>,
    /// The canonical path, once there was one.
    pub path: Option<&'a str>,
    /// What was learnt on the line.
    pub seen: &'a Seen,
    /// The rules said yes.
    pub allowed: bool,
    /// Why it was refused; or, for one that was allowed, what went wrong afterwards.
    pub denial: Option<&'a Denial>,
    /// The status that the client was sent.
    pub status: Option<u16>,
    /// From the head to the decision.
    pub decision: Duration,
    /// From the first attempt to the head of the upstream's answer.
    pub upstream: Option<Duration>,
}

impl Telemetry {
    /// Writes the audit line and counts.
    pub fn settle(&self, account: &Account<'_>) {
        let outcome = if account.allowed { Outcome::Allow } else { Outcome::Deny };
        let answered = account.seen.is_preflight.then_some(PREFLIGHT);
        let reason = account.denial.map(Denial::code).or(answered);
        let route = account.seen.route.as_ref().map(|route| &*route.id);
        self.count(account, route, outcome, reason);
        let principal = account.seen.principal.as_ref();
        let verified = principal.and_then(Principal::verified);
        self.audit.record(&AuditRecord {
            time: since_epoch(),
            request_id: account.request_id,
            generation: account.generation,
            route,
            method: account.method.map(Method::as_str),
            path: account.path,
            outcome,
            reason,
            rule: account.seen.findings.rule.as_ref().map(RuleId::as_str),
            principal: verified.map(|verified| verified.id()),
            kind: principal.map(Principal::kind),
            client_id: verified.and_then(|verified| verified.claims().client_id()),
            provider: verified.map(|verified| verified.provider().as_str()),
            roles: verified.map_or(&[], |verified| verified.roles()),
            owner_source: account.seen.findings.owner_source,
            other_profile: account.seen.findings.other_profile,
            status: account.status,
            decision_us: Some(micros(account.decision)),
            upstream_us: account.upstream.map(micros),
        });
    }

    fn count(&self, account: &Account<'_>, route: Option<&str>, outcome: Outcome, reason: Option<&'static str>) {
        let status = account.status.and_then(|status| StatusCode::from_u16(status).ok());
        let method = account.method.map_or(MethodLabel::Other, MethodLabel::of);
        self.metrics.record_request(route, method, StatusClass::of(status));
        // What goes wrong after a yes is no decision.
        let reason = if account.allowed { account.seen.is_preflight.then_some(PREFLIGHT) } else { reason };
        self.metrics.record_decision(route, outcome, reason, account.decision);
        if let Some(other) = account.seen.findings.other_profile {
            self.metrics.record_dispute(route, other);
        }
        if let Some(hit) = account.seen.cache_hit {
            self.metrics.record_token_cache(hit);
        }
        match (account.denial, account.seen.principal.as_ref()) {
            (Some(Denial::Authentication(AuthenticationError::Token(error))), None) => {
                self.metrics.record_verification(None, Err(*error));
            }
            (_, Some(principal)) if account.seen.cache_hit == Some(false) && principal.kind() != Kind::Anonymous => {
                let provider = principal.verified().map(|verified| verified.provider().as_str());
                self.metrics.record_verification(provider, Ok(()));
            }
            (_, Some(_) | None) => {}
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
