//! The host that the client asked for (RFC 9110 section 7.2, RFC 3986 section 3.2.2).

use thiserror::Error;

/// A host name or address in lower case, with its port when one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: Box<str>,
    port: Option<u16>,
}

impl Host {
    /// The name, in lower case, without the port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// The value is not `host[:port]`. 400 `request_malformed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the host is not `host[:port]`")]
pub struct HostError;
