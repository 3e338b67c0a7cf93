//! The edge: where connections come in.
//!
//! An own accept loop and an own HTTP/1 keep-alive loop around pingora's HTTP applications. Every connection is read and written
//! through a guarded stream, which bounds each step in time and bytes; every HTTP/1 request head is read whole and judged on its
//! wire bytes before pingora parses it. Knows nothing of tokens and policies, and renders no answer: the application does, and [`Refusals`].
//! Invariant: no byte of a second request is ever given to the exchange of the first.

mod conn;
mod crowd;
mod drain;
mod expiring;
mod guard;
mod head;
mod http1;
mod http2;
mod listener;
mod refusal;
mod sockets;
mod tls;

#[cfg(test)]
mod tests;

pub use conn::{Conn, Cut, Exchange, TlsFacts, Tunnel};
pub use drain::{DrainOutcome, Draining, SETTLE, Stop, signals};
pub use listener::{CurrentLimits, Edge, EdgeError, IsProxy};
pub use refusal::{EdgeEvent, EdgeRefusal, Refusals, closing_answer};
pub use sockets::{Inherit, Sockets};
pub use tls::{CODES, Handshake, ListenerTls, PemFault, PemText, TlsSlot, certificates};
