//! Where the two processes meet: the socket file, who may come, and how long each waits for the other.

use std::{
    error::Error,
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::geteuid,
};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    time::{Instant, timeout, timeout_at},
};

use super::{
    HandoverError, Inherited, Offered,
    message::{hear_end, hear_go, hear_ready, receive_offer, say_declined, say_go, say_ready, send_offer},
};

/// How long a peer may take for one line that needs no work.
const WORD: Duration = Duration::from_secs(5);

/// Old processes that may wait for one answer: one is right, others are told off in turn.
const BACKLOG: i32 = 4;

/// Bits of a mode that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// A new process that waits for the old one. The socket file goes with it.
#[derive(Debug)]
pub struct Meeting {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of the socket, removed when dropped, unless somebody has put another one there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // One that stays is replaced by the next new process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Meeting {
    /// Checks that a socket at this path would be this user's alone.
    ///
    /// # Errors
    /// When the folder is not there, is somebody else's, or others may write to it.
    pub fn check(path: &Path) -> Result<(), HandoverError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.to_owned();
        let found = match fs::metadata(&folder) {
            Ok(found) if found.is_dir() => found,
            Ok(_) => return Err(HandoverError::NoFolder { folder, source: io::ErrorKind::NotADirectory.into() }),
            Err(source) => return Err(HandoverError::NoFolder { folder, source }),
        };
        let own = geteuid().as_raw();
        if found.uid() != own && found.uid() != 0 {
            return Err(HandoverError::ForeignFolder { folder, owner: found.uid(), own });
        }
        // SECURITY: a stranger must not put a socket of his own in the place: `a_folder_that_others_may_write_to_is_refused`.
        if found.mode() & OTHERS_WRITE != 0 {
            return Err(HandoverError::OpenFolder { folder });
        }
        Ok(())
    }

    /// Listens at this path. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the folder is not safe, something is in the way, or another process waits there.
    pub fn open(path: &Path) -> Result<Self, HandoverError> {
        Self::check(path)?;
        remove_stale(path)?;
        let failed = |source| HandoverError::Listen { path: path.to_owned(), source };
        let listener = listen_at(path).map_err(failed)?;
        let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
        let file = SocketFile { path: path.to_owned(), inode };
        Ok(Self { listener: UnixListener::from_std(listener).map_err(failed)?, file })
    }

    /// Waits for the old process and takes its sockets. Whoever comes and is not that is logged and sent away.
    ///
    /// # Errors
    /// When nobody has come in time.
    pub async fn take_over(self, most: Duration) -> Result<(Takeover, Vec<Inherited>), HandoverError> {
        let end = Instant::now() + most;
        loop {
            let Ok(came) = timeout_at(end, self.listener.accept()).await else {
                return Err(HandoverError::NobodyCame { path: self.file.path.clone(), waited: most });
            };
            let stream = came.map_err(|source| HandoverError::Listen { path: self.file.path.clone(), source })?.0;
            match welcome(&stream).await {
                Ok(inherited) => return Ok((Takeover { stream, _file: self.file }, inherited)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn Error, "what came to the upgrade socket is not taken")
                }
            }
        }
    }
}

async fn welcome(stream: &UnixStream) -> Result<Vec<Inherited>, HandoverError> {
    // SECURITY: sockets of a stranger would put this gateway behind him: `test_a_stranger_can_neither_take_nor_bring_the_sockets`.
    is_own(stream)?;
    within(WORD, receive_offer(stream)).await
}

/// The moment between two processes: the new one holds the sockets, and the old one serves.
#[derive(Debug)]
pub struct Takeover {
    stream: UnixStream,
    _file: SocketFile,
}

impl Takeover {
    /// Tells the old process that this one is ready to accept, and returns when the old one lets go.
    ///
    /// # Errors
    /// When the old process did not let go: it goes on serving, and this one must not.
    pub async fn confirm(mut self) -> Result<Confirmed, HandoverError> {
        let agreed = async {
            say_ready(&mut self.stream).await?;
            hear_go(&mut self.stream).await
        };
        within(WORD, agreed).await?;
        Ok(Confirmed(self))
    }

    /// Returns when the old process does not wait for this one any more.
    pub async fn abandoned(&mut self) {
        // It has nothing to say before this process is ready: whatever comes is the end.
        let _ = self.stream.read(&mut [0]).await;
    }

    /// Tells the old process why this one cannot take over.
    pub async fn decline(mut self, reason: &str) {
        // The end of the connection says it as well, without the reason.
        let _ = within(WORD, say_declined(&mut self.stream, reason)).await;
    }
}

/// This process is the one that serves. Dropped once it does; the old one waits for that, for a moment.
#[derive(Debug)]
pub struct Confirmed(#[expect(dead_code, reason = "its drop is what it is for")] Takeover);

/// Offers sockets to the process that waits at this path, and returns when that one serves. The caller then lets go of its own.
///
/// # Errors
/// When nobody waits there, whoever does is not ready within `most`, or `stopped` came first: the caller goes on as before.
pub async fn hand_over(
    path: &Path,
    offered: Vec<Offered>,
    most: Duration,
    stopped: impl Future<Output = ()>,
) -> Result<(), HandoverError> {
    let connected = UnixStream::connect(path).await;
    let mut stream = connected.map_err(|source| HandoverError::NobodyWaits { path: path.to_owned(), source })?;
    // SECURITY: a stranger cannot take the sockets: `a_stranger_cannot_take_the_sockets`.
    is_own(&stream)?;
    within(WORD, send_offer(&mut stream, &offered)).await?;
    // These would keep a listener open that the caller closes meanwhile.
    drop(offered);
    tokio::select! {
        ready = within(most, hear_ready(&mut stream)) => ready?,
        () = stopped => return Err(HandoverError::Stopping),
    }
    within(WORD, say_go(&mut stream)).await?;
    // From here on there is no way back, so what this tells does not matter.
    let _ = within(WORD, hear_end(&mut stream)).await;
    Ok(())
}

/// Whether the peer is a process of the same user.
fn is_own(stream: &UnixStream) -> Result<(), HandoverError> {
    let peer = stream.peer_cred()?.uid();
    belongs(peer, geteuid().as_raw())
}

pub(super) fn belongs(peer: u32, own: u32) -> Result<(), HandoverError> {
    if peer == own { Ok(()) } else { Err(HandoverError::Stranger { peer, own }) }
}

async fn within<T>(most: Duration, work: impl Future<Output = Result<T, HandoverError>>) -> Result<T, HandoverError> {
    timeout(most, work).await.unwrap_or(Err(HandoverError::Silent(most)))
}

/// Removes what a process that was killed has left; a socket at which somebody waits stays.
fn remove_stale(path: &Path) -> Result<(), HandoverError> {
    let failed = |source| HandoverError::Listen { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(HandoverError::InTheWay { path: path.to_owned() });
    }
    match StdStream::connect(path) {
        Ok(_) => Err(HandoverError::Taken { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// A socket that listens, and that nobody else could have connected to before its mode was set.
fn listen_at(path: &Path) -> io::Result<StdListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG)?;
    Ok(StdListener::from(socket))
}
