//! The guarded stream as pingora sees it: every trait that its streams have.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest, tls::TlsRef,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{Guard, Protocol};

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.failed {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match guard.protocol {
            Protocol::Http1(_) => guard.read_http1(cx, buf),
            Protocol::Http2(_) => guard.read_http2(cx, buf),
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let total = bytes.len();
        let Some(bytes) = ready!(guard.before_write(cx, bytes))?.and_then(|most| bytes.get(..most)) else {
            return Poll::Ready(Ok(total));
        };
        if !guard.output.has_room(bytes.len()) {
            ready!(guard.poll_drain(cx))?;
        }
        if guard.output.has_room(bytes.len()) {
            guard.output.hold(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut guard.io).poll_write(cx, bytes) {
            Poll::Pending => guard.await_write(cx),
            Poll::Ready(written) => {
                let written = written?;
                guard.output.wrote(bytes.get(..written).unwrap_or_default());
                Poll::Ready(Ok(written))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.is_parted(cx) {
            return Poll::Ready(Ok(()));
        }
        ready!(guard.poll_drain(cx))?;
        match Pin::new(&mut guard.io).poll_flush(cx) {
            Poll::Pending => guard.await_write(cx),
            done @ Poll::Ready(_) => {
                guard.output.wrote(&[]);
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if !guard.is_parted(cx) {
            ready!(guard.poll_drain(cx))?;
        }
        match Pin::new(&mut guard.io).poll_shutdown(cx) {
            Poll::Pending => guard.await_write(cx),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        if guard.conn.tunnel().is_some() {
            // The end of a tunnel is found in one run of bytes.
            let first = slices.iter().find(|slice| !slice.is_empty());
            return Pin::new(guard).poll_write(cx, first.map_or(&[], |slice| slice));
        }
        ready!(guard.before_write(cx, &[]))?;
        let total = slices.iter().map(|slice| slice.len()).sum();
        if !guard.output.has_room(total) {
            ready!(guard.poll_drain(cx))?;
        }
        if guard.output.has_room(total) {
            slices.iter().for_each(|slice| guard.output.hold(slice));
            return Poll::Ready(Ok(total));
        }
        match Pin::new(&mut guard.io).poll_write_vectored(cx, slices) {
            Poll::Pending => guard.await_write(cx),
            Poll::Ready(written) => {
                let written = written?;
                let mut left = written;
                for slice in slices {
                    let part = left.min(slice.len());
                    guard.output.wrote(slice.get(..part).unwrap_or_default());
                    left -= part;
                }
                Poll::Ready(Ok(written))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Guard {
    async fn shutdown(&mut self) {
        // A failure here means that the connection has gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Guard {
    fn id(&self) -> UniqueIDType {
        self.io.id()
    }
}

impl Ssl for Guard {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.io.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match &self.protocol {
            // Also by prior knowledge, where no ALPN has spoken.
            Protocol::Http2(_) => Some(ALPN::H2),
            Protocol::Http1(_) => self.io.selected_alpn_proto(),
        }
    }
}

impl GetTimingDigest for Guard {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.io.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.io.get_write_pending_time()
    }
}

impl GetProxyDigest for Guard {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Guard {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_socket_digest()
    }
}

/// Not offered: it would wait without a limit.
impl Peek for Guard {}
