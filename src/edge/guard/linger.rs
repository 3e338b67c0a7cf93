//! Closing so that the client reads the last answer.
//!
//! A socket that is closed with unread bytes sends a reset, which discards what the client has not read yet. So the write side ends
//! first, and what still comes is read away for a while.

use std::{io::Cursor, time::Duration};

use pingora::protocols::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};

use super::Guard;

/// How much is read away.
const LINGER_BYTES: u64 = 512 * 1024;

/// For how long.
const LINGER: Duration = Duration::from_secs(1);

impl Guard {
    /// Writes a last answer and closes the connection.
    pub(in crate::edge) async fn refuse(&mut self, answer: &[u8]) {
        self.conn.begin_exchange();
        self.closed = true;
        // A client that does not take it has gone: nothing is left to do.
        let told = async {
            self.write_all(answer).await?;
            AsyncWriteExt::shutdown(self).await
        };
        if told.await.is_ok() {
            self.linger().await;
        }
    }

    /// Reads away what the client still sends, within limits.
    pub(super) async fn linger(&mut self) {
        linger(&mut self.io).await;
    }
}

impl Drop for Guard {
    /// pingora drops the stream of an exchange that failed, also where an answer was written: its client too must read it.
    fn drop(&mut self) {
        if self.closed || !self.is_unread() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let nothing: Stream = Box::new(Cursor::new(Vec::new()));
        let mut io = std::mem::replace(&mut self.io, nothing);
        let conn = self.conn.clone();
        runtime.spawn(async move {
            // Either way the connection is closed next.
            let _ = timeout(LINGER, io.shutdown()).await;
            linger(&mut io).await;
            // Until then it counts as open.
            drop(conn);
        });
    }
}

/// Writes an answer to a connection that is not taken, and closes it.
pub(in crate::edge) async fn turn_away(mut tcp: TcpStream, answer: &[u8]) {
    let told = async {
        tcp.write_all(answer).await?;
        tcp.shutdown().await
    };
    if matches!(timeout(LINGER, told).await, Ok(Ok(()))) {
        linger(&mut tcp).await;
    }
}

async fn linger(io: &mut (impl AsyncRead + Unpin)) {
    let (mut rest, mut away) = (io.take(LINGER_BYTES), tokio::io::sink());
    // Over is over: the connection is closed next.
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut away)).await;
}
