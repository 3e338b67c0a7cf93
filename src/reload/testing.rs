//! Settings, keys and a key server for the tests of this room.

use std::{
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
    config::{KeySource, ProviderSettings, Settings},
    token::{Clients, Dialect, Issuer, Provider, ProviderId, TokenUses, testing::keys},
    yaml::SourceFile,
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

/// Settings with those providers, the design's times, and no poll that a test would notice.
pub(super) fn settings(providers: Vec<ProviderSettings>) -> Settings {
    let text = "identity: { providers: [{ id: main, cognito: { user_pool_id: eu-west-1_EXAMPLE, client_ids: [web] } }] }\n\
        upstreams: [{ id: api, endpoints: ['http://127.0.0.1:9000'] }]\n\
        threads: 1\nlisteners: [{ address: '127.0.0.1:0' }]\n\
        policies: { path: policies, poll: 1h }\n";
    let file = SourceFile { name: "cogward.yaml".into(), text: text.into() };
    let (settings, report) = Settings::compile(&file, &|_| None);
    let mut settings = settings.unwrap_or_else(|| panic!("{report}"));
    settings.identity.providers = providers;
    settings
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
