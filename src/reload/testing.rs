//! Settings, keys and a key server for the tests of this room.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    fetch::FetchError,
    keys::{Fetch, KeyEvent, KeyTable},
};
use crate::{
    config::*,
    request::TrustedProxies,
    token::{Clients, Dialect, Issuer, Provider, ProviderId, TokenUses, testing::keys},
};

const SECOND: Duration = Duration::from_secs(1);

/// A provider whose keys are fetched from an address.
pub(super) fn provider(id: &str, url: &str) -> ProviderSettings {
    let provider = Provider {
        id: ProviderId::new(id),
        issuers: vec![Issuer::new(&format!("https://{id}.example"))],
        dialect: Dialect::Cognito { clients: Clients::Any, token_use: TokenUses::Access },
        algorithms: vec![Algorithm::ES256],
        principal_claim: "sub".into(),
        roles_claim: "cognito:groups".into(),
        role_prefix: String::new(),
        leeway: 5 * SECOND,
        max_lifetime: 86400 * SECOND,
    };
    ProviderSettings { provider, keys: KeySource::Url(url.parse().unwrap()) }
}

/// Settings with those providers; all else is the same each time.
pub(super) fn settings(providers: Vec<ProviderSettings>) -> Settings {
    Settings {
        listeners: vec![Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None }],
        admin: "127.0.0.1:9901".parse().unwrap(),
        threads: None,
        trusted_proxies: TrustedProxies::default(),
        shutdown_delay: SECOND,
        shutdown_grace: SECOND,
        identity: Identity {
            providers,
            credentials: Vec::new(),
            cookie_origins: Vec::new(),
            keys: KeyTimes {
                refresh: 3600 * SECOND,
                min_refetch: 10 * SECOND,
                stale_if_error: 86400 * SECOND,
                timeout: 5 * SECOND,
            },
            token_cache_entries: 10,
        },
        upstreams: Vec::new(),
        identity_headers: Vec::new(),
        forward_credential: false,
        policies: Policies { path: PathBuf::from("policies"), poll: 3600 * SECOND, allow_empty: false },
        audit: AuditDestination::Off,
        limits: Limits {
            header_bytes: 1,
            headers: 1,
            target_bytes: 1,
            token_bytes: 1,
            body_bytes: 1,
            decision_body_bytes: 1,
            connections: 1,
            header_timeout: SECOND,
            body_stall: SECOND,
            keepalive: SECOND,
            write_stall: SECOND,
            tls_handshake: SECOND,
        },
    }
}

/// A key set document of those ids, all with one and the same key.
pub(super) fn jwks(kids: &[&str]) -> Vec<u8> {
    let entries: Vec<_> = kids.iter().map(|kid| keys().p256.jwk(kid)).collect();
    json!({ "keys": entries }).to_string().into_bytes()
}

/// How a key server behaves from now on.
#[derive(Clone)]
pub(super) enum Behaviour {
    Answers(Vec<u8>),
    Fails,
    Hangs,
}

/// A key server on the other side of the client, on the clock of the test.
#[derive(Clone)]
pub(super) struct KeyServer(Arc<Mutex<(Behaviour, Duration, Fetches)>>);

/// The path and the moment of each fetch.
type Fetches = Vec<(String, Instant)>;

impl KeyServer {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        Self(Arc::new(Mutex::new((behaviour, Duration::ZERO, Vec::new()))))
    }

    pub(super) fn behaves(&self, behaviour: Behaviour) {
        self.0.lock().unwrap().0 = behaviour;
    }

    /// Answers that much later.
    pub(super) fn takes(&self, time: Duration) {
        self.0.lock().unwrap().1 = time;
    }

    pub(super) fn fetches(&self) -> Fetches {
        self.0.lock().unwrap().2.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.fetches().len()
    }

    /// A key table that fetches from here.
    pub(super) fn table(&self) -> (KeyTable, tokio::sync::mpsc::Receiver<KeyEvent>) {
        let server = self.clone();
        let fetch: Fetch = Arc::new(move |times, url| {
            let (behaviour, time) = {
                let mut inner = server.0.lock().unwrap();
                inner.2.push((url.path().to_owned(), Instant::now()));
                (inner.0.clone(), inner.1)
            };
            Box::pin(async move {
                sleep(time).await;
                match behaviour {
                    Behaviour::Answers(document) => Ok(document),
                    Behaviour::Fails => Err(FetchError::Status(500)),
                    Behaviour::Hangs => {
                        sleep(times.timeout).await;
                        Err(FetchError::Timeout)
                    }
                }
            })
        });
        KeyTable::with(fetch)
    }
}
