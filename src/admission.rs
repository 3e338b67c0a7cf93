//! The front doors' only way to the gate: adds what the core must not have, a clock and the fetch of an unknown key.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    gate::{Admission, Denial, Generation, Live, Seen},
    identity::AuthenticationError,
    policy::Body,
    reload::{KeyRequests, Refetch},
    request::RequestView,
    time::{Moment, Now, UnixTime},
    token::TokenError,
};

/// The current time. The only reading of the clock on the path of a request.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 makes every token "not valid yet", which denies.
    UnixTime::from_seconds(since.map_or(0, |since| since.as_secs()))
}

/// How long it is until that moment, to the millisecond; zero when it has passed. Read once, when a stream is admitted.
pub fn until(moment: UnixTime) -> Duration {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(moment.seconds());
    at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Admits requests on whatever serves at the moment: `S` is a generation, and what a front door keeps beside it.
pub struct Admissions<S> {
    live: Arc<Live<S>>,
    keys: KeyRequests,
    started: Instant,
}

impl<S: AsRef<Generation>> Admissions<S> {
    /// Over the live cell, and the task that fetches keys.
    pub fn new(live: Arc<Live<S>>, keys: KeyRequests) -> Self {
        Self { live, keys, started: Instant::now() }
    }

    /// What serves at the moment. A request loads it once.
    pub fn serving(&self) -> Arc<S> {
        self.live.load()
    }

    fn clock(&self) -> Now {
        Now { time: now(), moment: Moment::after_start(self.started.elapsed()) }
    }

    /// Admits one request. When its token names a key that is not held, one fetch may be waited for; the whole line is then run again on
    /// the generation that has the new keys, which the caller finds in `serving`.
    ///
    /// # Errors
    /// As [`Generation::admit`].
    pub async fn admit(
        &self,
        serving: &mut Arc<S>,
        view: &RequestView<'_>,
        body: Body<'_>,
        seen: &mut Seen,
    ) -> Result<Admission, Denial> {
        let first = (**serving).as_ref().admit(view, body, self.clock(), seen);
        let Err(Denial::Authentication(AuthenticationError::Token(TokenError::UnknownKey { provider }))) = first else {
            return first;
        };
        let Some(provider) = (**serving).as_ref().settings().identity.providers.get(provider) else { return first };
        match self.keys.refetch(&provider.provider.id).await {
            Refetch::NotDue | Refetch::Failed => first,
            Refetch::Done => {
                *serving = self.live.load();
                *seen = Seen { tally: std::mem::take(&mut seen.tally), ..Seen::default() };
                (**serving).as_ref().admit(view, body, self.clock(), seen)
            }
        }
    }
}
