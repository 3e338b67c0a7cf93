//! The only task that swaps what serves.
//!
//! Two things reach it: "look again" (`watch`, SIGHUP) and news of keys (`keys`). Files are taken all or none, and only when two reads a moment
//! apart agree; what does not compile changes nothing, and is told once. The request path only ever loads what was swapped in last.

mod certificates;
mod compile;
pub mod fetch;
mod keys;
mod status;
mod trust;
mod watch;

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use crate::{diagnostic::Report, gate::source::Fingerprint};
use fetch::Fetcher;
use keys::{KeyChange, KeyEvent, KeyNews, KeyTable};
use status::now;
use watch::Watch;

pub use certificates::only_tls_is_wrong;
pub use compile::{CODES, Compiled, OutlineStep, Parts, PoliciesStep, SettingsStep, Steps, Tested, TestsStep, compile};
pub use keys::{KeyFault, KeyRequests, Refetch};
pub use status::{KeyStatus, News, Rejected, SharedStatus, Status};
pub use trust::Trust;

/// Two reads this far apart must agree before files are applied: a writer may be amid its work.
const SETTLE: Duration = Duration::from_millis(100);

/// Disagreeing reads after which the look is put off.
const MOST_READS: usize = 20;

/// So long may a certificate and its key not fit each other before that is told: they are often replaced one after the other.
const PAIRING: Duration = Duration::from_secs(2);

/// What a reload needs of its surroundings.
pub struct Surroundings<P> {
    /// The settings file.
    pub path: PathBuf,
    /// How text is compiled.
    pub steps: Arc<Steps<P>>,
    /// Fetches keys.
    pub fetcher: Arc<Fetcher>,
    /// Puts a generation to serve. Called by one task only, in order.
    pub publish: Box<dyn Fn(Parts<P>) + Send>,
    /// Where the reload tells how it stands.
    pub status: SharedStatus,
    /// Hears what happened, after it did.
    pub observe: Box<dyn Fn(News<'_>) + Send>,
}

impl<P> fmt::Debug for Surroundings<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A running reload. Ends when dropped.
#[derive(Debug)]
pub struct Reload {
    look: Arc<Notify>,
    requests: KeyRequests,
    task: JoinHandle<()>,
}

impl Reload {
    /// Starts with files that compiled: publishes them as generation 1 before it returns, then fetches keys and watches the files.
    /// Must be called within a tokio runtime.
    pub fn start<P: Send + Sync + 'static>(first: Compiled<P>, surroundings: Surroundings<P>) -> Self {
        let (keys, events) = KeyTable::new(Arc::clone(&surroundings.fetcher));
        Self::with(first, surroundings, keys, events)
    }

    fn with<P: Send + Sync + 'static>(
        first: Compiled<P>,
        surroundings: Surroundings<P>,
        mut keys: KeyTable,
        events: mpsc::Receiver<KeyEvent>,
    ) -> Self {
        let look = Arc::new(Notify::new());
        let Compiled { settings, policies, keys: files, trust, tls, fingerprint } = first;
        keys.arrange(&settings, &files);
        let serving = Parts {
            number: 1,
            settings: Arc::new(settings),
            policies,
            trust: trust.into(),
            keys: Arc::new(keys.ring()),
            tls: tls.into(),
        };
        (surroundings.publish)(serving.clone());
        let watch = Watch::start(compile::places(&surroundings.path, &serving.settings), Arc::clone(&look));
        let status = surroundings.status.clone();
        status.update(|status| {
            (status.generation, status.applied) = (1, now());
            status.keys = keys.status(&serving.settings);
        });
        let requests = keys.requests();
        let task = Task { surroundings, keys, watch, serving, serves: fingerprint, seen: fingerprint, status };
        let task = tokio::spawn(task.run(events, Arc::clone(&look)));
        Self { look, requests, task }
    }

    /// Looks at the files now, as SIGHUP asks.
    pub fn poke(&self) {
        self.look.notify_one();
    }

    /// The door through which requests ask for newer keys.
    pub fn requests(&self) -> KeyRequests {
        self.requests.clone()
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task<P> {
    surroundings: Surroundings<P>,
    keys: KeyTable,
    watch: Watch,
    serving: Parts<P>,
    /// The files that serve.
    serves: Fingerprint,
    /// The files that were looked at last, good or bad.
    seen: Fingerprint,
    status: SharedStatus,
}

/// What a look came to.
enum Looked<P> {
    /// The files are those that were looked at last.
    Same,
    /// The files are again those that serve.
    Reverted(Fingerprint),
    /// Other files, which compile.
    Good(Box<Compiled<P>>, Report),
    /// Other files, which do not.
    Bad(Fingerprint, Report),
    /// The files are still being written.
    Unsettled,
}

type Look<P> = Pin<Box<dyn Future<Output = Looked<P>> + Send>>;

impl<P: Send + Sync + 'static> Task<P> {
    async fn run(mut self, mut events: mpsc::Receiver<KeyEvent>, again: Arc<Notify>) {
        let mut looking: Option<Look<P>> = None;
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.heed(event),
                looked = async { match &mut looking { Some(look) => look.await, None => std::future::pending().await } } => {
                    looking = None;
                    if matches!(looked, Looked::Unsettled) {
                        again.notify_one();
                    }
                    self.conclude(looked);
                }
                () = again.notified(), if looking.is_none() => looking = Some(self.look()),
            }
        }
    }

    /// Reads and compiles aside, so that keys are swapped meanwhile.
    fn look(&self) -> Look<P> {
        let (path, steps) = (self.surroundings.path.clone(), Arc::clone(&self.surroundings.steps));
        Box::pin(look(path, steps, self.seen, self.serves))
    }

    fn conclude(&mut self, looked: Looked<P>) {
        match looked {
            Looked::Same => {}
            Looked::Unsettled => warn!("the files keep changing; what served goes on serving until they rest"),
            Looked::Reverted(fingerprint) => {
                self.seen = fingerprint;
                self.status.update(|status| status.stale_since = None);
                info!(generation = self.serving.number, "the files are again those that serve");
            }
            Looked::Good(compiled, warnings) => self.apply(*compiled, &warnings),
            Looked::Bad(fingerprint, report) => self.reject(fingerprint, report),
        }
    }

    fn apply(&mut self, compiled: Compiled<P>, warnings: &Report) {
        let Compiled { mut settings, policies, keys, trust, tls, fingerprint } = compiled;
        let continued = settings.continued_listeners(&self.serving.settings);
        let kept = settings.keep_until_restart(&self.serving.settings);
        self.keys.arrange(&settings, &keys);
        self.watch.set(compile::places(&self.surroundings.path, &settings));
        (self.seen, self.serves) = (fingerprint, fingerprint);
        self.serving.settings = Arc::new(settings);
        self.serving.policies = policies;
        self.serving.trust = trust.into();
        // A listener that is gone from the files serves on with what it has, until the restart that it needs.
        let listeners = continued.iter().zip(self.serving.tls.iter());
        let listeners = listeners.map(|(at, old)| at.and_then(|at| tls.get(at)).unwrap_or(old).clone());
        self.serving.tls = listeners.collect();
        self.swap();
        let generation = self.serving.number;
        self.status.update(|status| {
            (status.applied, status.stale_since) = (now(), None);
            status.restart_needed.clone_from(&kept);
            status.keys = self.keys.status(&self.serving.settings);
        });
        info!(generation, "new files serve");
        if !warnings.is_empty() {
            warn!(generation, "the files compile, with findings:\n{warnings}");
        }
        if !kept.is_empty() {
            warn!(settings = kept.join(", "), "these settings have changed and need a restart; the old values go on");
        }
        (self.surroundings.observe)(News::Applied);
    }

    fn reject(&mut self, fingerprint: Fingerprint, report: Report) {
        self.seen = fingerprint;
        error!(
            generation = self.serving.number,
            "new files are rejected, and the last good ones go on serving:\n{report}"
        );
        (self.surroundings.observe)(News::Rejected);
        self.status.update(|status| {
            status.stale_since = status.stale_since.or_else(now);
            status.rejected = Some(Rejected { at: now(), report });
        });
    }

    /// Acts on news of keys. The event is dropped last: its sender waits for that.
    fn heed(&mut self, event: KeyEvent) {
        let change = self.keys.note(&event);
        if change == KeyChange::Unheard {
            return;
        }
        if change == KeyChange::Ring {
            self.swap();
        }
        let (result, held) = match &event.news {
            KeyNews::Fetched { keys, .. } => (Ok(()), keys.len()),
            KeyNews::Failed(code) => (Err(*code), self.keys.held(&event.provider)),
            KeyNews::Dropped => (Err("dropped"), 0),
        };
        self.status.update(|status| status.keys = self.keys.status(&self.serving.settings));
        (self.surroundings.observe)(News::Keys { provider: &event.provider, result, held });
    }

    fn swap(&mut self) {
        self.serving.number = self.serving.number.saturating_add(1);
        self.serving.keys = Arc::new(self.keys.ring());
        (self.surroundings.publish)(self.serving.clone());
        self.status.update(|status| status.generation = self.serving.number);
    }
}

/// Files of which nothing but TLS files is wrong: perhaps the other half of a pair is on its way.
struct Unpaired {
    /// Then it is told.
    until: Instant,
    fingerprint: Fingerprint,
    report: Report,
}

/// Reads until two reads agree, and compiles what they agree on.
///
/// SECURITY: files of two versions must not be mixed, nor a half of one taken for the whole: `no_mixture_of_two_versions_is_ever_served`.
async fn look<P: Send + Sync + 'static>(
    path: PathBuf,
    steps: Arc<Steps<P>>,
    seen: Fingerprint,
    serves: Fingerprint,
) -> Looked<P> {
    let (mut before, mut reads) = (None, 0);
    let mut unpaired: Option<Unpaired> = None;
    while reads < MOST_READS {
        let (reader, file) = (Arc::clone(&steps), path.clone());
        // It fails only where the runtime is shutting down.
        let Ok(read) = spawn_blocking(move || compile::gather(&file, &reader)).await else { return Looked::Same };
        let found = read.fingerprint;
        if found == seen {
            return Looked::Same;
        }
        let is_known = unpaired.as_ref().is_some_and(|known| known.fingerprint == found);
        if let Some(known) = unpaired.take_if(|known| is_known && known.until <= Instant::now()) {
            return Looked::Bad(found, known.report);
        }
        if before == Some(found) && !is_known {
            if found == serves {
                return Looked::Reverted(found);
            }
            let compiler = Arc::clone(&steps);
            match spawn_blocking(move || compile::build(read, &compiler)).await {
                Ok((Some(compiled), report)) => return Looked::Good(Box::new(compiled), report),
                Ok((None, report)) if only_tls_is_wrong(&report) => {
                    let until = unpaired.map_or_else(|| Instant::now() + PAIRING, |known| known.until);
                    unpaired = Some(Unpaired { until, fingerprint: found, report });
                }
                Ok((None, report)) => return Looked::Bad(found, report),
                Err(_) => return Looked::Same,
            }
        }
        reads += usize::from(before != Some(found));
        before = Some(found);
        sleep(SETTLE).await;
    }
    Looked::Unsettled
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
