//! Notices that files may have changed, and says no more than "look again".
//!
//! Watches folders, never files: an editor replaces a file, Kubernetes replaces a link. Events are gathered until the folders are quiet, and
//! the folders are armed anew before each word is given, so that what changes during the look raises the next one. Where no event comes, the
//! poll does. Does not read contents: whoever looks compares them.

mod interest;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout_at},
};
use tracing::{info, warn};

use interest::Interest;

/// So long must the folders be quiet.
const QUIET: Duration = Duration::from_millis(100);

/// So long is a look put off at most, however busy the folders are.
const LONGEST: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Single files: the settings, key files.
    pub(super) files: Vec<PathBuf>,
    /// Folders with all that is in them: the policies.
    pub(super) folders: Vec<PathBuf>,
    /// The longest time between two looks.
    pub(super) poll: Duration,
}

/// A running watch. Ends when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    places: watch::Sender<Places>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch. `look` is notified once the folders are armed, and after every change; several changes may be one notification.
    pub(super) fn start(places: Places, look: Arc<Notify>) -> Self {
        let (sender, receiver) = watch::channel(places);
        let task = tokio::spawn(run(receiver, look));
        Self { places: sender, task }
    }

    /// Watches other places from now on. Nothing happens where they are the same.
    pub(super) fn set(&self, places: Places) {
        self.places.send_if_modified(|current| {
            let changed = *current != places;
            if changed {
                *current = places;
            }
            changed
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut places: watch::Receiver<Places>, look: Arc<Notify>) {
    let events = Arc::new(Notify::new());
    let mut arms = Arms::new(&events);
    loop {
        let now = places.borrow_and_update().clone();
        let poll = now.poll;
        arms = match spawn_blocking(move || arms.rearm(&now)).await {
            Ok(arms) => arms,
            Err(error) => {
                warn!(%error, "the file watcher failed; looking every {poll:?} until it is back");
                Arms::new(&events)
            }
        };
        look.notify_one();
        tokio::select! {
            () = events.notified() => settle(&events).await,
            () = sleep(poll) => {}
            changed = places.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until no event has come for a while.
async fn settle(events: &Notify) {
    let last = Instant::now() + LONGEST;
    loop {
        let quiet = Instant::now() + QUIET;
        if quiet >= last || timeout_at(quiet, events.notified()).await.is_err() {
            return;
        }
    }
}

/// The operating system's watcher and what it is asked to watch.
struct Arms {
    events: Arc<Notify>,
    interest: Arc<Mutex<Interest>>,
    /// Absent where the system gives none; each re-arming tries again.
    watcher: Option<RecommendedWatcher>,
    armed: HashSet<PathBuf>,
    /// So that a lasting failure is logged once.
    failing: Arc<AtomicBool>,
}

impl Arms {
    fn new(events: &Arc<Notify>) -> Self {
        Self {
            events: Arc::clone(events),
            interest: Arc::default(),
            watcher: None,
            armed: HashSet::new(),
            failing: Arc::default(),
        }
    }

    /// Watches the folders that matter now, and no others. Blocks on the file system.
    fn rearm(mut self, places: &Places) -> Self {
        let interest = Interest::of(&places.files, &places.folders);
        let wanted: HashSet<PathBuf> = interest.folders().map(PathBuf::from).collect();
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        if let Err(error) = self.arm(&wanted) {
            if !self.failing.swap(true, Ordering::Relaxed) {
                warn!(%error, poll = ?places.poll, "files cannot be watched; changes are seen by the poll only");
            }
        } else if self.failing.swap(false, Ordering::Relaxed) {
            info!("files are watched again");
        }
        self
    }

    fn arm(&mut self, wanted: &HashSet<PathBuf>) -> notify::Result<()> {
        if self.watcher.is_none() {
            self.armed.clear();
            self.watcher = Some(self.watcher()?);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for gone in self.armed.difference(wanted) {
            // Fails where the folder itself is gone, which is as well.
            let _ = watcher.unwatch(gone);
        }
        self.armed.clear();
        let mut result = Ok(());
        for folder in wanted {
            // Again for those that are armed: a folder of the same path may be another folder by now.
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.armed.insert(folder.clone()),
                // Gone since it was listed; its parent tells when it comes back.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let (events, interest, failing) =
            (Arc::clone(&self.events), Arc::clone(&self.interest), Arc::clone(&self.failing));
        notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) => {
                if concerns(&event, &interest.lock().unwrap_or_else(PoisonError::into_inner)) {
                    events.notify_one();
                }
            }
            Err(error) => {
                if !failing.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the file watcher reports an error");
                }
                events.notify_one();
            }
        })
    }
}

/// May the event mean other contents? Opening and reading do not count: looking would otherwise cause looking.
fn concerns(event: &notify::Event, interest: &Interest) -> bool {
    let writes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
        EventKind::Access(_) => false,
    };
    // Without a path it is an overflow: anything may have changed.
    writes && (event.paths.is_empty() || event.paths.iter().any(|path| interest.concerns(path)))
}

#[cfg(test)]
mod tests;
