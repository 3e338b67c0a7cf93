//! Active health checks: each server is asked, over the upstream's own protocol and TLS, on a connection of its own.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Uri, Version, header};
use pingora::{
    Error, connectors::http::Connector, http::RequestHeader, protocols::http::client::HttpSession,
    upstreams::peer::HttpPeer,
};
use tokio::task::JoinSet;

use super::{Server, Upstream, Upstreams};
use crate::config::{Endpoint, HealthCheck, Protocol, UpstreamHost};

/// How soon after the start, or after a reload, the first check comes at the latest: part of an interval.
const FIRST: u32 = 10;

/// What was wrong with a server.
#[derive(Debug)]
enum Fault {
    Status(u16),
    Late,
    /// It speaks something else than the upstream should.
    Protocol,
    Broken(Box<Error>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it answers {status}"),
            Self::Late => f.write_str("it does not answer in time"),
            Self::Protocol => f.write_str("it does not speak HTTP/2"),
            Self::Broken(error) => write!(f, "{}", error.etype().as_str()),
        }
    }
}

impl From<Box<Error>> for Fault {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

/// Checks all servers of an upstream, again and again.
pub(super) async fn keep_checked(upstreams: Arc<Upstreams>, place: usize) {
    let Some(check) = upstreams.0.get(place).and_then(|upstream| upstream.health_check.clone()) else { return };
    let mut pause = check.interval / FIRST;
    loop {
        tokio::time::sleep(jittered(pause)).await;
        pause = check.interval;
        let Some(upstream) = upstreams.0.get(place) else { return };
        let mut round = JoinSet::new();
        for server in upstream.servers.load().iter() {
            let (upstreams, server) = (Arc::clone(&upstreams), Arc::clone(server));
            round.spawn(async move {
                if let Some(upstream) = upstreams.0.get(place) {
                    upstream.check(&server).await;
                }
            });
        }
        while round.join_next().await.is_some() {}
    }
}

/// Between four and six fifths of a time, so that the checks of many gateways do not come at once.
fn jittered(time: Duration) -> Duration {
    // Any number will do: the seed of a hash map is another one each time.
    let part = u32::try_from(RandomState::new().build_hasher().finish() % 401).unwrap_or(0);
    time.saturating_mul(800 + part) / 1000
}

impl Upstream {
    async fn check(&self, server: &Server) {
        let Some(check) = &self.health_check else { return };
        let asked = tokio::time::timeout(check.timeout, self.ask(server, check)).await;
        let outcome = asked.unwrap_or(Err(Fault::Late));
        let turns = server.checked(outcome.is_ok(), check);
        match (turns, outcome) {
            (false, _) => {}
            (true, Ok(())) => {
                tracing::info!(upstream = %self.id, server = %server.address, "the server passes its health checks: it is asked again");
            }
            (true, Err(fault)) => {
                tracing::warn!(upstream = %self.id, server = %server.address, %fault, "the server fails its health checks: it is not asked");
            }
        }
    }

    async fn ask(&self, server: &Server, check: &HealthCheck) -> Result<(), Fault> {
        static CONNECTOR: OnceLock<Connector> = OnceLock::new();
        let mut peer: HttpPeer = self.reach(server, check.timeout).map_err(|_| Fault::Protocol)?;
        // Nobody else may have the connection.
        peer.options.max_h2_streams = 1;
        peer.group_key = u64::MAX;
        let connector = CONNECTOR.get_or_init(|| Connector::new(None));
        let (mut session, _) = connector.get_http_session(&peer).await?;
        if self.protocol == Protocol::Http2 && !matches!(session, HttpSession::H2(_)) {
            return Err(Fault::Protocol);
        }
        let request = self.request(&server.endpoint, &check.path)?;
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        let status = loop {
            session.read_response_header().await?;
            let status = session.response_header().map_or(0, |response| response.status.as_u16());
            if !(100..200).contains(&status) || status == 101 {
                break status;
            }
        };
        session.shutdown().await;
        if (200..400).contains(&status) { Ok(()) } else { Err(Fault::Status(status)) }
    }

    fn request(&self, endpoint: &Endpoint, path: &str) -> Result<RequestHeader, Fault> {
        let mut request = RequestHeader::build("GET", path.as_bytes(), Some(4))?;
        let Endpoint { tls, host, port } = endpoint;
        let host = match &self.host {
            UpstreamHost::Named(name) => name.clone(),
            UpstreamHost::Preserve if host.contains(':') => format!("[{host}]:{port}"),
            UpstreamHost::Preserve => format!("{host}:{port}"),
        };
        if self.protocol == Protocol::Http2 {
            let scheme = if *tls { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(host.as_str()).path_and_query(path).build();
            request.set_uri(uri.map_err(|_| Fault::Protocol)?);
            request.set_version(Version::HTTP_2);
        } else {
            request.insert_header(header::HOST, host)?;
            request.insert_header(header::CONNECTION, "close")?;
        }
        request.insert_header(header::USER_AGENT, "cogward-health-check")?;
        request.insert_header(header::ACCEPT, "*/*")?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_spread() {
        let times: std::collections::HashSet<_> = (0..50).map(|_| jittered(Duration::from_secs(1))).collect();
        assert!(times.len() > 10);
        assert!(times.iter().all(|time| (800..=1200).contains(&time.as_millis())), "{times:?}");
    }
}
