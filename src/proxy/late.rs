//! A connection whose answers are read a moment late.
//!
//! pingora 0.9.1 writes an upgrade request and then polls the answer and the end of the (empty) request body side by side. When the
//! answer comes first, it takes the end of the body for the end of the tunnel, and closes it at once. So after each write the
//! first two reads find nothing yet: in the first turn pingora notes the end of the body, in the second it takes note of it.
//! Used for WebSockets only. Goes when pingora minds the order itself.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use pingora::{
    ErrorType, OrErr, Result,
    connectors::l4::Connect,
    protocols::l4::{
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::wire::{self, Wire};

/// Turns of the task in which an answer is not looked at.
const TURNS: u8 = 2;

/// Connects by TCP. The time that it takes is bounded by whoever asks.
#[derive(Debug)]
pub(super) struct Late;

#[async_trait]
impl Connect for Late {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let socket = wire::connect(address).await?;
        socket.set_nodelay(true).or_err(ErrorType::SocketError, "TCP_NODELAY cannot be set")?;
        let wire = Wire::of(&socket)?;
        Ok(wire::known_by(VirtualSocketStream::new(Box::new(LateSocket { socket, turns: 0 })).into(), wire))
    }
}

#[derive(Debug)]
struct LateSocket {
    socket: TcpStream,
    turns: u8,
}

impl VirtualSocket for LateSocket {
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for LateSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.turns > 0 {
            self.turns -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for LateSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.turns = TURNS;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_there_is_read_in_the_third_turn() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        let (connected, accepted) = tokio::join!(Late.connect(&address), listener.accept());
        let (mut stream, (mut server, _)) = (connected.unwrap(), accepted.unwrap());
        stream.write_all(b"ask").await.unwrap();
        stream.flush().await.unwrap();
        server.write_all(b"answer").await.unwrap();
        let mut asked = [0; 3];
        server.read_exact(&mut asked).await.unwrap();

        let (mut answer, mut turns) = ([0; 6], 0);
        let mut read = std::pin::pin!(stream.read_exact(&mut answer));
        std::future::poll_fn(|cx| {
            turns += 1;
            read.as_mut().poll(cx)
        })
        .await
        .unwrap();
        assert!(turns > usize::from(TURNS), "{turns}");
        assert_eq!((&asked, &answer), (b"ask", b"answer"));
    }
}
