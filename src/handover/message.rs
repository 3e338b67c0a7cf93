//! What the two processes say to each other: one bounded line each, the first with descriptors.
//!
//! Nothing of an offer is believed that the kernel can tell: each descriptor must be a TCP socket that listens where the offer says.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketType, recvmsg, sendmsg, sockopt,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
};

use super::HandoverError;

/// The language of this version. Another one is refused, and the old process goes on serving.
const PROTOCOL: u32 = 1;

/// Sockets in one message; the kernel carries at most 253.
const MOST_SOCKETS: usize = 128;

/// Bytes of an offer.
const MOST_BYTES: usize = 16 * 1024;

/// Bytes of any other line.
const MOST_WORD: usize = 4096;

/// Characters of a reason.
const MOST_REASON: usize = 512;

/// The new process is ready to accept.
const READY: &str = "ready";
/// The old process has let go.
const GO: &str = "go";
/// The new process cannot take over; the reason follows.
const DECLINED: &str = "declined ";

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Clients.
    Listener,
    /// Operators.
    Admin,
    /// Programs that ask for decisions.
    DecisionApi,
}

/// A socket that the old process gives away.
#[derive(Debug)]
pub struct Offered {
    /// What it is for.
    pub role: Role,
    /// Where it listens, as configured: port 0 stays 0.
    pub configured: SocketAddr,
    /// The socket.
    pub socket: OwnedFd,
}

/// A socket that the new process was given.
#[derive(Debug)]
pub struct Inherited {
    /// What it was for.
    pub role: Role,
    /// Where it listens, as it was configured.
    pub configured: SocketAddr,
    /// The socket. It listens there: this was checked.
    pub socket: TcpListener,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offer {
    protocol: u32,
    sockets: Vec<Described>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    role: Role,
    address: SocketAddr,
}

/// The old process offers its sockets.
pub(super) async fn send_offer(stream: &mut UnixStream, offered: &[Offered]) -> Result<(), HandoverError> {
    if offered.len() > MOST_SOCKETS {
        return Err(HandoverError::TooMany(offered.len()));
    }
    let sockets = offered.iter().map(|one| Described { role: one.role, address: one.configured }).collect();
    let line = serde_json::to_string(&Offer { protocol: PROTOCOL, sockets });
    let line = line.map_err(|_| HandoverError::Garbled("the offer cannot be written"))? + "\n";
    let descriptors: Vec<_> = offered.iter().map(|one| one.socket.as_fd()).collect();
    let sent = stream.async_io(Interest::WRITABLE, || send_some(stream, line.as_bytes(), &descriptors)).await;
    let sent = sent.map_err(HandoverError::broken)?;
    // The descriptors go with the first byte; what a full buffer has left follows.
    let rest = line.as_bytes().get(sent..).unwrap_or_default();
    stream.write_all(rest).await.map_err(HandoverError::broken)
}

fn send_some(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// The new process takes the offer.
pub(super) async fn receive_offer(stream: &UnixStream) -> Result<Vec<Inherited>, HandoverError> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    // SECURITY: no peer makes this process hold more than one offer: `an_offer_without_an_end_is_cut_off`.
    while !line.ends_with(b"\n") {
        let (bytes, some) = stream.async_io(Interest::READABLE, || receive_some(stream)).await?;
        if bytes.is_empty() {
            return Err(HandoverError::Gone);
        }
        line.extend_from_slice(&bytes);
        descriptors.extend(some);
        if line.len() > MOST_BYTES || descriptors.len() > MOST_SOCKETS {
            return Err(HandoverError::Garbled("the offer has no end"));
        }
    }
    read_offer(&line, descriptors)
}

fn receive_some(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("more descriptors than one offer has"));
    }
    bytes.truncate(received.bytes);
    Ok((bytes, descriptors))
}

impl From<io::Error> for HandoverError {
    fn from(source: io::Error) -> Self {
        Self::broken(source)
    }
}

fn read_offer(line: &[u8], descriptors: Vec<OwnedFd>) -> Result<Vec<Inherited>, HandoverError> {
    let offer: Offer =
        serde_json::from_slice(line).map_err(|_| HandoverError::Garbled("an offer that cannot be read"))?;
    if offer.protocol != PROTOCOL {
        return Err(HandoverError::Garbled("another protocol"));
    }
    if offer.sockets.len() != descriptors.len() {
        return Err(HandoverError::Garbled("other sockets than it names"));
    }
    let inherited = |(described, socket): (Described, OwnedFd)| {
        let socket = listening(described.address, socket)?;
        Ok(Inherited { role: described.role, configured: described.address, socket })
    };
    offer.sockets.into_iter().zip(descriptors).map(inherited).collect()
}

/// The socket, when it listens on TCP where it is said to.
///
/// SECURITY: a descriptor of anything else is refused: `a_descriptor_that_is_no_listening_socket_is_refused`.
fn listening(configured: SocketAddr, socket: OwnedFd) -> Result<TcpListener, HandoverError> {
    let refuse = |_| HandoverError::Garbled("a descriptor that is no socket");
    let listens = sockopt::socket_acceptconn(&socket).map_err(refuse)?
        && sockopt::socket_type(&socket).map_err(refuse)? == SocketType::STREAM;
    if !listens {
        return Err(HandoverError::Garbled("a socket that does not listen"));
    }
    let socket = TcpListener::from(socket);
    let bound = socket.local_addr().map_err(|_| HandoverError::Garbled("a socket without an address"))?;
    if bound.ip() != configured.ip() || (configured.port() != 0 && bound.port() != configured.port()) {
        return Err(HandoverError::Garbled("a socket that listens somewhere else"));
    }
    Ok(socket)
}

/// The new process is ready to accept.
pub(super) async fn say_ready(stream: &mut UnixStream) -> Result<(), HandoverError> {
    say(stream, READY).await
}

/// The new process cannot take over.
pub(super) async fn say_declined(stream: &mut UnixStream, reason: &str) -> Result<(), HandoverError> {
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_REASON).collect();
    say(stream, &format!("{DECLINED}{reason}")).await
}

/// The old process has let go.
pub(super) async fn say_go(stream: &mut UnixStream) -> Result<(), HandoverError> {
    say(stream, GO).await
}

/// Waits until the new process is ready.
pub(super) async fn hear_ready(stream: &mut UnixStream) -> Result<(), HandoverError> {
    let word = hear(stream).await?;
    match word.strip_prefix(DECLINED) {
        Some(reason) => Err(HandoverError::Declined(reason.to_owned())),
        None if word == READY => Ok(()),
        None => Err(HandoverError::Garbled("neither ready nor declined")),
    }
}

/// Waits until the old process has let go.
pub(super) async fn hear_go(stream: &mut UnixStream) -> Result<(), HandoverError> {
    match hear(stream).await?.as_str() {
        GO => Ok(()),
        _ => Err(HandoverError::Garbled("anything but go")),
    }
}

/// Waits until the new process serves, or is no more.
pub(super) async fn hear_end(stream: &mut UnixStream) -> Result<(), HandoverError> {
    hear(stream).await.map(drop)
}

async fn say(stream: &mut UnixStream, word: &str) -> Result<(), HandoverError> {
    Ok(stream.write_all(format!("{word}\n").as_bytes()).await?)
}

async fn hear(stream: &mut UnixStream) -> Result<String, HandoverError> {
    let mut word = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            byte => word.push(byte),
        }
        if word.len() > MOST_WORD {
            return Err(HandoverError::Garbled("a word without an end"));
        }
    }
    String::from_utf8(word).map_err(|_| HandoverError::Garbled("a word that is no text"))
}
