//! The line on trial: HTTP cases of policy tests, through [`Generation::admit`] like every request.
//!
//! A case brings claims, not a token. They are signed here, with keys that are made for the trial and are the only ones that its generation holds: so
//! claims come from verifying in a trial too, and nothing of it verifies anywhere else. A case that brings a token is asked under the keys of
//! the files. Nothing is forwarded, and no permit leaves this room.

mod signer;

use std::{
    cell::{Cell, OnceCell},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Admission, Denial, Generation, Seen};
use crate::{
    config::Settings,
    identity::CredentialSource,
    policy::{
        Body, PolicySet,
        suite::{Answer, CaseCredential, RequestCase},
    },
    request::{Headers, Host, Lookup, RequestView, Target, wire::Malformation},
    time::{Moment, Now, UnixTime},
    token::{KeyRing, KeySet},
};
use signer::Signer;

/// The host of a case that names none.
const HOST: HeaderValue = HeaderValue::from_static("localhost");

/// Between two cases lies more than the longest time of a rate limit, so that none is refused for those before it.
const PAUSE: Duration = Duration::from_secs(25 * 60 * 60);

/// Settings and policies on trial.
pub struct Trial {
    settings: Arc<Settings>,
    policies: Arc<PolicySet>,
    /// The keys of the files, for tokens that cases bring.
    keys: Vec<Option<Arc<KeySet>>>,
    now: UnixTime,
    asked: Cell<u32>,
    minting: OnceCell<Option<Minting>>,
    bringing: OnceCell<Generation>,
}

/// What asks for cases that bring claims: one key for each provider, and the generation that knows just these.
struct Minting {
    signers: Vec<Signer>,
    generation: Generation,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Trial {
    /// Of these settings and policies. `keys` are those that providers have in files, in the order of the settings; `now` is when cases ask
    /// that name no time.
    pub fn new(settings: &Settings, policies: Arc<PolicySet>, keys: Vec<Option<Arc<KeySet>>>, now: UnixTime) -> Self {
        let mut settings = settings.clone();
        // Each token is asked once.
        settings.identity.token_cache_entries = 0;
        let (asked, minting, bringing) = (Cell::new(0), OnceCell::new(), OnceCell::new());
        Self { settings: Arc::new(settings), policies, keys, now, asked, minting, bringing }
    }

    fn generation(&self, keys: Vec<Option<Arc<KeySet>>>) -> Generation {
        Generation::new(0, Arc::clone(&self.settings), Arc::clone(&self.policies), Arc::new(KeyRing::new(keys)))
    }

    fn minting(&self) -> Option<&Minting> {
        let make = || {
            let providers = self.settings.identity.providers.iter();
            let signers = providers.map(|one| Signer::new(&one.provider).ok()).collect::<Option<Vec<_>>>()?;
            let generation = self.generation(signers.iter().map(|signer| Some(Arc::clone(signer.keys()))).collect());
            Some(Minting { signers, generation })
        };
        self.minting.get_or_init(make).as_ref()
    }

    /// What the line answers to a case.
    pub fn ask(&self, case: &RequestCase) -> Answer {
        let now = case.now.map_or(self.now, |now| now.time);
        match self.prepared(case, now) {
            Ok((generation, headers)) => match self.admit(generation, case, &headers, now) {
                Ok(answer) => answer,
                Err(denial) => Answer::Denied { code: denial.code(), status: denial.face().status },
            },
            Err(reason) => Answer::Unasked(reason.to_owned()),
        }
    }

    /// The generation to ask, and the fields of the request.
    fn prepared(&self, case: &RequestCase, now: UnixTime) -> Result<(&Generation, HeaderMap), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in &case.headers {
            headers.append(name.clone(), value.clone());
        }
        if case.body.is_some() && !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let bringing = || self.bringing.get_or_init(|| self.generation(self.keys.clone()));
        let generation = match &case.credential {
            CaseCredential::Absent => bringing(),
            CaseCredential::Token(token) => {
                self.present(token, &mut headers)?;
                bringing()
            }
            CaseCredential::Claims { provider, claims } => {
                let minting = self.minting().ok_or("no key could be made for the claims of tests")?;
                let providers = &self.settings.identity.providers;
                let signer = providers.get(*provider).zip(minting.signers.get(*provider));
                let token = signer.and_then(|(of, signer)| signer.mint(&of.provider, claims, now).ok());
                self.present(&token.ok_or("the claims could not be signed")?, &mut headers)?;
                &minting.generation
            }
        };
        // SECURITY: as at the front door, before anything is read of them: `a_case_cannot_bring_an_identity_header`.
        let reserved: Vec<_> =
            headers.keys().filter(|name| generation.reserved_headers().removes(name)).cloned().collect();
        reserved.iter().for_each(|name| drop(headers.remove(name)));
        Ok((generation, headers))
    }

    /// Puts a token where the settings look for one: in `Authorization` if they do, else at the first place that they name.
    fn present(&self, token: &str, headers: &mut HeaderMap) -> Result<(), &'static str> {
        let sources = &self.settings.identity.credentials;
        let source = sources.iter().find(|source| **source == CredentialSource::Bearer).or(sources.first());
        let (name, text) = match source.ok_or("the settings look for tokens nowhere")? {
            CredentialSource::Bearer => (header::AUTHORIZATION, format!("Bearer {token}")),
            CredentialSource::Header(name) => (name.clone(), token.to_owned()),
            CredentialSource::Cookie(name) => {
                // As from a page of the gateway's own origin, where the case does not say from which.
                let says_site = [HeaderName::from_static("sec-fetch-site"), header::ORIGIN];
                if !says_site.iter().any(|name| headers.contains_key(name)) {
                    headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
                }
                (header::COOKIE, format!("{name}={token}"))
            }
        };
        headers.append(name, HeaderValue::from_str(&text).map_err(|_| "the token cannot stand in a header")?);
        Ok(())
    }

    fn admit(
        &self,
        generation: &Generation,
        case: &RequestCase,
        fields: &HeaderMap,
        now: UnixTime,
    ) -> Result<Answer, Denial> {
        let headers = Headers::new(fields);
        let host = match headers.single(&header::HOST) {
            Lookup::One(value) => Host::parse(value.as_bytes()),
            Lookup::Absent => Host::parse(HOST.as_bytes()),
            Lookup::Repeated | Lookup::Malformed => return Err(Denial::Malformed(Malformation::RepeatedHost)),
        };
        let host = host.map_err(|_| Denial::Malformed(Malformation::Host))?;
        let target = Target::parse(case.target.as_bytes(), &host)?;
        let view = RequestView {
            method: &case.method,
            host: &host,
            path: &target.path,
            query: target.query(),
            headers,
            client: case.client.unwrap_or(IpAddr::from([127, 0, 0, 1])),
            secure: true,
            websocket: headers.all(&header::UPGRADE).any(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")),
            client_certificate: None,
        };
        self.asked.set(self.asked.get().saturating_add(1));
        let now = Now { time: now, moment: Moment::after_start(PAUSE.saturating_mul(self.asked.get())) };
        let mut seen = Seen::default();
        match generation.admit(&view, Body::Unread, now, &mut seen)? {
            Admission::NeedsBody { limit } => {
                let body = body(case, headers, limit)?;
                generation.admit(&view, Body::Json(body), now, &mut seen).map(answer)
            }
            admission @ (Admission::Permit(_) | Admission::Preflight(_)) => Ok(answer(admission)),
        }
    }
}

/// The body of a case, if a decision may read it: plain JSON of at most so many bytes.
fn body<'c>(case: &'c RequestCase, headers: Headers<'_>, limit: usize) -> Result<&'c serde_json::Value, Denial> {
    let body = case.body.as_ref().ok_or(Denial::BodyUnsupported)?;
    let is_json = match headers.single(&header::CONTENT_TYPE) {
        Lookup::One(value) => value.as_bytes().eq_ignore_ascii_case(b"application/json"),
        Lookup::Absent | Lookup::Repeated | Lookup::Malformed => false,
    };
    if !is_json || headers.all(&header::CONTENT_ENCODING).next().is_some() {
        return Err(Denial::BodyUnsupported);
    }
    if body.to_string().len() > limit { Err(Denial::BodyTooLarge) } else { Ok(body) }
}

fn answer(admission: Admission) -> Answer {
    match admission {
        Admission::Permit(permit) => {
            Answer::Allowed { route: permit.route().id.to_string(), rule: permit.rule().to_string() }
        }
        Admission::Preflight(_) => Answer::Preflight,
        Admission::NeedsBody { .. } => Answer::Unasked("the line asks for the body twice".to_owned()),
    }
}

/// The words for denials, as cases may expect them.
pub fn denials() -> Vec<&'static str> {
    let mut words: Vec<_> = Denial::every_shape().iter().map(Denial::code).collect();
    words.dedup();
    words
}

#[cfg(test)]
mod tests;
