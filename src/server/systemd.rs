//! Tells systemd which process serves, in the way of sd_notify(3).
//!
//! Says one thing, once: this process is ready, and it is the main one. Without `NOTIFY_SOCKET` it says nothing.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// This process serves.
pub(super) fn serving() {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&address, &format!("MAINPID={}\nREADY=1\n", std::process::id())) {
        tracing::warn!(%error, "systemd cannot be told that this process serves");
    }
}

fn send(address: &OsStr, text: &str) -> io::Result<()> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read holds nothing up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text.as_bytes(), &address).map(drop)
}
