//! Listening sockets that come from another process, or go to one.
//!
//! An inherited socket is shared with the process that gave it: nothing may be taken from its queue until that one has let go. What is
//! lent out here never keeps a listener open that the edge has closed.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Weak},
};

use tokio::net::TcpListener;

/// Gives an inherited socket for an address, once.
pub type Inherit<'a> = &'a mut (dyn FnMut(SocketAddr) -> Option<StdListener> + Send);

/// The sockets of an edge, for as long as it listens.
#[derive(Clone, Debug)]
pub struct Sockets(Vec<(SocketAddr, Weak<TcpListener>)>);

impl Sockets {
    pub(super) fn of<'a>(listeners: impl Iterator<Item = (SocketAddr, &'a Arc<TcpListener>)>) -> Sockets {
        Sockets(listeners.map(|(configured, listener)| (configured, Arc::downgrade(listener))).collect())
    }

    /// A second descriptor of each socket that still listens, with its address as configured.
    pub fn lend(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let open = self.0.iter().filter_map(|(configured, socket)| Some((configured, socket.upgrade()?)));
        open.map(|(configured, socket)| Ok((*configured, socket.as_fd().try_clone_to_owned()?))).collect()
    }
}
