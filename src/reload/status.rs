//! What the reload has to say for itself: the text of `/status`, and the words for metrics.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::{diagnostic::Report, time::UnixTime, token::ProviderId};

/// Where the reload stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The number of the generation that serves.
    pub generation: u64,
    /// When its files were applied.
    pub applied: Option<UnixTime>,
    /// Settings that differ on disk and count after a restart only.
    pub restart_needed: Vec<&'static str>,
    /// Since when the files on disk are not those that serve; absent while they are.
    pub stale_since: Option<UnixTime>,
    /// The last files that were rejected, if any were since the start.
    pub rejected: Option<Rejected>,
    /// The keys of each provider, in the order of the settings.
    pub keys: Vec<KeyStatus>,
}

/// Files that did not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// When they were looked at.
    pub at: Option<UnixTime>,
    /// What is wrong with them.
    pub report: Report,
}

/// The keys of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The provider.
    pub provider: String,
    /// How many keys are held.
    pub keys: usize,
    /// When they were last confirmed: fetched, or read with the files.
    pub confirmed: Option<UnixTime>,
    /// Why the last fetch failed; absent when it did not.
    pub failing: Option<&'static str>,
}

/// Something that happened, for metrics.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// New files serve.
    Applied,
    /// New files do not compile; what served goes on serving.
    Rejected,
    /// A fetch of keys ended, or keys became too old.
    Keys {
        /// Whose.
        provider: &'a ProviderId,
        /// Why not: the code of the failure, or `dropped`.
        result: Result<(), &'static str>,
        /// How many keys are held now.
        held: usize,
    },
}

/// The status, shared with whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct SharedStatus(Arc<Mutex<Status>>);

impl SharedStatus {
    /// The status at this moment.
    pub fn read(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it under the lock.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The wall clock, for people: nothing is decided on it here.
pub(super) fn now() -> Option<UnixTime> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(UnixTime::from_seconds(since.as_secs()))
}
