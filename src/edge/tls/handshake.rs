//! One handshake: within its time, and with everything that is known after it.

use std::{sync::Arc, time::Duration};

use pingora::protocols::{Ssl, l4::stream::Stream as L4Stream, tls::TlsStream};

use super::{ListenerTls, clients};
use crate::edge::conn::TlsFacts;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The connection is encrypted, and its client is who the listener asks for.
    Done,
    /// The two do not agree, a certificate is missing or not believed, or the client left.
    Failed,
    /// It took too long.
    TimedOut,
}

/// Shakes hands.
///
/// # Errors
/// How it ended, and why: words for the log that may come from the client.
pub(in crate::edge) async fn shake(
    tls: &ListenerTls,
    client: L4Stream,
    within: Duration,
) -> Result<(TlsStream<L4Stream>, TlsFacts), (Handshake, String)> {
    // SECURITY: `a_handshake_that_stops_is_closed`.
    let shaken = tokio::time::timeout(within, tls.acceptor.tls_handshake(client)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err((Handshake::Failed, error.to_string())),
        Err(_) => return Err((Handshake::TimedOut, "it took too long".to_owned())),
    };
    let Some(session) = stream.get_ssl() else {
        return Err((Handshake::Failed, "it told nothing".to_owned()));
    };
    let client_certificate = match &tls.clients {
        None => None,
        Some(clients) => {
            let chain = session.peer_cert_chain_der().unwrap_or_default();
            let found = clients::identify(clients.as_ref(), chain);
            found.map_err(|error| (Handshake::Failed, error.to_string()))?.map(Arc::new)
        }
    };
    let facts = TlsFacts { server_name: session.server_name().map(str::to_owned), client_certificate };
    Ok((stream, facts))
}
