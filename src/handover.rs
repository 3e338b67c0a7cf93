//! Hands the listening sockets of a running gateway over to the process that takes its place.
//!
//! The new process waits at a Unix socket, the old one connects to it and offers its sockets; the new one says that it is ready to
//! accept, and only then the old one says that it lets go. Until that word the old process alone serves, and whatever fails leaves it as
//! it was. Both share each socket's queue of connections, so none is lost between them. Knows neither HTTP nor settings.
//! Invariant: sockets pass between processes of one user only.

mod meeting;
mod message;

pub use meeting::{Confirmed, Meeting, Takeover, hand_over};
pub use message::{Inherited, Offered, Role};

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

/// Why sockets were not handed over.
#[derive(Debug, Error)]
pub enum HandoverError {
    /// The folder of the socket cannot be looked at.
    #[error("cannot use the folder `{}` of the upgrade socket", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may put a socket of theirs into the folder.
    #[error(
        "the folder `{}` of the upgrade socket can be written by its group or by everyone: make it writable for its owner alone, such as \
         with `chmod 700`",
        folder.display()
    )]
    OpenFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is somebody else's.
    #[error("the folder `{}` of the upgrade socket belongs to user {owner}, and the gateway runs as user {own}", folder.display())]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who the gateway is.
        own: u32,
    },
    /// Something that is no socket stands where the socket should be.
    #[error("`{}` is in the way of the upgrade socket: it is no socket", path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// Another new process waits already.
    #[error("another process waits at the upgrade socket `{}` already", path.display())]
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on the upgrade socket `{}`", path.display())]
    Listen {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No old process came.
    #[error(
        "no gateway has handed over its sockets at `{}` within {waited:?}: send SIGQUIT to the one that runs, or start without \
         `--upgrade`",
        path.display()
    )]
    NobodyCame {
        /// The path.
        path: PathBuf,
        /// For how long this process waited.
        waited: Duration,
    },
    /// No new process waits.
    #[error("nobody waits at the upgrade socket `{}`", path.display())]
    NobodyWaits {
        /// The path.
        path: PathBuf,
        /// Why the connection failed.
        source: io::Error,
    },
    /// The other process is somebody else's.
    #[error("the process at the other end of the upgrade socket runs as user {peer}, and this one as user {own}")]
    Stranger {
        /// Who the other is.
        peer: u32,
        /// Who this one is.
        own: u32,
    },
    /// The other process went away.
    #[error("the other process has gone away")]
    Gone,
    /// The connection failed.
    #[error("the connection to the other process failed")]
    Broken {
        /// Why.
        source: io::Error,
    },
    /// The other process took too long.
    #[error("the other process has not answered within {0:?}")]
    Silent(Duration),
    /// The old process stops by itself.
    #[error("this process stops, so there is nothing left to hand over")]
    Stopping,
    /// What the other process said makes no sense.
    #[error("the other process says what this version does not understand: {0}")]
    Garbled(&'static str),
    /// The new process cannot take over.
    #[error("the new process cannot take over: {0}")]
    Declined(String),
    /// More sockets than one message carries.
    #[error("{0} sockets are more than can be handed over")]
    TooMany(usize),
}

impl HandoverError {
    fn broken(source: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let is_over = matches!(source.kind(), UnexpectedEof | BrokenPipe | ConnectionReset);
        if is_over { Self::Gone } else { Self::Broken { source } }
    }
}

#[cfg(test)]
mod tests;
