//! How the servers of upstreams are: the words for `/status` and for the gauge.
//!
//! Holds no state: whoever knows the servers is asked each time.

use std::net::SocketAddr;

use serde::Serialize;

/// Whether a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// In turn.
    Available,
    /// It refused a connection a moment ago: the others are asked first.
    Resting,
    /// It failed several requests in a row: left alone for a while.
    Ejected,
    /// Its health checks fail.
    Unhealthy,
    /// Its name has no address.
    Unresolved,
}

impl ServerState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Available, Self::Resting, Self::Ejected, Self::Unhealthy, Self::Unresolved];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Resting => "resting",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
            Self::Unresolved => "unresolved",
        }
    }
}

/// One server: an address of an endpoint, or an endpoint without any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// As the settings name it.
    pub endpoint: String,
    /// Where it is; absent while its name has no address.
    pub address: Option<SocketAddr>,
    /// Whether it is asked.
    pub state: ServerState,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamStatus {
    /// Its id.
    pub upstream: String,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
}
