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
    /// Writes a last answer and ends the write side; the guard is to be dropped then.
    pub(in crate::edge) async fn refuse(&mut self, answer: &[u8]) {
        self.conn.begin_exchange(self.limits.exchange_time);
        self.output.rest();
        let told = async {
            self.write_all(answer).await?;
            AsyncWriteExt::shutdown(self).await
        };
        // A client that does not take it has gone: nothing is left to do.
        let _ = told.await;
    }
}

impl Drop for Guard {
    /// However an exchange ended, also where pingora drops its stream after an error: the client must be able to read the answer.
    fn drop(&mut self) {
        self.note_sent();
        // SECURITY: `a_client_that_uploads_to_a_dead_upstream_reads_the_502` and `a_refused_client_may_finish_sending`.
        if !self.is_unread() {
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
