//! A TCP connection to an upstream of which more is known than pingora tells.
//!
//! Keeps a second handle of the socket beside pingora's. With it the gateway learns whether the other side has received anything of a
//! request, and ends a connection whose answer does not begin in time, however slowly its bytes come. Reads and writes nothing.

use std::{
    io,
    net::TcpStream as StdTcpStream,
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http::StatusCode;
use pingora::{
    Error, ErrorType, Result,
    connectors::l4::Connect,
    http::ResponseHeader,
    protocols::{
        Digest, GetProxyDigest,
        l4::{ext::get_tcp_info, socket::SocketAddr, stream::Stream},
        raw_connect::ProxyDigest,
    },
};
use tokio::{net::TcpStream, sync::Notify, task::AbortHandle};

/// States of a TCP connection, as the kernel numbers them.
const ESTABLISHED: u8 = 1;
const CLOSED: u8 = 7;

/// Nanoseconds since some moment before the first connection. Never 0: that stands for "none".
fn now() -> u64 {
    u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
}

fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

/// Connects by TCP. The time that it takes is bounded by whoever asks.
#[derive(Debug)]
pub(super) struct Wired;

#[async_trait]
impl Connect for Wired {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let socket = connect(address).await?;
        let wire = Wire::of(&socket)?;
        Ok(known_by(socket.into(), wire))
    }
}

/// A plain TCP connection.
pub(super) async fn connect(address: &SocketAddr) -> Result<TcpStream> {
    let SocketAddr::Inet(address) = address else {
        return Error::e_explain(ErrorType::ConnectError, "not an Internet address");
    };
    TcpStream::connect(address).await.map_err(|error| {
        let is_away = matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable);
        let kind = if is_away { ErrorType::ConnectNoRoute } else { ErrorType::ConnectRefused };
        Error::because(kind, "no connection", error)
    })
}

/// The stream, whose sessions find the wire again.
pub(super) fn known_by(mut stream: Stream, wire: Arc<Wire>) -> Stream {
    // pingora's slot for what a CONNECT proxy said is the one that reaches the filters; there is no such proxy here.
    let (response, ()) = http::Response::new(()).into_parts();
    stream.set_proxy_digest(ProxyDigest::new(Box::new(ResponseHeader::from(response)), Some(Box::new(wire))));
    stream
}

/// How far a connection was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Bytes that the other side's kernel has confirmed.
    acked: u64,
    /// Bytes that came, its end counted as one.
    received: u64,
}

/// What became of the bytes that were written since some [`Marks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The other side had closed before, and has received none of them.
    Nothing,
    /// It has received some, or may have.
    Perhaps,
    /// The other side has closed, and it is not known yet.
    Open,
}

/// The gateway's own handle of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    socket: StdTcpStream,
    watch: Arc<Watch>,
    watcher: AbortHandle,
    was_cut: AtomicBool,
}

/// When the connection is ended. Shared with the task that does it.
#[derive(Debug, Default)]
struct Watch {
    /// Nanoseconds of [`now`]; 0 is none. Each is another, so that nobody takes back another's.
    deadline: AtomicU64,
    idle: AtomicBool,
    armed: Notify,
}

/// A deadline that was set, to take it back.
#[derive(Debug)]
pub(super) struct Armed(u64);

impl Wire {
    /// A second handle of the socket. Must be called within a runtime.
    pub(super) fn of(socket: &TcpStream) -> Result<Arc<Self>> {
        let no_handle = |error| Error::because(ErrorType::SocketError, "no second handle of the socket", error);
        let socket: StdTcpStream = socket.as_fd().try_clone_to_owned().map_err(no_handle)?.into();
        Ok(Arc::new_cyclic(|wire| {
            let watch = Arc::<Watch>::default();
            let watcher = tokio::spawn(Arc::clone(&watch).run(Weak::clone(wire))).abort_handle();
            Self { socket, watch, watcher, was_cut: AtomicBool::new(false) }
        }))
    }

    /// The wire that a session stands on.
    pub(super) fn under(digest: Option<&Digest>) -> Option<&Arc<Self>> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// Ends the connection after this time.
    pub(super) fn arm(&self, after: Duration) -> Armed {
        let at = now().saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)).max(1);
        self.watch.deadline.store(at, SeqCst);
        if self.watch.idle.swap(false, SeqCst) {
            self.watch.armed.notify_one();
        }
        Armed(at)
    }

    /// Takes a deadline back, if it still is the one.
    pub(super) fn disarm(&self, armed: &Armed) {
        // Another request may have the connection by now.
        let _ = self.watch.deadline.compare_exchange(armed.0, 0, SeqCst, SeqCst);
    }

    /// Whether a deadline has ended the connection.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(SeqCst)
    }

    fn cut(&self) {
        self.was_cut.store(true, SeqCst);
        // It is closed already where this fails.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// How far the connection is, before something is written to it; `None` where the other side has closed it.
    pub(super) fn open(&self) -> Option<Marks> {
        // Where the system does not tell, the connection counts as open, and as one whose bytes have arrived.
        let Ok(info) = get_tcp_info(self.socket.as_raw_fd()) else { return Some(Marks { acked: 0, received: 0 }) };
        // A system that knows nothing says 0.
        matches!(info.tcpi_state, 0 | ESTABLISHED)
            .then_some(Marks { acked: info.tcpi_bytes_acked, received: info.tcpi_bytes_received })
    }

    /// What became of what was written since these marks.
    ///
    /// Every segment of the other side confirms what it has received. So when its end came, and nothing was confirmed, it had closed
    /// before our bytes arrived; and when they were then answered by a reset, nobody was there to read them. A reset without an end
    /// before it proves nothing: it does not confirm what was read.
    pub(super) fn delivery(&self, before: Marks) -> Delivery {
        let Ok(info) = get_tcp_info(self.socket.as_raw_fd()) else { return Delivery::Perhaps };
        // SECURITY: held by `what_was_read_before_a_reset_counts_as_received`. On a pooled connection something was confirmed already:
        // a 0 is a system that does not count.
        if before.acked == 0 || info.tcpi_bytes_acked != before.acked || info.tcpi_bytes_received <= before.received {
            return Delivery::Perhaps;
        }
        if info.tcpi_state == CLOSED { Delivery::Nothing } else { Delivery::Open }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Watch {
    /// Waits for deadlines. A request costs it nothing: it wakes when the first one has passed, and looks for a later one.
    async fn run(self: Arc<Self>, wire: Weak<Wire>) {
        loop {
            let deadline = self.deadline.load(SeqCst);
            if deadline == 0 {
                self.idle.store(true, SeqCst);
                if self.deadline.load(SeqCst) == 0 {
                    self.armed.notified().await;
                }
                self.idle.store(false, SeqCst);
                continue;
            }
            let Some(at) = start().checked_add(Duration::from_nanos(deadline)) else { return };
            tokio::time::sleep_until(at.into()).await;
            // Taken, so that nobody takes it back any more.
            if self.deadline.compare_exchange(deadline, 0, SeqCst, SeqCst).is_ok() {
                let Some(wire) = wire.upgrade() else { return };
                wire.cut();
            }
        }
    }
}

/// Whether an answer is about another one that will follow.
pub(super) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Both ends of a connection on which a request was answered, as in a pool.
    async fn used() -> (TcpStream, Arc<Wire>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connect(&address), listener.accept());
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap().0);
        let wire = Wire::of(&ours).unwrap();
        ours.write_all(b"ask").await.unwrap();
        theirs.read_exact(&mut [0; 3]).await.unwrap();
        theirs.write_all(b"answer").await.unwrap();
        ours.read_exact(&mut [0; 6]).await.unwrap();
        (ours, wire, theirs)
    }

    async fn settled(wire: &Wire, before: Marks) -> Delivery {
        for _ in 0..1000 {
            match wire.delivery(before) {
                Delivery::Open => tokio::time::sleep(Duration::from_millis(1)).await,
                known @ (Delivery::Nothing | Delivery::Perhaps) => return known,
            }
        }
        Delivery::Open
    }

    #[tokio::test]
    async fn what_a_closed_connection_was_sent_counts_as_not_received() {
        let (mut ours, wire, theirs) = used().await;
        let before = wire.open().unwrap();
        drop(theirs);
        ours.write_all(b"POST").await.unwrap();
        assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
        drop(ours);
        assert_eq!(settled(&wire, before).await, Delivery::Nothing);
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_before_it_is_used_is_seen() {
        let (ours, wire, theirs) = used().await;
        drop(theirs);
        ours.readable().await.unwrap();
        assert_eq!(wire.open(), None);
    }

    #[tokio::test]
    async fn what_was_read_before_a_reset_counts_as_received() {
        for read in [4, 2, 0] {
            let (mut ours, wire, mut theirs) = used().await;
            let before = wire.open().unwrap();
            ours.write_all(b"POST").await.unwrap();
            theirs.readable().await.unwrap();
            theirs.read_exact(&mut [0; 4][..read]).await.unwrap();
            theirs.set_zero_linger().unwrap();
            drop(theirs);
            assert!(ours.read(&mut [0; 9]).await.is_err());
            assert_eq!(settled(&wire, before).await, Delivery::Perhaps, "{read}");
        }
    }

    #[tokio::test]
    async fn what_was_read_before_an_orderly_end_counts_as_received() {
        let (mut ours, wire, mut theirs) = used().await;
        let before = wire.open().unwrap();
        ours.write_all(b"POST").await.unwrap();
        theirs.read_exact(&mut [0; 4]).await.unwrap();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(settled(&wire, before).await, Delivery::Perhaps);
    }

    #[tokio::test]
    async fn who_has_only_stopped_to_write_may_still_read() {
        let (mut ours, wire, mut theirs) = used().await;
        let before = wire.open().unwrap();
        theirs.shutdown().await.unwrap();
        ours.write_all(b"POST").await.unwrap();
        theirs.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
        assert_ne!(settled(&wire, before).await, Delivery::Nothing);
    }

    #[tokio::test]
    async fn a_deadline_ends_the_connection_and_one_that_is_taken_back_does_not() {
        let (mut ours, wire, _theirs) = used().await;
        let first = wire.arm(Duration::from_millis(20));
        wire.disarm(&first);
        let second = wire.arm(Duration::from_millis(60));
        wire.disarm(&first);
        let begun = Instant::now();
        assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
        assert!(begun.elapsed() >= Duration::from_millis(50) && wire.was_cut());
        wire.disarm(&second);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(*connect(&address).await.unwrap_err().etype(), ErrorType::ConnectRefused);
    }
}
