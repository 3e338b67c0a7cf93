//! What is done for upstreams beside the requests: names are resolved again and again, and servers are checked.
//!
//! One set of tasks for the upstreams that serve; it ends when others take their place.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::task::JoinSet;

use super::{Name, Upstream, Upstreams, checks};

/// How often a name that has addresses is resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// How soon a name without an address is tried again; doubled up to [`RESOLVE_EVERY`].
const RESOLVE_SOON: Duration = Duration::from_secs(1);
/// How long one look-up may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks of the upstreams that serve.
#[derive(Debug, Default)]
pub struct Background(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    upstreams: Arc<Upstreams>,
    /// Ends its tasks when dropped.
    _tasks: JoinSet<()>,
}

impl Background {
    /// Works for these upstreams from now on, and no longer for those before. Must be called within a runtime.
    pub fn follow(&self, upstreams: &Arc<Upstreams>) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|running| Arc::ptr_eq(&running.upstreams, upstreams)) {
            return;
        }
        let mut tasks = JoinSet::new();
        for (place, upstream) in upstreams.0.iter().enumerate() {
            for (name, _) in upstream.names.iter().enumerate().filter(|(_, name)| !name.is_literal()) {
                tasks.spawn(keep_resolved(Arc::clone(upstreams), place, name));
            }
            if upstream.health_check.is_some() {
                tasks.spawn(checks::keep_checked(Arc::clone(upstreams), place));
            }
        }
        *running = Some(Running { upstreams: Arc::clone(upstreams), _tasks: tasks });
    }
}

impl Upstreams {
    /// Waits until every name has been looked up once, or `patience` is over.
    pub async fn resolved(self: &Arc<Self>, patience: Duration) {
        let mut tasks = JoinSet::new();
        for (place, upstream) in self.0.iter().enumerate() {
            for (name, _) in upstream.names.iter().enumerate().filter(|(_, name)| !name.is_literal()) {
                let upstreams = Arc::clone(self);
                tasks.spawn(async move { upstreams.resolve(place, name).await });
            }
        }
        // Who is late is looked up by the tasks of the background.
        let _ = tokio::time::timeout(patience, async { while tasks.join_next().await.is_some() {} }).await;
    }

    /// Resolves one name; false when it has no address after that.
    async fn resolve(&self, place: usize, name: usize) -> bool {
        let Some(upstream) = self.0.get(place) else { return true };
        let Some(name) = upstream.names.get(name) else { return true };
        upstream.resolve(name).await
    }
}

async fn keep_resolved(upstreams: Arc<Upstreams>, place: usize, name: usize) {
    let mut pause = RESOLVE_SOON;
    loop {
        let has_addresses = upstreams.resolve(place, name).await;
        if has_addresses {
            pause = RESOLVE_EVERY;
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(RESOLVE_EVERY);
    }
}

impl Upstream {
    async fn resolve(&self, name: &Name) -> bool {
        let site = (name.endpoint.host.as_str(), name.endpoint.port);
        let host = site.0;
        match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(site)).await {
            Ok(Ok(found)) => self.found(name, found.collect()),
            Ok(Err(error)) => tracing::warn!(upstream = %self.id, host, %error, "a name does not resolve"),
            Err(_) => tracing::warn!(upstream = %self.id, host, "a name does not resolve in time"),
        }
        name.is_new.store(false, Relaxed);
        self.looked_up.notify_waiters();
        !name.addresses.load().is_empty()
    }

    /// New addresses take the place of the old ones. None at all are no answer: the old ones stay.
    fn found(&self, name: &Name, mut addresses: Vec<SocketAddr>) {
        addresses.sort_unstable();
        addresses.dedup();
        if !addresses.is_empty() && **name.addresses.load() != addresses {
            tracing::info!(upstream = %self.id, host = %name.endpoint.host, ?addresses, "a name has resolved");
            name.addresses.store(Arc::new(addresses));
            self.arrange();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::upstream::tests::upstreams;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_that_vanish_are_dropped_and_those_that_stay_keep_their_health() {
        let (upstreams, _) = upstreams("['http://app.example:80']");
        let upstream = upstreams.get(0).unwrap();
        let name = &upstream.names[0];
        let held = || upstream.servers.load().iter().map(|server| server.address).collect::<Vec<_>>();
        assert!(held().is_empty());
        upstream.found(name, addresses(&["192.0.2.1:80", "[2001:db8::1]:80", "192.0.2.1:80"]));
        assert_eq!(held(), addresses(&["192.0.2.1:80", "[2001:db8::1]:80"]));
        let first = Arc::clone(&upstream.servers.load()[0]);
        upstream.found(name, addresses(&["192.0.2.1:80", "192.0.2.2:80"]));
        assert_eq!(held(), addresses(&["192.0.2.1:80", "192.0.2.2:80"]));
        assert!(Arc::ptr_eq(&first, &upstream.servers.load()[0]));
        upstream.found(name, Vec::new());
        assert_eq!(held().len(), 2, "an empty answer takes nothing away");
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_stops_nothing() {
        let (upstreams, _) = upstreams("['http://nowhere.invalid']");
        let upstreams = Arc::new(upstreams);
        upstreams.resolved(Duration::from_secs(20)).await;
        assert_eq!(upstreams.status()[0].servers[0].address, None);
    }

    #[tokio::test]
    async fn requests_wait_for_the_first_look_up_of_a_new_name_and_for_no_other() {
        let (local, _) = upstreams("['http://localhost:80']");
        let upstream = local.get(0).unwrap();
        let name = &upstream.names[0];
        let (has_addresses, ()) = tokio::join!(upstream.resolve(name), upstream.arranged());
        assert!(has_addresses && !upstream.servers.load().is_empty());

        let (nowhere, _) = upstreams("['http://nowhere.invalid']");
        let upstream = nowhere.get(0).unwrap();
        let waits = std::cell::Cell::new(true);
        let waiting = async {
            upstream.arranged().await;
            waits.set(false);
        };
        let looking = async {
            tokio::task::yield_now().await;
            assert!(waits.get());
            upstream.names[0].is_new.store(false, Relaxed);
            upstream.looked_up.notify_waiters();
        };
        tokio::join!(waiting, looking);
        // From now on the answer is "no server", at once.
        tokio::time::timeout(Duration::ZERO, upstream.arranged()).await.unwrap();
    }

    #[tokio::test]
    async fn tasks_end_with_their_upstreams() {
        let first = Arc::new(upstreams("['http://localhost:1']").0);
        let second = Arc::new(upstreams("['http://localhost:2']").0);
        let background = Background::default();
        background.follow(&first);
        background.follow(&first);
        assert!(Arc::strong_count(&first) > 1);
        background.follow(&second);
        for _ in 0..1000 {
            if Arc::strong_count(&first) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("a task goes on");
    }
}
