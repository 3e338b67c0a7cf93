//! Closing so that the client reads the last answer.
//!
//! A socket that is closed with unread bytes sends a reset, which discards what the client has not read yet. So the write side ends
//! first, and what still comes is read away for a while.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
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

/// Writes an answer to a connection that is not taken, and closes it.
pub(in crate::edge) async fn turn_away(mut tcp: TcpStream, answer: &[u8]) {
    let told = async {
        tcp.write_all(answer).await?;
        tcp.shutdown().await
    };
    if matches!(tokio::time::timeout(LINGER, told).await, Ok(Ok(()))) {
        linger(&mut tcp).await;
    }
}

async fn linger(io: &mut (impl AsyncRead + Unpin)) {
    let (mut rest, mut away) = (io.take(LINGER_BYTES), tokio::io::sink());
    // Over is over: the connection is closed next.
    let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut away)).await;
}
