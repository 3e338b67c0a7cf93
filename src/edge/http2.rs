//! HTTP/2 connections, by ALPN or prior knowledge.
//!
//! pingora and h2 speak the protocol; this room sets their limits and ends an exchange at its deadline, by dropping it: h2 then resets
//! that stream, and the others live on.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    protocols::http::{
        ServerSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};

use super::{
    conn::{CUTOFF, Cutoff},
    guard::Guard,
};
use crate::config::Limits;

const STREAMS: u32 = 100;
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
    let app = Arc::new(Bounded { app: app.clone(), options, limits });
    app.process_new(Box::new(guard), shutdown).await;
}

/// An application with limits for each stream.
struct Bounded<A> {
    app: Arc<A>,
    options: HttpServerOptions,
    limits: Limits,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Bounded<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // A client that grants no window stalls its stream only; the guard sees the connection.
        session.set_write_timeout(Some(self.limits.write_stall));
        session.set_total_drain_timeout(Some(self.limits.body_stall));
        let cutoff = Arc::new(Cutoff::new(self.limits.body_stall));
        let watched = cutoff.clone();
        tokio::select! {
            biased;
            done = CUTOFF.scope(cutoff, self.app.process_new_http(session, shutdown)) => done,
            cut = watched.fires() => {
                tracing::debug!(?cut, "the edge has ended an exchange");
                None
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(STREAMS)
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
