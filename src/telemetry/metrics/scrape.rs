//! What is asked anew at each scrape, and the text that Prometheus gets.

use std::fmt;

use prometheus::TextEncoder;

use super::{Metrics, signed};
use crate::telemetry::{ServerState, UpstreamStatus};

/// Tells a number when it is asked.
pub(super) struct Probe(Box<dyn Fn() -> usize + Send + Sync>);

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe(..)")
    }
}

/// Tells how servers are when it is asked.
pub(super) struct ServerProbe(Box<dyn Fn() -> Vec<UpstreamStatus> + Send + Sync>);

impl fmt::Debug for ServerProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerProbe(..)")
    }
}

impl Metrics {
    /// Who knows how the servers are: asked at each scrape, and for `/status`. The first one counts.
    pub fn watch_servers(&self, servers: impl Fn() -> Vec<UpstreamStatus> + Send + Sync + 'static) {
        // A second set of upstreams would be a defect of the server.
        let _ = self.servers.set(ServerProbe(Box::new(servers)));
    }

    /// How the servers of all upstreams are now.
    pub fn servers(&self) -> Vec<UpstreamStatus> {
        self.servers.get().map(|ServerProbe(ask)| ask()).unwrap_or_default()
    }

    fn count_servers(&self) {
        let names = self.names.load();
        for upstream in self.servers().iter().filter(|upstream| names.upstreams.contains(&*upstream.upstream)) {
            for state in ServerState::ALL {
                let servers = upstream.servers.iter().filter(|server| server.state == state).count();
                self.upstream_servers.with_label_values(&[&*upstream.upstream, state.as_str()]).set(signed(servers));
            }
        }
    }

    /// Who knows how many connections are open: asked at each scrape. The first one counts.
    pub fn watch_connections(&self, open: impl Fn() -> usize + Send + Sync + 'static) {
        // A second edge would be a defect of the server; its connections are not counted.
        let _ = self.connections.set(Probe(Box::new(open)));
    }

    /// Who knows how many log lines were lost: asked at each scrape. The first one counts.
    pub fn watch_log(&self, dropped: impl Fn() -> usize + Send + Sync + 'static) {
        // A process has one log.
        let _ = self.log.set(Probe(Box::new(dropped)));
    }

    /// Everything, in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        if let Some(Probe(open)) = self.connections.get() {
            self.open_connections.set(signed(open()));
        }
        self.count_servers();
        if let Some(Probe(dropped)) = self.log.get() {
            let dropped = u64::try_from(dropped()).unwrap_or(u64::MAX);
            self.log_dropped.inc_by(dropped.saturating_sub(self.log_dropped.get()));
        }
        let mut text = String::new();
        for family in self.registry.gather() {
            let before = text.len();
            // A family that cannot be written is left out whole; the others are worth more than none.
            if let Err(fault) = TextEncoder::new().encode_utf8(&[family], &mut text) {
                text.truncate(before);
                tracing::error!(error = %fault, "a metric cannot be written");
            }
        }
        text
    }
}
