//! The signing keys that are held, and the door through which a request may ask for newer ones.
//!
//! One task a provider fetches (`life`); it swaps nothing. What it got goes as a [`KeyEvent`] to the one task that swaps, which owns the
//! [`KeyTable`]. Keys of a file are read with the settings and have no task.

mod life;
mod pace;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use http::Uri;
use jsonwebtoken::Algorithm;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::Instant,
};

use super::{
    fetch::{FetchError, Fetcher},
    status::{KeyStatus, now},
};
use crate::{
    config::{KeySource, KeyTimes, ProviderSettings, Settings},
    time::UnixTime,
    token::{KeyRing, KeySet, KeySetError, ProviderId},
};
use life::Life;

/// Callers that may wait for one fetch; those past it are told that none is due.
const MOST_WAITING: usize = 1024;

/// Key events on their way to the one task that swaps.
const MOST_EVENTS: usize = 64;

/// What came of asking for newer keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refetch {
    /// A key set was fetched, or lately has changed, and the generation that holds it serves: load that and judge anew.
    Done,
    /// The fetch failed; what was held still is.
    Failed,
    /// None was made: the last one that an unknown key caused is too recent, or the provider's keys are in a file.
    NotDue,
}

type Ask = oneshot::Sender<Refetch>;

/// The door for requests: cheap to clone, shared by all.
#[derive(Clone, Default)]
pub struct KeyRequests {
    asks: Arc<Mutex<HashMap<ProviderId, mpsc::Sender<Ask>>>>,
}

impl KeyRequests {
    /// Fetches the keys of a provider because of an unknown `kid`. Callers at the same time share one fetch, and `min_refetch` passes between
    /// two fetches that callers cause. Returns after the new generation, if any, serves.
    pub async fn refetch(&self, provider: &ProviderId) -> Refetch {
        let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner).get(provider).cloned();
        let Some(asks) = asks else { return Refetch::NotDue };
        let (ask, answer) = oneshot::channel();
        match asks.try_send(ask) {
            Ok(()) => answer.await.unwrap_or(Refetch::Failed),
            // So many wait already that one more gains nothing.
            Err(mpsc::error::TrySendError::Full(_)) => Refetch::NotDue,
            Err(mpsc::error::TrySendError::Closed(_)) => Refetch::NotDue,
        }
    }
}

impl fmt::Debug for KeyRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequests").finish_non_exhaustive()
    }
}

/// Why a fetch gave no keys. Closed; `code` is the metric label.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// No document was got.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The document is no usable key set.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl KeyFault {
    /// The word for it in metrics and in `/status`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Keys(KeySetError::TooLarge) => "too_large",
            Self::Keys(KeySetError::NotAKeySet) => "not_a_key_set",
            Self::Keys(KeySetError::TooManyKeys) => "too_many_keys",
            Self::Keys(KeySetError::NoUsableKey { .. }) => "no_usable_key",
        }
    }
}

/// What happened to the keys of a provider.
#[derive(Clone, Debug)]
pub(super) enum KeyNews {
    /// A good answer; `changed` unless the same keys were held.
    Fetched { keys: Arc<KeySet>, changed: bool },
    /// A fetch failed for this reason; what is held stays.
    Failed(&'static str),
    /// The last good keys are too old to serve.
    Dropped,
}

/// Word from one life to the one task that swaps.
#[derive(Debug)]
pub(super) struct KeyEvent {
    pub(super) provider: ProviderId,
    /// Which life; one that was replaced meanwhile is not heard.
    life: u64,
    pub(super) news: KeyNews,
    /// Dropped when the word was acted on: the life waits for that.
    _acted: oneshot::Sender<()>,
}

/// Whose keys are fetched from where, and how often.
#[derive(Clone, Debug, PartialEq)]
struct KeyPlan {
    provider: ProviderId,
    url: Uri,
    algorithms: Vec<Algorithm>,
    times: KeyTimes,
}

impl KeyPlan {
    fn of(settings: &ProviderSettings, times: &KeyTimes) -> Option<Self> {
        let provider = &settings.provider;
        match &settings.keys {
            KeySource::Url(url) => Some(Self {
                provider: provider.id.clone(),
                url: url.clone(),
                algorithms: provider.algorithms.clone(),
                times: times.clone(),
            }),
            KeySource::File(_) => None,
        }
    }

    /// Would the same fetch give the same keys?
    fn means_the_keys_of(&self, other: &Self) -> bool {
        (&self.provider, &self.url, &self.algorithms) == (&other.provider, &other.url, &other.algorithms)
    }
}

/// Keys, and when they were last confirmed.
#[derive(Clone, Debug)]
struct Held {
    keys: Arc<KeySet>,
    since: Instant,
}

/// Gets the document at an address. The client, or what a test puts in its place.
pub(super) type Fetch =
    Arc<dyn Fn(KeyTimes, Uri) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchError>> + Send>> + Send + Sync>;

/// The keys of all providers in the order of the settings. Owned by the one task that swaps.
pub(super) struct KeyTable {
    fetch: Fetch,
    requests: KeyRequests,
    events: mpsc::Sender<KeyEvent>,
    slots: Vec<Slot>,
    lives: u64,
}

struct Slot {
    keys: Option<Arc<KeySet>>,
    /// When the keys were last confirmed, for people.
    confirmed: Option<UnixTime>,
    /// Why the last fetch failed, for people.
    failing: Option<&'static str>,
    /// Absent for keys of a file.
    fetched: Option<Fetched>,
}

struct Fetched {
    plan: KeyPlan,
    life: u64,
    since: Option<Instant>,
    task: AbortHandle,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an event asks of the one task that swaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyChange {
    /// Other keys are held: a new ring must serve.
    Ring,
    /// The keys are the same.
    None,
    /// The event is from a life that is over.
    Unheard,
}

impl KeyTable {
    pub(super) fn new(fetcher: Arc<Fetcher>) -> (Self, mpsc::Receiver<KeyEvent>) {
        Self::with(Arc::new(move |times, url| {
            let fetcher = Arc::clone(&fetcher);
            Box::pin(async move { fetcher.fetch(&url, times.timeout).await })
        }))
    }

    pub(super) fn with(fetch: Fetch) -> (Self, mpsc::Receiver<KeyEvent>) {
        let (events, receiver) = mpsc::channel(MOST_EVENTS);
        (Self { fetch, requests: KeyRequests::default(), events, slots: Vec::new(), lives: 0 }, receiver)
    }

    pub(super) fn requests(&self) -> KeyRequests {
        self.requests.clone()
    }

    /// Keys for the providers of these settings, `files` being those that were read with them. A provider whose keys come from where they
    /// came from keeps them; any other starts anew, with a fetch at once.
    pub(super) fn arrange(&mut self, settings: &Settings, files: &[Option<Arc<KeySet>>]) {
        let mut old = std::mem::take(&mut self.slots);
        let mut asks = HashMap::new();
        let mut files = files.iter();
        for provider in &settings.identity.providers {
            let file = files.next().cloned().flatten();
            let Some(plan) = KeyPlan::of(provider, &settings.identity.keys) else {
                let confirmed = file.as_ref().and_then(|_| now());
                self.slots.push(Slot { keys: file, confirmed, failing: None, fetched: None });
                continue;
            };
            let found = old
                .iter()
                .position(|slot| slot.fetched.as_ref().is_some_and(|fetched| fetched.plan.means_the_keys_of(&plan)));
            let before = found.map(|place| old.swap_remove(place));
            let id = plan.provider.clone();
            let runs_on =
                before.as_ref().is_some_and(|slot| slot.fetched.as_ref().is_some_and(|fetched| fetched.plan == plan));
            let known = self.requests.asks.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
            let (slot, ask) = match (before, runs_on, known) {
                (Some(slot), true, Some(ask)) => (slot, ask),
                (before, _, _) => self.begin(plan, before),
            };
            asks.insert(id, ask);
            self.slots.push(slot);
        }
        *self.requests.asks.lock().unwrap_or_else(PoisonError::into_inner) = asks;
    }

    /// Starts a life, with the keys of one that differed in nothing but its times.
    fn begin(&mut self, plan: KeyPlan, before: Option<Slot>) -> (Slot, mpsc::Sender<Ask>) {
        self.lives += 1;
        let (ask, asks) = mpsc::channel(MOST_WAITING);
        let since = before.as_ref().and_then(|slot| slot.fetched.as_ref()?.since);
        let confirmed = before.as_ref().and_then(|slot| slot.confirmed);
        let keys = before.and_then(|slot| slot.keys.clone());
        let held = keys.clone().zip(since).map(|(keys, since)| Held { keys, since });
        let life = Life::new(plan.clone(), Arc::clone(&self.fetch), held, asks);
        let task = tokio::spawn(life.run(self.lives, self.events.clone())).abort_handle();
        let fetched = Some(Fetched { plan, life: self.lives, since, task });
        (Slot { keys, confirmed, failing: None, fetched }, ask)
    }

    /// Takes note of an event. The caller puts a new ring to serve, where asked to, before it drops the event.
    pub(super) fn note(&mut self, event: &KeyEvent) -> KeyChange {
        let is_of = |slot: &&mut Slot| slot.fetched.as_ref().is_some_and(|fetched| fetched.life == event.life);
        let Some(slot) = self.slots.iter_mut().find(is_of) else { return KeyChange::Unheard };
        match &event.news {
            KeyNews::Fetched { keys, changed } => {
                (slot.confirmed, slot.failing) = (now(), None);
                if let Some(fetched) = &mut slot.fetched {
                    fetched.since = Some(Instant::now());
                }
                if !changed {
                    return KeyChange::None;
                }
                slot.keys = Some(Arc::clone(keys));
                KeyChange::Ring
            }
            KeyNews::Failed(code) => {
                slot.failing = Some(code);
                KeyChange::None
            }
            KeyNews::Dropped => {
                slot.keys = None;
                KeyChange::Ring
            }
        }
    }

    /// How many keys of that provider are held.
    pub(super) fn held(&self, provider: &ProviderId) -> usize {
        let slot =
            self.slots.iter().find(|slot| slot.fetched.as_ref().is_some_and(|one| one.plan.provider == *provider));
        slot.and_then(|slot| slot.keys.as_ref()).map_or(0, |keys| keys.len())
    }

    /// What is to be shown of the keys of these settings, to which the table was arranged.
    pub(super) fn status(&self, settings: &Settings) -> Vec<KeyStatus> {
        let of = |(provider, slot): (&ProviderSettings, &Slot)| KeyStatus {
            provider: provider.provider.id.to_string(),
            keys: slot.keys.as_ref().map_or(0, |keys| keys.len()),
            confirmed: slot.confirmed,
            failing: slot.failing,
        };
        settings.identity.providers.iter().zip(&self.slots).map(of).collect()
    }

    /// What is held now.
    pub(super) fn ring(&self) -> KeyRing {
        KeyRing::new(self.slots.iter().map(|slot| slot.keys.clone()).collect())
    }
}

#[cfg(test)]
mod tests;
