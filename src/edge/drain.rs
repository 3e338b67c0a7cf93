//! How the edge stops without losing a request.
//!
//! First answers say `Connection: close` while connections are still taken, so that clients and load balancers go elsewhere. Then the
//! listeners close, after their backlog has been taken, and HTTP/2 connections are told to go. Idle HTTP/1 connections linger: a request
//! that is on its way is still answered. Those that work get the grace, and what is left is cut and counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use pingora::apps::HttpServerApp;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, futures::OwnedNotified, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    listener::{Edge, EdgeError, accept},
    refusal::{Refusals, Served},
};

/// The least time that connections without a request stay, once the listeners are closed: some were just accepted.
pub const SETTLE: Duration = Duration::from_millis(300);

/// The grace where a listener has died.
const LOST: Duration = Duration::from_secs(5);

/// How long WebSockets may take to be told that the grace is over.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Stops the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// How long to go on accepting.
    pub delay: Duration,
    /// How long idle HTTP/1 connections then stay open. Part of the grace.
    pub linger: Duration,
    /// How long requests in flight may take after the delay.
    pub grace: Duration,
}

/// How connections learn of a stop.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// HTTP/2 connections take no more streams.
    pub(super) soon: watch::Receiver<bool>,
    /// Idle HTTP/1 connections end.
    pub(super) now: watch::Receiver<bool>,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOutcome {
    /// Connections that were still open when the grace was over.
    pub cut: usize,
    /// A listener had died, which nobody asked for: the process should report a failure.
    pub lost_listener: bool,
}

/// Whether the edge is stopping.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<Stage>);

#[derive(Debug, Default)]
struct Stage {
    has_begun: AtomicBool,
    is_over: AtomicBool,
    over: Arc<Notify>,
}

impl Draining {
    /// From now on readiness is red, and answers close their connection.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(SeqCst)
    }

    fn begin(&self) {
        self.0.has_begun.store(true, SeqCst);
    }

    /// The grace is over as well.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(SeqCst)
    }

    /// Resolves when the grace ends; whoever asks looks at [`Draining::is_over`] once more before waiting.
    pub(super) fn over(&self) -> OwnedNotified {
        Arc::clone(&self.0.over).notified_owned()
    }

    /// Resolves when the grace is over.
    pub(super) async fn ended(&self) {
        let over = self.over();
        if !self.is_over() {
            over.await;
        }
    }

    fn end(&self) {
        self.0.is_over.store(true, SeqCst);
        self.0.over.notify_waiters();
    }
}

/// Counts open connections.
#[derive(Debug, Default)]
pub(super) struct Census {
    open: AtomicUsize,
    empty: Notify,
}

impl Census {
    /// A place for one more connection, if there are fewer than `most`.
    pub(super) fn admit(self: &Arc<Self>, most: usize) -> Option<Permit> {
        let admitted = self.open.fetch_update(SeqCst, SeqCst, |open| (open < most).then_some(open + 1));
        admitted.ok().map(|_| Permit { census: self.clone() })
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    async fn is_empty(&self) {
        loop {
            let mut empty = std::pin::pin!(self.empty.notified());
            empty.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            empty.await;
        }
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    census: Arc<Census>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.census.open.fetch_sub(1, SeqCst) == 1 {
            self.census.empty.notify_waiters();
        }
    }
}

impl Edge {
    /// Serves until the first stop, and through it. A second stop while still accepting ends that; a stop after it ends the rest.
    /// Without any sender left, serves forever.
    pub async fn run<A>(self, app: Arc<A>, refusals: Arc<dyn Refusals>, mut stops: mpsc::Receiver<Stop>) -> DrainOutcome
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        let (close, closing) = watch::channel(false);
        let ((tell, soon), (end, now)) = (watch::channel(false), watch::channel(false));
        let (census, draining) = (self.census(), self.draining());
        let served = Served { app: app.clone(), refusals };
        let mut loops = JoinSet::new();
        for listening in self.into_listening(served, &closing, &Ending { soon, now }) {
            loops.spawn(accept(listening));
        }
        let (stop, lost_listener) = first_stop(&mut loops, &mut stops).await;
        draining.begin();
        let stop = delay(stop, &mut stops).await;
        close.send_replace(true);
        // These keep the connections alive.
        let connections = ended(loops).await;
        tell.send_replace(true);
        let over = Instant::now() + stop.grace;
        let hurried = wait(&census, Instant::now() + stop.linger, &mut stops).await;
        end.send_replace(true);
        app.http_cleanup().await;
        if !hurried {
            wait(&census, over, &mut stops).await;
        }
        let cut = census.open();
        draining.end();
        let _ = tokio::time::timeout(LAST_WORDS, census.is_empty()).await;
        for mut tasks in connections {
            tasks.shutdown().await;
        }
        DrainOutcome { cut, lost_listener }
    }
}

/// Serves until told to stop, or until a listener has died.
async fn first_stop(loops: &mut JoinSet<JoinSet<()>>, stops: &mut mpsc::Receiver<Stop>) -> (Stop, bool) {
    tokio::select! {
        stop = next(stops) => (stop, false),
        // It panicked: rather no gateway than one that does not listen.
        Some(_) = loops.join_next() => (Stop { delay: Duration::ZERO, linger: SETTLE, grace: LOST }, true),
    }
}

/// Goes on accepting for a while; tells the pace of what follows.
async fn delay(stop: Stop, stops: &mut mpsc::Receiver<Stop>) -> Stop {
    tokio::select! {
        () = tokio::time::sleep(stop.delay) => stop,
        sooner = next(stops) => sooner,
    }
}

/// What the accept loops leave.
async fn ended(mut loops: JoinSet<JoinSet<()>>) -> Vec<JoinSet<()>> {
    let mut connections = Vec::new();
    while let Some(ended) = loops.join_next().await {
        connections.extend(ended.ok());
    }
    connections
}

/// Waits until nothing is open, for a while; true when another stop ended that.
async fn wait(census: &Census, over: Instant, stops: &mut mpsc::Receiver<Stop>) -> bool {
    tokio::select! {
        () = census.is_empty() => false,
        () = tokio::time::sleep_until(over) => false,
        _ = next(stops) => true,
    }
}

async fn next(stops: &mut mpsc::Receiver<Stop>) -> Stop {
    match stops.recv().await {
        Some(stop) => stop,
        None => std::future::pending().await,
    }
}

/// The stops that signals ask for: SIGTERM with the current pace, SIGINT without its delay. Others may send stops as well. Must be called
/// inside the runtime.
pub fn signals(
    pace: impl Fn() -> Stop + Send + 'static,
) -> Result<(mpsc::Sender<Stop>, mpsc::Receiver<Stop>), EdgeError> {
    let mut term = signal(SignalKind::terminate()).map_err(|source| EdgeError::Signals { source })?;
    let mut int = signal(SignalKind::interrupt()).map_err(|source| EdgeError::Signals { source })?;
    let (sender, stops) = mpsc::channel(4);
    let others = sender.clone();
    tokio::spawn(async move {
        loop {
            let stop = tokio::select! {
                Some(()) = term.recv() => pace(),
                Some(()) = int.recv() => Stop { delay: Duration::ZERO, ..pace() },
                else => return,
            };
            if sender.send(stop).await.is_err() {
                return;
            }
        }
    });
    Ok((others, stops))
}
