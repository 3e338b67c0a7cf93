//! HTTP/2 connections, by ALPN or prior knowledge.
//!
//! pingora and h2 speak the protocol; this room sets their limits and ends an exchange at its deadline, by dropping it: h2 then resets
//! that stream, and the others live on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use async_trait::async_trait;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    protocols::http::{
        ServerSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};
use tokio::sync::{Notify, watch};

use super::{
    conn::{CUTOFF, Conn, Cut, Cutoff},
    guard::Guard,
    refusal::EdgeEvent,
};
use crate::config::Limits;

const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER: usize = 256 * 1024;
const PENDING_RESETS: usize = 20;

/// Serves a connection to its end.
pub(super) async fn serve<A>(app: &Arc<A>, guard: Guard, shutdown: &ShutdownWatch)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let limits = *guard.limits();
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(limits.keepalive);
    let streams = Streams {
        conn: guard.conn().clone(),
        open: AtomicUsize::new(0),
        seen: AtomicUsize::new(0),
        enough: Notify::new(),
    };
    let app = Arc::new(Bounded { app: app.clone(), options, limits, streams, shutdown: shutdown.clone() });
    let (retire, retired) = watch::channel(false);
    tokio::select! {
        biased;
        _ = app.process_new(Box::new(guard), &retired) => {}
        () = app.retire(&retire) => {}
    }
}

/// An application with limits for each stream, on one connection.
struct Bounded<A> {
    app: Arc<A>,
    options: HttpServerOptions,
    limits: Limits,
    streams: Streams,
    shutdown: ShutdownWatch,
}

/// The streams of a connection.
struct Streams {
    conn: Arc<Conn>,
    open: AtomicUsize,
    seen: AtomicUsize,
    /// There were as many as the limits allow.
    enough: Notify,
}

impl Streams {
    /// One more, until what is returned is dropped.
    fn begin(&self, most: usize) -> Open<'_> {
        self.open.fetch_add(1, Relaxed);
        if self.seen.fetch_add(1, Relaxed) + 1 == most {
            self.enough.notify_one();
        }
        Open(self)
    }
}

struct Open<'a>(&'a Streams);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl<A> Bounded<A> {
    /// Tells the client to go elsewhere when it has had enough requests, or at a stop. Resolves when it stays on without any.
    async fn retire(&self, retire: &watch::Sender<bool>) {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = self.streams.enough.notified() => {}
            // The sender outlives all connections.
            _ = shutdown.wait_for(|down| *down) => {}
        }
        retire.send_replace(true);
        loop {
            // SECURITY: pingora waits without a limit then: `a_client_that_overstays_its_requests_is_closed`.
            tokio::time::sleep(self.limits.keepalive).await;
            if self.streams.open.load(Relaxed) == 0 {
                return;
            }
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Bounded<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let _open = self.streams.begin(self.limits.requests_per_connection);
        // A client that grants no window stalls its stream only; the guard sees the connection.
        session.set_write_timeout(Some(self.limits.write_stall));
        session.set_total_drain_timeout(Some(self.limits.body_stall));
        let cutoff = Arc::new(Cutoff::new(&self.streams.conn, &self.limits));
        let watched = cutoff.clone();
        let cut = tokio::select! {
            biased;
            done = CUTOFF.scope(cutoff, self.app.process_new_http(session, &self.shutdown)) => return done,
            cut = watched.fires() => cut,
            // pingora lets go of the task of a stream, so that nobody else ends it before the process does:
            // `http2_requests_that_outlive_the_grace_are_in_the_audit`.
            () = self.streams.conn.draining().ended() => Cut::Shutdown,
        };
        watched.note_cut(cut);
        tracing::debug!(?cut, "the edge has ended an exchange");
        self.streams.conn.tell(EdgeEvent::Cut(cut));
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(u32::try_from(self.limits.streams).unwrap_or(u32::MAX))
            .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(PENDING_RESETS);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
